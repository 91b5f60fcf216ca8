"""Processes that come and go while requests are under way."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from tests.broker.dispatch import Dispatch, Emulated, Process, conversion, judge

EVENTS = 2_000
MORE = 400
BATCH = 25
LATENCY_MS = 500


class Forward:
    """Watches committed offsets: they never go back."""

    def __init__(self, dispatch: Dispatch, destination: str) -> None:
        self._dispatch = dispatch
        self._destination = destination
        self._end = threading.Event()
        self._seen: dict[int, int] = {}
        self.back: list[tuple[int, int, int]] = []
        self.looks = 0

    def _look(self) -> None:
        while not self._end.wait(0.1):
            for partition, (offset, _) in self._dispatch.committed(self._destination).items():
                before = self._seen.get(partition, 0)
                if offset < before:
                    self.back.append((partition, before, offset))
                self._seen[partition] = offset
            self.looks += 1

    @contextmanager
    def watching(self) -> Iterator[None]:
        """While inside."""
        thread = threading.Thread(target=self._look)
        thread.start()
        try:
            yield
        finally:
            self._end.set()
            thread.join()


def shared(first: Process, second: Process) -> bool:
    """Whether both hold partitions, and all of them together."""
    holds = [process.status("deliver.meta-us")["assignment"] for process in (first, second)]
    return all(holds) and sorted(holds[0] + holds[1]) == [0, 1, 2]


def test_who_comes_and_goes_loses_and_repeats_nothing(open_dispatch: Callable[..., Dispatch]) -> None:
    """A second process joins and leaves, twice, in the middle of requests: each is delivered once, offsets go on."""
    dispatch = open_dispatch()
    with Emulated(latency_ms=LATENCY_MS) as meta:
        dispatch.destination("meta-us", meta, batch_max_events=BATCH, concurrency_max_requests=4)
        dispatch.make_topics()
        dispatch.write(conversion(number) for number in range(EVENTS))
        forward = Forward(dispatch, "meta-us")
        with forward.watching(), dispatch.start("one") as one:
            one.await_accepted(meta, BATCH)
            for place in range(2):
                with dispatch.start("two") as two:
                    two.await_ready()
                    two.await_that("both hold some", partial(shared, one, two))
                    first = EVENTS + place * MORE
                    dispatch.write(conversion(number) for number in range(first, first + MORE))
                    two.await_accepted(meta, len(meta.accepted()) + 2 * BATCH)
                    two.stop()
            left = len(dispatch.written) - len(meta.accepted())
            dispatch.await_settled("meta-us", processes=[one])
            one.stop()
        assert left > 0, "all was over before the second process left"
        assert forward.looks > 0
        assert forward.back == []
        assert meta.deduped() == set(dispatch.written.values())
        assert meta.stats["server_repeats"] == 0
    assert judge(dispatch).outcomes == {"delivered": EVENTS + 2 * MORE}
    assert dispatch.letters() == []
