"""Letters are read, and what is none is told apart without an error."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.deadletter.letter import Attempt, letter
from consumer.deadletter.read import Read, read
from consumer.model import Headers, Origin, Record

FAILED = Record("capi.conversions", 2, 7, 1, b"key", b"value")
ATTEMPT = Attempt("meta-us", "meta", "purchase:1", "100", 400, 3, 1_000, 2_000)


def stored(headers: Headers, value: bytes | None = b"value") -> Record:
    """A record of a dead-letter topic."""
    return Record("capi.dlq.meta", 0, 5, 99, b"key", value, headers)


def of(**changes: str | None) -> Record:
    """A letter with some of its headers changed, or taken away."""
    headers = dict(letter(FAILED, "deliver", "rejected", "no", ATTEMPT).headers)
    for name, text in changes.items():
        full = next(each for each in headers if each.rpartition(".")[2] == name)
        headers.pop(full)
        if text is not None:
            headers[full] = text.encode()
    return stored(tuple(headers.items()))


def test_a_letter_is_read_in_full() -> None:
    """Where it stands, what it is of, and every header in its field."""
    assert read(of()) == Read(
        at=Origin("capi.dlq.meta", 0, 5),
        timestamp_ms=99,
        of=Origin("capi.conversions", 2, 7),
        stage="deliver",
        reason="rejected",
        fault="platform",
        version=1,
        key=b"key",
        value=b"value",
        message="no",
        destination="meta-us",
        platform="meta",
        code="100",
        http_status=400,
        attempts=3,
        event_id="purchase:1",
        first_at_ms=1_000,
        last_at_ms=2_000,
    )


@pytest.mark.parametrize("headers", [(), (("traceparent", b"00-1"),), (("dlq.reason", b"rejected"),)])
def test_a_record_without_our_headers_is_foreign(headers: Headers) -> None:
    """Somebody else's record, or a letter that lost its headers on a copy."""
    assert read(stored(headers)) is None
    assert read(stored(headers, None)) is None


@pytest.mark.parametrize("name", ["topic", "partition", "offset", "stage", "schema", "reason", "fault"])
@pytest.mark.parametrize("text", [None, "", "\n", "7\n", "a b", "Ä", "-1", "9" * 30])
def test_what_must_be_there_must_be_well_formed(name: str, text: str | None) -> None:
    """A letter whose record nobody can find, or whose reason is no word, is foreign."""
    if name == "topic" and text in {"9" * 30, "-1"}:
        return  # a topic may be called so
    assert read(of(**{name: text})) is None


def test_a_newer_letter_is_read_as_far_as_it_goes() -> None:
    """A version, a reason and a header that this build doesn't know do no harm."""
    headers = (*of(schema="12", reason="new_reason").headers, ("dlq.new", b"x"))
    found = read(stored(headers))
    assert found is not None
    assert (found.version, found.reason, found.destination) == (12, "new_reason", "meta-us")


def test_numbers_that_are_none_count_as_absent() -> None:
    """What only informs can't make a letter foreign."""
    found = read(of(attempts="many", status="-4", at="\u0662"))
    assert found is not None
    assert (found.attempts, found.http_status, found.first_at_ms) == (0, 0, 0)


def test_what_a_terminal_would_obey_is_shown_as_a_mark() -> None:
    """A letter can't colour, move or clear anything."""
    found = read(of(message="\x1b[2Jgone\r\n", code="\u202e1"))
    assert found is not None
    assert (found.message, found.code) == ("?[2Jgone??", "?1")


def test_it_prints_no_value() -> None:
    """Key and value are the shop's own bytes."""
    found = read(of())
    assert found is not None
    assert repr(found) == "<Read capi.dlq.meta:0:5: rejected, of capi.conversions:2:7>"
    assert "value" not in repr([found])


@settings(deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([name for name, _ in of().headers]) | st.text(max_size=30),
            st.binary(max_size=40) | st.sampled_from([value for _, value in of().headers]),
        )
    ),
    st.none() | st.binary(max_size=9),
)
def test_nothing_makes_it_fail(headers: list[tuple[str, bytes]], value: bytes | None) -> None:
    """Whatever lies in the topic, reading it gives a letter or none."""
    record = stored((*of().headers, *headers), value)
    found = read(record)
    assert found is None or msgspec.structs.asdict(found)["value"] == value
