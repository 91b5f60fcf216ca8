"""`capi emulate`: stand-ins of the platforms and of a schema registry, for whoever has no credentials."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from consumer.errors import ConfigurationError

ALL, REGISTRY = "all", "registry"
FOLDER = Path(".capi")
"""Where secrets are kept, so that a restarted emulator takes the same ones."""
LINE_MAX = 10_000
"""A destination's settings stay on one line."""


def emulate(
    platform: Annotated[str, typer.Option(help="A platform's name, all, or registry.")],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on, of all the first; 0 takes free ones.")
    ] = 0,
) -> None:
    """Serve until Ctrl-C or SIGTERM. Prints where, and the settings that lead there."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as running:
        for line in _start(running, platform, port):
            typer.echo(line)
        stop.wait()


def _start(running: ExitStack, platform: str, port: int) -> Iterator[str]:
    from consumer.emulators.platforms import STAND_INS

    names = list(STAND_INS) if platform == ALL else [platform]
    try:
        if platform == REGISTRY:
            yield from _registry(running, port)
        elif platform in {ALL, *STAND_INS}:
            yield from _platforms(running, names, port)
        else:
            message = f"{platform} is not known here; known are {', '.join(STAND_INS)}, {ALL} and {REGISTRY}"
            raise typer.BadParameter(message, param_hint="--platform")
    except OSError as error:
        message = f"port {port} can't be listened on ({error.strerror}); choose another with --port"
        raise ConfigurationError(message) from None


def _registry(running: ExitStack, port: int) -> Iterator[str]:
    from consumer.emulators.registry import RegistryThread

    yield "# the settings that lead here; Ctrl-C ends"
    yield f"registry: {{url: {running.enter_context(RegistryThread(port)).url}}}"


def _platforms(running: ExitStack, names: list[str], port: int) -> Iterator[str]:
    import yaml

    from consumer.emulators.platforms import EmulatorThread, destination

    secrets = {name: _secret(name) for name in names}
    ports = {name: port + place if port else 0 for place, name in enumerate(names)}
    emulators = running.enter_context(EmulatorThread(names, tokens=secrets, ports=ports))
    yield "# the settings that lead here; Ctrl-C ends"
    yield "destinations:"
    for name, url in emulators.urls.items():
        file = FOLDER / f"{name}-emulator.token"
        _write(file, emulators.credentials[name])
        settings = destination(name, file, url)
        flow = yaml.safe_dump(settings, default_flow_style=True, sort_keys=False, width=LINE_MAX)
        yield f"  - {flow.strip()}"
    for name, url in emulators.urls.items():
        yield f"# what {name} holds: {url}/_emulator/stats, …/accepted, …/deduped, …/requests"


def _secret(name: str) -> str:
    """What the emulator was given the first time, from its file, or made and kept. Raises ConfigurationError."""
    from consumer.emulators.platforms import STAND_INS

    path = FOLDER / f"{name}-emulator.secret"
    try:
        if path.exists() and (kept := path.read_text(encoding="utf-8").strip()):
            return kept
    except OSError as error:
        raise _unwritable(path, error) from None
    secret = STAND_INS[name].secret()
    _write(path, secret)
    return secret


def _write(path: Path, text: str) -> None:
    """For the owner's eyes alone. Raises ConfigurationError."""
    try:
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{path}: {error.strerror}; run it where a secret's file can be kept")
