"""Consent, purpose by purpose: the later word counts, at the same time the stricter, and silence is the setting's."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from consumer.enrich.planned import Planned
from consumer.model import Consent, ConsentState, Conversion
from tests.enrich.conftest import T0_MS, Shop

Told = Callable[[list[Planned]], list[Conversion]]
GRANTED, DENIED, SILENT = ConsentState.GRANTED, ConsentState.DENIED, ConsentState.UNSPECIFIED
PURPOSES = ("ads", "analytics", "personalisation")
EARLY_MS, LATE_MS = T0_MS + 5_000, T0_MS + 8_000


def _bought(shop: Shop, told: Told, at_checkout: Consent, at_order: Consent) -> Conversion:
    shop.plan(
        shop.step("COMPLETED", at_s=90, consent=at_checkout, browser={"fbp": "fb.1.1.1", "ip": "192.0.2.1"})
    )
    (purchase,) = told(shop.plan(shop.order(consent=at_order, identity={"email": "h"})))
    return purchase


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize(
    ("checkout", "order", "expected"),
    [
        ((GRANTED, EARLY_MS), (DENIED, LATE_MS), DENIED),
        ((DENIED, EARLY_MS), (GRANTED, LATE_MS), GRANTED),
        ((GRANTED, LATE_MS), (DENIED, EARLY_MS), GRANTED),
        ((GRANTED, EARLY_MS), (DENIED, EARLY_MS), DENIED),
        ((DENIED, EARLY_MS), (GRANTED, EARLY_MS), DENIED),
        ((GRANTED, EARLY_MS), (SILENT, LATE_MS), GRANTED),
        ((SILENT, LATE_MS), (DENIED, EARLY_MS), DENIED),
        ((SILENT, EARLY_MS), (SILENT, LATE_MS), DENIED),
    ],
)
def test_each_purpose_goes_its_own_way(
    shop: Shop,
    told: Told,
    purpose: str,
    checkout: tuple[ConsentState, int],
    order: tuple[ConsentState, int],
    expected: ConsentState,
) -> None:
    """What checkout and order say of one purpose is decided by when it was said; the others stay granted."""
    said = [
        replace(Consent(GRANTED, GRANTED, GRANTED, at_ms=at_ms), **{purpose: state})
        for state, at_ms in (checkout, order)
    ]
    purchase = _bought(shop, told, *said)
    assert {name: getattr(purchase, f"consent_{name}") for name in PURPOSES} == {
        **dict.fromkeys(PURPOSES, GRANTED),
        purpose: expected,
    }


BROWSER = {"fbp": "fb.1.1.1", "gclid": "g", "ga_client_id": "1.2", "ga_session_id": "3", "ip": "192.0.2.1"}
OF_ANALYTICS = {"ga_client_id": "1.2", "ga_session_id": "3"}
OF_ADS = {"fbp": "fb.1.1.1", "gclid": "g"}


@pytest.mark.parametrize("order_speaks", [False, True])
@pytest.mark.parametrize("ads", [GRANTED, DENIED])
@pytest.mark.parametrize("analytics", [GRANTED, DENIED])
def test_each_identifier_follows_its_purpose(
    shop: Shop,
    told: Told,
    ads: ConsentState,
    analytics: ConsentState,
    order_speaks: bool,  # noqa: FBT001
) -> None:
    """The ids of Google Analytics follow analytics; all else that points to a person follows ads."""
    said = Consent(ads=ads, analytics=analytics, personalisation=DENIED, at_ms=EARLY_MS)
    at_checkout, at_order = (Consent(GRANTED, GRANTED), said) if order_speaks else (said, Consent())
    shop.plan(shop.step("COMPLETED", at_s=1, consent=at_checkout, browser=BROWSER, identity={"email": "h"}))
    (purchase,) = told(shop.plan(shop.order(consent=at_order)))
    assert purchase.click_ids == {
        **(OF_ADS if ads == GRANTED else {}),
        **(OF_ANALYTICS if analytics == GRANTED else {}),
    }
    assert (purchase.identity, purchase.ip) == (({"email": "h"}, "192.0.2.1") if ads == GRANTED else ({}, ""))
    assert (purchase.consent_ads, purchase.consent_analytics) == (ads, analytics)


@pytest.mark.parametrize(
    ("ads", "analytics", "kept"),
    [
        (DENIED, SILENT, OF_ANALYTICS.keys()),
        (DENIED, GRANTED, OF_ANALYTICS.keys()),
        (SILENT, DENIED, {*OF_ADS, "ip"}),
        (GRANTED, DENIED, {*OF_ADS, "ip"}),
        (DENIED, DENIED, set()),
        (SILENT, SILENT, BROWSER.keys()),
    ],
)
@pytest.mark.parametrize("step", ["COMPLETED", "CONTACT"])
def test_what_was_denied_is_not_kept(
    shop: Shop, step: str, ads: ConsentState, analytics: ConsentState, kept: set[str]
) -> None:
    """State forgets what was known for a purpose as soon as it is denied, also after the checkout was completed."""
    shop.plan(shop.step(step, at_s=1, consent=Consent(), browser=BROWSER))
    shop.plan(shop.step("CONTACT", at_s=2, consent=Consent(ads=ads, analytics=analytics)))
    context = shop.memory.context("c1")
    assert context is not None
    assert context.browser.keys() == kept


@pytest.mark.parametrize("analytics", [GRANTED, DENIED, SILENT])
def test_silence_of_analytics_is_what_the_settings_say(
    open_shop: Callable[..., Shop], told: Told, analytics: ConsentState
) -> None:
    """Kept in state until someone says more; sent as the operator decided."""
    for deny in (True, False):
        shop = open_shop(deny_when_missing=deny)
        shop.plan(shop.step("COMPLETED", consent=Consent(ads=DENIED, analytics=analytics), browser=BROWSER))
        (purchase,) = told(shop.plan(shop.order(consent=Consent())))
        allowed = analytics == GRANTED or (analytics == SILENT and not deny)
        assert purchase.click_ids == (OF_ANALYTICS if allowed else {})


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_closed_checkout_takes_a_denial_and_no_grant(shop: Shop, told: Told, purpose: str) -> None:
    """A step after completion withdraws; what it allows besides comes too late."""
    denied = Consent(DENIED, DENIED, DENIED)
    shop.plan(shop.step("COMPLETED", at_s=1, consent=replace(denied, **{purpose: GRANTED}), browser=BROWSER))
    opposite = replace(Consent(GRANTED, GRANTED, GRANTED), **{purpose: DENIED})
    shop.plan(shop.step("CONTACT", at_s=2, consent=opposite, browser=BROWSER))
    (purchase,) = told(shop.plan(shop.order(consent=Consent())))
    others = {f"consent_{name}" for name in PURPOSES if name != purpose}
    assert {getattr(purchase, name) for name in others} == {"DENIED"}
    assert purchase.click_ids == {}


@pytest.mark.parametrize("at_order", [False, True])
def test_sale_opt_out_keeps_identifiers_and_marks(shop: Shop, told: Told, at_order: bool) -> None:  # noqa: FBT001
    """Sharing is limited, not forbidden: the platform's limited-use flag is told from the mark and the region."""
    plain = Consent(ads=GRANTED, at_ms=EARLY_MS)
    opted = Consent(ads=GRANTED, sale_opt_out=True, region="US-CA", at_ms=EARLY_MS)
    purchase = _bought(shop, told, *((plain, opted) if at_order else (opted, plain)))
    assert (purchase.sale_opt_out, purchase.consent_region) == (True, "US-CA")
    assert purchase.identity == {"email": "h"}


def test_sale_opt_out_may_be_taken_back_later(shop: Shop, told: Told) -> None:
    """A later word replaces an earlier one, whichever way."""
    opted = Consent(ads=GRANTED, sale_opt_out=True, at_ms=EARLY_MS)
    purchase = _bought(shop, told, opted, Consent(ads=GRANTED, sale_opt_out=False, at_ms=LATE_MS))
    assert not purchase.sale_opt_out
