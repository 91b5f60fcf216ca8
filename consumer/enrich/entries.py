"""What state holds about a checkout, an order or an event, for people: decoded, and masked."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Protocol

import msgspec
from msgspec import Struct

from consumer.enrich.context import DENIED, GRANTED, PAGES, Context
from consumer.enrich.conversion import purchase_id
from consumer.enrich.dedupe import Claim, claim_id
from consumer.enrich.memory import CLAIM, CONTEXT, TIME, WAITING, Memory, Waiting
from consumer.enrich.refunds import refund_id
from consumer.model import EventName
from consumer.state.overlay import Overlay, Readable
from consumer.state.value import NEVER_MS, expiry_of, unpack

SHOWN_CHARACTERS = 8
HIDDEN = "(hidden)"
_KINDS = {CONTEXT: "context", CLAIM: "claim", WAITING: "waiting", TIME: "time"}
_EVENTS = {claim_id(name, ""): name for name in EventName}
_NAMED_BY_ORDER_OR_CHECKOUT = ("purchase", "begin_checkout", "add_payment_info")

_context = msgspec.msgpack.Decoder(Context).decode
_claim = msgspec.msgpack.Decoder(Claim).decode
_waiting = msgspec.msgpack.Decoder(Waiting).decode


class Scannable(Readable, Protocol):
    """What is stored, in the order of its keys."""

    def under(self, prefix: bytes) -> Iterable[tuple[bytes, bytes]]:
        """All keys that begin with `prefix`, with their values."""
        ...


class Entry(Struct, frozen=True):
    """One entry. `expires_ms` is in stream time, None for never; an expired one counts as absent."""

    partition: int
    kind: str
    name: str
    expires_ms: int | None
    expired: bool
    told: Mapping[str, object]


def horizon_ms(store: Readable) -> int:
    """Up to where the entries of a store may have expired."""
    return Memory(Overlay(store)).time.horizon_ms


def name_of(key: bytes) -> str:
    """A key in words.

    >>> name_of(b"dppurchase:7"), name_of(b"cc1"), name_of(b"w%020d:7" % 12), name_of(b"s")
    ('claim purchase purchase:7', 'context c1', 'waiting 7', 'time')
    """
    kind, rest = key[:1], key[1:].decode(errors="replace")
    if kind == CLAIM:
        rest = f"{_EVENTS.get(rest[:1], 'of an event')} {rest[1:]}"
    elif kind == WAITING:
        rest = rest.partition(":")[2]
    return f"{_KINDS.get(kind, 'unknown')} {rest}".rstrip()


def entries(store: Scannable, partition: int, about: str) -> list[Entry]:
    """All entries of a partition about the id of a checkout, an order or an event. Raises ValueError, StateUnusable."""
    horizon = horizon_ms(store)
    waiting = [
        (key, value) for key, value in store.under(WAITING) if about in _ids(_waiting(_payload(value)))
    ]
    checkouts = {about, *(_waiting(_payload(value)).order.head.checkout_id for _, value in waiting)}
    keys = chain(
        (CONTEXT + checkout.encode() for checkout in sorted(checkouts)),
        (CLAIM + claim_id(name, event).encode() for name in EventName for event in _events(about)),
    )
    exact = ((key, value) for key in keys if (value := store.get(key)) is not None)
    refunds = store.under(CLAIM + claim_id(EventName.REFUND, f"refund:{about}:").encode())
    return [_entry(partition, key, value, horizon) for key, value in chain(exact, refunds, waiting)]


def _events(about: str) -> tuple[str, ...]:
    """The event ids that an id may stand for: itself, or those that are made of an order's or a checkout's."""
    return (about, *(f"{name}:{about}" for name in _NAMED_BY_ORDER_OR_CHECKOUT))


def _ids(waiting: Waiting) -> set[str]:
    head = waiting.order.head
    given_back = (refund_id(head.order_id, refund) for refund in waiting.order.refunds)
    return {head.order_id, head.checkout_id, purchase_id(head), *given_back}


def _payload(value: bytes) -> bytes:
    return unpack(value, 0) or b""


def _entry(partition: int, key: bytes, value: bytes, horizon: int) -> Entry:
    expiry_ms = expiry_of(value)
    return Entry(
        partition=partition,
        kind=_KINDS[key[:1]],
        name=name_of(key),
        expires_ms=None if expiry_ms == NEVER_MS else expiry_ms,
        expired=expiry_ms < horizon,
        told=_told(key[:1], _payload(value)),
    )


def _told(kind: bytes, payload: bytes) -> Mapping[str, object]:
    if kind == CLAIM:
        claim = _claim(payload)
        at = f"{claim.topic}:{claim.partition}:{claim.offset}"
        return {"claimed_by": at, "worth": claim.worth.hex(), "told": claim.told.hex()}
    return _of_context(_context(payload)) if kind == CONTEXT else _of_waiting(_waiting(payload))


def _of_context(context: Context) -> Mapping[str, object]:
    return {
        "latest_ms": context.latest_ms,
        "completed": context.completed,
        "consent": {
            name: {"at_ms": at_ms, "said": _said(name, said)}
            for name, (at_ms, said) in msgspec.structs.asdict(context.choices).items()
            if at_ms
        },
        "identity": {form: _short(value) for form, (_, value) in context.identity.items()},
        "location": {name: value for name, (_, value) in context.location.items()},
        "browser": {name: _masked(name, value) for name, (_, value) in context.browser.items()},
        "clicks": {_short(click): at_ms for click, at_ms in context.clicks.items()},
    }


def _said(purpose: str, said: int | str) -> object:
    if purpose == "sale_opt_out":
        return bool(said)
    return {GRANTED: "granted", DENIED: "denied"}.get(said, said) if isinstance(said, int) else said


def _of_waiting(waiting: Waiting) -> Mapping[str, object]:
    order, head = waiting.order, waiting.order.head
    return {
        "read_from": str(waiting.origin),
        "since_ms": waiting.since_ms,
        "read_ms": waiting.read_ms,
        "tells_purchase": waiting.purchase,
        "order_id": head.order_id,
        "checkout_id": head.checkout_id,
        "status": head.status,
        "paid_at_ms": head.paid_at_ms,
        "currency": head.currency,
        "grand_total_minor": head.grand_total_minor,
        "items": len(order.items),
        "refunds": [refund.refund_id for refund in order.refunds],
        "identity": {form: _short(value) for form, value in order.identity.items()},
        "location": msgspec.structs.asdict(order.location),
        "consent": msgspec.to_builtins(order.consent),
    }


def _masked(name: str, value: str) -> str:
    """A page without its query; of other facts the beginning, of the machine's address and user agent nothing."""
    if name in PAGES:
        return value.partition("?")[0].partition("#")[0]
    return HIDDEN if name in {"ip", "user_agent"} else _short(value)


def _short(value: str) -> str:
    """Enough to compare, too little to be used: at most half of it.

    >>> _short("0123456789abcdef0123"), _short("abcd")
    ('01234567…', 'ab…')
    """
    return f"{value[: min(SHOWN_CHARACTERS, len(value) // 2)]}…"


def lines(found: Iterable[Entry]) -> Iterator[str]:
    """The entries for a reader: one line each, and one for each thing that it tells."""
    for entry in found:
        until = "never expires" if entry.expires_ms is None else f"expires at {entry.expires_ms}"
        yield f"{entry.name}: partition {entry.partition}, {'EXPIRED, ' if entry.expired else ''}{until}"
        for name, value in entry.told.items():
            told = (
                value if not isinstance(value, Mapping) else ", ".join(f"{k} {v}" for k, v in value.items())
            )
            yield f"  {name}: {told}"
