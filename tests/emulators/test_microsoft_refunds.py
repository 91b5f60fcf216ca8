"""Microsoft's API for refunds as it stands in, over real sockets: which rows it takes, and how it tells of others."""

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from consumer.emulators.microsoft_refunds import PATH, STAND_IN, fire, pixel
from consumer.emulators.microsoft_refunds_access import FORM, SCOPE, TOKEN_PATH
from consumer.emulators.oracle import Held, Sum, disagreements, expected
from consumer.emulators.platforms import EmulatorThread
from consumer.emulators.shop import PixelFire, Plan, Truth, traffic
from consumer.emulators.shop.records import SALES

NOW_MS = 1_795_000_000_000
NOW = "2026-11-18T11:06:40Z"
SECRET = STAND_IN.secret()
GONE = object()
GOOD: dict[str, Any] = {
    "AdjustmentType": "Restate",
    "AdjustmentTime": "2026-11-18T11:06:39.999Z",
    "AdjustmentValue": 59.98,
    "AdjustmentCurrencyCode": "USD",
    "ConversionName": "Purchases",
    "TransactionId": "1",
}
BACK: dict[str, Any] = {
    "AdjustmentType": "Retract",
    "AdjustmentTime": NOW,
    "ConversionName": "Purchases",
    "TransactionId": "2",
}


class Client:
    """One request a connection, with the token file's means."""

    def __init__(self, url: str) -> None:
        self._netloc = urlsplit(url).netloc
        self.held: dict[str, str] = json.loads(STAND_IN.credentials(SECRET, url))
        self.headers = {
            "DeveloperToken": self.held["developer_token"],
            "CustomerAccountId": STAND_IN.account,
            "CustomerId": STAND_IN.options["customer_id"],
            "Content-Type": "application/json",
        }

    def ask(
        self, method: str, path: str, body: object = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """The status and the body; what is sent may be bytes."""
        connection = http.client.HTTPConnection(self._netloc, timeout=20)
        try:
            told = body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, told, dict(headers or {}))
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def token(self, **changes: str) -> tuple[int, dict[str, Any]]:
        """What the token server says."""
        told = {name: self.held[name] for name in ("client_id", "client_secret", "refresh_token")}
        form = {"grant_type": "refresh_token", "scope": f"{SCOPE} offline_access", **told, **changes}
        status, body = self.ask("POST", TOKEN_PATH, urlencode(form).encode(), {"Content-Type": FORM})
        found: dict[str, Any] = json.loads(body)
        return status, found

    def sign_in(self) -> None:
        """Have an access token, and use it."""
        self.headers["Authorization"] = f"Bearer {self.token()[1]['access_token']}"

    def apply(self, *rows: object, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """The status and Microsoft's own answer."""
        body = {"OnlineConversionAdjustments": rows}
        status, reply = self.ask("POST", PATH, body, {**self.headers, **(headers or {})})
        return status, json.loads(reply)

    def failed(self, *rows: object) -> list[tuple[int, str]]:
        """The rows that failed: their places and symbols."""
        status, told = self.apply(*rows)
        assert status == 200, told
        return [(error["Index"], error["ErrorCode"]) for error in told["PartialErrors"]]

    def stats(self) -> dict[str, Any]:
        """The sums."""
        found: dict[str, Any] = json.loads(self.ask("GET", "/_emulator/stats")[1])
        return found


@pytest.fixture(name="microsoft")
def _microsoft() -> Iterator[Client]:
    name = "microsoft_refunds"
    with EmulatorThread([name], tokens={name: SECRET}, now_ms=lambda: NOW_MS) as served:
        client = Client(served.urls[name])
        client.sign_in()
        yield client


def changed(**values: object) -> dict[str, Any]:
    """The good row with values put in, or taken out with GONE."""
    return {name: each for name, each in {**GOOD, **values}.items() if each is not GONE}


def test_good_rows_are_taken_once(microsoft: Client) -> None:
    """As refunds of their transactions, of which no money is known; the same row again is the same adjustment."""
    assert microsoft.failed(GOOD, BACK, changed(AdjustmentValue=1)) == []
    assert microsoft.failed(GOOD) == []
    stats = microsoft.stats()
    assert (stats["refunds"], stats["refunds_money"], stats["server_repeats"]) == (3, {}, 1)


@pytest.mark.parametrize(
    ("values", "symbol"),
    [
        ({"AdjustmentType": GONE}, "OfflineConversionInvalidAdjustmentType"),
        ({"AdjustmentType": "RESTATEMENT"}, "OfflineConversionInvalidAdjustmentType"),
        ({"AdjustmentTime": GONE}, "OfflineConversionAdjustmentTimeNullOrEmpty"),
        ({"AdjustmentTime": NOW_MS}, "OfflineConversionAdjustmentTimeInvalid"),
        ({"AdjustmentTime": "2026-11-18T11:06:40"}, "OfflineConversionAdjustmentTimeInvalid"),
        ({"AdjustmentTime": "2026-11-18T12:06:40+01:00"}, "OfflineConversionAdjustmentTimeInvalid"),
        ({"AdjustmentTime": "2026-02-30T00:00:00Z"}, "OfflineConversionAdjustmentTimeInvalid"),
        (
            {"AdjustmentTime": "2026-11-18T11:06:40.001Z"},
            "OfflineConversionFutureAdjustmentTimeCannotBeSet",
        ),
        ({"AdjustmentTime": "2026-08-20T11:06:39Z"}, "OfflineConversionAdjustmentTimeOutOfWindow"),
        ({"AdjustmentValue": GONE}, "OfflineConversionAdjustmentValueRequired"),
        ({"AdjustmentValue": "59.98"}, "OfflineConversionValueInvalid"),
        ({"AdjustmentValue": -1}, "OfflineConversionValueInvalid"),
        ({"AdjustmentValue": 59.985}, "OfflineConversionValueInvalid"),
        ({"AdjustmentValue": 0}, "OfflineConversionValueInvalid"),
        ({"AdjustmentCurrencyCode": GONE}, "OfflineConversionCurrencyValueRequired"),
        ({"AdjustmentCurrencyCode": "usd"}, "OfflineConversionCurrencyCodeInvalid"),
        ({"AdjustmentCurrencyCode": "JPY"}, "OfflineConversionValueInvalid"),
        ({"AdjustmentType": "Retract"}, "OfflineConversionAdjustmentValueNotExpected"),
        ({"ConversionName": GONE}, "OfflineConversionNameNullOrEmpty"),
        ({"ConversionName": "Another goal"}, "OfflineConversionNameInvalid"),
        ({"TransactionId": GONE}, "NullRequest"),
        ({"TransactionId": 1}, "NullRequest"),
        ({"OrderId": "1"}, "NullRequest"),
    ],
)
def test_a_bad_row_fails_alone(microsoft: Client, values: Mapping[str, object], symbol: str) -> None:
    """By its place; the others are taken."""
    assert microsoft.failed(GOOD, changed(**values), BACK) == [(1, symbol)]
    assert microsoft.stats()["refunds"] == 2


def test_rows_that_are_none_fail(microsoft: Client) -> None:
    """Each by itself."""
    null = "OfflineConversionIsNull"
    assert microsoft.failed(None, GOOD, 7) == [(0, null), (2, null)]


@pytest.mark.parametrize(
    ("rows", "symbol"),
    [(0, "OfflineConversionsNullOrEmpty"), (1001, "OfflineConversionsLimitExceeded")],
)
def test_a_request_has_1_to_1000_rows(microsoft: Client, rows: int, symbol: str) -> None:
    """None is too few, 1001 too many."""
    status, told = microsoft.apply(*[GOOD] * rows)
    assert (status, told["Errors"][0]["ErrorCode"]) == (400, symbol)
    assert microsoft.failed(*[GOOD] * 1000) == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"OnlineConversionAdjustments": {}}', b"[" * 100_000]
)
def test_a_body_of_another_shape_is_a_fault(microsoft: Client, body: bytes) -> None:
    """Whatever comes."""
    assert microsoft.ask("POST", PATH, body, microsoft.headers)[0] == 400


@pytest.mark.parametrize(
    ("headers", "status", "symbol"),
    [
        ({"Authorization": "Bearer wrong"}, 401, "InvalidCredentials"),
        ({"Authorization": "wrong"}, 401, "InvalidCredentials"),
        ({"DeveloperToken": "wrong"}, 401, "InvalidCredentials"),
        ({"CustomerId": "1"}, 403, "UserIsNotAuthorized"),
        ({"CustomerAccountId": "1"}, 403, "UserIsNotAuthorized"),
    ],
)
def test_who_may_not_write_is_told_so(
    microsoft: Client, headers: Mapping[str, str], status: int, symbol: str
) -> None:
    """Access token, developer token, customer and account: all four count."""
    told = microsoft.apply(GOOD, headers=headers)
    assert (told[0], told[1]["Errors"][0]["ErrorCode"]) == (status, symbol)
    assert "wrong" not in json.dumps(told)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"client_id": "another"}, 401, "invalid_client"),
        ({"client_secret": "another"}, 401, "invalid_client"),
        ({"refresh_token": "another"}, 400, "invalid_grant"),
        ({"scope": "offline_access"}, 400, "invalid_scope"),
    ],
)
def test_a_token_is_given_for_what_the_token_file_holds(
    microsoft: Client, changes: dict[str, str], status: int, code: str
) -> None:
    """All of it."""
    told = microsoft.token(**changes)
    assert (told[0], told[1]["error"]) == (status, code)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", PATH.replace("Online", "Offline"), 404), ("POST", f"{PATH}/", 404), ("GET", PATH, 405)],
)
def test_a_wrong_address_is_told(microsoft: Client, method: str, path: str, status: int) -> None:
    """Adjustments of other conversions, or no request to apply any."""
    assert microsoft.ask(method, path, {}, microsoft.headers)[0] == status


def test_what_is_not_known_yet_fails_as_long_as_it_is_not(microsoft: Client) -> None:
    """By the symbol that the fault names."""
    late = {"kind": "late", "event_ids": ["1"], "reason": "AdjustmentOriginalNotFound"}
    assert microsoft.ask("POST", "/_emulator/faults", late)[0] == 200
    assert microsoft.failed(GOOD, BACK) == [(0, "AdjustmentOriginalNotFound")]
    microsoft.ask("DELETE", "/_emulator/faults")
    assert microsoft.failed(GOOD) == []


def test_a_poison_fails_alone_or_takes_all_along(microsoft: Client) -> None:
    """As it is told."""
    poison: dict[str, object] = {"kind": "poison", "event_ids": ["1"], "count": 1}
    microsoft.ask("POST", "/_emulator/faults", poison)
    assert microsoft.failed(GOOD, BACK) == [(0, "OfflineConversionRestateRetractNotSupported")]
    microsoft.ask("POST", "/_emulator/faults", {**poison, "named": False})
    assert microsoft.apply(GOOD, BACK)[0] == 400
    assert microsoft.stats()["refunds"] == 1


@pytest.mark.parametrize(
    ("fault", "status", "symbol"),
    [
        ({"kind": "expired_token"}, 401, "AuthenticationTokenExpired"),
        ({"kind": "429"}, 429, "CallRateExceeded"),
        ({"kind": "status", "status": 503}, 503, "InternalError"),
        ({"kind": "status", "status": 418}, 418, "NullRequest"),
    ],
)
def test_faults_speak_microsofts_words(
    microsoft: Client, fault: dict[str, object], status: int, symbol: str
) -> None:
    """And take nothing."""
    microsoft.ask("POST", "/_emulator/faults", fault)
    told = microsoft.apply(GOOD)
    assert (told[0], told[1]["Errors"][0]["ErrorCode"]) == (status, symbol)
    assert microsoft.stats()["server"] == 0


def test_no_browser_tells_of_refunds(microsoft: Client) -> None:
    """There is no pixel."""
    plan = Plan(
        seed=3,
        orders=60,
        now_ms=NOW_MS,
        platforms={"meta": SALES, "microsoft_refunds": STAND_IN.taker},
    )
    fires = [one for one in traffic(plan) if isinstance(one, PixelFire)]
    assert not any("microsoft_refunds" in fired.platforms for fired in fires)
    assert microsoft.ask("POST", "/_emulator/pixel", fire(fires[0]))[0] == 400
    with pytest.raises(ValueError, match="no pixel"):
        pixel(b"{}")


def test_the_truth_expects_refunds_by_their_order_and_without_money() -> None:
    """So that what is left, which alone is told, is never taken for what was refunded."""
    plan = Plan(seed=3, orders=400, now_ms=NOW_MS, platforms={"microsoft_refunds": STAND_IN.taker})
    truths = [one for one in traffic(plan) if isinstance(one, Truth)]
    wanted = expected(truths, "microsoft_refunds", STAND_IN.told_id, STAND_IN.told_value)
    assert wanted.refunds.count > len(wanted.events["refund"]) > 0
    held = Held(wanted.events, Sum(), Sum(wanted.refunds.count))
    assert list(disagreements("microsoft_refunds", wanted, held)) == []
