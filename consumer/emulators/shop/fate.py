"""What a conversion can carry, and at which platforms it must arrive for that, or why not."""

from collections.abc import Mapping

from msgspec import Struct

from consumer.emulators.shop.funnel import Visit
from consumer.emulators.shop.records import Known, Taker
from consumer.emulators.shop.visit import Said, allowed

CONSENT_CAUSES = {"GRANTED": "", "DENIED": "consent_denied", "UNSPECIFIED": "consent_missing"}


class Fate(Struct, frozen=True):
    """Of one event. `cause` goes by the consent to ads; `causes` has the platforms for which it is another."""

    eligible: Mapping[str, bool]
    cause: str
    causes: Mapping[str, str]


def known(of: Visit, event: str, said: Said, *, alone: bool = False) -> Known:
    """What one event of a visit can carry; `alone` if its checkout is not known."""
    return Known(
        event=event,
        browser={} if alone else allowed(of.browser, said),
        customer=event != "begin_checkout" and said["ads"] != "DENIED",
        country=of.buyer.country.code,
        currency=of.cart.currency,
        consent=said,
        sale_opt_out=of.sale_opt_out,
    )


def fate(cause: str, has: Known, platforms: Mapping[str, Taker]) -> Fate:
    """The fate of an event. `cause` is what holds for everybody, empty if nothing does."""
    taking = {name: taker for name, taker in platforms.items() if has.event in taker.events}
    own = {name: _cause(cause, has, taker.purpose) or taker.lacks(has) for name, taker in taking.items()}
    of_ads = _cause(cause, has, "ads")
    return Fate(
        eligible={name: own.get(name) == "" for name in platforms},
        cause=of_ads,
        causes={name: each for name, each in own.items() if each != of_ads},
    )


def _cause(cause: str, has: Known, purpose: str) -> str:
    return cause or CONSENT_CAUSES[has.consent[purpose]]
