"""What a checkout knows of its customer: facts from its steps, merged by event time.

A fact is a pair of its time and its value, and the greater pair wins: merging the same steps in another order, or
some of them twice, gives the same. An empty value says nothing, so it never overwrites one.

Where the customer denied advertising, the context keeps no identifier but those of analytics, and where these were
denied, not those. Once the checkout is completed its context is closed: later steps change nothing but to withdraw
consent, so that an order finds the same context whenever it comes.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec
from msgspec import Struct

from consumer.forms import by_kind
from consumer.model import Checkout, CheckoutStep, Consent, ConsentState, Identity, Location

Fact: TypeAlias = tuple[int, str]
Said: TypeAlias = tuple[int, int]
"""When a purpose was decided, and how: the later one wins, at the same time the stricter."""

CLICKS_MAX = 8
GRANTED, DENIED = 1, 2
_STATES = {ConsentState.GRANTED: GRANTED, ConsentState.DENIED: DENIED}
_NAMES = {GRANTED: ConsentState.GRANTED, DENIED: ConsentState.DENIED}
NEVER_SAID: Said = (0, 0)


class Choices(Struct, frozen=True, array_like=True, gc=False):
    """Consent with the time of each choice."""

    ads: Said = NEVER_SAID
    analytics: Said = NEVER_SAID
    personalisation: Said = NEVER_SAID
    sale_opt_out: Said = NEVER_SAID
    region: Fact = (0, "")

    @property
    def denied(self) -> tuple[bool, bool]:
        """Whether advertising and analytics were denied, by someone and not by a setting."""
        return self.ads[1] == DENIED, self.analytics[1] == DENIED


class Context(Struct, frozen=True, array_like=True, gc=False):
    """A checkout's facts by name. `clicks` is when each fbclid was first seen; `latest_ms` the last event's time."""

    browser: Mapping[str, Fact] = {}
    identity: Mapping[str, Fact] = {}
    location: Mapping[str, Fact] = {}
    clicks: Mapping[str, int] = {}
    choices: Choices = Choices()
    latest_ms: int = 0
    completed: bool = False

    def browser_of(self, name: str) -> str:
        """The value of one browser fact, "" if none."""
        return self.browser.get(name, (0, ""))[1]


EMPTY = Context()


def merge(context: Context | None, step: Checkout) -> Context:
    """The context with one step's facts in it, closed or not."""
    known = context or EMPTY
    at_ms = step.updated_at_ms
    newest = at_ms > known.latest_ms
    choices = join_choices(known.choices, choices_of(step.consent, at_ms))
    merged = Context(
        browser=_with(known.browser, step.browser.items(), at_ms, newest=newest),
        identity=_with_identity(known.identity, step.identity, at_ms, newest=newest),
        location=_with(known.location, _places(step.location), at_ms, newest=newest),
        clicks=_with_click(known.clicks, step.browser.get("fbclid", ""), at_ms),
        choices=choices,
        latest_ms=max(known.latest_ms, at_ms),
        completed=known.completed or step.step == CheckoutStep.COMPLETED,
    )
    return stripped(merged)


def keep(context: Context | None, merged: Context) -> Context:
    """What state holds after a step: `merged`, unless the context was closed before."""
    if context is None or not context.completed:
        return merged
    if any(
        now and not before for now, before in zip(merged.choices.denied, context.choices.denied, strict=True)
    ):
        return stripped(msgspec.structs.replace(context, choices=_withdrawn(context.choices, merged.choices)))
    return context


def _withdrawn(known: Choices, told: Choices) -> Choices:
    """What was told, without what it grants."""
    return msgspec.structs.replace(
        told,
        ads=told.ads if told.ads[1] == DENIED else known.ads,
        analytics=told.analytics if told.analytics[1] == DENIED else known.analytics,
        personalisation=told.personalisation if told.personalisation[1] == DENIED else known.personalisation,
    )


def stripped(context: Context) -> Context:
    """Without what points to a person for a purpose that was denied.

    For advertising that is identity, click and browser ids, address of the machine and user agent; for analytics its
    own ids of browser and visit.
    """
    ads_denied, analytics_denied = context.choices.denied
    if not (ads_denied or analytics_denied):
        return context
    browser = {
        name: fact
        for name, fact in context.browser.items()
        if name in PAGES or not (analytics_denied if name in ANALYTICS else ads_denied)
    }
    if not ads_denied:
        return msgspec.structs.replace(context, browser=browser)
    return msgspec.structs.replace(context, browser=browser, identity={}, clicks={})


PAGES = frozenset({"page_url", "referrer_url"})
ANALYTICS = frozenset({"ga_client_id", "ga_session_id"})
"""What consent for analytics is about; all else that points to a person is about advertising."""


def choices_of(consent: Consent, at_ms: int) -> Choices:
    """What one record says of consent, said at its own time or, unknown or ahead of that, the record's."""
    said_ms = min(consent.at_ms or at_ms, at_ms)
    ads, analytics = _STATES.get(consent.ads, 0), _STATES.get(consent.analytics, 0)
    personalisation = _STATES.get(consent.personalisation, 0)
    if not (ads or analytics or personalisation or consent.sale_opt_out or consent.region):
        return SILENT
    return Choices(
        ads=(said_ms, ads) if ads else NEVER_SAID,
        analytics=(said_ms, analytics) if analytics else NEVER_SAID,
        personalisation=(said_ms, personalisation) if personalisation else NEVER_SAID,
        sale_opt_out=(said_ms, int(consent.sale_opt_out)),
        region=(said_ms, consent.region) if consent.region else (0, ""),
    )


SILENT = Choices()


def join_choices(one: Choices, other: Choices) -> Choices:
    """Both together, choice by choice."""
    if other is SILENT:
        return one
    return Choices(
        ads=max(one.ads, other.ads),
        analytics=max(one.analytics, other.analytics),
        personalisation=max(one.personalisation, other.personalisation),
        sale_opt_out=max(one.sale_opt_out, other.sale_opt_out),
        region=max(one.region, other.region),
    )


def consent_of(choices: Choices, *, deny_when_missing: bool) -> Consent:
    """Consent as it goes out: where nobody said anything, the setting speaks."""
    missing = ConsentState.DENIED if deny_when_missing else ConsentState.GRANTED
    return Consent(
        ads=_NAMES.get(choices.ads[1], missing),
        analytics=_NAMES.get(choices.analytics[1], missing),
        personalisation=_NAMES.get(choices.personalisation[1], missing),
        sale_opt_out=bool(choices.sale_opt_out[1]),
        region=choices.region[1],
    )


def identity_of(context: Context) -> Identity:
    """The context's identity, without times."""
    return {form: fact[1] for form, fact in context.identity.items()}


def location_of(context: Context) -> Location:
    """The context's place, without times."""
    return Location(**{name: fact[1] for name, fact in context.location.items()})


def _with(
    known: Mapping[str, Fact], told: Iterable[tuple[str, str]], at_ms: int, *, newest: bool
) -> Mapping[str, Fact]:
    """What is `newest` wins without a look at what it wins over: most steps come in their order."""
    if newest:
        return {**known, **{name: (at_ms, value) for name, value in told if value}}
    merged = dict(known)
    for name, value in told:
        if value and (name not in merged or merged[name] < (at_ms, value)):
            merged[name] = (at_ms, value)
    return merged


def _with_identity(
    known: Mapping[str, Fact], told: Identity, at_ms: int, *, newest: bool
) -> Mapping[str, Fact]:
    """All forms of an identifier are one fact, so that they stay those of one and the same e-mail, name or place."""
    facts = {form: (at_ms, digest) for form, digest in told.items()}
    if not known or not facts:
        return known or facts
    if newest and known.keys() <= facts.keys():
        return facts
    older, newer = by_kind(known), by_kind(facts)
    won = {kind: max(group, older.get(kind, [])) for kind, group in newer.items()}
    return {form: fact for group in {**older, **won}.values() for fact, form in group}


def _places(location: Location) -> Iterable[tuple[str, str]]:
    return (
        ("country", location.country),
        ("region", location.region),
        ("city", location.city),
        ("postal_code", location.postal_code),
    )


def _with_click(known: Mapping[str, int], fbclid: str, at_ms: int) -> Mapping[str, int]:
    """The earliest time of each click id; beyond the bound the one first seen last is forgotten."""
    if not fbclid or known.get(fbclid, at_ms + 1) <= at_ms:
        return known
    clicks = {**known, fbclid: at_ms}
    if len(clicks) > CLICKS_MAX:
        del clicks[max(clicks, key=lambda click: (clicks[click], click))]
    return clicks
