"""`capi why` without a cluster: what it prints, and where it looks."""

from hashlib import sha256
from pathlib import Path

import pytest
from msgspec import json
from typer.testing import CliRunner

from consumer.cli import app
from consumer.cli.why import lines
from consumer.errors import ConfigurationError, StateUnusable, Unreachable
from consumer.ledger.conservation import Bounds
from consumer.ledger.store import Store
from consumer.ledger.story import By, Story, tell
from consumer.ledger.tables import ConversionRow, EndingRow, LaterRow, LetterRow, ReceiptRow, Row
from consumer.ledger.telling import advice
from consumer.model import Record

ORDER = "10042"
EMAIL = "Some.Body@Example.com "
AT_MS = 1_790_000_000_000
TOPICS = {
    ConversionRow: "capi.conversions",
    ReceiptRow: "capi.receipts",
    EndingRow: "capi.endings",
    LaterRow: "capi.later",
    LetterRow: "capi.dlq.meta",
}
EVERYTHING: tuple[Row, ...] = (
    ConversionRow(0, 0, AT_MS, "begin_checkout:c1", "begin_checkout", AT_MS - 9_000, "", "c1"),
    ConversionRow(
        *(0, 1, AT_MS, f"purchase:{ORDER}", "purchase", AT_MS, ORDER, "c1", 1234, "EUR", True),
        email=sha256(b"some.body@example.com").hexdigest(),
    ),
    ConversionRow(1, 0, AT_MS, "purchase:2", "purchase", AT_MS, "2", "c2", 500, "JPY"),
    ReceiptRow(*(0, 0, AT_MS, 0, 1, "meta-us", "meta", "delivered", "", "", 200, 2, "", False, AT_MS, AT_MS)),
    ReceiptRow(
        *(0, 1, AT_MS, 0, 1, "google", "google", "delivered", "", "", 200, 1, "", False, AT_MS, AT_MS)
    ),
    ReceiptRow(
        *(
            0,
            2,
            AT_MS,
            0,
            1,
            "google",
            "google",
            "rejected",
            "rejected",
            "NO_CLICK",
            0,
            1,
            "",
            True,
            AT_MS,
            AT_MS,
        )
    ),
    ReceiptRow(
        *(
            0,
            3,
            AT_MS,
            1,
            0,
            "meta-us",
            "meta",
            "rejected",
            "rejected",
            "100",
            400,
            1,
            "",
            False,
            AT_MS,
            AT_MS,
        )
    ),
    LaterRow(0, 0, AT_MS, 0, 1, "ga4", AT_MS + 60_000, 3),
    LetterRow(
        *("capi.dlq.meta", 0, 0, AT_MS, "capi.conversions", 1, 0, "deliver", "rejected", "platform"),
        *("refused by \x1b[31mMeta", "meta-us", "100", 400, 1, "purchase:2"),
    ),
    EndingRow(
        *(0, 0, AT_MS, "orders", 0, 7, ORDER, "c1", "filtered", "state_pending", (), 1234, "EUR", False)
    ),
    EndingRow(
        *(
            0,
            1,
            AT_MS,
            "orders",
            0,
            8,
            ORDER,
            "c1",
            "conversion",
            "",
            (f"purchase:{ORDER}",),
            1234,
            "EUR",
            True,
        )
    ),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ledger that knows some of everything, and that no process has open."""
    store = Store(tmp_path, "capi", 128)
    records = [
        Record(TOPICS[type(row)], row.at_partition, row.at_offset, row.at_ms, None, None)
        for row in EVERYTHING
    ]
    assert store.take(records, EVERYTHING) == len(EVERYTHING)
    store.close()
    return tmp_path


def run(folder: Path, *arguments: str) -> tuple[int, str, BaseException | None]:
    """Exit code, output, and what was raised."""
    file = folder / "settings.yaml"
    file.write_bytes(json.encode({"http": {"port": 0}, "ledger": {"dir": str(folder)}}))
    done = CliRunner().invoke(app, ["why", "--config", str(file), *arguments])
    return done.exit_code, done.output, done.exception


def story(folder: Path, by: By, value: str, *bounds: Bounds) -> Story:
    """As the file tells it, with the bounds that a running ledger would know."""
    store = Store(folder, "capi", 128)
    try:
        return tell(store.cursor(), "capi", by, value, {each.destination: each for each in bounds})
    finally:
        store.close()


def test_an_order_s_story_is_told_in_its_order(folder: Path) -> None:
    """Its records' endings, its checkout's steps, itself; what a platform said late comes first."""
    code, printed, _ = run(folder, ORDER)
    assert code == 0
    said = printed.splitlines()
    assert [line.split("  ")[1] for line in said if line.startswith("2026")] == [
        "record orders:0:7: filtered, state_pending",
        f"record orders:0:8: conversion (purchase:{ORDER})",
        "begin_checkout:c1",
        f"purchase:{ORDER}, 12.34 EUR, without its checkout",
    ]
    assert "  meta-us: delivered" in said
    assert "  google: rejected (rejected, NO_CLICK), found by the platform afterwards" in said
    assert "  ga4: put_aside" in said
    assert "purchase:2" not in printed


@pytest.mark.parametrize("sought", ["c1", f"purchase:{ORDER}", EMAIL])
def test_it_is_found_by_what_one_has(folder: Path, sought: str) -> None:
    """A checkout's id, an event's, an e-mail as the customer would write it."""
    code, printed, _ = run(folder, sought, "-o", "json")
    assert code == 0
    assert f"purchase:{ORDER}" in printed
    assert "some.body" not in printed.lower()


def test_what_is_not_known_is_said(folder: Path) -> None:
    """Exit code 1."""
    assert run(folder, "no-such-order")[0] == 1


def test_a_terminal_gets_no_commands(folder: Path) -> None:
    """Whatever somebody wrote into an id or a letter."""
    code, printed, _ = run(folder, "2")
    assert code == 0
    assert "500 JPY" in printed
    assert "letter capi.dlq.meta:0:0: rejected, refused by ?[31mMeta" in printed


def test_where_there_is_no_ledger_it_says_what_to_do(tmp_path: Path) -> None:
    """Neither a file nor an address, or one of which the question must not travel in the clear."""
    error = run(tmp_path, ORDER)[2]
    assert isinstance(error, StateUnusable)
    assert "capi run --role ledger" in str(error)
    assert isinstance(run(tmp_path, ORDER, "--ledger", "http://127.0.0.1:9")[2], Unreachable)
    assert isinstance(run(tmp_path, ORDER, "--ledger", "http://ledger.example")[2], ConfigurationError)


def test_where_a_delivery_stands_is_told_by_how_far_its_group_is(folder: Path) -> None:
    """Without a receipt it is on its way, older than the start, put aside, or missing."""
    bounds = [
        Bounds("on_its_way", {0: 0}, {0: 1}, {}),
        Bounds("began_later", {0: 2}, {0: 2}, {}),
        Bounds("lost_it", {0: 0}, {0: 2}, {}),
        Bounds("ga4", {0: 0}, {0: 2}, {0: 0}),
    ]
    (told,) = story(folder, "event", f"purchase:{ORDER}", *bounds).conversions
    fates = {each.destination: each.fate for each in told.deliveries}
    assert fates == {
        "on_its_way": "in_flight",
        "began_later": "not_owed",
        "lost_it": "missing",
        "ga4": "put_aside",
        "meta-us": "delivered",
        "google": "rejected",
    }


def test_every_delivery_says_what_to_do_next(folder: Path) -> None:
    """One sentence, whatever became of it; also of words that this build doesn't know."""
    for order in (ORDER, "2"):
        for each in story(folder, "order", order).conversions:
            assert all(delivery.next for delivery in each.deliveries)
    assert advice("rejected", "a_new_reason") == advice("rejected", "rejected")
    assert advice("a_new_outcome", "")
    assert list(lines(Story((), ()))) == []
