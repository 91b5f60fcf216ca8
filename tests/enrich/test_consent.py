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


def test_only_a_denial_of_ads_strips_identifiers(shop: Shop, told: Told) -> None:
    """Analytics and personalisation are told to the platforms; whether a person may be known is about ads."""
    granted = Consent(ads=GRANTED, analytics=DENIED, personalisation=DENIED)
    purchase = _bought(shop, told, granted, granted)
    assert (purchase.identity, purchase.click_ids, purchase.ip) == (
        {"email": "h"},
        {"fbp": "fb.1.1.1"},
        "192.0.2.1",
    )
    assert (purchase.consent_analytics, purchase.consent_personalisation) == ("DENIED", "DENIED")


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
