"""What an emulator's file for one platform says, and what the server asks of it: no clock, no socket."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from consumer.emulators.faults import Fault
from consumer.emulators.shop.records import PixelFire, Taker, Truth, own_event_id, own_value

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
    """Who may write where. `token` is the emulator's secret.

    `actions` and `options` are the stand-in's own; `late` are events that the platform takes and finds fault with
    afterwards: event id to reason.
    """

    token: str
    accounts: frozenset[str]
    actions: Mapping[str, str] = {}
    options: Mapping[str, str] = {}
    late: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"<Access to {len(self.accounts)} accounts>"


class Key(Struct, frozen=True):
    """By what a platform knows an event again, and for how long after the first one's receipt."""

    value: str
    window_ms: int


class Event(Struct, frozen=True):
    """One event that was taken. `raw` is its JSON as received; money is None and "" where it tells none.

    `event_id` is what the platform calls it. It is the same event as an earlier one if any of its `keys` was seen
    within that key's window; without keys it is never the same as another.
    """

    name: str
    event_id: str
    means: Means
    raw: bytes
    value_minor: int | None = None
    currency: str = ""
    keys: tuple[Key, ...] = ()


class Refused(Struct, frozen=True):
    """An answer that takes nothing, whatever its status: some platforms refuse with 200.

    A token, or what became of earlier events, is such an answer too, but no refusal.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    is_refusal: bool = True


class Taken(Struct, frozen=True):
    """An answer, and the events that are kept: all of the request's, or those that the answer finds right."""

    events: tuple[Event, ...]
    body: bytes
    status: int = 200


def random_token() -> str:
    """A secret that is its own credentials."""
    return secrets.token_urlsafe(24)


def the_secret(secret: str, url: str) -> str:
    """The credentials where the secret is all that is needed, wherever the emulator listens."""
    del url
    return secret


class StandIn(Struct, frozen=True, kw_only=True):
    """One platform.

    `check` answers a request of any method and path, at a time in epoch milliseconds. `event_ids` reads the ids of a
    body, as far as it can be read. `failure` is the platform's own reply for a fault of kind status, 429,
    expired_token or poison, given the request's event ids; `partial` answers a poison instead, where the platform
    takes the other events. `pixel` reads the bodies of `POST /_emulator/pixel` and raises ValueError with a sentence;
    `fire` writes such a body.

    `taker` is what it takes of the shop, `told_id` what it calls an event, `told_value` the minor units that it can be
    told of its worth. If `last_wins`, the later of equal events tells the money. `actions` (our event name to the
    conversion action, rule or tag there) and `options` belong to the settings that lead to it. `secret` makes what the
    emulator knows, `credentials` the text of the token file from it and the emulator's address.
    """

    name: str
    account: str
    taker: Taker
    check: Callable[[Asked, Access, int], Taken | Refused]
    event_ids: Callable[[bytes], tuple[str, ...]]
    failure: Callable[[Fault, Sequence[str]], Refused]
    partial: Callable[[Fault, Asked, Access, int], Taken | Refused] | None = None
    pixel: Callable[[bytes], tuple[Event, ...]]
    fire: Callable[[PixelFire], bytes]
    told_id: Callable[[Truth], str] = own_event_id
    told_value: Callable[[Truth], int] = own_value
    last_wins: bool = False
    actions: Mapping[str, str] = {}
    options: Mapping[str, str] = {}
    secret: Callable[[], str] = random_token
    credentials: Callable[[str, str], str] = the_secret
