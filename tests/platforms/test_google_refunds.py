"""What no case of Google's refunds has room for: token files, and what is said of a trial."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from consumer.deliver.http import _revealed
from consumer.emulators.contract import Access, Asked, Refused, Taken
from consumer.emulators.google_refunds import STAND_IN
from consumer.model import Conversion
from consumer.platforms.contract import (
    Accepted,
    Account,
    BatchRejected,
    PerEvent,
    Reply,
    Request,
    Secret,
    SetupFault,
    Token,
    Transient,
    Unfit,
    Verdict,
)
from consumer.platforms.google_refunds import PLATFORM

NOW_MS = 1_790_000_000_000
SECRET = STAND_IN.secret()
FILE = STAND_IN.credentials(SECRET, "http://127.0.0.1:1")
USER = {"client_id": "1.apps", "client_secret": "made-up", "refresh_token": "1//made-up"}
REFUND = {
    "event_name": "refund",
    "corrects_event_time": NOW_MS - 86_400_000,
    "corrects_value_minor": 12345,
    "corrects_refunded_minor": 3000,
}


def answered(request: Request, now_ms: int = NOW_MS) -> Taken | Refused:
    """What the emulator makes of a request."""
    url, headers = urlsplit(request.url), {n.lower(): _revealed(v) for n, v in request.headers.items()}
    asked = Asked(request.method, url.path, {}, {"host": url.netloc, **headers}, request.body)
    access = Access(SECRET, frozenset({STAND_IN.account}), STAND_IN.actions, STAND_IN.options)
    return STAND_IN.check(asked, access, now_ms)


def asked_for(token_file: str) -> Request | SetupFault:
    """The token request for what a file holds."""
    assert PLATFORM.grant is not None
    return PLATFORM.grant.request(Secret(token_file), NOW_MS / 1000)


def account(access_token: Secret, token_file: str = FILE) -> Account:
    """The demo's."""
    told = (PLATFORM.base_url, STAND_IN.account, access_token, STAND_IN.actions)
    return Account(*told, credentials=Secret(token_file))


def judged(answer: Taken | Refused) -> Verdict:
    """What its reply means."""
    return PLATFORM.judge(Reply(answer.status, {}, answer.body, NOW_MS))


def test_a_service_accounts_file_leads_to_a_refund_that_is_taken(
    conversion: Callable[[Mapping[str, Any]], Conversion],
) -> None:
    """For an hour, and with the developer token that is in the file beside the key."""
    assert PLATFORM.grant is not None
    request = asked_for(FILE)
    assert isinstance(request, Request)
    answer = answered(request)
    token = PLATFORM.grant.judge(Reply(answer.status, {}, answer.body, NOW_MS))
    assert isinstance(token, Token)
    event = PLATFORM.event(conversion(REFUND), account(token.access))
    assert isinstance(event, bytes)
    events = [event, event.replace(b'"1001"', b'"1002"')]
    sent = PLATFORM.request(account(token.access), events)
    assert judged(answered(sent)) == PerEvent((Accepted(), Accepted()))
    assert isinstance(judged(answered(sent, NOW_MS + 3_600_000)), SetupFault)
    other = json.dumps({**json.loads(FILE), "developer_token": "another"})
    refused = judged(answered(PLATFORM.request(account(token.access, other), events)))
    assert isinstance(refused, SetupFault)
    assert refused.code == "DEVELOPER_TOKEN_INVALID"


def test_a_users_file_is_exchanged() -> None:
    """At Google's token server."""
    request = asked_for(json.dumps({**USER, "developer_token": "made-up"}))
    assert isinstance(request, Request)
    assert request.url == "https://oauth2.googleapis.com/token"
    told = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    assert told == {**USER, "grant_type": "refresh_token"}


@pytest.mark.parametrize(
    "held",
    [
        "",
        "made-up",
        "[1]",
        json.dumps(USER),
        json.dumps({"developer_token": "made-up"}),
        json.dumps({"developer_token": "", **USER}),
        json.dumps({"developer_token": 7, **USER}),
        json.dumps({"developer_token": "made-up", "private_key": "made-up", **USER}),
    ],
)
def test_a_file_without_what_is_needed_asks_for_no_token(held: str) -> None:
    """It's for people to put right; nothing of it is said."""
    told = asked_for(held)
    assert isinstance(told, SetupFault)
    assert told.code == "key_file"
    assert "made-up" not in told.why


def test_an_event_without_an_action_is_unfit(
    conversion: Callable[[Mapping[str, Any]], Conversion],
) -> None:
    """Its conversion action is missing from the settings."""
    told = PLATFORM.event(conversion(REFUND), Account(PLATFORM.base_url, "1234567890", Secret("made-up")))
    assert isinstance(told, Unfit)
    assert told.code == "no_action"


def fault(code: str, family: str = "conversionAdjustmentUploadError") -> dict[str, Any]:
    """A reply that takes nothing of a trial."""
    return {"partialFailureError": {"details": [{"errors": [{"errorCode": {family: code}}]}]}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {}, Accepted),
        (200, fault("CONVERSION_NOT_FOUND"), Accepted),
        (200, fault("TOO_RECENT_CONVERSION"), Accepted),
        (200, fault("CONVERSION_ALREADY_RETRACTED"), Accepted),
        (200, fault("NO_CONVERSION_ACTION_FOUND"), SetupFault),
        (200, fault("CONVERSION_EXPIRED"), BatchRejected),
        (200, fault("NEW_RULE"), BatchRejected),
        (400, {"error": fault("UNSUPPORTED_VERSION", "requestError")["partialFailureError"]}, SetupFault),
        (403, {"error": {}}, SetupFault),
        (500, {}, Transient),
        (200, "<html>Sign in</html>", Transient),
    ],
)
def test_what_is_said_of_a_trial_means(status: int, body: object, kind: type[Verdict]) -> None:
    """A conversion that isn't there, or isn't old enough, is no fault of the settings."""
    assert PLATFORM.probe is not None
    text = body if isinstance(body, str) else json.dumps(body)
    verdict = PLATFORM.probe.judge(Reply(status, {}, text.encode(), NOW_MS))
    assert type(verdict) is kind
