"""What no case of Google Analytics has room for: carts of the largest size."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pytest

from consumer.model import Conversion
from consumer.platforms.contract import Account, Secret
from consumer.platforms.ga4 import PLATFORM

ACCOUNT = Account(PLATFORM.base_url, "G-ABC1234567", Secret("made-up"))
IDS = [str(place) for place in range(200)]
SIGNS = {"name": "赤" * 100, "category": "服" * 100, "brand": "店" * 100}


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ([{"sku": str(place)} for place in range(203)], IDS),
        ([{"sku": sku, **SIGNS} for sku in IDS], IDS),
        ([{"sku": "\x01" * 100, "quantity": 10**6, "price_minor": 10**12} for _ in IDS], []),
    ],
    ids=["200 at most", "without names where they are too large", "none where they still are"],
)
def test_a_cart_never_outgrows_what_analytics_takes(
    conversion: Callable[[Mapping[str, Any]], Conversion], items: list[dict[str, Any]], told: list[str]
) -> None:
    """What is larger would be dropped in silence: items give way, the purchase and its money stay."""
    given = [{"quantity": 1, "price_minor": 100, **item} for item in items]
    event = PLATFORM.event(conversion({"items": given}), ACCOUNT)
    assert isinstance(event, bytes)
    assert len(event) < PLATFORM.limits.bytes_max
    params = orjson.loads(event)["events"][0]["params"]
    assert [item["item_id"] for item in params.get("items", [])] == told
    assert params["value"] == 123.45
