"""`capi emulate`: stand-ins of the platforms and of a schema registry, for whoever has no credentials."""

import secrets
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
"""Where tokens are kept, so that a restarted emulator takes the same one."""


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
    from consumer.emulators.platforms import STAND_INS, EmulatorThread

    files = {name: FOLDER / f"{name}-emulator.token" for name in names}
    tokens = {name: _token(path) for name, path in files.items()}
    ports = {name: port + place if port else 0 for place, name in enumerate(names)}
    urls = running.enter_context(EmulatorThread(names, tokens=tokens, ports=ports)).urls
    yield "# the settings that lead here; Ctrl-C ends"
    yield "destinations:"
    for name, url in urls.items():
        yield (
            f'  - {{name: {name}, platform: {name}, account: "{STAND_INS[name].account}", '
            f"token_file: {files[name]}, base_url: {url}}}"
        )
    for name, url in urls.items():
        yield f"# what {name} holds: {url}/_emulator/stats, …/accepted, …/deduped, …/requests"


def _token(path: Path) -> str:
    """The token in the file; made and written if there is none yet. Raises ConfigurationError."""
    try:
        if path.exists() and (token := path.read_text(encoding="utf-8").strip()):
            return token
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o600)
        token = secrets.token_urlsafe(24)
        path.write_text(token, encoding="utf-8")
    except OSError as error:
        message = f"{path}: {error.strerror}; run it where a token's file can be kept"
        raise ConfigurationError(message) from None
    return token
