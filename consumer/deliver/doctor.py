"""Whether destinations could deliver: what must be so is looked at before an order is at stake.

No platform is told anything that counts, unless someone asks for it. What can't be looked at says so, and is no fault.
Each check is bounded by the destination's own time-outs, and destinations are examined side by side.
"""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct, structs

from consumer.clock import Clock, SystemClock
from consumer.deliver.access import Access
from consumer.deliver.checks import check_topics, topics_of
from consumer.deliver.credentials import TokenFile
from consumer.deliver.http import Answer, Http, NoReply, NotSent
from consumer.deliver.preview import examples
from consumer.deliver.route import Wants
from consumer.deliver.setup import account_of, platform_of, wants_of
from consumer.errors import CapiError, ConfigurationError, Refused, Unreachable
from consumer.kafka.clients import check_config
from consumer.kafka.registry import SchemaStore
from consumer.model import Conversion
from consumer.platforms import PLATFORMS
from consumer.platforms.contract import (
    Accepted,
    Account,
    AllBut,
    BatchRejected,
    EventVerdict,
    PerEvent,
    Platform,
    Probe,
    Rejected,
    Reply,
    Request,
    Secret,
    SetupFault,
    Throttled,
    TooLarge,
    Transient,
    Unconfirmed,
    Verdict,
)
from consumer.settings import Destination, Settings

WORST = (ConfigurationError.exit_code, Refused.exit_code, Unreachable.exit_code)
_Told: TypeAlias = (
    EventVerdict
    | BatchRejected
    | Throttled
    | Transient
    | TooLarge
    | SetupFault
    | Unconfirmed
    | NotSent
    | NoReply
)
NO_WAY = "this platform offers no way without side effects"


class Finding(Struct, frozen=True):
    """One thing that was looked at, or why it wasn't. A failure says what to do, and with which code to end."""

    subject: str
    check: str
    state: Literal["ok", "failed", "not checked"]
    says: str
    exit_code: int = 0


def exit_code(findings: Iterable[Finding]) -> int:
    """The gravest: settings before credentials before what can't be reached; 0 if nothing failed."""
    codes = {finding.exit_code for finding in findings}
    return next((code for code in WORST if code in codes), max(codes, default=0))


def examine(
    settings: Settings,
    destinations: Sequence[Destination],
    *,
    send_test: bool = False,
    clock: Clock | None = None,
) -> list[Finding]:
    """Look at some destinations, at Kafka and at the registry. With `send_test`, events may be sent that count."""
    return asyncio.run(_examine(settings, destinations, clock or SystemClock(), send_test=send_test))


async def _examine(
    settings: Settings, destinations: Sequence[Destination], clock: Clock, *, send_test: bool
) -> list[Finding]:
    async with Http(clock) as http, asyncio.TaskGroup() as group:
        asked = [
            *(group.create_task(_Visit(each, http, clock).run(send_test=send_test)) for each in destinations),
            group.create_task(asyncio.to_thread(kafka, settings, destinations)),
            group.create_task(asyncio.to_thread(registry, settings)),
        ]
    return [finding for each in asked for finding in each.result()]


def kafka(settings: Settings, destinations: Sequence[Destination]) -> list[Finding]:
    """Whether the brokers answer and have the topics that deliveries go through."""
    named = {destination.platform for destination in destinations} & PLATFORMS.keys()
    topics = [topics_of(settings.topics.prefix, each) for each in ("ingest", *sorted(named))]
    try:
        check_config(settings.kafka)
        found = check_topics(settings, topics)
    except CapiError as error:
        return [_failure("kafka", "topics", error)]
    return [Finding("kafka", "topics", "ok", f"answers, and has the {len(found)} topics of deliveries")]


def registry(settings: Settings) -> list[Finding]:
    """Whether the registry answers."""
    subject = f"{settings.topics.prefix}.conversions-value"
    try:
        with closing(SchemaStore(settings.registry)) as store:
            latest = store.latest(subject)
    except CapiError as error:
        return [_failure("registry", "schemas", error)]
    has = f"has {subject} in version {latest.version}" if latest else f"will be given {subject} at a start"
    return [Finding("registry", "schemas", "ok", f"answers, and {has}")]


def _failure(subject: str, check: str, error: CapiError) -> Finding:
    return Finding(subject, check, "failed", _line(str(error)), error.exit_code)


def _line(text: str) -> str:
    """On one line, and without what a terminal would obey."""
    return "".join(filter(str.isprintable, "; ".join(text.splitlines())))


class _Visit:
    """One destination's examination. What a check needs of those before it is None if it isn't to be had."""

    def __init__(self, destination: Destination, http: Http, clock: Clock) -> None:
        self._destination = destination
        self._http = http
        self._clock = clock
        self._findings: list[Finding] = []

    async def run(self, *, send_test: bool) -> list[Finding]:
        """All checks, in the order in which a delivery would fail."""
        try:
            platform = platform_of(self._destination)
        except ConfigurationError as error:
            self._failed("settings", str(error), error.exit_code)
            return self._findings
        wants, token = self._settings(platform), self._token_file(platform)
        reachable = await self._host(platform)
        account = await self._access(platform, token)
        probe = platform.probe
        if probe is None:
            self._unchecked("probe", NO_WAY)
        elif probe.counts and (lacking := self._lacking(send_test=send_test)):
            self._unchecked(
                "probe", f"test events count here, or may; to send one, give {' and '.join(lacking)}"
            )
        elif wants is None or account is None or not reachable:
            self._unchecked("probe", "what failed before it must be right first")
        else:
            await self._probe(platform, probe, wants, account)
        return self._findings

    def _settings(self, platform: Platform) -> Wants | None:
        blank = account_of(self._destination, platform, Secret(""))
        try:
            wants = wants_of(self._destination, platform, blank)
        except ConfigurationError as error:
            self._failed("settings", str(error), error.exit_code)
            return None
        taken = [name for name in platform.events if name in wants.events]
        self._ok("settings", f"complete; {platform.name} is to be sent {', '.join(taken) or 'nothing'}")
        return wants

    def _token_file(self, platform: Platform) -> Secret | None:
        """The file's text, if it is what an access token can be asked for with, where one is needed."""
        try:
            token = TokenFile(self._destination.name, self._destination.token_file).token
        except ConfigurationError as error:
            self._failed("token file", str(error), error.exit_code)
            return None
        if platform.grant is not None:
            made = platform.grant.request(token, self._clock.now_ms() / 1000)
            if isinstance(made, SetupFault):
                says = f"{made.why} ({made.code}): {platform.setup.credentials}"
                self._failed("token file", says, ConfigurationError.exit_code)
                return None
        self._ok("token file", "readable")
        return token

    async def _host(self, platform: Platform) -> bool:
        """Whether something speaks HTTP there, over TLS that we trust. It is asked for nothing, and told nothing."""
        base_url = account_of(self._destination, platform, Secret("")).base_url
        host = urlsplit(base_url).netloc.rpartition("@")[2]
        answer = await self._send(Request(f"{base_url}/", {}, b"", method="GET"))
        if isinstance(answer, Reply):
            self._ok("host", f"{host} answers")
            return True
        said = "can't be connected to" if isinstance(answer, NotSent) else "took a request and gave no answer"
        todo = f"look at DNS, firewall and certificates, and at {self._at}.base_url"
        self._failed("host", f"{host} {said} ({answer.code}); {todo}", Unreachable.exit_code)
        return False

    async def _access(self, platform: Platform, token: Secret | None) -> Account | None:
        """The account with a token that requests can bear."""
        if platform.grant is None:
            return None if token is None else account_of(self._destination, platform, token)
        if token is None:
            self._unchecked("access token", "the token file must be right first")
            return None
        account = account_of(self._destination, platform, token)
        had = await Access(account, platform.grant, self._http, self._clock, self._timeout_s).account()
        if isinstance(had, Account):
            self._ok("access token", "given out for what the token file holds")
            return had
        if isinstance(had, SetupFault):
            says = f"{had.why} ({had.code}); put there: {platform.setup.credentials}"
            self._failed("access token", says, Refused.exit_code)
        else:
            says = f"the token server gives none out now ({had.code}); look at the way to it, and try again"
            self._failed("access token", says, Unreachable.exit_code)
        return None

    def _lacking(self, *, send_test: bool) -> list[str]:
        """What must be said before an event is sent that may count."""
        asked = {
            "--send-test": send_test,
            f"{self._at}.test_event_code": bool(self._destination.test_event_code),
        }
        return [name for name, said in asked.items() if not said]

    async def _probe(self, platform: Platform, probe: Probe, wants: Wants, account: Account) -> None:
        event = sample(platform, wants, self._clock.now_ms(), with_money=not probe.counts)
        if event is None:
            self._unchecked("probe", "the destination takes no event that could be made up")
            return
        answer = await self._send(probe.request(account, [event]))
        told = _first(probe.judge(answer)) if isinstance(answer, Reply) else answer
        setup = platform.setup
        match told:
            case Accepted():
                self._ok("probe", probe.says)
            case SetupFault(code, why):
                says = f"{why} ({code}); account must be {setup.account.about}, and the token {setup.credentials}"
                self._failed("probe", says, Refused.exit_code)
            case BatchRejected(code) | Rejected(code) | TooLarge(code):
                todo = f"`capi preview --destination {self._destination.name}` shows it; is the token right?"
                self._failed("probe", f"a made-up event is refused ({code}); {todo}", CapiError.exit_code)
            case _:
                self._failed("probe", f"no judgement now ({told.code}); try again", Unreachable.exit_code)

    async def _send(self, request: Request) -> Answer:
        return await self._http.send(request, self._timeout_s)

    @property
    def _timeout_s(self) -> float:
        return float(self._destination.request_timeout_s)

    @property
    def _at(self) -> str:
        return f"destinations.{self._destination.name}"

    def _ok(self, check: str, says: str) -> None:
        self._findings.append(Finding(self._destination.name, check, "ok", says))

    def _unchecked(self, check: str, says: str) -> None:
        self._findings.append(Finding(self._destination.name, check, "not checked", says))

    def _failed(self, check: str, says: str, code: int) -> None:
        self._findings.append(Finding(self._destination.name, check, "failed", _line(says), code))


def sample(platform: Platform, wants: Wants, now_ms: int, *, with_money: bool) -> bytes | None:
    """A made-up event that the destination takes: a purchase if it may be one, else rather a step.

    Its ids are no order's, so that nothing of the shop's is taken for the same.
    """
    told = [
        each
        for each in _own(now_ms)
        if each.event_name in wants.events and each.event_name in platform.events
    ]
    made = (platform.event(each, wants.account) for each in (told if with_money else reversed(told)))
    return next((event for event in made if isinstance(event, bytes)), None)


def _own(now_ms: int) -> list[Conversion]:
    mark = f"capi-doctor-{now_ms}"
    return [
        structs.replace(
            each,
            event_id=f"{each.event_name}:{mark}",
            order_id=each.order_id and mark,
            checkout_id=mark,
            corrects_event_id=each.corrects_event_id and f"purchase:{mark}",
        )
        for each in examples(now_ms)
    ]


def _first(verdict: Verdict) -> _Told:
    """On the one event that was sent."""
    match verdict:
        case PerEvent(verdicts):
            return next(iter(verdicts), Unconfirmed("no_verdict"))
        case AllBut():
            return next(iter(verdict.each(1)), Unconfirmed("no_verdict"))
        case _:
            return verdict
