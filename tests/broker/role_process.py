"""What a role in a process of its own tells the test that may kill it, in files that survive that."""

import mmap
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import json

from consumer.errors import CapiError

STEPS = ("idle", "begun", "produced", "positions_sent", "committed", "stored")
LOOK_EVERY_S = 0.02
HOLD_S = 0.001


def stepping(folder: Path) -> Callable[[str], None]:
    """Notes in `steps` the step that the loop is in, and stays there as long as the test wishes."""
    with (folder / "steps").open("r+b") as file:
        steps = mmap.mmap(file.fileno(), 2)

    def on_step(step: str) -> None:
        steps[0] = STEPS.index(step)
        while steps[1] == steps[0]:
            time.sleep(HOLD_S)

    return on_step


def run(
    loop: Callable[[threading.Event], None], status: Callable[[], Mapping[str, object]], folder: Path
) -> int:
    """Run until SIGTERM, `status.json` up to date; the exit code."""
    stop, looking = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    looker = threading.Thread(target=_look, args=(status, folder, looking))
    looker.start()
    try:
        loop(stop)
    except CapiError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return error.exit_code
    finally:
        looking.set()
        looker.join()
    return 0


def _look(status: Callable[[], Mapping[str, object]], folder: Path, end: threading.Event) -> None:
    """Write what the loop says of itself, whenever that changes and once at the end."""
    last = b""
    while True:
        ended = end.wait(LOOK_EVERY_S)
        text = json.encode(status())
        if text != last:
            draft = folder / "status.new"
            draft.write_bytes(text)
            draft.replace(folder / "status.json")
            last = text
        if ended:
            return
