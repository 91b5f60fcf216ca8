"""What a destination counts an order as: all that was paid, or what the shop earns of it."""

from typing import Literal, TypeAlias

from msgspec.structs import replace

from consumer.model import Conversion, EventName

Rule: TypeAlias = Literal["grand_total", "without_tax_and_shipping"]


def valued(conversion: Conversion, rule: Rule) -> Conversion:
    """The conversion with the value that the rule gives it.

    A refund doesn't tell how much of it was tax and shipping, so it takes back the same share of the purchase's value
    as it does of what was paid: all refunds of a purchase together take back what the purchase was told as.
    """
    if rule == "grand_total":
        return conversion
    if conversion.event_name == EventName.REFUND:
        return _refund(conversion)
    net_minor = _net(conversion.value_minor, conversion.tax_minor, conversion.shipping_minor)
    return replace(conversion, value_minor=net_minor)


def _net(gross_minor: int, tax_minor: int, shipping_minor: int) -> int:
    return max(0, gross_minor - tax_minor - shipping_minor)


def _refund(refund: Conversion) -> Conversion:
    """With its share, and with what its purchase was told as and all refunds of that have taken back of it."""
    gross_minor = refund.corrects_value_minor
    net_minor = _net(gross_minor, refund.corrects_tax_minor, refund.corrects_shipping_minor)
    return replace(
        refund,
        value_minor=_share(refund.value_minor, gross_minor, net_minor),
        corrects_value_minor=net_minor,
        corrects_refunded_minor=_share(refund.corrects_refunded_minor, gross_minor, net_minor),
    )


def _share(amount_minor: int, gross_minor: int, net_minor: int) -> int:
    """Rounded half up. Of a purchase that cost nothing, nothing."""
    if gross_minor <= 0:
        return 0
    amount_minor = min(max(0, amount_minor), gross_minor)
    return (2 * amount_minor * net_minor + gross_minor) // (2 * gross_minor)
