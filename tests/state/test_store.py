"""State on disk: changes and checkpoint together, whatever ends the process, and nobody else's state."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from consumer.errors import StateUnusable
from consumer.state.folder import Owner, StateFolder
from consumer.state.overlay import Overlay
from consumer.state.store import CHECKPOINT_KEY, Checkpoint, Store
from consumer.state.value import NEVER_MS, VERSION, expiry_of, pack, unpack

OWNER = Owner("cluster", "capi", 6)
KEYS = [b"k%02d" % number for number in range(40)]
WRITING = """
import sys
from pathlib import Path
from consumer.state.folder import Owner, StateFolder
from consumer.state.store import Checkpoint
store = StateFolder(Path(sys.argv[1]), Owner("cluster", "capi", 6)).store(0)
number = store.checkpoint.offset if store.checkpoint else 0
while True:
    number += 1
    store.write({b"k%02d" % key: b"%d" % number for key in range(40)}, Checkpoint(number, number))
    if number % 200 == 0:
        store.flush()
        print(number, flush=True)
"""
HOLDING = """
import sys
from pathlib import Path
from consumer.state.folder import Owner, StateFolder
folder = StateFolder(Path(sys.argv[1]), Owner("cluster", "capi", 6))
print("held", flush=True)
sys.stdin.read()
"""


def started(code: str, folder: Path) -> subprocess.Popen[str]:
    """A process of its own that has the folder, once it has said so."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def killed(process: subprocess.Popen[str]) -> None:
    """End it as a machine does that loses its power over it."""
    process.kill()
    assert process.wait(30) == -signal.SIGKILL
    process.communicate()


@given(expiry_ms=st.integers(0, NEVER_MS), payload=st.binary(), stream_ms=st.integers(0, NEVER_MS))
def test_a_value_ends_with_its_expiry(expiry_ms: int, payload: bytes, stream_ms: int) -> None:
    """What was packed comes back until stream time is past its expiry, and only till then."""
    value = pack(expiry_ms, payload)
    assert expiry_of(value) == expiry_ms
    assert unpack(value, stream_ms) == (payload if stream_ms <= expiry_ms else None)


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x01" * 8, bytes([VERSION + 1]) * 20])
def test_a_value_of_another_form_is_refused(value: bytes) -> None:
    """What this build can't read is told as such, never taken for a value."""
    for read in (expiry_of, lambda value: unpack(value, 0)):
        with pytest.raises(ValueError, match="this build knows 01"):
            read(value)


def test_an_overlay_shows_its_changes_and_keeps_them_to_itself(tmp_path: Path) -> None:
    """A plan sees its own writes at once; what is stored changes only when they are written."""
    store = Store(tmp_path / "0000")
    store.write({b"a": b"1", b"b": b"2"}, Checkpoint(1, 1))
    overlay = Overlay(store)
    overlay.put(b"a", b"3")
    overlay.delete(b"b")
    overlay.put(b"c", b"4")
    overlay.delete(b"c")
    overlay.put(b"d", b"")
    assert [overlay.get(key) for key in (b"a", b"b", b"c", b"d", b"e")] == [b"3", None, None, b"", None]
    assert [store.get(key) for key in (b"a", b"b", b"d")] == [b"1", b"2", None]
    assert overlay.changes == {b"a": b"3", b"b": None, b"c": None, b"d": b""}
    changes = overlay.changes
    overlay.clear()
    assert (overlay.get(b"a"), overlay.get(b"b"), repr(overlay)) == (b"1", b"2", "<Overlay: 0 changes>")
    store.write(changes, Checkpoint(2, 2))
    assert [store.get(key) for key in (b"a", b"b", b"d")] == [b"3", None, b""]
    store.close()


def test_a_store_keeps_what_was_closed_in_order(tmp_path: Path) -> None:
    """After a close all is there; keys come in order, the checkpoint is none of them."""
    store = Store(tmp_path / "0000")
    assert (store.checkpoint, repr(store)) == (None, "<Store 0000: empty>")
    store.apply(
        [(b"w1", b"a"), (b"w2", b"b"), (b"x", b"c"), (b"w1", b"d"), (b"y", b"e"), (b"y", None)],
        Checkpoint(9, 5),
    )
    store.close()
    again = Store(tmp_path / "0000")
    assert (again.checkpoint, repr(again), again.moved_aside) == (Checkpoint(9, 5), "<Store 0000: 9>", False)
    assert again.scan(b"", 10) == [(b"w1", b"d"), (b"w2", b"b"), (b"x", b"c")]
    assert again.scan(b"w1", 1) == [(b"w2", b"b")]
    assert list(again.under(b"w")) == [(b"w1", b"d"), (b"w2", b"b")]
    assert again.get(CHECKPOINT_KEY) is not None
    again.wipe()
    assert (again.checkpoint, again.scan(b"", 10)) == (None, [])
    again.close()


def test_changes_and_checkpoint_fall_back_together(tmp_path: Path) -> None:
    """Killed while it writes, again and again: every key stands where the checkpoint says, never elsewhere."""
    reached = []
    for _ in range(4):
        process = started(WRITING, tmp_path)
        try:
            assert process.stdout is not None
            for _ in range(3):
                assert process.stdout.readline()
        finally:
            killed(process)
        folder = StateFolder(tmp_path, OWNER)
        store = folder.store(0)
        assert not store.moved_aside
        at = store.checkpoint
        number = at.offset if at else 0
        assert {store.get(key) for key in KEYS} == ({b"%d" % number} if at else {None})
        assert len(store.scan(b"", 100)) == (len(KEYS) if at else 0)
        reached.append(number)
        store.close()
        folder.close()
    assert reached == sorted(reached)
    assert reached[-1] > 0, "no flush was ever found again"


@pytest.mark.parametrize("broken", ["CURRENT", "MANIFEST-*"])
def test_a_corrupt_store_is_moved_aside(tmp_path: Path, broken: str) -> None:
    """What can't be opened is kept for a look, and an empty store takes its place; so again the next time."""
    for times in (1, 2):
        store = Store(tmp_path / "0000")
        store.write({b"a": b"1"}, Checkpoint(1, 1))
        store.close()
        for file in (tmp_path / "0000").glob(broken):
            file.write_bytes(b"nonsense")
        store = Store(tmp_path / "0000")
        assert (store.moved_aside, store.checkpoint, store.get(b"a")) == (True, None, None)
        assert (tmp_path / f"0000.corrupt-{times}").is_dir()
        store.close()


@pytest.mark.parametrize("way", ["get", "scan", "under"])
def test_damage_found_while_reading_is_told_and_ends_with_the_next_start(tmp_path: Path, way: str) -> None:
    """A damaged block never reads as an absent key or an early end: it ends the process, and the store is rebuilt."""
    store = Store(tmp_path / "0000")
    keys = [b"k%05d" % number for number in range(20_000)]
    store.write(dict.fromkeys(keys, b"v" * 50), Checkpoint(1, 1))
    store.close()
    (file,) = (tmp_path / "0000").glob("*.sst")
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2_000] = b"\xff" * 2_000
    file.write_bytes(data)
    store = Store(tmp_path / "0000")
    assert store.checkpoint == Checkpoint(1, 1)
    reads: dict[str, Callable[[], object]] = {
        "get": lambda: [store.get(key) for key in keys],
        "scan": lambda: store.scan(b"", len(keys)),
        "under": lambda: list(store.under(b"k")),
    }
    with pytest.raises(
        StateUnusable, match=r"is damaged .* start again, and it is rebuilt from the changelog"
    ):
        reads[way]()
    store.close()
    store = Store(tmp_path / "0000")
    assert (store.moved_aside, store.checkpoint) == (True, None)
    store.close()


def test_a_store_is_opened_once(tmp_path: Path) -> None:
    """A second opening is refused and moves nothing aside."""
    store = Store(tmp_path / "0000")
    with pytest.raises(StateUnusable, match="can't be opened"):
        Store(tmp_path / "0000")
    store.write({b"a": b"1"}, Checkpoint(1, 1))
    assert store.get(b"a") == b"1"
    assert [path.name for path in tmp_path.iterdir()] == ["0000"]
    store.close()


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """While a process lives nobody else gets its folder; once it is killed the next one does."""
    process = started(HOLDING, tmp_path)
    try:
        with pytest.raises(
            StateUnusable, match=r"another process uses state.dir .* a folder of its own"
        ) as caught:
            StateFolder(tmp_path, OWNER, lock_wait_s=0.3)
        assert (caught.value.exit_code, str(tmp_path) in str(caught.value)) == (78, True)
    finally:
        killed(process)
    StateFolder(tmp_path, OWNER, lock_wait_s=0.0).close()


def test_a_dying_predecessor_is_waited_for(tmp_path: Path) -> None:
    """A successor that starts before its predecessor has ended gets the folder when it has."""
    process = started(HOLDING, tmp_path)
    ending = threading.Timer(0.3, process.kill)
    ending.start()
    try:
        StateFolder(tmp_path, OWNER, lock_wait_s=60.0).close()
    finally:
        ending.join()
        killed(process)


@pytest.mark.parametrize(
    "other", [Owner("other", "capi", 6), Owner("cluster", "other", 6), Owner("cluster", "capi", 12)]
)
def test_state_of_another_owner_is_refused(tmp_path: Path, other: Owner) -> None:
    """Another cluster, prefix or number of partitions is other state; the rightful owner still gets it."""
    StateFolder(tmp_path, OWNER).close()
    with pytest.raises(StateUnusable, match="a folder of its own to each"):
        StateFolder(tmp_path, other)
    StateFolder(tmp_path, OWNER, lock_wait_s=0.0).close()


def test_an_owner_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Nobody's state is taken for ours because its owner is illegible."""
    for content in (b"", b"nonsense", b"{}"):
        (tmp_path / "owner.json").write_bytes(content)
        with pytest.raises(StateUnusable, match="move the folder aside"):
            StateFolder(tmp_path, OWNER, lock_wait_s=0.0)


def test_a_path_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A folder that can't be made is told with the setting that names it."""
    (tmp_path / "file").touch()
    with pytest.raises(StateUnusable, match=r"state\.dir .* can't be written"):
        StateFolder(tmp_path / "file" / "state", OWNER)
