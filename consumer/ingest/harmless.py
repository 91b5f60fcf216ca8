"""Which fields of a shop's record people may see: ids, states, times and money, wherever its mapping has them.

All that isn't listed here is personal until somebody says otherwise. A field that the mapping takes for a person too,
or only asks whether it is filled, is personal all the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, TypeAlias

from msgspec import Struct

from consumer.avro import Schema
from consumer.ingest.paths import All, At, First, Named, Path, Step
from consumer.ingest.rules import OTHERS, Rule, Section, Side
from consumer.ingest.targets import Group, Kind, Target, targets

Steps: TypeAlias = tuple[Step, ...]
Place: TypeAlias = tuple[str | int, ...]
"""Where a value stands in a decoded record: fields, keys of maps, and numbers of elements."""

HARMLESS = frozenset(
    {
        "order_id",
        "checkout_id",
        "event_id",
        "refund_id",
        "status",
        "step",
        "shop",
        "updated_at",
        "created_at",
        "paid_at",
        "at",
        "currency",
        "grand_total_minor",
        "subtotal_minor",
        "tax_minor",
        "shipping_minor",
        "discount_minor",
        "amount_minor",
        "price_minor",
        "quantity",
        "sku",
    }
)
"""Targets that tell nothing of a person."""
OF_CONVERSIONS = HARMLESS | {
    "event_name",
    "event_time",
    "enriched_at",
    "value_minor",
    "consent_ads",
    "consent_analytics",
    "consent_personalisation",
    "consent_region",
    "sale_opt_out",
    "country",
    "order_only",
    "corrects_event_id",
    "corrects_event_time",
    "corrects_value_minor",
    "corrects_refunded_minor",
    "corrects_tax_minor",
    "corrects_shipping_minor",
    "origin_topic",
    "origin_partition",
    "origin_offset",
}
"""What a conversion has besides. Whoever opens a letter must see if its consent or its country is the cause."""
GROUPS = frozenset({"items", "refunds"})
"""Targets within which there may be some."""


class Way(Struct, frozen=True):
    """Leads to a value of this kind; of which target it is the source, such as `items.sku`.

    If the mapping takes any word for one of ours, only those that it lists besides, `words`, tell no more than ours.
    """

    steps: Steps
    kind: Kind
    target: str
    words: frozenset[str] | None = None

    def places(self, decoded: object) -> Iterator[Place]:
        """All places of a decoded record to which it leads."""
        for place in places(decoded, self.steps):
            if self.words is None or _as_text(value_at(decoded, place)) in self.words:
                yield place


class Ways(Struct, frozen=True):
    """Ways to what people may see, and to what they may not, whatever else leads there."""

    harmless: tuple[Way, ...]
    personal: tuple[Way, ...]

    def shown(self, decoded: object) -> dict[Place, Kind]:
        """Where in this record there is something that people may see."""
        hidden = {place for way in self.personal for place in places(decoded, way.steps)}
        return {
            place: way.kind for way in self.harmless for place in way.places(decoded) if place not in hidden
        }

    def values(self, decoded: object, target: str) -> Iterator[object]:
        """What may be the value of a target, such as `order_id`, in this record."""
        for way in self.harmless:
            if way.target == target:
                yield from (value_at(decoded, place) for place in way.places(decoded))


def ways_of(reference: Schema, side: Side | None = None, harmless: AbstractSet[str] = HARMLESS) -> Ways:
    """The ways that a mapping's side has; without one, those of the reference schema."""
    wanted = targets(reference)
    if side is None:
        found = list(_named(wanted, (), "", harmless))
    else:
        before: Steps = (Named("after"),) if side.is_enveloped else ()
        found = list(_mapped(side.section, wanted, before, "", harmless))
    return Ways(
        tuple(way for is_harmless, way in found if is_harmless),
        tuple(way for is_harmless, way in found if not is_harmless),
    )


def _named(
    wanted: Mapping[str, Target], before: Steps, within: str, harmless: AbstractSet[str]
) -> Iterator[tuple[bool, Way]]:
    for name, target in wanted.items():
        steps, full = (*before, Named(name)), f"{within}{name}"
        if isinstance(target, Group):
            inner = (*steps, All()) if target.repeated else steps
            yield from _named(target.fields, inner, f"{full}.", harmless if name in GROUPS else frozenset())
        else:
            yield name in harmless, Way(steps, target.kind, full)


def _mapped(
    section: Section, wanted: Mapping[str, Target], before: Steps, within: str, harmless: AbstractSet[str]
) -> Iterator[tuple[bool, Way]]:
    if section.each is not None:
        before = _steps(section.each, before)
        before = before if isinstance(before[-1], All) else (*before, All())
    for name, rule in section.fields.items():
        target, full = wanted[name], f"{within}{name}"
        if isinstance(rule, Section) and isinstance(target, Group):
            inner = harmless if name in GROUPS else frozenset()
            yield from _mapped(rule, target.fields, before, f"{full}.", inner)
        elif isinstance(rule, Rule) and not isinstance(target, Group):
            for each in _rules(rule):
                is_harmless = name in harmless and not each.query
                if each.path is not None:
                    steps = _steps(each.path, before)
                    yield is_harmless, Way(steps, target.kind, full, _words(each))
                if each.currency is not None:
                    yield is_harmless, Way(_steps(each.currency, before), Kind.TEXT, f"{full}.currency")


def _rules(rule: Rule) -> Iterator[Rule]:
    yield rule
    for each in rule.first_of:
        yield from _rules(each)


def _words(rule: Rule) -> frozenset[str] | None:
    """The words that a rule lists, if it takes all others for one of ours."""
    takes_any = rule.values.get(OTHERS, OTHERS) != OTHERS
    return frozenset(rule.values) - {OTHERS} if takes_any else None


def _steps(path: Path, before: Steps) -> Steps:
    return path.steps if path.from_root else (*before, *path.steps)


def places(value: Any, steps: Steps, at: Place = ()) -> Iterator[Place]:  # noqa: ANN401 - a decoded record
    """All places of a decoded record to which the steps lead."""
    if not steps:
        yield at
        return
    for key, inner in _taken(value, steps[0]):
        yield from places(inner, steps[1:], (*at, key))


def _taken(value: Any, step: Step) -> Iterable[tuple[str | int, Any]]:  # noqa: ANN401 - see `places`
    match step:
        case Named(name):
            return [(name, value[name])] if isinstance(value, dict) and name in value else []
        case At(place):
            is_there = isinstance(value, tuple) and -len(value) <= place < len(value)
            return [(place % len(value), value[place])] if is_there else []
        case First(name, wanted):
            return list(_with(value, name, wanted))[:1]
        case All(name, wanted):
            return _with(value, name, wanted)


def _with(value: Any, name: str, wanted: str) -> Iterator[tuple[int, Any]]:  # noqa: ANN401 - see `places`
    """The elements of an array, those with this value of this field if one is named."""
    for place, each in enumerate(value if isinstance(value, tuple) else ()):
        if not name or (isinstance(each, dict) and _as_text(each.get(name)) == wanted):
            yield place, each


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def value_at(value: Any, place: Place) -> object:  # noqa: ANN401 - see `places`
    """What stands at a place that there is."""
    for key in place:
        value = value[key]
    return value
