"""What no case of Microsoft's refunds has room for: the way from a token file to a refund that is taken."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import pytest

from consumer.deliver.http import _revealed
from consumer.deliver.worth import valued
from consumer.emulators.contract import Access, Asked, Refused, Taken
from consumer.emulators.microsoft_refunds import STAND_IN
from consumer.model import Conversion
from consumer.platforms.contract import Accepted, Account, Reply, Request, Secret, SetupFault, Token, Unfit
from consumer.platforms.microsoft_refunds import PLATFORM

Make: TypeAlias = Callable[[Mapping[str, Any]], Conversion]
NOW_MS = 1_790_000_000_000
SECRET = STAND_IN.secret()
FILE = STAND_IN.credentials(SECRET, "http://127.0.0.1:1")
REFUND = {
    "event_name": "refund",
    "event_time": NOW_MS,
    "corrects_event_time": NOW_MS - 1,
    "value_minor": 500,
    "corrects_value_minor": 1999,
    "corrects_refunded_minor": 500,
    "corrects_tax_minor": 319,
    "corrects_shipping_minor": 400,
}


def answered(request: Request, now_ms: int = NOW_MS) -> Taken | Refused:
    """What the emulator makes of a request."""
    headers = {name.lower(): _revealed(value) for name, value in request.headers.items()}
    asked = Asked(request.method, urlsplit(request.url).path, {}, headers, request.body)
    access = Access(SECRET, frozenset({STAND_IN.account}), STAND_IN.actions, STAND_IN.options)
    return STAND_IN.check(asked, access, now_ms)


def granted(token_file: str) -> object:
    """What is had for a token file."""
    assert PLATFORM.grant is not None
    request = PLATFORM.grant.request(Secret(token_file), NOW_MS / 1000)
    if isinstance(request, SetupFault):
        return request
    answer = answered(request)
    return PLATFORM.grant.judge(Reply(answer.status, {}, answer.body, NOW_MS))


def account(token: str, actions: Mapping[str, str]) -> Account:
    """The demo's."""
    return Account(
        *(PLATFORM.base_url, STAND_IN.account, Secret(token), actions, STAND_IN.options),
        credentials=Secret(FILE),
    )


def test_a_token_file_leads_to_a_refund_that_is_taken(conversion: Make) -> None:
    """For an hour: then the access token is refused, and a new one is to be had."""
    token = granted(FILE)
    assert isinstance(token, Token)
    assert token.expires_in_s == 3600
    holder = account(token.access.reveal(), STAND_IN.actions)
    event = PLATFORM.event(conversion(REFUND), holder)
    assert isinstance(event, bytes)
    request = PLATFORM.request(holder, [event, event])
    answer = answered(request)
    assert PLATFORM.judge(Reply(answer.status, {}, answer.body, NOW_MS)) == Accepted()
    late = answered(request, NOW_MS + 3_600_000)
    verdict = PLATFORM.judge(Reply(late.status, {}, late.body, NOW_MS))
    assert isinstance(verdict, SetupFault)
    assert verdict.code == "AuthenticationTokenExpired"


def test_the_token_is_asked_for_its_scope() -> None:
    """And for no other."""
    assert PLATFORM.grant is not None
    request = PLATFORM.grant.request(Secret(FILE), 0)
    assert isinstance(request, Request)
    assert parse_qs(request.body.decode())["scope"] == [
        "https://ads.microsoft.com/msads.manage offline_access"
    ]


@pytest.mark.parametrize(
    ("token_file", "code"),
    [
        ("no JSON", "key_file"),
        (json.dumps({**json.loads(FILE), "developer_token": ""}), "key_file"),
        (json.dumps({"developer_token": "x"}), "key_file"),
        (STAND_IN.credentials(STAND_IN.secret(), "http://127.0.0.1:1"), "token_invalid_client"),
    ],
)
def test_a_token_file_that_lacks_something_gets_no_token(token_file: str, code: str) -> None:
    """Which is for people to put right."""
    found = granted(token_file)
    assert isinstance(found, SetupFault)
    assert found.code == code


def test_a_refund_without_a_goal_is_unfit(conversion: Make) -> None:
    """The settings name it."""
    found = PLATFORM.event(conversion(REFUND), account("t", {}))
    assert isinstance(found, Unfit)
    assert found.code == "no_action"


def test_what_is_left_is_of_what_the_purchase_was_told_as(conversion: Make) -> None:
    """If the destination counts an order without tax and shipping, so does what is left of it."""
    holder = account("t", STAND_IN.actions)
    event = PLATFORM.event(valued(conversion(REFUND), "without_tax_and_shipping"), holder)
    assert isinstance(event, bytes)
    assert json.loads(event)["AdjustmentValue"] == 9.6  # 1280 minor units less a quarter of them
