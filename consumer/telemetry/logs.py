"""Log lines: JSON on stderr, and nothing in them that is not on a list.

A key that is not in `KEYS` is dropped and counted, never printed. Of a foreign exception only the type and the places
are printed: its text may quote a customer's data. Lines of libraries take the same way.
"""

import logging
import re
import sys
import threading
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, Literal, TextIO, TypeAlias

import orjson
import structlog
from opentelemetry.trace import get_current_span
from structlog.typing import EventDict, Processor

from consumer.telemetry.explain import exception_in, explain

Level: TypeAlias = Literal["debug", "info", "warning", "error"]

KEYS = frozenset(
    {
        *("at", "level", "event", "logger", "role", "instance_id", "trace_id", "span_id", "dropped_keys"),
        *(
            "destination",
            "platform",
            "account",
            "group",
            "topic",
            "partition",
            "partitions",
            "offset",
            "offsets",
        ),
        *(
            "positions",
            "position",
            "schema_id",
            "transactional_id",
            "cluster_id",
            "address",
            "host",
            "port",
            "path",
        ),
        *(
            "reason",
            "code",
            "http_status",
            "status",
            "outcome",
            "ending",
            "verdict",
            "fault",
            "stage",
            "breaker",
        ),
        *(
            "count",
            "failures",
            "attempts",
            "attempt",
            "restored",
            "restore_left",
            "waiting",
            "queued",
            "in_flight",
        ),
        *("lag", "read", "delivered", "requests", "concurrency", "events", "records", "bytes", "letters"),
        *(
            "seconds",
            "after_s",
            "timeout_s",
            "age_s",
            "took_s",
            "last_commit_ms",
            "version",
            "signal",
            "setting",
        ),
        *("error", "error_type", "causes", "stack", "message", "where", "thread", "replay_id", "command"),
    }
)
"""All that a line may hold. Ids of orders, checkouts and events are not among them: `capi why` tells of those."""

_EVENT = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TEXT_MAX_CHARACTERS = 500
_PLAINSPOKEN = frozenset({"librdkafka", "opentelemetry"})
"""Libraries whose lines hold addresses, topics and codes only. Of others the constant part is printed, if it warns."""


class _Dropped:
    """How many keys were dropped, in all."""

    count = 0


def dropped() -> int:
    """Keys dropped since the process began."""
    return _Dropped.count


def configure(
    level: Level, *, instance_id: str = "", stream: TextIO | None = None, readable: bool | None = None
) -> None:
    """Send all lines of this level and above to `stream` (stderr), `readable` or as JSON; by default as it is a TTY.

    Also takes over the lines of libraries, and what would otherwise print an exception that nobody caught.
    """
    stream = stream or sys.stderr
    readable = stream.isatty() if readable is None else readable
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=_processors(instance_id, readable=readable, colors=stream.isatty()),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_Lines(stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[_Libraries()], force=True)
    for name in _PLAINSPOKEN:
        logging.getLogger(name).setLevel(number)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def _processors(instance_id: str, *, readable: bool, colors: bool) -> list[Processor]:
    def stamped(_logger: object, _method: str, line: EventDict) -> EventDict:
        if instance_id:
            line.setdefault("instance_id", instance_id)
        return line

    return [
        structlog.contextvars.merge_contextvars,
        stamped,
        _named,
        _traced,
        _explained,
        _listed,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="at") if readable else _json,
    ]


class _Line:
    """Writes whole lines; a lock keeps those of two threads apart."""

    def __init__(self, stream: TextIO, lock: threading.Lock, name: str) -> None:
        self.name = name
        self._stream = stream
        self._lock = lock

    def msg(self, text: str) -> None:
        """Write one line. A stream that is gone takes the line with it: work goes on."""
        try:
            with self._lock:
                self._stream.write(text + "\n")
                self._stream.flush()
        except (OSError, ValueError):
            return

    debug = info = warning = error = critical = log = msg


class _Lines:
    """Makes the loggers; `get_logger("enrich")` names one."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, *name: str) -> _Line:
        return _Line(self._stream, self._lock, name[0] if name else "")


def _named(logger: object, _method: str, line: EventDict) -> EventDict:
    if isinstance(logger, _Line) and logger.name:
        line.setdefault("logger", logger.name)
    return line


def _traced(_logger: object, _method: str, line: EventDict) -> EventDict:
    context = get_current_span().get_span_context()
    if context.is_valid:
        line["trace_id"], line["span_id"] = f"{context.trace_id:032x}", f"{context.span_id:016x}"
    return line


def _explained(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Exceptions, in `exc_info` or in `error`, become what may be printed of them."""
    given, error = line.pop("exc_info", None), line.get("error")
    found = exception_in(given)
    if found is None and isinstance(error, BaseException):
        found = error
        del line["error"]
    return {**line, **explain(found)} if found is not None else line


def _listed(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Let through what is listed. An event is a fixed name: a sentence may hold anything."""
    kept: EventDict = {key: _short(value) for key, value in line.items() if key in KEYS}
    lost = len(line) - len(kept)
    if not (isinstance(kept.get("event"), str) and _EVENT.fullmatch(kept["event"])):
        kept["event"] = "unnamed"
        lost += 1
    if lost:
        _Dropped.count += lost
        kept["dropped_keys"] = lost
    return kept


def _short(value: object) -> object:
    """Numbers and short texts; the keys of a mapping are places, such as topics."""
    match value:
        case bool() | int() | float() | None:
            return value
        case str():
            return value[:_TEXT_MAX_CHARACTERS]
        case Mapping():
            return {str(key): _short(inner) for key, inner in list(value.items())[:_TEXT_MAX_CHARACTERS]}
        case list() | tuple() | set() | frozenset():
            return [_short(inner) for inner in list(value)[:_TEXT_MAX_CHARACTERS]]
        case BaseException():
            return explain(value)
        case _:
            return type(value).__name__


def _json(_logger: object, _method: str, line: MutableMapping[str, Any]) -> str:
    """When, how bad and what first, for those who read it raw."""
    first = {key: line[key] for key in ("at", "level", "event")}
    return orjson.dumps({**first, **line}, option=orjson.OPT_NON_STR_KEYS).decode()


class _Libraries(logging.Handler):
    """Takes the lines of the standard library's loggers into the same pipeline."""

    def emit(self, record: logging.LogRecord) -> None:
        """Of a library in `_PLAINSPOKEN` the message, else the part of it that is constant."""
        known = record.name.partition(".")[0] in _PLAINSPOKEN
        constant = record.msg if isinstance(record.msg, str) and record.args else ""
        message = record.getMessage() if known else constant
        structlog.get_logger(record.name).log(
            record.levelno,
            "library_line",
            where=f"{record.module}.{record.funcName}:{record.lineno}",
            exc_info=record.exc_info,
            **({"message": message} if message else {}),
        )


def _uncaught(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger("process").critical("crashed", exc_info=error)


def _uncaught_in_thread(hooked: threading.ExceptHookArgs) -> None:
    if hooked.exc_value is not None and not isinstance(hooked.exc_value, SystemExit):
        name = hooked.thread.name if hooked.thread is not None else ""
        structlog.get_logger("process").critical("crashed", exc_info=hooked.exc_value, thread=name)


def _unraisable(hooked: "sys.UnraisableHookArgs") -> None:
    if hooked.exc_value is not None:
        structlog.get_logger("process").error("unraisable", exc_info=hooked.exc_value)
