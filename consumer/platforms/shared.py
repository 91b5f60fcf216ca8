"""What several platforms' files need alike: forms of values, and replies that aren't the platform's own."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus

from consumer.money import exponent
from consumer.platforms.contract import (
    Reply,
    SetupFault,
    Throttled,
    TooLarge,
    Transient,
    retry_after_s,
)

_ADDRESS = re.compile(r"https?://[^\s/]\S*")
_WAITING = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})

STATUS_CODES = frozenset(
    f"http_{status}" for status in (301, 302, 307, 308, 400, 401, 403, 404, 405, 408, 413, 429)
) | frozenset(f"http_{status}" for status in (500, 502, 503, 504))
"""The codes of `unread` for statuses that need no explanation."""


def page_address(text: str) -> str:
    """The address of a page of the web; empty if it is none.

    >>> page_address(" https://shop.example/thanks "), page_address("about:blank")
    ('https://shop.example/thanks', '')
    """
    plain = text.strip()
    return plain if _ADDRESS.fullmatch(plain) else ""


def decimal_text(amount_minor: int, currency: str) -> str:
    """Minor units as a decimal text of the currency's own unit.

    Raises KeyError for a currency that doesn't exist; enrich lets none pass.

    >>> decimal_text(1230, "USD"), decimal_text(1234, "JPY"), decimal_text(5, "KWD")
    ('12.30', '1234', '0.005')
    """
    digits = exponent(currency)
    if digits is None:
        raise KeyError(currency)
    return f"{Decimal(amount_minor).scaleb(-digits):f}"


def utc_text(at_ms: int) -> str:
    """A time as ISO 8601 has it: in UTC, with milliseconds and a Z.

    >>> utc_text(1790000000007)
    '2026-09-21T14:13:20.007Z'
    """
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03}Z"


def unread(reply: Reply, platform: str) -> TooLarge | Throttled | SetupFault | Transient:
    """A body that isn't the platform's own, such as a proxy's page: only the status speaks.

    A refusal in a stranger's words is about the address; anything else may be a reply that was cut off.
    """
    name = f"http_{reply.status}"
    if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(name)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(name, retry_after_s(reply))
    refused = HTTPStatus.MULTIPLE_CHOICES <= reply.status < HTTPStatus.INTERNAL_SERVER_ERROR
    if refused and reply.status not in _WAITING:
        return SetupFault(name, f"answered without {platform}'s own words: is the address {platform}'s?")
    return Transient(name, retry_after_s(reply))
