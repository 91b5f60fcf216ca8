"""Lines: what is on the list is printed, what is not never is."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest
import structlog

from consumer.errors import Unreachable
from consumer.telemetry import logs

PERSON = "ann@example.com"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where lines go; everything is as it was afterwards."""
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook, sys.unraisablehook)
    handlers, level = list(root.handlers), root.level
    written = io.StringIO()
    logs.configure("info", instance_id="capi-0", stream=written)
    yield written
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


def line(stream: io.StringIO) -> dict[str, object]:
    """The one line that was written."""
    (written,) = stream.getvalue().splitlines()
    parsed = json.loads(written)
    assert isinstance(parsed, dict)
    return parsed


def test_a_line_is_json_with_its_context(stream: io.StringIO) -> None:
    """Who, what, when and where: from the logger, the context and the call."""
    structlog.contextvars.bind_contextvars(role="deliver")
    structlog.get_logger("deliver").bind(destination="meta-us", platform="meta").info(
        "destination_parked", code="190", positions={"orders": 3}
    )
    made = line(stream)
    assert str(made.pop("at")).endswith("Z")
    assert made == {
        "event": "destination_parked",
        "level": "info",
        "logger": "deliver",
        "role": "deliver",
        "instance_id": "capi-0",
        "destination": "meta-us",
        "platform": "meta",
        "code": "190",
        "positions": {"orders": 3},
    }


def test_an_unlisted_key_is_counted_and_not_printed(stream: io.StringIO) -> None:
    """Neither its value nor its name shows, only that something was dropped."""
    before = logs.dropped()
    structlog.get_logger("enrich").warning("letter_written", email=PERSON, reason="bad_type")
    assert PERSON not in stream.getvalue()
    assert "email" not in stream.getvalue()
    assert line(stream)["dropped_keys"] == 1
    assert logs.dropped() == before + 1


def test_a_sentence_is_no_event(stream: io.StringIO) -> None:
    """An event is a fixed name; text made at run time may quote anyone."""
    structlog.get_logger("enrich").info(f"could not send to {PERSON}")
    assert PERSON not in stream.getvalue()
    assert line(stream)["event"] == "unnamed"


def test_a_foreign_exceptions_text_is_not_printed(stream: io.StringIO) -> None:
    """Its type and its places are: enough to find it, nothing of the data."""
    try:
        int(PERSON)
    except ValueError:
        structlog.get_logger("enrich").exception("rewinding")
    made = line(stream)
    assert PERSON not in stream.getvalue()
    assert made["error_type"] == "ValueError"
    assert "test_a_foreign_exceptions_text_is_not_printed" in str(made["stack"])


def test_our_own_errors_text_is_printed(stream: io.StringIO) -> None:
    """It never holds a customer's data; that of its cause might, so of that only the type is said."""
    error = Unreachable("no broker answers at 127.0.0.1:9092")
    error.__cause__ = KeyError(PERSON)
    structlog.get_logger("enrich").error("writer_unavailable", error=error)
    made = line(stream)
    assert made["error"] == "no broker answers at 127.0.0.1:9092"
    assert made["causes"] == ["KeyError"]
    assert PERSON not in stream.getvalue()


def test_members_of_a_group_are_named(stream: io.StringIO) -> None:
    """A task group's failure tells what failed in it, by type."""
    group = ExceptionGroup(PERSON, [ValueError(PERSON), TypeError(PERSON)])
    structlog.get_logger("deliver").error("crashed", exc_info=group)
    assert line(stream)["causes"] == ["ValueError", "TypeError"]
    assert PERSON not in stream.getvalue()


def test_a_value_of_a_strange_type_is_named_by_its_type(stream: io.StringIO) -> None:
    """An object under a listed key can't smuggle its text in."""
    structlog.get_logger("enrich").info("started", status=ValueError(PERSON), count=io.StringIO(PERSON))
    assert PERSON not in stream.getvalue()
    assert line(stream)["count"] == "StringIO"


def test_librdkafkas_lines_take_the_same_way(stream: io.StringIO) -> None:
    """Its messages name brokers and topics, and are printed whole."""
    logging.getLogger("librdkafka").warning("%s: %s", "capi.enrich", "broker transport failure")
    made = line(stream)
    assert (made["logger"], made["event"], made["level"]) == ("librdkafka", "library_line", "warning")
    assert made["message"] == "capi.enrich: broker transport failure"


def test_other_libraries_say_the_constant_part(stream: io.StringIO) -> None:
    """What was filled in may be a customer's; where it was said is always told."""
    logging.getLogger("aiohttp.server").error("Error handling request from %s", PERSON)
    logging.getLogger("asyncio").error("never retrieved: " + PERSON)  # noqa: G003 (as asyncio does)
    first, second = (json.loads(written) for written in stream.getvalue().splitlines())
    assert first["message"] == "Error handling request from %s"
    assert "message" not in second
    assert "test_other_libraries_say_the_constant_part" in second["where"]
    assert PERSON not in stream.getvalue()


def test_a_warning_says_only_where(stream: io.StringIO) -> None:
    """Python's warnings are text made at run time, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure("info", stream=stream)
        warnings.warn(PERSON, UserWarning, stacklevel=1)
    assert line(stream)["logger"] == "py.warnings"
    assert PERSON not in stream.getvalue()


def test_what_nobody_caught_is_told_without_its_text(stream: io.StringIO) -> None:
    """A thread that dies leaves a line, not a traceback with values."""

    def fail() -> None:
        raise ValueError(PERSON)

    thread = threading.Thread(target=fail, name="pump")
    thread.start()
    thread.join()
    made = line(stream)
    assert (made["event"], made["error_type"], made["thread"]) == ("crashed", "ValueError", "pump")
    assert PERSON not in stream.getvalue()


def test_a_level_below_is_silent(stream: io.StringIO) -> None:
    """`info` hears no debug, of ours or of a library."""
    structlog.get_logger("enrich").debug("started")
    logging.getLogger("librdkafka").debug("chatter")
    assert stream.getvalue() == ""


def test_readable_lines_obey_the_same_list(stream: io.StringIO) -> None:
    """A person at a terminal sees no more than the log's store."""
    logs.configure("info", stream=stream, readable=True)
    structlog.get_logger("enrich").info("started", partition=3, email=PERSON)
    assert "started" in stream.getvalue()
    assert "partition" in stream.getvalue()
    assert PERSON not in stream.getvalue()


def test_a_stream_that_is_gone_stops_nothing(stream: io.StringIO) -> None:
    """Work goes on when nobody listens."""
    gone = io.StringIO()
    logs.configure("info", stream=gone)
    gone.close()
    structlog.get_logger("enrich").info("started")
    assert stream.getvalue() == ""


def test_lines_of_threads_stay_whole(stream: io.StringIO) -> None:
    """However many write at once, each line parses."""

    def write() -> None:
        for count in range(50):
            structlog.get_logger("enrich").info("started", count=count)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [json.loads(written)["event"] for written in stream.getvalue().splitlines()] == ["started"] * 200
