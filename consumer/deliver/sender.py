"""The lane's shell: sends what the lane gives, tells it what came back, and hands on what ended."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import TypeAlias

import structlog

from consumer.clock import Clock
from consumer.deliver.access import Access, Sends
from consumer.deliver.delivery import Delivery, Done, Group, Now
from consumer.deliver.http import Answer, NoReply, NotSent
from consumer.deliver.intent import Intents
from consumer.deliver.lane import Lane
from consumer.deliver.pace import BreakerState
from consumer.deliver.tally import DestinationTally
from consumer.platforms.contract import Account, Platform, Reply, Transient, Unconfirmed, Verdict
from consumer.telemetry import traces

HandOver: TypeAlias = Callable[[list[Done]], None]
"""Takes what a lane is done with; called in the sender's event loop, must not block."""


class Sender:
    """One destination's requests, in the event loop that it was made in. What changes it may come from any thread.

    After `stop` no request is begun; `run` ends with the last reply, and `finished` is set.
    """

    def __init__(
        self,
        lane: Lane,
        platform: Platform,
        account: Account,
        http: Sends,
        clock: Clock,
        tally: DestinationTally,
        *,
        request_timeout_s: float,
        intents: Intents | None = None,
    ) -> None:
        """With `intents`, nothing is sent before that is told."""
        self.lane = lane
        self.finished = threading.Event()
        self._platform = platform
        self._access = Access(account, platform.grant, http, clock, request_timeout_s)
        self._http = http
        self._clock = clock
        self._tally = tally
        self._request_timeout_s = request_timeout_s
        self._intents = intents
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._hand_over: HandOver = _nobody
        self._log = structlog.get_logger("deliver").bind(destination=lane.name, platform=platform.name)

    def begin(self, hand_over: HandOver) -> None:
        """Name who takes the outcomes, before the first delivery."""
        self._hand_over = hand_over

    async def run(self) -> None:
        """Send until stopped. Waits for every request under way; cancelled, it gives them up."""
        try:
            async with asyncio.TaskGroup() as requests:
                while not self._stopping:
                    self._news.clear()
                    following = self.lane.next(self._now())
                    self._handed()
                    self._look()
                    if isinstance(following, Group):
                        requests.create_task(self._intend(following))
                    else:
                        await self._wait(following)
        finally:
            self.finished.set()

    async def _wait(self, most_s: float | None) -> None:
        try:
            async with asyncio.timeout(most_s):
                await self._news.wait()
        except TimeoutError:
            return

    async def _intend(self, group: Group) -> None:
        """Send it; where intent is to be told first, send what it could be told of."""
        unsure = [delivery for delivery in group.deliveries if not self.lane.resends(delivery)]
        if self._intents is None or not unsure:
            await self._send(group)
            return
        going = set(await self._intents.ask(unsure))
        if withheld := {delivery for delivery in unsure if delivery not in going}:
            self.lane.withhold(group, withheld, self._now())
            self._news.set()
        if not group.deliveries:
            return
        group.began_s = self._now().s
        over = {id(each.record) for each in await self._send(group)}
        if back := [delivery for delivery in going if id(delivery.record) not in over]:
            self._intents.withdraw(back)

    async def _send(self, group: Group) -> list[Done]:
        """Send it, and act on what comes back; what ended with it."""
        told: dict[str, str | int] = {
            "capi.destination": self.lane.name,
            "messaging.batch.message_count": len(group.deliveries),
        }
        with traces.span("deliver", told, _traceparents(group)) as span:
            answer, verdict = await self._exchanged([delivery.event for delivery in group.deliveries])
            span.set_attribute("capi.verdict", type(verdict).__name__)
            if isinstance(answer, Reply):
                span.set_attribute("http.response.status_code", answer.status)
        now = self._now()
        self._count(answer, verdict, now.s - group.began_s)
        fault = self.lane.fault
        self.lane.done(group, verdict, answer.status if isinstance(answer, Reply) else 0, now)
        if self.lane.fault is not fault:
            self._tell_parked()
        self._tally.resent = self.lane.resent
        done = self._handed()
        self._look()
        self._news.set()
        return done

    async def _exchanged(self, events: list[bytes], *, again: bool = True) -> tuple[Answer | None, Verdict]:
        """The answer, if there was a request, and the verdict. A token that ended too soon is renewed, once."""
        account = await self._access.account()
        if not isinstance(account, Account):
            return None, account
        answer = await self._http.send(self._platform.request(account, events), self._request_timeout_s)
        refused = isinstance(answer, Reply) and answer.status == HTTPStatus.UNAUTHORIZED
        if refused and again and self._access.refused(account):
            return await self._exchanged(events, again=False)
        return answer, self._judge(answer)

    def _judge(self, answer: Answer) -> Verdict:
        match answer:
            case Reply():
                return self._platform.judge(answer)
            case NotSent(code):
                return Transient(code)
            case NoReply(code):
                return Unconfirmed(code)

    def _count(self, answer: Answer | None, verdict: Verdict, took_s: float) -> None:
        self._tally.replied(type(verdict).__name__, took_s)
        code = getattr(verdict, "code", "")
        if code and code not in self._platform.known_codes and isinstance(answer, Reply):
            self._tally.unknown_codes[code] += 1

    def _look(self) -> None:
        breaker: BreakerState = self.lane.breaker
        self._tally.breaker = breaker
        self._tally.concurrency = self.lane.concurrency
        self._tally.queued = self.lane.queued

    def _tell_parked(self) -> None:
        fault = self.lane.fault
        if fault is None:
            self._tally.park_reason = ""
            self._log.info("destination_resumed")
        else:
            self._tally.park_reason = f"{fault.code}: {fault.why}"
            self._log.error("destination_parked", code=fault.code, reason=fault.why)

    def _handed(self) -> list[Done]:
        if done := self.lane.take_done():
            self._hand_over(done)
        return done

    def add_soon(self, deliveries: Sequence[tuple[Delivery, int]]) -> None:
        """Take deliveries in, each with the time (epoch ms) before which it can't be sent."""
        self._loop.call_soon_threadsafe(self._add, deliveries)

    def _add(self, deliveries: Sequence[tuple[Delivery, int]]) -> None:
        self.lane.add(deliveries, self._now())
        self._news.set()

    def forget_lost(self) -> None:
        """Let go of what is queued for partitions that are another's now."""
        self._loop.call_soon_threadsafe(self._forget_lost)

    def _forget_lost(self) -> None:
        self.lane.forget_lost()
        self._news.set()

    def sync(self, timeout_s: float) -> bool:
        """Wait, from another thread, until all that was said before is heard; False if that took too long.

        A partition marked as leaving or lost before has no request begun for it after.
        """
        heard = threading.Event()
        self._loop.call_soon_threadsafe(heard.set)
        return heard.wait(timeout_s)

    def renew(self, account: Account) -> None:
        """Use other credentials from now on."""
        self._loop.call_soon_threadsafe(self._renew, account)

    def _renew(self, account: Account) -> None:
        self._access.renew(account)
        self.lane.credentials_changed(self._now())
        self._news.set()

    def share(self, part: float) -> None:
        """How much (0 to 1) of the platform's rate this process may use."""
        self._loop.call_soon_threadsafe(self.lane.share, part)

    def stop(self) -> None:
        """Begin no more requests."""
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self._stopping = True
        self._news.set()

    def _now(self) -> Now:
        return Now(self._clock.now_ms(), self._clock.monotonic_s())

    def __repr__(self) -> str:
        return f"<Sender {self.lane!r}>"


def _traceparents(group: Group) -> Iterator[bytes]:
    """Where the conversions of a batch come from, as their records say."""
    for delivery in group.deliveries:
        for name, value in delivery.record.headers:
            if name == "traceparent":
                yield value


def _nobody(_: list[Done]) -> None:
    message = "begin the sender before it sends"
    raise RuntimeError(message)
