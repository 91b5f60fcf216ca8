"""The conversion: what an order or a step and its context know together, as far as the customer allows it."""

from collections.abc import Mapping

import msgspec

from consumer.enrich.context import (
    ANALYTICS,
    EMPTY,
    Context,
    choices_of,
    consent_of,
    identity_of,
    join_choices,
    location_of,
)
from consumer.enrich.rules import Rules
from consumer.forms import renewed
from consumer.model import (
    Checkout,
    CheckoutStep,
    Consent,
    ConsentState,
    Conversion,
    EventName,
    Identity,
    Location,
    Order,
    OrderHead,
    Origin,
    Refund,
)

NOT_CLICK_IDS = frozenset({"ip", "user_agent", "page_url", "referrer_url"})
STEP_EVENTS: Mapping[str, EventName] = {
    CheckoutStep.STARTED: EventName.BEGIN_CHECKOUT,
    CheckoutStep.PAYMENT: EventName.ADD_PAYMENT_INFO,
}


def purchase_id(head: OrderHead) -> str:
    """The event id that the shop's pixel uses for this purchase."""
    return purchase_ids(head)[0]


def by_rule(order_id: str) -> str:
    """The event id of an order's purchase, by the rule that the shop's pixel can follow."""
    return f"purchase:{order_id}"


def purchase_ids(head: OrderHead) -> tuple[str, ...]:
    """The ids under which an order's purchase is claimed: its event id, and the one by the rule if that is another.

    So an order that is told under a second id is still known.
    """
    ruled = by_rule(head.order_id)
    return (head.event_id, ruled) if head.event_id not in {"", ruled} else (ruled,)


def step_id(step: Checkout, name: EventName) -> str:
    """The event id that the shop's pixel uses for this step."""
    return step.event_id or f"{name}:{step.checkout_id}"


def join_key(checkout_id: str, order_id: str) -> bytes:
    """The key of a conversion's record, and of an order's: what joins lies together."""
    return (checkout_id or f"order:{order_id}").encode()


def own_part(order: Order) -> Order:
    """The order without its identity if it was placed under a denial: that is neither stored nor sent."""
    if order.consent.ads != ConsentState.DENIED:
        return order
    return msgspec.structs.replace(order, identity={})


def purchase(order: Order, context: Context | None, origin: Origin, now_ms: int, rules: Rules) -> Conversion:
    """The purchase; without a context it is `order_only`. What the order says of the customer is newer and wins."""
    head, known = order.head, context or EMPTY
    choices = join_choices(known.choices, choices_of(order.consent, head.updated_at_ms))
    return _conversion(
        event_id=purchase_id(head),
        event_name=EventName.PURCHASE,
        event_time=head.paid_at_ms,
        of=order,
        checkout_id=head.checkout_id,
        order_id=head.order_id,
        context=known,
        consent=consent_of(choices, deny_when_missing=rules.deny_when_missing),
        identity=renewed(identity_of(known), order.identity),
        location=_filled(order.location, known),
        order_only=context is None,
        origin=origin,
        now_ms=now_ms,
    )


def refund(paid: Conversion, of: Refund, event_id: str) -> Conversion:
    """A refund of that purchase: its own amount, items and time, and the purchase that it corrects."""
    return msgspec.structs.replace(
        paid,
        event_id=event_id,
        event_name=EventName.REFUND.value,
        event_time=of.at_ms,
        value_minor=of.amount_minor,
        subtotal_minor=0,
        tax_minor=0,
        shipping_minor=0,
        discount_minor=0,
        items=of.items,
        order_only=False,
        refund_id=of.refund_id,
        corrects_event_id=paid.event_id,
        corrects_event_time=paid.event_time,
        corrects_value_minor=paid.value_minor,
        corrects_refunded_minor=of.order_minor,
        corrects_tax_minor=paid.tax_minor,
        corrects_shipping_minor=paid.shipping_minor,
    )


def step_event(
    step: Checkout, name: EventName, context: Context, origin: Origin, now_ms: int, rules: Rules
) -> Conversion:
    """What a step of the checkout counts as. `context` has the step's own facts in it."""
    return _conversion(
        event_id=step_id(step, name),
        event_name=name,
        event_time=step.updated_at_ms,
        of=step,
        checkout_id=step.checkout_id,
        order_id="",
        context=context,
        consent=consent_of(context.choices, deny_when_missing=rules.deny_when_missing),
        identity=identity_of(context),
        location=location_of(context),
        order_only=False,
        origin=origin,
        now_ms=now_ms,
    )


def _conversion(  # noqa: PLR0913 (one place where a conversion is made)
    *,
    event_id: str,
    event_name: EventName,
    event_time: int,
    of: Order | Checkout,
    checkout_id: str,
    order_id: str,
    context: Context,
    consent: Consent,
    identity: Identity,
    location: Location,
    order_only: bool,
    origin: Origin,
    now_ms: int,
) -> Conversion:
    money, allowed = of.money, consent.ads != ConsentState.DENIED
    return Conversion(
        event_id=event_id,
        event_name=event_name.value,
        event_time=event_time,
        currency=money.currency,
        value_minor=money.grand_total_minor,
        enriched_at=now_ms,
        consent_ads=consent.ads.value,
        consent_analytics=consent.analytics.value,
        consent_personalisation=consent.personalisation.value,
        sale_opt_out=consent.sale_opt_out,
        consent_region=consent.region,
        order_id=order_id,
        checkout_id=checkout_id,
        shop=of.shop,
        country=location.country,
        order_only=order_only,
        subtotal_minor=money.subtotal_minor,
        tax_minor=money.tax_minor,
        shipping_minor=money.shipping_minor,
        discount_minor=money.discount_minor,
        items=of.items,
        identity=identity if allowed else {},
        click_ids=_click_ids(context, consent),
        fbclid_at=context.clicks.get(context.browser_of("fbclid"), 0) if allowed else 0,
        ip=context.browser_of("ip") if allowed else "",
        user_agent=context.browser_of("user_agent") if allowed else "",
        page_url=context.browser_of("page_url"),
        referrer_url=context.browser_of("referrer_url"),
        region=location.region,
        city=location.city,
        postal_code=location.postal_code,
        origin_topic=origin.topic,
        origin_partition=origin.partition,
        origin_offset=origin.offset,
    )


def _click_ids(context: Context, consent: Consent) -> Mapping[str, str]:
    """Those whose purpose wasn't denied."""
    ads, analytics = consent.ads != ConsentState.DENIED, consent.analytics != ConsentState.DENIED
    return {
        name: fact[1]
        for name, fact in context.browser.items()
        if name not in NOT_CLICK_IDS and (analytics if name in ANALYTICS else ads)
    }


def _filled(location: Location, context: Context) -> Location:
    """The order's place, with what only the checkout knew, unless that is about another country."""
    known = location_of(context)
    if location.country and known.country and known.country != location.country:
        return location
    return Location(
        country=location.country or known.country,
        region=location.region or known.region,
        city=location.city or known.city,
        postal_code=location.postal_code or known.postal_code,
    )
