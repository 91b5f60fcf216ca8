"""What each platform is told of a customer who opted out of sale, and of what they allowed: one table for all."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec
import orjson
import pytest

from consumer.deliver.route import Send, Skip, Wants, route
from consumer.emulators.platforms import STAND_INS
from consumer.model import Conversion
from consumer.platforms import PLATFORMS
from consumer.platforms.contract import Account, Platform, Secret

Make: TypeAlias = Callable[[Mapping[str, Any]], Conversion]
Fields: TypeAlias = Mapping[str, object]

PUBLIC_IP = "8.8.8.8"
OPTED_OUT: Mapping[str, Fields | str] = {
    "meta": {"data_processing_options": ["LDU"], "data_processing_options_state": 1000},
    "google": {"consent.adPersonalization": "CONSENT_DENIED"},
    "ga4": {"consent.ad_personalization": "DENIED"},
    "tiktok": {"limited_data_use": True},
    "snapchat": {"data_processing_options": ["LDU"], "opt_out": True},
    "pinterest": {"opt_out": True, "custom_data.opt_out_type": "LDP"},
    "reddit": {"user.data_processing_options.modes": ["LDU"]},
    "linkedin": "sale_opt_out",
    "x": "sale_opt_out",
    "microsoft": {"adStorageConsent": "D"},
    "amazon": {"dataProcessingOptions.options": "LIMITED_DATA_USE"},
    "openai": {"opt_out": True},
}
"""Fields of the event by their path; a text is the reason for which it is skipped."""

GRANTED: Mapping[str, Fields] = {
    "google": {"consent.adUserData": "CONSENT_GRANTED", "consent.adPersonalization": "CONSENT_GRANTED"},
    "ga4": {"consent.ad_user_data": "GRANTED", "consent.ad_personalization": "GRANTED"},
    "microsoft": {"adStorageConsent": "G"},
    "amazon": {"consent.amazonConsent.amznUserData": "GRANTED"},
}
"""Those that have a field for it; to the others it is what lets the event go."""

CORRECTIONS = frozenset({"google_refunds", "microsoft_refunds"})
"""They correct what a platform was told already, and add nothing about anybody."""


def at(event: Any, path: str) -> object:  # noqa: ANN401 (JSON)
    """The value at a path; None if there is none."""
    for key in path.split("."):
        event = event.get(key) if isinstance(event, dict) else None
    return event


def told(platform: Platform, conversion: Conversion) -> Any:  # noqa: ANN401 (JSON)
    """The event as JSON, or the reason for which it is skipped."""
    stand_in = STAND_INS[platform.name]
    account = Account(platform.base_url, stand_in.account, Secret("t"), stand_in.actions, stand_in.options)
    wants = Wants(frozenset(platform.events), account)
    match route(conversion, platform, wants, 0, conversion.event_time):
        case Skip(reason):
            return reason
        case Send():
            event = platform.event(conversion, account)
            assert isinstance(event, bytes), event
            return orjson.loads(event)
    raise AssertionError(platform.name)


def test_table_is_whole() -> None:
    """No platform is without its line."""
    assert PLATFORMS.keys() - CORRECTIONS == OPTED_OUT.keys()


@pytest.mark.parametrize("name", list(OPTED_OUT))
def test_sale_opt_out_is_told(name: str, conversion: Make) -> None:
    """Who opted out of sale is told of in the platform's own field, or not told of at all."""
    given = {"sale_opt_out": True, "consent_region": "US-CA", "ip": PUBLIC_IP}
    opted_out, allowed = (
        told(PLATFORMS[name], conversion({**given, "sale_opt_out": out})) for out in (True, False)
    )
    expected = OPTED_OUT[name]
    if isinstance(expected, str):
        assert opted_out == expected
        assert isinstance(allowed, dict)
        return
    for path, value in expected.items():
        assert at(opted_out, path) == value, path
        assert at(allowed, path) != value, path


@pytest.mark.parametrize("name", list(GRANTED))
def test_what_was_granted_is_told(name: str, conversion: Make) -> None:
    """Where a platform has a field for consent, it says what the customer said, and nothing if they said nothing."""
    granted = told(PLATFORMS[name], conversion({}))
    for path, value in GRANTED[name].items():
        assert at(granted, path) == value, path
    silent = told(
        PLATFORMS[name],
        conversion({"consent_ads": "UNSPECIFIED", "consent_personalisation": "UNSPECIFIED"}),
    )
    for path, value in GRANTED[name].items():
        assert at(silent, path) != value, path


@pytest.mark.parametrize("name", list(OPTED_OUT))
def test_denied_consent_is_never_told_of(name: str, conversion: Make) -> None:
    """Without consent for its purpose a platform is sent nothing."""
    platform = PLATFORMS[name]
    purpose = f"consent_{platform.purpose}"
    denied = msgspec.structs.replace(conversion({}), **{purpose: "DENIED"})
    assert told(platform, denied) == "consent"
