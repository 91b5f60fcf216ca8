"""Google's stand-in for refunds, over real sockets: who is let in, what is taken of a batch, and what is the same."""

import copy
import http.client
import json
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import pytest

from consumer.emulators.google_access import TOKEN_PATH, new_key
from consumer.emulators.google_refunds import STAND_IN, developer_token, told_id, told_value
from consumer.emulators.oracle import expected
from consumer.emulators.platforms import EmulatorThread
from consumer.emulators.shop import PixelFire, Plan, Truth, traffic
from consumer.platforms import oauth
from consumer.platforms.contract import Request, Secret

NOW_MS = 1_790_000_000_000
RIGHT = "right"
PATH = "/v26/customers/1234567890:uploadConversionAdjustments"
ACTION = "customers/1234567890/conversionActions/7100000001"
UPLOAD = "conversionAdjustmentUploadError"
GONE = object()
SCOPES = "https://www.googleapis.com/auth/"
GOOD = {
    "adjustmentType": "RESTATEMENT",
    "conversionAction": ACTION,
    "orderId": "1",
    "adjustmentDateTime": "2026-09-21 14:13:20+00:00",
    "restatementValue": {"adjustedValue": 59.98, "currencyCode": "EUR"},
}
WHOLE = {**GOOD, "adjustmentType": "RETRACTION"}
del WHOLE["restatementValue"]


class Clock:
    """Told, not running."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        """Epoch milliseconds."""
        return self.now_ms


class Client:
    """One request a connection. Answers are status and JSON."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._netloc = urlsplit(url).netloc

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Exactly this request."""
        connection = http.client.HTTPConnection(self._netloc, timeout=20)
        try:
            connection.request(method, path, body, dict(headers or {}))
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def post(self, body: object, path: str = PATH, **headers: str) -> tuple[int, dict[str, object]]:
        """JSON, as the demo's client; `body` may be bytes. A header that is empty is left out."""
        told = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {RIGHT}",
            "developer-token": developer_token(RIGHT),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, reply = self.ask("POST", path, text, {name: value for name, value in told.items() if value})
        return status, json.loads(reply)

    def send(self, *adjustments: object, **headers: str) -> tuple[int, dict[str, object]]:
        """A batch."""
        return self.post({"conversionAdjustments": adjustments, "partialFailure": True}, **headers)

    def fail(self, **fault: object) -> None:
        """From now on."""
        assert self.ask("POST", "/_emulator/faults", json.dumps(fault).encode())[0] == 200

    def lines(self, what: str) -> list[dict[str, object]]:
        """A list of the emulator's."""
        return [json.loads(line) for line in self.ask("GET", f"/_emulator/{what}")[1].splitlines()]

    def stats(self) -> dict[str, object]:
        """The sums."""
        found = json.loads(self.ask("GET", "/_emulator/stats")[1])
        assert isinstance(found, dict)
        return found


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="google")
def _google(clock: Clock) -> Iterator[Client]:
    with EmulatorThread(["google_refunds"], tokens={"google_refunds": RIGHT}, now_ms=clock) as served:
        yield Client(served.urls["google_refunds"])


def changed(path: str, value: object, of: Mapping[str, object] = GOOD) -> dict[str, object]:
    """A good adjustment with one value put in, or taken out with GONE; `path` has dots."""
    told: dict[str, object] = copy.deepcopy(dict(of))
    *above, last = path.split(".")
    at: object = told
    for step in above:
        assert isinstance(at, dict)
        at = at[step]
    assert isinstance(at, dict)
    if value is GONE:
        del at[last]
    else:
        at[last] = value
    return told


def numbered(*order_ids: str) -> list[dict[str, object]]:
    """Good ones, each of its order."""
    return [{**GOOD, "orderId": order_id} for order_id in order_ids]


def codes(reply: Mapping[str, object]) -> list[tuple[int | None, str, str]]:
    """Place, family and code of each error that a reply tells."""
    told = reply.get("partialFailureError") or reply.get("error")
    assert isinstance(told, dict)
    found: list[tuple[int | None, str, str]] = []
    for row in (row for detail in told["details"] for row in detail.get("errors", [])):
        steps = row.get("location", {}).get("fieldPathElements", [])
        ((family, code),) = row["errorCode"].items()
        found.append((steps[0]["index"] if steps else None, family, code))
    return found


def test_what_is_right_is_taken(google: Client) -> None:
    """A batch of a restatement and a retraction: each is told back, by its place."""
    status, reply = google.send(GOOD, {**WHOLE, "orderId": "2"})
    assert (status, reply["jobId"]) == (200, "1")
    assert reply["results"] == [GOOD, {**WHOLE, "orderId": "2"}]
    assert "partialFailureError" not in reply
    assert google.stats()["refunds"] == 2
    assert google.stats()["refunds_money"] == {}


@pytest.mark.parametrize(
    ("told", "family", "code"),
    [
        (changed("adjustmentType", GONE), "fieldError", "REQUIRED"),
        (changed("adjustmentType", "ENHANCEMENT"), UPLOAD, "CONVERSION_ACTION_NOT_ELIGIBLE_FOR_ENHANCEMENT"),
        (changed("conversionAction", GONE), "fieldError", "REQUIRED"),
        (changed("conversionAction", "7100000001"), UPLOAD, "NO_CONVERSION_ACTION_FOUND"),
        (changed("conversionAction", ACTION.replace("123", "321")), UPLOAD, "NO_CONVERSION_ACTION_FOUND"),
        (changed("conversionAction", ACTION + "2"), UPLOAD, "NO_CONVERSION_ACTION_FOUND"),
        (changed("orderId", GONE), UPLOAD, "MISSING_ORDER_ID_FOR_WEBPAGE"),
        (changed("orderId", " "), UPLOAD, "MISSING_ORDER_ID_FOR_WEBPAGE"),
        (changed("orderId", "1" * 65), "stringLengthError", "TOO_LONG"),
        (changed("orderId", "john@shop.example"), UPLOAD, "ORDER_ID_CONTAINS_PII"),
        (
            changed("gclidDateTimePair", {"gclid": "x", "conversionDateTime": "2026-09-20 14:13:20+00:00"}),
            UPLOAD,
            "GCLID_DATE_TIME_PAIR_AND_ORDER_ID_BOTH_SET",
        ),
        (changed("adjustmentDateTime", GONE), "fieldError", "REQUIRED"),
        *(
            (changed("adjustmentDateTime", text), "dateError", "INVALID_STRING_DATE_TIME_SECONDS_WITH_OFFSET")
            for text in (
                "2026-09-21T14:13:20Z",
                "2026-09-21 14:13:20",
                "2026-09-21 14:13:20.000+00:00",
                "2026-09-31 14:13:20+00:00",
                "1790000000",
                "1790000000000",
            )
        ),
        (changed("adjustmentDateTime", "2026-09-21 14:14:21+00:00"), "dateError", "LATER_THAN_MAXIMUM_DATE"),
        (changed("adjustmentDateTime", "2026-07-29 14:13:19+00:00"), UPLOAD, "CONVERSION_EXPIRED"),
        (changed("restatementValue", GONE), "fieldError", "REQUIRED"),
        (changed("restatementValue.adjustedValue", GONE), "fieldError", "REQUIRED"),
        (changed("restatementValue.adjustedValue", -1), "rangeError", "TOO_LOW"),
        (changed("restatementValue.adjustedValue", 59.985), "rangeError", "TOO_LOW"),
        (changed("restatementValue.currencyCode", "eur"), "currencyCodeError", "UNSUPPORTED"),
        (changed("restatementValue.currencyCode", "XXX"), "currencyCodeError", "UNSUPPORTED"),
        ({**GOOD, "adjustmentType": "RETRACTION"}, "fieldError", "VALUE_MUST_BE_UNSET"),
        (changed("userAgent", "Mozilla/5.0"), "fieldError", "VALUE_MUST_BE_UNSET"),
        (changed("userIdentifiers", [{"hashedEmail": "x"}]), "fieldError", "VALUE_MUST_BE_UNSET"),
    ],
)
def test_what_is_wrong_is_refused_alone(
    google: Client, told: dict[str, object], family: str, code: str
) -> None:
    """By its place, and what is right beside it is taken. Minor units in place of major ones can't be seen."""
    status, reply = google.send(*numbered("2"), told, *numbered("3"))
    assert status == 200
    assert (1, family, code) in codes(reply)
    assert {place for place, _, _ in codes(reply)} == {1}
    results = reply["results"]
    assert isinstance(results, list)
    assert [bool(result) for result in results] == [True, False, True]
    assert [line["orderId"] for line in google.lines("accepted")] == ["2", "3"]


@pytest.mark.parametrize(
    "told",
    [
        changed("adjustmentType", "REFUND"),
        changed("adjustmentDateTime", 1_790_000_000),
        changed("orderId", 1),
        changed("restatementValue.adjustedValue", "59.98"),
        changed("restatementValue.value", 59.98),
        changed("order_id", "1"),
        changed("userIdentifiers", "x"),
        "adjustment",
    ],
)
def test_what_cannot_be_read_refuses_all(google: Client, told: object) -> None:
    """A field that isn't known, or of another type: the request's own fault, as the field's name tells."""
    status, reply = google.send(*numbered("2"), told)
    error = reply["error"]
    assert isinstance(error, dict)
    assert (status, error["status"]) == (400, "INVALID_ARGUMENT")
    assert "conversionAdjustments.1" in json.dumps(error)
    assert google.stats()["server"] == 0


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"conversionAdjustments": [GOOD]}, 400, "PARTIAL_FAILURE_MODE_REQUIRED"),
        (
            {"conversionAdjustments": [GOOD], "partialFailure": False},
            400,
            "PARTIAL_FAILURE_MODE_REQUIRED",
        ),
        ({"conversionAdjustments": [GOOD], "partialFailure": True, "jobId": 0}, 400, "INVALID_JOB_ID"),
        (
            {"conversionAdjustments": [WHOLE] * 2001, "partialFailure": True},
            400,
            "TOO_MANY_ADJUSTMENTS_IN_REQUEST",
        ),
        ({"conversionAdjustments": [], "partialFailure": True}, 400, ""),
        ({"conversionAdjustments": [GOOD], "partialFailure": True, "customerId": "1"}, 400, ""),
        ({"partialFailure": True}, 400, ""),
        ([GOOD], 400, ""),
        (b'{"conversionAdjustments": [', 400, ""),
        (b" " * 1_000_001, 413, ""),
    ],
)
def test_a_wrong_request_keeps_nothing(google: Client, body: object, status: int, code: str) -> None:
    """And says what is wrong."""
    told, reply = google.post(body)
    assert told == status
    assert [each[2] for each in codes(reply)] == ([code] if code else [])
    assert (google.stats()["server"], google.stats()["rejected_requests"]) == (0, 1)


def test_only_who_may_write_is_let_in(google: Client) -> None:
    """With an access token, a developer token and access to the account, as themselves or by a manager."""
    assert google.send(GOOD, login_customer_id="1234567890")[0] == 200
    refused = {
        401: [
            google.send(GOOD, Authorization=""),
            google.send(GOOD, Authorization="Bearer wrong"),
            google.send(GOOD, developer_token=""),
            google.send(GOOD, developer_token="wrong"),  # noqa: S106 (it opens nothing)
        ],
        403: [
            google.send(GOOD, login_customer_id="123-456-7890"),
            google.post({}, PATH.replace("1234567890", "1234567891")),
        ],
        400: [google.post({}, PATH.replace("v26", "v21"))],
    }
    for status, answers in refused.items():
        assert [answer[0] for answer in answers] == [status] * len(answers)
    assert codes(refused[400][0][1]) == [(None, "requestError", "UNSUPPORTED_VERSION")]
    assert google.ask("POST", "/v26/customers/1:uploadClickConversions", b"{}")[0] == 404
    assert google.ask("GET", PATH)[0] == 404
    assert google.stats()["server"] == 1


def test_a_key_is_exchanged_for_a_token_of_this_scope(clock: Clock) -> None:
    """Of no other one; and it is good for an hour."""
    secret = new_key()
    with EmulatorThread(["google_refunds"], tokens={"google_refunds": secret}, now_ms=clock) as served:
        google, key = Client(served.urls["google_refunds"]), Secret(served.credentials["google_refunds"])

        def asked(scope: str) -> tuple[int, dict[str, object]]:
            request = oauth.service_account("", f"{SCOPES}{scope}").request(key, NOW_MS / 1000)
            assert isinstance(request, Request)
            status, body = google.ask("POST", TOKEN_PATH, request.body)
            return status, json.loads(body)

        status, given = asked("adwords")
        assert (status, given["expires_in"]) == (200, 3600)
        bearer = f"Bearer {given['access_token']}"
        mine = {"Authorization": bearer, "developer_token": developer_token(secret)}
        assert google.send(GOOD, **mine)[0] == 200
        assert google.send(GOOD, **{**mine, "Authorization": bearer[:-1] + "x"})[0] == 401
        clock.now_ms += 3_600_000
        assert google.send(GOOD, **mine)[0] == 401
        status, refused = asked("datamanager")
        assert (status, refused["error"]) == (400, "invalid_grant")


def test_an_adjustment_is_one_by_its_conversion_and_its_time(google: Client, clock: Clock) -> None:
    """However late it comes again; another time is another one. Twice in a request the second is refused."""
    google.send(GOOD)
    clock.now_ms += 3 * 86_400_000
    google.send(GOOD)
    google.send(changed("adjustmentDateTime", "2026-09-21 14:13:21+00:00"), {**WHOLE, "orderId": "2"})
    google.send({**WHOLE, "orderId": "2"})
    assert codes(google.send(*numbered("3", "3"))[1]) == [(1, UPLOAD, "DUPLICATE_ADJUSTMENT_IN_REQUEST")]
    told = [(line["event_name"], line["event_id"], line["means"]) for line in google.lines("deduped")]
    restated, retracted = ("RESTATEMENT", "1", "refund"), ("RETRACTION", "2", "refund")
    assert told == [restated, restated, retracted, ("RESTATEMENT", "3", "refund")]
    assert google.stats()["server_repeats"] == 2


def test_what_is_only_validated_is_not_kept(google: Client) -> None:
    """And has no results."""
    body = {"conversionAdjustments": [GOOD], "partialFailure": True, "validateOnly": True}
    assert google.post(body) == (200, {})
    assert google.stats()["server"] == 0


def test_a_poison_is_refused_by_its_place(google: Client) -> None:
    """And its neighbours are taken; where it shall not be named, none is."""
    poison = {"kind": "poison", "event_ids": ["2"], "count": 1}
    google.fail(**poison)
    assert codes(google.send(*numbered("1", "2", "3"))[1]) == [(1, UPLOAD, "ORDER_ID_CONTAINS_PII")]
    assert [line["orderId"] for line in google.lines("accepted")] == ["1", "3"]
    google.fail(**poison, named=False)
    assert google.send(*numbered("1", "2", "3"))[0] == 400
    google.fail(**poison, status=500)
    assert google.send(*numbered("1", "2", "3"))[0] == 500
    assert google.stats()["server"] == 2


def test_a_conversion_that_shall_not_be_there_is_not_found(google: Client) -> None:
    """Until it is: the others are taken."""
    google.fail(kind="late", event_ids=["2"], reason="CONVERSION_NOT_FOUND")
    assert codes(google.send(*numbered("1", "2"))[1]) == [(1, UPLOAD, "CONVERSION_NOT_FOUND")]
    google.ask("DELETE", "/_emulator/faults")
    assert "partialFailureError" not in google.send(*numbered("2"))[1]
    assert [line["orderId"] for line in google.lines("accepted")] == ["1", "2"]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"kind": "429", "retry_after_s": 3}, 429, "RESOURCE_EXHAUSTED"),
        ({"kind": "expired_token"}, 401, ""),
        ({"kind": "status"}, 500, "INTERNAL_ERROR"),
        ({"kind": "status", "status": 503}, 503, "INTERNAL_ERROR"),
        ({"kind": "status", "status": 400}, 400, "UNKNOWN"),
    ],
)
def test_faults_speak_googles_words(google: Client, fault: dict[str, object], status: int, code: str) -> None:
    """And keep nothing."""
    google.fail(**fault)
    told, reply = google.send(GOOD)
    assert (told, [each[2] for each in codes(reply)]) == (status, [code] if code else [])
    assert (google.stats()["server"], google.stats()["rejected_requests"]) == (0, 1)
    assert ('"3s"' in json.dumps(reply)) is (fault["kind"] == "429")


def test_no_browser_tells_of_refunds(google: Client) -> None:
    """Nor does the shop's tag send one; of the truth its refunds arrive, and no money of theirs is told."""
    assert google.ask("POST", "/_emulator/pixel", b"{}")[0] == 400
    plan = Plan(seed=3, orders=90, now_ms=NOW_MS, platforms={STAND_IN.name: STAND_IN.taker})
    told = list(traffic(plan))
    assert not any(STAND_IN.name in one.platforms for one in told if isinstance(one, PixelFire))
    truths = [one for one in told if isinstance(one, Truth)]
    must = expected(truths, STAND_IN.name, told_id, told_value)
    assert must.events.keys() == {"refund"}
    assert must.refunds.count > len(must.events["refund"]) > 0
    assert not any(must.refunds.money.values())
