"""Why there are letters: the closed list of reasons, with what each means, whose fault it is and what to do about it.

This is the one place that says so: letters, commands and `schemas/letter` all take it from here.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

Fault: TypeAlias = Literal["ours", "shop", "platform", "operator"]
Stage: TypeAlias = Literal["ingest", "deliver"]

FAULTS: Mapping[str, str] = {
    "ours": "this product's: tell those who maintain it",
    "shop": "the shop's: what publishes orders and checkouts",
    "platform": "the platform's answer, or its silence",
    "operator": "the operator's: settings, or what was sent back by hand",
}
"""Whose fault a letter can be."""

STAGES: Mapping[str, str] = {
    "ingest": "reading the shop's records: the role enrich, or rekey",
    "deliver": "telling a platform: the role deliver",
}
"""Where a record failed."""


class Reason(Struct, frozen=True):
    """One reason. `fault` is whose it is if nobody knows better."""

    name: str
    stage: Stage
    fault: Fault
    means: str
    advice: str


_ALL = (
    Reason(
        "undecodable",
        "ingest",
        "shop",
        "The value is not Avro in the Confluent wire format, or not what its schema says.",
        "Look at the serializer that wrote it. These bytes can't be mended: publish the record again.",
    ),
    Reason(
        "unknown_schema",
        "ingest",
        "shop",
        "A working registry does not know the schema that the value names.",
        "Register the schema again under this id, or point registry.url at the registry of the topic; then replay.",
    ),
    Reason(
        "missing_field",
        "ingest",
        "shop",
        "A field that must be there is missing or null; the message names its path.",
        "Publish the field, or name in the mapping where the schema has it; then replay.",
    ),
    Reason(
        "no_order_id",
        "ingest",
        "shop",
        "The order has no id.",
        "Publish orders with their id, or map order_id to the right field.",
    ),
    Reason(
        "no_checkout_id",
        "ingest",
        "shop",
        "The checkout has no id.",
        "Publish checkouts with their id, or map checkout_id to the right field.",
    ),
    Reason(
        "bad_type",
        "ingest",
        "shop",
        "The writer's schema has a field as another type than can be read; the message names its path.",
        "Publish the type that the schemas name, or say in the mapping how theirs is to be read; then replay.",
    ),
    Reason(
        "bad_time",
        "ingest",
        "shop",
        "A time can't be read, or is before the year 2000 or beyond 9999.",
        "If it is in another unit or zone, say so in the mapping and replay; else mend what publishes it.",
    ),
    Reason(
        "bad_money",
        "ingest",
        "shop",
        "An amount can't be read exactly, is negative or absurd, or is in another currency than the order.",
        "If it has another unit or other digits, say so in the mapping and replay; money is never rounded.",
    ),
    Reason(
        "bad_quantity",
        "ingest",
        "shop",
        "The quantity of an item is less than one, absurd, or no whole number.",
        "Mend what publishes the item, or map quantity to the right field.",
    ),
    Reason(
        "bad_value",
        "ingest",
        "shop",
        "A word is none of those that the mapping lists.",
        'Add the word to values in the mapping ("*" takes all others); then replay.',
    ),
    Reason(
        "no_currency",
        "ingest",
        "shop",
        "A paid order has no currency, or one that ISO 4217 doesn't have. It is never guessed.",
        "Publish the currency, or map it; a shop with a single one may name it as the mapping's default.",
    ),
    Reason(
        "no_paid_at",
        "ingest",
        "shop",
        "The order is in a paid state and does not say when it was paid.",
        "Publish paid_at with that state, or map it; check gate.purchase_states.",
    ),
    Reason(
        "future_time",
        "ingest",
        "shop",
        "A time lies in the future.",
        "Set the clock of what publishes, or the unit and zone in the mapping. Replayed later it may be right.",
    ),
    Reason(
        "too_large",
        "ingest",
        "shop",
        "What the record becomes is larger than its topic takes.",
        "Raise max.message.bytes of the topic that the message names, then replay; or publish less in one record.",
    ),
    Reason(
        "misdirected",
        "ingest",
        "operator",
        "A record that was sent back to ingest by hand names no place that it can come from.",
        "Send it back with `capi dlq replay`, which writes the right header and partition.",
    ),
    Reason(
        "condition",
        "deliver",
        "operator",
        "The destination's condition `when` can't be decided for this conversion.",
        "Mend `when` in the settings, so that it holds for what conversions lack; then replay.",
    ),
    Reason(
        "incomplete",
        "deliver",
        "shop",
        "The conversion lacks what the platform demands; the code names it.",
        "Have the shop collect it. This conversion stays as it is: replay helps only once it was enriched anew.",
    ),
    Reason(
        "rejected",
        "deliver",
        "platform",
        "The platform refused this event for good.",
        "Look the code up at the platform; mend what it names, then replay while its window is open.",
    ),
    Reason(
        "expired",
        "deliver",
        "platform",
        "The platform's window closed before the event could be delivered.",
        "Nothing can send it now. Look why the destination was behind: parked, throttled or down.",
    ),
    Reason(
        "unknown",
        "deliver",
        "platform",
        "It was sent and no answer came: nobody knows if the platform counted it.",
        "Compare with the platform's own numbers; replay it only if a second count does no harm.",
    ),
    Reason(
        "unreadable",
        "deliver",
        "ours",
        "A record of the conversions' topic can't be read.",
        "See who writes to that topic beside enrich; if nobody does, tell those who maintain this product.",
    ),
)

REASONS: Mapping[str, Reason] = {each.name: each for each in _ALL}
"""Every reason that a letter can have, by its name."""
