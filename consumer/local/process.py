"""Child processes that never outlive their parent."""

import ctypes
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def spawn(command: Sequence[str], log: Path, folder: Path | None = None) -> "subprocess.Popen[bytes]":
    """Start `command`, its output appended to `log`; the kernel ends it when this process dies."""
    with log.open("ab") as out:
        return subprocess.Popen(  # noqa: S603 (our own Java)
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 (one C call, no lock taken)
        )


def _die_with_parent() -> None:
    """Linux only; elsewhere a killed parent leaves its broker behind."""
    if hasattr(_LIBC, "prctl"):
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end(process: "subprocess.Popen[bytes]", timeout_s: float) -> None:
    """Ask, wait, then kill."""
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tail(log: Path, lines: int = 20) -> str:
    """The end of a log, for an error's text."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""
