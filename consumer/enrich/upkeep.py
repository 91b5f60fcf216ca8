"""What an operator does to the local stores while no process uses them: look, compare, bring up to date, drop.

All raise StateUnusable if the folder can't be used, and StateHeld, saying what to do, while a process has it.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TypeAlias

from msgspec import DecodeError, Struct

from consumer.clock import SystemClock
from consumer.enrich.checks import Ground, check
from consumer.enrich.entries import Entry, entries, horizon_ms
from consumer.errors import ConfigurationError, StateUnusable
from consumer.kafka.reader import Reader
from consumer.model import TopicPartition
from consumer.settings import Settings
from consumer.state.folder import Owner, StateFolder, StateHeld
from consumer.state.restore import Changelog, Restore
from consumer.state.store import Store
from consumer.state.verify import Compared, verify

Tell: TypeAlias = Callable[[Restore, Collection[int]], None]
"""Hears now and then of a restore and of the partitions that are done."""


class Looked(Struct, frozen=True):
    """What was found, in which of how many partitions it was sought, and how far each of those has come."""

    entries: list[Entry]
    checkpoints: dict[int, int | None]
    partitions: int


class Dropped(Struct, frozen=True):
    """A partition's part of the folder: its store, and what was moved aside of it."""

    partition: int
    folders: list[str]
    bytes: int


def inspect(settings: Settings, about: str) -> Looked:
    """Every entry about the id of a checkout, an order or an event, in the stores that are here. Asks nobody else."""
    found: list[Entry] = []
    checkpoints: dict[int, int | None] = {}
    with _existing(settings) as folder:
        for number in folder.partitions:
            with closing(folder.store(number)) as store:
                _intact(store, number)
                checkpoints[number] = store.checkpoint.offset if store.checkpoint is not None else None
                with _readable(number):
                    found += entries(store, number, about)
        return Looked(found, checkpoints, folder.owner.partitions)


def compare(settings: Settings, numbers: Sequence[int]) -> Iterator[Compared]:
    """Hold the stores of these partitions, of none of all that are here, against the changelog, one after the other."""
    with _of_this_cluster(settings) as (folder, ground):
        topic, group = ground.topics.state, f"{settings.topics.prefix}.enrich.verify"
        with (
            _emptied(folder),
            closing(Reader(settings.kafka, group, eof=True, client_id=group)) as reader,
        ):
            for number in _chosen(numbers, folder.partitions, f"state.dir {settings.state.dir}"):
                with closing(folder.store(number)) as store, closing(Store(folder.scratch())) as scratch:
                    if store.moved_aside:
                        yield Compared(number, 0, 0, 0, 0, 0, problem="it was damaged, and is moved aside")
                        continue
                    at = TopicPartition(topic, number)
                    with _readable(number):
                        compared = verify(reader, at, store, scratch, horizon_ms(store))
                    yield compared


def restore(settings: Settings, numbers: Sequence[int], tell: Tell) -> dict[int, int]:
    """Bring the stores of these partitions, of none of all, to the changelog's end; where each then stands.

    `tell` is called now and then. Raises Unreachable, Refused too.
    """
    with _of_this_cluster(settings) as (folder, ground), ExitStack() as open_stores:
        chosen = _chosen(numbers, range(ground.partitions), ground.topics.state)
        stores = {number: open_stores.enter_context(closing(folder.store(number))) for number in chosen}
        changelog = Changelog(ground.topics.state, ground.tombstones_ms)
        running = Restore(
            settings.kafka, f"{settings.topics.prefix}.enrich", changelog, stores, SystemClock()
        )
        running.start()
        try:
            running.finish(lambda done: tell(running, done))
        finally:
            running.stop()
        return {n: store.checkpoint.offset for n, store in stores.items() if store.checkpoint is not None}


def reset(settings: Settings, numbers: Sequence[int], *, execute: bool) -> list[Dropped]:
    """Drop the stores of these partitions, of none of all that are here; only say so unless `execute`."""
    with _existing(settings) as folder:
        chosen = _chosen(numbers, folder.partitions, f"state.dir {settings.state.dir}")
        dropped = [_dropped(folder, number) for number in chosen]
        for each in dropped if execute else ():
            folder.drop(each.partition)
        return dropped


def _dropped(folder: StateFolder, number: int) -> Dropped:
    parts = folder.parts(number)
    size = sum(file.stat().st_size for path in parts for file in path.rglob("*") if file.is_file())
    return Dropped(number, [path.name for path in parts], size)


def _chosen(numbers: Sequence[int], there: Sequence[int], where: str) -> list[int]:
    if unknown := sorted(set(numbers) - set(there)):
        has = ", ".join(str(number) for number in there) or "none"
        raise ConfigurationError(f"--partition {unknown[0]}: {where} has no such partition; it has {has}")
    return sorted(set(numbers)) or list(there)


def _intact(store: Store, number: int) -> None:
    if store.moved_aside:
        message = f"the store of partition {number} was damaged and is moved aside; `capi state restore` rebuilds it"
        raise StateUnusable(message)


@contextmanager
def _readable(number: int) -> Iterator[None]:
    """An entry of another build's making is told as such. Neither error quotes what is in it."""
    try:
        yield
    except (ValueError, DecodeError) as error:
        message = f"an entry of partition {number} can't be read by this build: {error}"
        raise StateUnusable(message) from None


@contextmanager
def _emptied(folder: StateFolder) -> Iterator[None]:
    """Leave no scratch behind."""
    try:
        yield
    finally:
        folder.scratch()


@contextmanager
def _existing(settings: Settings) -> Iterator[StateFolder]:
    with (
        _held_by_none(settings),
        closing(StateFolder.existing(settings.state.dir, settings.topics.prefix)) as folder,
    ):
        yield folder


@contextmanager
def _of_this_cluster(settings: Settings) -> Iterator[tuple[StateFolder, Ground]]:
    ground = check(settings)
    owner = Owner(ground.cluster_id, settings.topics.prefix, ground.partitions)
    with _held_by_none(settings), closing(StateFolder(settings.state.dir, owner, lock_wait_s=0.0)) as folder:
        yield folder, ground


@contextmanager
def _held_by_none(settings: Settings) -> Iterator[None]:
    """Say what an operator can do who may not stop the process."""
    try:
        yield
    except StateHeld as error:
        message = (
            f"{error}. To look without stopping it, make a copy from Kafka: give CAPI_STATE__DIR an empty folder, "
            f"run `capi state restore`, then ask again (the copy is as of then; {settings.state.dir} stays untouched)"
        )
        raise StateHeld(message) from None
