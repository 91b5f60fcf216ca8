"""What a platform's file says, and what it hears: the closed sets that a lane acts on.

A platform is pure: `event` makes one conversion's part of a request, `request` puts parts together, `judge` reads a
reply. It does no I/O and knows no clock; whatever depends on time comes in with the reply.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import TypeAlias

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
        """The text, for the request's header and nothing else."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "****"


class Account(Struct, frozen=True):
    """Whose events they are. `base_url` is without a slash at its end."""

    base_url: str
    account: str
    token: Secret
    test_event_code: str = ""


class Request(Struct, frozen=True):
    """One POST. The URL holds no secret; headers may."""

    url: str
    headers: Mapping[str, str | Secret]
    body: bytes


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
    """The platform has it."""


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


Verdict: TypeAlias = (
    Accepted | PerEvent | BatchRejected | Throttled | Transient | Later | TooLarge | SetupFault | Unconfirmed
)


class Limits(Struct, frozen=True):
    """What a platform takes. None stands for a limit that it doesn't have."""

    events_max: int
    bytes_max: int
    age_max_ms: int
    future_max_ms: int
    requests_per_s: float | None = None


class Platform(Struct, frozen=True):
    """One platform's file, as the lane sees it.

    `events` maps our event names to the platform's; what is not in it is not taken. `dedupes_server_events` says if
    sending twice is documented to be safe. `known_codes` are the codes of `judge`'s table: others are counted.
    """

    name: str
    version: str
    base_url: str
    limits: Limits
    events: Mapping[str, str]
    dedupes_server_events: bool
    known_codes: frozenset[str]
    event: Callable[[Conversion], bytes | Unfit]
    request: Callable[[Account, Sequence[bytes]], Request]
    judge: Callable[[Reply], Verdict]


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
