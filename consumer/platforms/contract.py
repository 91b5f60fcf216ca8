"""What a platform's file says, and what it hears: the closed sets that a lane acts on.

A platform is pure: `event` makes one conversion's part of a request, `request` puts parts together, `judge` reads a
reply. It does no I/O and knows no clock; whatever depends on time comes in with the reply.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Literal, TypeAlias

from msgspec import Struct

from consumer.model import Conversion

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}", re.ASCII)
"""Most addresses are such, and known as such in a fifth of the time that the library takes."""


class Secret:
    """A text that never prints itself."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text, for the request that needs it and nothing else."""
        return self._text

    @property
    def bearer(self) -> "Secret":
        """As the header Authorization takes it (RFC 6750, 2.1)."""
        return Secret(f"Bearer {self._text}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "****"


class Account(Struct, frozen=True):
    """Whose events they are. `base_url` is without a slash at its end.

    `token` is what requests carry: the token file's, or the access token that was had for it. `credentials` is the
    token file's text beside such a token, for a platform that wants more of it. `actions` is by our event names,
    `options` by the names that the platform's `Setup` knows.
    """

    base_url: str
    account: str
    token: Secret
    actions: Mapping[str, str] = {}
    options: Mapping[str, str] = {}
    test_event_code: str = ""
    credentials: Secret = Secret("")


class Request(Struct, frozen=True):
    """One request. The URL holds no secret; headers and `secret_query`, which is added to the URL, may."""

    url: str
    headers: Mapping[str, str | Secret]
    body: bytes
    secret_query: Mapping[str, Secret] = {}
    method: Literal["POST", "GET"] = "POST"


class Reply(Struct, frozen=True):
    """What came back. Header names are in lower case; the body may be cut off."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at_ms: int


class Unfit(Struct, frozen=True):
    """A conversion that the platform would refuse: rejected before it is sent. `why` holds no customer's data."""

    code: str
    why: str


class Accepted(Struct, frozen=True):
    """The platform has it. `request_id` is there if it may find fault later, and can be asked by that.

    `code` is what it warned of at once: none of the known codes, so that it is counted.
    """

    request_id: str = ""
    code: str = ""


class Rejected(Struct, frozen=True):
    """The platform will never take this event."""

    code: str
    why: str


class BatchRejected(Struct, frozen=True):
    """None of the batch was taken. `culprits` are the indices that the reply names, perhaps wrongly, or none."""

    code: str
    why: str
    culprits: tuple[int, ...] = ()


class Throttled(Struct, frozen=True):
    """Too fast. `after_s` is what the platform asks for, None if it doesn't say."""

    code: str
    after_s: float | None = None


class Transient(Struct, frozen=True):
    """The platform is not well; the same request may pass later."""

    code: str
    after_s: float | None = None


class Later(Struct, frozen=True):
    """This event can't be taken yet."""

    code: str
    after_s: float


class TooLarge(Struct, frozen=True):
    """The request is too large; a smaller one may pass."""

    code: str


class SetupFault(Struct, frozen=True):
    """The account, token, address or API version is wrong: no event is at fault, and none would pass."""

    code: str
    why: str


class Unconfirmed(Struct, frozen=True):
    """The request was sent and no reply came: nobody knows if it counts."""

    code: str


EventVerdict: TypeAlias = Accepted | Rejected | Later


class PerEvent(Struct, frozen=True):
    """A verdict for each event of the request, in its order."""

    verdicts: tuple[EventVerdict, ...]


class AllBut(Struct, frozen=True):
    """All events of the request were taken but these, by their places in it."""

    verdicts: Mapping[int, EventVerdict]

    def each(self, count: int) -> tuple[EventVerdict, ...]:
        """A verdict for each of so many events, in their order; none at all if a place lies beyond them."""
        if not all(0 <= place < count for place in self.verdicts):
            return ()
        return tuple(self.verdicts.get(place, Accepted()) for place in range(count))


Verdict: TypeAlias = (
    Accepted
    | PerEvent
    | AllBut
    | BatchRejected
    | Throttled
    | Transient
    | Later
    | TooLarge
    | SetupFault
    | Unconfirmed
)


class Token(Struct, frozen=True):
    """An access token, and for how long it is good."""

    access: Secret
    expires_in_s: float


class Grant(Struct, frozen=True):
    """How an access token is had for what the token file holds (OAuth 2.0).

    `request` makes the token request, at a time in epoch seconds, of the file's text; SetupFault if that is not what
    it must be. `judge` reads the answer.
    """

    request: Callable[[Secret, float], Request | SetupFault]
    judge: Callable[[Reply], Token | SetupFault | Transient | Throttled]


class LateFault(Struct, frozen=True):
    """What was found wrong with `count` events of a request after it was accepted.

    `indices` are those events' places in it, empty if the platform doesn't tell. `counts` if they count all the same.
    """

    reason: str
    count: int
    indices: tuple[int, ...] = ()
    counts: bool = False


class Diagnosed(Struct, frozen=True):
    """The platform is done with a request, and this is what it found."""

    faults: tuple[LateFault, ...] = ()


class Undiagnosed(Struct, frozen=True):
    """Not yet; ask again. `lost` if there is no use in that."""

    code: str
    lost: bool = False


class Diagnosis(Struct, frozen=True):
    """How a platform is asked, later, what became of a request: after how many seconds, and how often at most."""

    first_after_s: float
    again_after_s: float
    give_up_after_s: float
    request: Callable[[Account, str], Request]
    judge: Callable[[Reply], Diagnosed | Undiagnosed]
    requests_per_s: float = 0.5


class Probe(Struct, frozen=True):
    """A request that tries account and credentials: made of one event, as a lane would make it, and judged as well.

    `says` is what an acceptance proves, and what it doesn't. Such an event is looked at and not kept. If it `counts`,
    or nobody says that it doesn't, it is only sent where someone asks for it and has the platform's code for tests in
    the settings, so that it is seen as one.
    """

    request: Callable[[Account, Sequence[bytes]], Request]
    judge: Callable[[Reply], Verdict]
    says: str
    counts: bool = False


class Limits(Struct, frozen=True):
    """What a platform takes. None stands for a limit that it doesn't have, or that the other rate implies.

    A refund may go `refund_after_ms` after its purchase, not before, and until `refund_until_ms` after it; 0 if its
    own time counts, as that of every event.
    """

    events_max: int
    bytes_max: int
    age_max_ms: int
    future_max_ms: int
    refund_after_ms: int = 0
    refund_until_ms: int = 0
    requests_per_s: float | None = None
    events_per_s: float | None = None


class Field(Struct, frozen=True):
    """One thing that a destination of the platform must, or may, name in its settings: what it is, and its form."""

    about: str
    form: str
    needed: bool = True


class Setup(Struct, frozen=True):
    """What someone who sets up a destination must have, and where it is found. `credentials` are the token file's.

    `action` is what the platform wants to be named for each of our events, None if its events have names of their own.
    """

    account: Field
    credentials: str
    action: Field | None = None
    options: Mapping[str, Field] = {}


Identifier: TypeAlias = Literal[
    "email",
    "phone",
    "first_name",
    "last_name",
    "gender",
    "date_of_birth",
    "street",
    "city",
    "region",
    "postal_code",
    "country",
    "address",
    "external_id",
    "click_id",
    "browser_id",
    "session_id",
    "ip",
    "user_agent",
]
"""By what a platform may find the person, in words of ours that are the same for all of them.

`address` is name and place, where they are taken together or not at all. `external_id` is the customer's at the shop,
`click_id` that of a click on an ad; `browser_id` and `session_id` are told by the platform's own cookies.
"""


class Platform(Struct, frozen=True):
    """One platform's file, as the lane sees it.

    `events` maps our event names to the platform's; what is not in it is not taken. `dedupes_server_events` are those
    of ours that are documented to be safe to send twice. `known_codes` are the codes of `judge`'s table: others are
    counted. `purpose` is the customer's consent that it needs; without `limited_use` it has no field for someone who
    opted out of sale, so that such events are skipped. `linger_ms` is how long a batch should wait, and
    `batch_events` how many events it should hold, if the settings don't say: a platform that counts requests is asked
    less often. If it never `reports`, its reply is
    empty, be the events kept or dropped. Money is told with `decimals_max` digits behind the point at most, rounded
    half up: no currency has more than three.

    `identifiers` are those that it takes, each with a marker: bytes that are in an event if, and only if, it is told.
    A marker holds the quote and the colon at the end of a key (`"em":`). JSON escapes a quote within a text, and keys
    are the platform's, so nothing that a customer or a product is called can be taken for one.
    """

    name: str
    version: str
    base_url: str
    setup: Setup
    limits: Limits
    events: Mapping[str, str]
    dedupes_server_events: frozenset[str]
    known_codes: frozenset[str]
    event: Callable[[Conversion, Account], bytes | Unfit]
    request: Callable[[Account, Sequence[bytes]], Request]
    judge: Callable[[Reply], Verdict]
    purpose: Literal["ads", "analytics"] = "ads"
    limited_use: bool = True
    linger_ms: int = 200
    batch_events: int = 100
    reports: bool = True
    decimals_max: int = 3
    identifiers: Mapping[Identifier, bytes] = {}
    grant: Grant | None = None
    diagnosis: Diagnosis | None = None
    probe: Probe | None = None


def retry_after_s(reply: Reply) -> float | None:
    """Seconds that the header Retry-After asks for, given as a number or a date (RFC 9110, 10.2.3)."""
    text = reply.headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isdecimal():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return max(0.0, at.timestamp() - reply.received_at_ms / 1000)
    except (ValueError, OverflowError):
        return None


def plain_ip(text: str) -> str:
    """The address, IPv4 or IPv6 without a zone; empty if it is none. A refused one would refuse its event.

    >>> plain_ip(" 2001:db8::1 "), plain_ip("unknown"), plain_ip("fe80::1%eth0")
    ('2001:db8::1', '', '')
    """
    plain = text.strip()
    if _IPV4.fullmatch(plain):
        return plain
    try:
        ip_address(plain)
    except ValueError:
        return ""
    return "" if "%" in plain else plain
