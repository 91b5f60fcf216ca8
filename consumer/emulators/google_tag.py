"""The Google tag: its conversions, in the names of their requests' query, each with a label for its action."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec
from msgspec import Raw

from consumer.emulators.contract import Event, Means
from consumer.emulators.demands import Shape, among, amount, currency_upper, findings, money, read, text
from consumer.emulators.google_event import read_event
from consumer.emulators.shop.records import PixelFire

EVENTS: tuple[Means, ...] = ("purchase", "begin_checkout", "add_payment_info")
ACTIONS: Mapping[str, str] = {name: str(7_100_000_001 + place) for place, name in enumerate(EVENTS)}
LABELS = {f"{name}_label": name for name in EVENTS}
"""What the tag calls a conversion action."""
PIXEL = Shape(
    {
        "label": among(*LABELS),
        **dict.fromkeys(("oid", "url", "ref", "gclaw"), text),
        "value": amount,
        "currency_code": currency_upper,
    },
    demanded=("label",),
)


def pixel(body: bytes) -> tuple[Event, ...]:
    """Events in the names of the tag's query, one or a list. Raises ValueError with a sentence."""
    try:
        raws = msgspec.json.decode(body, type=list[Raw]) if body.lstrip()[:1] == b"[" else [Raw(body)]
        return tuple(_read_pixel(bytes(raw)) for raw in raws)
    except msgspec.DecodeError as problem:
        raise ValueError(f"no pixel event: {problem}") from None


def fire(fired: PixelFire) -> bytes:
    """What the shop's tag sends, as a body of `POST /_emulator/pixel`."""
    told = {
        "label": f"{fired.event}_label",
        "oid": fired.order_id if fired.event == "purchase" else fired.event_id,
        "value": Decimal(fired.value_minor).scaleb(-fired.exponent),
        "currency_code": fired.currency,
        "url": fired.page_url,
        "gclaw": fired.browser.get("gclid", ""),
    }
    return msgspec.json.Encoder(decimal_format="number").encode(
        {key: each for key, each in told.items() if each != ""}
    )


def _read_pixel(raw: bytes) -> Event:
    told = read(raw)
    found = next(findings(told, PIXEL), None)
    if found is not None or not isinstance(told, dict):
        raise ValueError(f"no pixel event: {found.dotted if found else ''} {found.why if found else ''}")
    name = LABELS[told["label"]]
    if name == "purchase" and money(told.get("value"), told.get("currency_code"))[0] is None:
        raise ValueError("no pixel event: a purchase has value, in whole minor units, and currency_code")
    event = {
        "transactionId": told.get("oid", ""),
        "conversionValue": told.get("value"),
        "currency": told.get("currency_code"),
    }
    return read_event(event, name, ACTIONS[name], raw)
