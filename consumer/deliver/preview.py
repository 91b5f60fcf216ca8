"""What a destination would send of a conversion: the exact request, or why there is none. Nothing is sent."""

import orjson
from msgspec import Raw, Struct, json
from msgspec.structs import replace

from consumer.codec import schemas_dir
from consumer.deliver.route import Expire, Refuse, Send, Skip, Wants, route
from consumer.deliver.worth import valued
from consumer.model import Conversion, EventName
from consumer.platforms.contract import Platform, Secret, Unfit

AGO_MS = 60_000
MASKED = "****"


class Shown(Struct, frozen=True):
    """A request as people may see it: secrets, IP address and user agent are masked."""

    method: str
    url: str
    headers: dict[str, str]
    body: Raw


class Preview(Struct, frozen=True):
    """One conversion at one destination. `outcome` is `sent`, or how it would end, with the reason."""

    event_id: str
    event_name: str
    outcome: str
    reason: str = ""
    why: str = ""
    request: Shown | None = None


def preview(told: Conversion, platform: Platform, wants: Wants, now_ms: int) -> Preview:
    """What becomes of a conversion that is read now, by a destination that began with the topic."""
    told = valued(told, wants.value)
    match route(told, platform, wants, 0, now_ms):
        case Refuse(why):
            return Preview(told.event_id, told.event_name, "rejected", "condition", why)
        case Skip(reason):
            return Preview(told.event_id, told.event_name, "skipped", reason)
        case Expire():
            return Preview(
                told.event_id, told.event_name, "expired", "expired", "the platform's window is closed"
            )
        case Send():
            return _sent(told, platform, wants)


def _sent(told: Conversion, platform: Platform, wants: Wants) -> Preview:
    event = platform.event(told, wants.account)
    if isinstance(event, Unfit):
        outcome = "skipped" if wants.skips_incomplete else "rejected"
        return Preview(told.event_id, told.event_name, outcome, event.code, event.why)
    request = platform.request(wants.account, [event])
    secrets = "".join(
        f"{'&' if place or '?' in request.url else '?'}{name}={MASKED}"
        for place, name in enumerate(request.secret_query)
    )
    headers = {
        name: MASKED if isinstance(value, Secret) else value for name, value in request.headers.items()
    }
    return Preview(
        told.event_id,
        told.event_name,
        "sent",
        request=Shown(request.method, request.url + secrets, headers, Raw(_masked(request.body, told))),
    )


def _masked(body: bytes, told: Conversion) -> bytes:
    """The body without what points to the customer's machine."""
    for text in (told.ip.strip(), told.user_agent.strip()):
        if text:
            body = body.replace(orjson.dumps(text), orjson.dumps(MASKED))
    return body


def examples(now_ms: int) -> list[Conversion]:
    """A conversion of each event, of a minute ago, that lacks nothing."""
    text = (schemas_dir() / "conversion" / "examples" / "everything.json").read_bytes()
    at_ms = now_ms - AGO_MS
    purchase = replace(json.decode(text, type=Conversion), event_time=at_ms, enriched_at=at_ms)
    step = {"order_id": "", "event_time": at_ms - AGO_MS}
    return [
        purchase,
        replace(
            purchase,
            event_id=f"refund:{purchase.order_id}:1",
            event_name=EventName.REFUND.value,
            refund_id="1",
            value_minor=purchase.value_minor // 2,
            tax_minor=0,
            shipping_minor=0,
            corrects_event_id=purchase.event_id,
            corrects_event_time=at_ms,
            corrects_value_minor=purchase.value_minor,
            corrects_refunded_minor=purchase.value_minor // 2,
            corrects_tax_minor=purchase.tax_minor,
            corrects_shipping_minor=purchase.shipping_minor,
        ),
        *(
            replace(purchase, event_id=f"{name}:{purchase.checkout_id}", event_name=name.value, **step)
            for name in (EventName.BEGIN_CHECKOUT, EventName.ADD_PAYMENT_INFO)
        ),
    ]
