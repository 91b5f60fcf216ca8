"""The file is what the topics make of it, however it came about."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.broker.dispatch import Dispatch, Emulated, Process, conversion
from tests.ledger.beside import (
    await_settled,
    held,
    receipt,
    settle_all,
    start_ledger,
    write_receipts,
)

FILE = "ledger.duckdb"


def run_once(dispatch: Dispatch, folder: str) -> None:
    """Let a ledger read all there is, and end."""
    with start_ledger(dispatch, folder) as ledger:
        await_settled(ledger, dispatch, "meta-us")
        ledger.stop()


def named(dispatch: Dispatch) -> None:
    """One destination, and the topics."""
    with Emulated() as meta:
        dispatch.destination("meta-us", meta)
        dispatch.make_topics()


def written(dispatch: Dispatch, count: int) -> None:
    """So many conversions more, all delivered."""
    made = dispatch.write(conversion(number) for number in range(count))
    write_receipts(dispatch, (receipt(dispatch, *each) for each in made.items()))
    settle_all(dispatch)


def await_rows(ledger: Process) -> None:
    """Wait until it has taken some."""
    ledger.await_that("an answer", lambda: ledger.get("/health/live")[0] == 200)
    ledger.await_that("some rows", lambda: int(ledger.status("ledger")["rows"]) > 0, every_s=0.005)


def test_killed_again_and_again_it_is_as_if_made_at_once(open_dispatch: Callable[..., Dispatch]) -> None:
    """Kill -9 while it reads, and start again: no row is lost, none is there twice."""
    dispatch = open_dispatch()
    named(dispatch)
    for _ in range(4):
        written(dispatch, 10_000)
        with start_ledger(dispatch) as ledger:
            await_rows(ledger)
            ledger.kill()
    run_once(dispatch, "ledger")
    run_once(dispatch, "anew")
    found = held(dispatch.folder / "ledger")
    assert len(found["conversions"]) == len(found["receipts"]) == 40_000
    assert found == held(dispatch.folder / "anew")


def garbage(file: Path) -> None:
    """Bytes of nobody."""
    file.write_bytes(b"\xa5garbage" * 10_000)


def cut(file: Path) -> None:
    """Half of it is lost."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def another_version(file: Path) -> None:
    """A build of another time made it."""
    connection = duckdb.connect(str(file))
    connection.execute("UPDATE meta SET version = 99")
    connection.close()


@pytest.mark.parametrize("damage", [garbage, cut, another_version])
def test_what_cannot_be_used_is_moved_aside_and_made_anew(
    open_dispatch: Callable[..., Dispatch], damage: Callable[[Path], None]
) -> None:
    """It says so, keeps the old file, and knows all again."""
    dispatch = open_dispatch(partitions=2)
    named(dispatch)
    written(dispatch, 200)
    run_once(dispatch, "ledger")
    before = held(dispatch.folder / "ledger")
    damage(dispatch.folder / "ledger" / FILE)
    with start_ledger(dispatch) as ledger:
        line = ledger.await_line("ledger_rebuilt")
        await_settled(ledger, dispatch, "meta-us")
        ledger.stop()
    assert line["reason"] == ("version" if damage is another_version else "damaged")
    assert Path(line["path"]).exists()
    assert held(dispatch.folder / "ledger") == before


def test_one_process_at_a_time_has_the_file(open_dispatch: Callable[..., Dispatch]) -> None:
    """A second ledger says so, harms nothing, and takes over once the first has ended."""
    dispatch = open_dispatch(partitions=1)
    named(dispatch)
    written(dispatch, 10)
    with start_ledger(dispatch) as one:
        await_settled(one, dispatch, "meta-us")
        with start_ledger(dispatch, name="other") as other:
            other.await_line("ledger_halted")
            assert "in use by another process" in other.status("ledger")["halted"]
            assert other.get("/health/ready")[0] == 503
            one.stop()
            await_settled(other, dispatch, "meta-us")
            other.stop()
    assert list((dispatch.folder / "ledger").glob(f"{FILE}.*")) == []
