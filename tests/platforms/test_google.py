"""What no case of Google has room for: an event without an action, and what is found wrong with a request later."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from consumer.model import Conversion
from consumer.platforms.contract import (
    Account,
    Diagnosed,
    LateFault,
    Reply,
    Secret,
    Undiagnosed,
    Unfit,
)
from consumer.platforms.google import PLATFORM

ACCOUNT = Account(PLATFORM.base_url, "1234567890", Secret("made-up"), {"purchase": "7100000001"})
DIAGNOSIS = PLATFORM.diagnosis
ANSWERED = {"requestStatus": "SUCCESS", "eventsIngestionStatus": {"recordCount": "7"}}


def found(*destinations: Mapping[str, Any]) -> dict[str, Any]:
    """What the API answers about a request."""
    return {"requestStatusPerDestination": destinations}


def faults(status: str, *counts: Mapping[str, Any]) -> dict[str, Any]:
    """One destination's answer."""
    return {**ANSWERED, "requestStatus": status, "errorInfo": {"errorCounts": counts}}


def count(reason: str, **more: object) -> dict[str, object]:
    """So many records, wrong for one reason."""
    return {"reason": f"PROCESSING_ERROR_REASON_{reason}", **more}


def error(status: int, reason: str) -> dict[str, Any]:
    """A refusal to tell."""
    return {"error": {"code": status, "status": "INVALID_ARGUMENT", "details": [{"reason": reason}]}}


def test_an_event_without_an_action_is_unfit(
    conversion: Callable[[Mapping[str, Any]], Conversion],
) -> None:
    """Its conversion action is missing from the settings: one letter, and no other event waits for that."""
    step = conversion({"event_name": "begin_checkout", "event_id": "begin_checkout:c-1"})
    told = PLATFORM.event(step, ACCOUNT)
    assert isinstance(told, Unfit)
    assert told.code == "no_action"


def test_a_request_is_asked_about_by_its_id() -> None:
    """Escaped, and with the secret in a header alone."""
    assert DIAGNOSIS is not None
    request = DIAGNOSIS.request(ACCOUNT, "t-1/ä&x=1")
    assert request.method == "GET"
    assert request.body == b""
    assert request.url == f"{PLATFORM.base_url}/v1/requestStatus:retrieve?requestId=t-1%2F%C3%A4%26x%3D1"
    assert request.headers == {"Authorization": Secret("Bearer made-up")}
    assert "made-up" not in repr(request)


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (200, found(ANSWERED), Diagnosed()),
        (200, found(ANSWERED, {**ANSWERED, "warningInfo": {"warningCounts": [{"x": 1}]}}), Diagnosed()),
        (
            200,
            found(faults("PARTIAL_SUCCESS", count("EVENT_TOO_OLD", recordCount="2", recordIndices=[0, 3]))),
            Diagnosed((LateFault("EVENT_TOO_OLD", 2, (0, 3)),)),
        ),
        (
            200,
            found(faults("FAILED", count("DENIED_CONSENT", recordCount=7, recordIndices=["1", "2"]))),
            Diagnosed((LateFault("DENIED_CONSENT", 7, (1, 2)),)),
        ),
        (
            200,
            found(
                faults("PARTIAL_SUCCESS", count("DUPLICATE_TRANSACTION_ID", recordCount="1")),
                faults("PARTIAL_SUCCESS", count("DUPLICATE_GCLID", recordCount="1"), count("INVALID_GCLID")),
            ),
            Diagnosed(
                (
                    LateFault("DUPLICATE_TRANSACTION_ID", 1, counts=True),
                    LateFault("DUPLICATE_GCLID", 1, counts=True),
                    LateFault("INVALID_GCLID", 0),
                )
            ),
        ),
        (
            200,
            found(
                faults(
                    "FAILED",
                    {
                        "reason": "PROCESSING_ERROR_OPERATING_ACCOUNT_MISMATCH_FOR_AD_IDENTIFIER",
                        "recordCount": 1,
                    },
                )
            ),
            Diagnosed((LateFault("OPERATING_ACCOUNT_MISMATCH_FOR_AD_IDENTIFIER", 1),)),
        ),
        (
            200,
            found(ANSWERED, {**ANSWERED, "requestStatus": "FAILED"}),
            Diagnosed((LateFault("FAILED", 7),)),
        ),
        (200, found(ANSWERED, {**ANSWERED, "requestStatus": "PROCESSING"}), Undiagnosed("PROCESSING")),
        (200, found({}), Undiagnosed("PROCESSING")),
        (200, found({"requestStatus": "NEW_STATUS"}), Undiagnosed("NEW_STATUS")),
        (200, found(), Undiagnosed("http_200")),
        (200, {}, Undiagnosed("http_200")),
        (200, "null", Undiagnosed("http_200")),
        (200, "<html>Sign in</html>", Undiagnosed("http_200")),
        (200, '{"requestStatusPerD', Undiagnosed("http_200")),
        (200, '{"x":' + "[" * 3000, Undiagnosed("http_200")),
        (400, error(400, "INVALID_REQUEST_ID"), Undiagnosed("INVALID_REQUEST_ID", lost=True)),
        (400, error(400, "REQUEST_TOO_OLD"), Undiagnosed("REQUEST_TOO_OLD", lost=True)),
        (400, error(400, "NEW_RULE"), Undiagnosed("NEW_RULE")),
        (401, error(401, "ACCESS_TOKEN_EXPIRED"), Undiagnosed("ACCESS_TOKEN_EXPIRED")),
        (429, error(429, "RESOURCE_EXHAUSTED"), Undiagnosed("RESOURCE_EXHAUSTED")),
        (500, "<html>Sorry</html>", Undiagnosed("http_500")),
        (503, {"error": {}}, Undiagnosed("http_503")),
        (503, found(ANSWERED), Undiagnosed("http_503")),
    ],
)
def test_what_is_told_later_means(status: int, body: object, told: Diagnosed | Undiagnosed) -> None:
    """Done once every destination is; what counts all the same is told apart; else asked again, or given up."""
    assert DIAGNOSIS is not None
    text = body if isinstance(body, str) else json.dumps(body)
    assert DIAGNOSIS.judge(Reply(status, {}, text.encode(), 1_790_000_000_000)) == told
