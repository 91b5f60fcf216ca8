"""What an emulator's file for one platform says, and what the server asks of it. Pure: no clock, no socket."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from consumer.emulators.faults import Fault
from consumer.emulators.shop.records import PixelFire

Means: TypeAlias = Literal["purchase", "refund", "begin_checkout", "add_payment_info", "other"]
"""What an event is in the shop's words."""


class Asked(Struct, frozen=True):
    """One request. Header names are in lower case; the path is without the query."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<Asked {self.method} {self.path}: {len(self.body)} bytes>"


class Access(Struct, frozen=True):
    """Who may write where."""

    token: str
    accounts: frozenset[str]

    def __repr__(self) -> str:
        return f"<Access to {len(self.accounts)} accounts>"


class Event(Struct, frozen=True):
    """One event that was taken. `raw` is its JSON as received; money is None and "" where it tells none.

    Events of the same name and id are the same one; an empty id is never the same as another.
    """

    name: str
    event_id: str
    means: Means
    raw: bytes
    value_minor: int | None = None
    currency: str = ""


class Refused(Struct, frozen=True):
    """An answer that takes nothing."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class Taken(Struct, frozen=True):
    """An answer, and the events that are kept."""

    events: tuple[Event, ...]
    body: bytes
    status: int = 200


class StandIn(Struct, frozen=True):
    """One platform.

    `check` answers a request, at a time in epoch milliseconds. `event_ids` reads the ids of a body, as far as it can
    be read. `failure` is the platform's own reply for a fault of kind status, 429, expired_token or poison, given
    the request's event ids. `pixel` reads the bodies of `POST /_emulator/pixel` and raises ValueError with a
    sentence; `fire` writes such a body.
    """

    name: str
    account: str
    check: Callable[[Asked, Access, int], Taken | Refused]
    event_ids: Callable[[bytes], tuple[str, ...]]
    failure: Callable[[Fault, Sequence[str]], Refused]
    pixel: Callable[[bytes], tuple[Event, ...]]
    fire: Callable[[PixelFire], bytes]
