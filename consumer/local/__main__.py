"""`make kafka`: a broker and a registry until Ctrl-C, their addresses on stdout."""

import argparse
import signal
import sys
from contextlib import ExitStack

from consumer.errors import CapiError
from consumer.local.broker import Kafka
from consumer.local.registry import Registry


def main() -> int:
    """Run until a signal; exit 0."""
    parser = argparse.ArgumentParser(prog="make kafka", description=__doc__)
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=1, help="brokers")
    parser.add_argument("--no-registry", action="store_true", help="only Kafka")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with ExitStack() as running:
            print(f"bootstrap.servers={running.enter_context(Kafka(asked.nodes)).bootstrap}", flush=True)
            if not asked.no_registry:
                print(f"schema.registry.url={running.enter_context(Registry()).url}", flush=True)
            print("Ctrl-C ends both.", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        pass
    except CapiError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
