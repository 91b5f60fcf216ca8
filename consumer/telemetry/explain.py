"""What may be said of an exception: the text of a foreign one may quote a customer's data."""

import sys
from collections.abc import Iterable

from consumer.errors import CapiError

_FRAMES_MAX = 20


def exception_in(given: object) -> BaseException | None:
    """The exception that `exc_info` stands for: itself, a triple, True for the one being handled, or none."""
    match given:
        case BaseException():
            return given
        case (_, BaseException() as error, _):
            return error
        case None | False | (None, None, None):
            return None
        case _:
            return sys.exc_info()[1]


def explain(error: BaseException) -> dict[str, object]:
    """What may be said of an exception: its text only if it is one of ours, else its type and where it happened."""
    causes = [_type(cause) for cause in _causes(error)]
    said: dict[str, object] = {"error_type": _type(error), **({"causes": causes} if causes else {})}
    return {**said, "error": str(error)} if isinstance(error, CapiError) else {**said, "stack": _stack(error)}


def _type(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _causes(error: BaseException) -> Iterable[BaseException]:
    """What led to it, nearest first, and the members of a group."""
    seen: set[int] = {id(error)}
    left = [error]
    while left and len(seen) <= _FRAMES_MAX:
        at = left.pop(0)
        inner = list(at.exceptions) if isinstance(at, BaseExceptionGroup) else []
        cause = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
        for one in [*inner, *([cause] if cause is not None else [])]:
            if id(one) not in seen:
                seen.add(id(one))
                left.append(one)
                yield one


def _stack(error: BaseException) -> list[str]:
    """The innermost frames, outermost first: module, function and line, without source or values."""
    frames: list[str] = []
    at = error.__traceback__
    while at is not None:
        module = at.tb_frame.f_globals.get("__name__", "?")
        frames.append(f"{module}.{at.tb_frame.f_code.co_name}:{at.tb_lineno}")
        at = at.tb_next
    return frames[-_FRAMES_MAX:]
