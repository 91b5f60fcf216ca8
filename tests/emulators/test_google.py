"""Google's stand-in, over real sockets: who may ask, what it takes, what it refuses, and what it tells later."""

import copy
import http.client
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

import pytest

from consumer.emulators.google import told_id
from consumer.emulators.google_later import MONTHS_MS, read_id
from consumer.emulators.google_tag import fire, pixel
from consumer.emulators.platforms import EmulatorThread
from consumer.emulators.shop import PixelFire, Plan, traffic
from consumer.emulators.shop.records import Truth
from consumer.platforms.contract import Account, Diagnosed, LateFault, Reply, Request, Secret, Token
from consumer.platforms.google import PLATFORM
from tests.emulators.client import Clock

NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000
RIGHT = "right"
PATH = "/v1/events:ingest"
HASH = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
PERSON = "john_smith@gmail.com"
ACTIONS = {"purchase": "7100000001", "begin_checkout": "7100000002"}
ADS = {"accountType": "GOOGLE_ADS", "accountId": "1234567890"}
TO = {"reference": "purchase", "operatingAccount": ADS, "productDestinationId": "7100000001"}
ADDRESS = {"givenName": HASH, "familyName": HASH, "regionCode": "US", "postalCode": "90210"}


def at(ms: int) -> str:
    """As RFC 3339 has it."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


GOOD = {
    "destinationReferences": ["purchase"],
    "transactionId": "1",
    "eventTimestamp": at(NOW_MS - 60_000),
    "eventSource": "WEB",
    "conversionValue": 59.98,
    "currency": "USD",
    "adIdentifiers": {
        "gclid": "Cj0-1",
        "landingPageDeviceInfo": {"userAgent": "Mozilla/5.0", "ipAddress": "2001:db8::1"},
    },
    "userData": {
        "userIdentifiers": [
            {"emailAddress": HASH},
            {"phoneNumber": HASH},
            {"address": ADDRESS},
        ]
    },
    "consent": {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_DENIED"},
    "cartData": {
        "merchantId": "5550001",
        "merchantFeedLabel": "US",
        "merchantFeedLanguageCode": "en",
        "transactionDiscount": 1.5,
        "items": [{"merchantProductId": "sku-1", "quantity": "2", "unitPrice": 29.99}],
    },
}
GONE = object()
PIXEL = {"label": "purchase_label", "oid": "1", "value": 59.98, "currency_code": "USD"}


class Client:
    """One request a connection. Answers are status and body."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.netloc = urlsplit(url).netloc

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Exactly this request."""
        connection = http.client.HTTPConnection(self.netloc, timeout=20)
        try:
            connection.request(method, path, body, dict(headers or {}))
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def post(self, body: object, token: str = RIGHT) -> tuple[int, dict[str, object]]:
        """JSON with a token; `body` may be bytes."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, reply = self.ask("POST", PATH, text, headers)
        return status, json.loads(reply)

    def send(self, *events: object) -> tuple[int, dict[str, object]]:
        """A batch."""
        return self.post(batch(*events))

    def later(self, request_id: object) -> tuple[int, dict[str, object]]:
        """What became of a request."""
        path = f"/v1/requestStatus:retrieve?{urlencode({'requestId': str(request_id)})}"
        status, reply = self.ask("GET", path, headers={"Authorization": f"Bearer {RIGHT}"})
        return status, json.loads(reply)

    def pixel(self, told: object) -> int:
        """From the browser; the status."""
        return self.ask("POST", "/_emulator/pixel", json.dumps(told).encode())[0]

    def fail(self, **fault: object) -> None:
        """Tell it a fault."""
        assert self.ask("POST", "/_emulator/faults", json.dumps(fault).encode())[0] == 200

    def lines(self, what: str) -> list[dict[str, object]]:
        """A list of the emulator's."""
        return [json.loads(line) for line in self.ask("GET", f"/_emulator/{what}")[1].splitlines()]

    def stats(self) -> dict[str, object]:
        """The sums."""
        found = json.loads(self.ask("GET", "/_emulator/stats")[1])
        assert isinstance(found, dict)
        return found

    def carry(self, request: Request) -> Reply:
        """A request of the platform's file."""
        headers = {
            name: each.reveal() if isinstance(each, Secret) else each
            for name, each in request.headers.items()
        }
        path = request.url.removeprefix(self.url)
        status, body = self.ask(request.method, path, request.body or None, headers)
        return Reply(status, {}, body, NOW_MS)


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="google")
def _google(clock: Clock) -> Iterator[Client]:
    with EmulatorThread(["google"], tokens={"google": RIGHT}, now_ms=clock) as served:
        yield Client(served.urls["google"])


def batch(*events: object) -> dict[str, object]:
    """To purchases and checkouts."""
    destinations = [
        {**TO, "reference": name, "productDestinationId": action} for name, action in ACTIONS.items()
    ]
    return {"destinations": destinations, "encoding": "HEX", "events": events}


def changed(path: str, value: object) -> dict[str, object]:
    """The good event with one value put in, or taken out with GONE; `path` has dots."""
    event: dict[str, object] = copy.deepcopy(GOOD)
    *above, last = path.split(".")
    at: object = event
    for step in above:
        at = at[int(step)] if isinstance(at, list) else at[step] if isinstance(at, dict) else None
    assert isinstance(at, dict)
    if value is GONE:
        del at[last]
    else:
        at[last] = value
    return event


def buying(transaction_id: str, value: object, currency: str) -> dict[str, object]:
    """A small event with money."""
    return {
        "destinationReferences": ["purchase"],
        "transactionId": transaction_id,
        "eventTimestamp": at(NOW_MS),
        "adIdentifiers": {"gclid": "Cj0-1"},
        "conversionValue": value,
        "currency": currency,
    }


def problem(body: Mapping[str, object]) -> tuple[str, str, list[tuple[str, str]]]:
    """An error's state, its reason, and the fields that are wrong with theirs."""
    error = body["error"]
    assert isinstance(error, dict)
    details = {each["@type"].rpartition(".")[2]: each for each in error["details"]}
    fields = details.get("BadRequest", {}).get("fieldViolations", [])
    return (
        error["status"],
        details["ErrorInfo"]["reason"],
        [(each["field"], each["reason"]) for each in fields],
    )


def found_later(body: Mapping[str, object]) -> list[tuple[str, str, dict[str, object]]]:
    """Of each destination its status, its records, and the places of those that are wrong."""
    told = body["requestStatusPerDestination"]
    assert isinstance(told, list)
    return [
        (
            each["requestStatus"],
            each["eventsIngestionStatus"]["recordCount"],
            {
                count["reason"].removeprefix("PROCESSING_ERROR_REASON_"): count["recordIndices"]
                for count in each.get("errorInfo", {}).get("errorCounts", [])
            },
        )
        for each in told
    ]


def test_a_whole_batch_is_taken(google: Client) -> None:
    """With an id to ask by; events, their money and their action are kept."""
    status, body = google.send(GOOD, {**GOOD, "transactionId": "2"})
    assert (status, list(body)) == (200, ["requestId"])
    told = [(line["event_name"], line["event_id"], line["value_minor"]) for line in google.lines("deduped")]
    assert told == [("purchase", "1", 5998), ("purchase", "2", 5998)]
    assert found_later(google.later(body["requestId"])[1]) == [("SUCCESS", "2", {}), ("SUCCESS", "0", {})]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *((key, GONE) for key in ("destinationReferences", "eventSource", "consent", "cartData", "userData")),
        ("adIdentifiers", GONE),
        ("adIdentifiers", {"gbraid": "0AA-1"}),
        ("adIdentifiers", {"wbraid": "Cl-1", "sessionAttributes": "made-up"}),
        ("conversionValue", 0),
        ("conversionValue", 60),
        ("eventTimestamp", at(NOW_MS - 90 * DAY_MS)),
        ("eventTimestamp", at(NOW_MS + 60_000)),
        ("eventTimestamp", at(NOW_MS).replace("+00:00", "Z")),
        ("transactionId", "x" * 64),
        ("cartData.items.0.quantity", 2),
        ("cartData.merchantId", GONE),
        ("userData.userIdentifiers.2.address.postalCode", "90210-1234"),
        ("userData.userIdentifiers.2.address", {**ADDRESS, "regionCode": "PT", "postalCode": "1229-076"}),
        ("userProperties", {"customerType": "NEW"}),
    ],
)
def test_what_the_rules_allow_is_taken(google: Client, path: str, value: object) -> None:
    """Right up to the borders."""
    status, body = google.send(changed(path, value))
    assert status == 200
    later = found_later(google.later(body["requestId"])[1])
    assert all(each[:1] == ("SUCCESS",) for each in later)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("surprise", 1, "INVALID_ARGUMENT"),
        ("userData.email", HASH, "INVALID_ARGUMENT"),
        ("transactionId", GONE, "REQUIRED_FIELD_MISSING"),
        ("transactionId", "x" * 65, "FIELD_VALUE_TOO_LONG"),
        ("eventTimestamp", GONE, "REQUIRED_FIELD_MISSING"),
        ("eventTimestamp", NOW_MS, "INVALID_FORMAT"),
        ("eventTimestamp", NOW_MS // 1000, "INVALID_FORMAT"),
        ("eventTimestamp", str(NOW_MS), "INVALID_FORMAT"),
        ("eventTimestamp", "2026-11-18", "INVALID_FORMAT"),
        ("eventTimestamp", "2026-13-18T00:00:00Z", "INVALID_FORMAT"),
        ("eventTimestamp", at(NOW_MS + 60_001), "EVENT_TIME_INVALID"),
        ("eventSource", "web", "INVALID_ENUM_VALUE"),
        ("conversionValue", "59.98", "INVALID_NUMBER_FORMAT"),
        ("conversionValue", True, "INVALID_NUMBER_FORMAT"),
        ("conversionValue", -1, "INVALID_NUMBER_FORMAT"),
        ("conversionValue", 59.985, "INVALID_NUMBER_FORMAT"),
        ("currency", GONE, "REQUIRED_FIELD_MISSING"),
        ("currency", "usd", "INVALID_CURRENCY_CODE"),
        ("currency", "XXX", "INVALID_CURRENCY_CODE"),
        ("adIdentifiers", {"gbraid": "0AA-1", "wbraid": "Cl-1"}, "INVALID_EVENT"),
        ("adIdentifiers.gclid", "", "INVALID_FORMAT"),
        ("adIdentifiers.landingPageDeviceInfo.ipAddress", "unknown", "INVALID_FORMAT"),
        ("adIdentifiers.landingPageDeviceInfo.userAgent", " ", "INVALID_FORMAT"),
        ("userData", {}, "REQUIRED_FIELD_MISSING"),
        ("userData.userIdentifiers", [], "INVALID_FORMAT"),
        ("userData.userIdentifiers", [{"emailAddress": HASH}] * 11, "TOO_MANY_USER_IDENTIFIERS"),
        ("userData.userIdentifiers", [{"emailAddress": HASH, "phoneNumber": HASH}], "INVALID_ARGUMENT"),
        ("userData.userIdentifiers", [{}], "INVALID_ARGUMENT"),
        ("userData.userIdentifiers.0.emailAddress", PERSON, "INVALID_HEX_ENCODING"),
        ("userData.userIdentifiers.0.emailAddress", HASH.upper(), "INVALID_SHA256_FORMAT"),
        ("userData.userIdentifiers.0.emailAddress", HASH[:32], "INVALID_SHA256_FORMAT"),
        ("userData.userIdentifiers.1.phoneNumber", [HASH], "INVALID_HEX_ENCODING"),
        ("userData.userIdentifiers.2.address.givenName", PERSON, "INVALID_HEX_ENCODING"),
        ("userData.userIdentifiers.2.address.familyName", GONE, "REQUIRED_FIELD_MISSING"),
        ("userData.userIdentifiers.2.address.regionCode", "us", "INVALID_REGION_CODE"),
        ("userData.userIdentifiers.2.address.postalCode", "9021", "INVALID_POSTAL_CODE"),
        ("userData.userIdentifiers.2.address.postalCode", 90210, "INVALID_POSTAL_CODE"),
        ("consent.adUserData", "GRANTED", "INVALID_ENUM_VALUE"),
        ("cartData.merchantId", "999", "INVALID_MERCHANT_ID"),
        ("cartData.items", [], "INVALID_FORMAT"),
        ("cartData.items.0.unitPrice", "29.99", "INVALID_FORMAT"),
        ("cartData.items.0.quantity", 0, "INVALID_FORMAT"),
        ("destinationReferences", ["refund"], "INVALID_DESTINATION"),
    ],
)
def test_a_broken_event_refuses_the_whole_batch(
    google: Client, path: str, value: object, reason: str
) -> None:
    """400, the event's place in the field's path, nobody's data; nothing is kept."""
    status, body = google.send(GOOD, changed(path, value), GOOD)
    state, of_all, fields = problem(body)
    assert (status, state, of_all) == (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT")
    assert {told for _, told in fields} == {reason}
    assert all(field.startswith("events.events[1]") for field, _ in fields)
    assert PERSON not in json.dumps(body)
    assert google.lines("accepted") == []
    assert google.stats()["rejected_requests"] == 1


def test_fields_are_named_as_google_names_them(google: Client) -> None:
    """All that are wrong, each with its place."""
    bad = changed("userData.userIdentifiers.0.emailAddress", PERSON)
    assert problem(google.send(bad, GOOD, changed("currency", "$"))[1])[2] == [
        ("events.events[0].user_data.user_identifiers[0].email_address", "INVALID_HEX_ENCODING"),
        ("events.events[2].currency", "INVALID_CURRENCY_CODE"),
    ]


def test_someone_is_told_by_a_click_a_customer_or_at_least_a_machine(google: Client) -> None:
    """Without all three nobody is found."""
    bare = {key: each for key, each in GOOD.items() if key not in {"adIdentifiers", "userData"}}
    assert problem(google.send(bare)[1])[2] == [("events.events[0]", "NO_IDENTIFIERS_PROVIDED")]
    device = {"userAgent": "Mozilla/5.0"}
    assert google.send({**bare, "eventDeviceInfo": device})[0] == 400
    assert google.send({**bare, "eventDeviceInfo": {**device, "ipAddress": "203.0.113.9"}})[0] == 200


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"events": []}, "INVALID_FORMAT"),
        ({"events": {}}, "INVALID_FORMAT"),
        ({"events": [1]}, "INVALID_ARGUMENT"),
        ({"events": [buying(str(place), 1, "USD") for place in range(2001)]}, "TOO_MANY_EVENTS"),
        ({"destinations": []}, "INVALID_FORMAT"),
        ({"destinations": [{**TO, "reference": f"r{each}"} for each in range(11)]}, "TOO_MANY_DESTINATIONS"),
        ({"destinations": [TO, TO]}, "DUPLICATE_DESTINATION_REFERENCE"),
        ({"destinations": [{**TO, "productDestinationId": "1"}]}, "INVALID_CONVERSION_ACTION_ID"),
        ({"destinations": [{**TO, "productDestinationId": 7100000001}]}, "INVALID_FORMAT"),
        (
            {"destinations": [{**TO, "operatingAccount": {**ADS, "accountId": "123-456-7890"}}]},
            "INVALID_FORMAT",
        ),
        (
            {"destinations": [{**TO, "operatingAccount": {**ADS, "accountType": "FLOODLIGHT"}}]},
            "INVALID_FORMAT",
        ),
        ({"encoding": "hex"}, "INVALID_FORMAT"),
        ({"surprise": 1}, "INVALID_ARGUMENT"),
    ],
)
def test_a_body_of_another_shape_is_refused(google: Client, changes: dict[str, object], reason: str) -> None:
    """Always as an error of Google's."""
    status, body = google.post({**batch(GOOD), **changes})
    assert (status, {told for _, told in problem(body)[2]}) == (400, {reason})


def test_hashes_need_their_encoding(google: Client) -> None:
    """Clicks don't."""
    body = {key: each for key, each in batch(GOOD).items() if key != "encoding"}
    assert problem(google.post(body)[1])[2] == [("encoding", "REQUIRED_FIELD_MISSING")]
    assert google.post({**body, "events": [buying("1", 1, "USD")]})[0] == 200


def test_2000_events_are_taken_and_no_more_than_a_megabyte(google: Client) -> None:
    """The most there may be; how large a body may be, nobody says."""
    assert google.send(*(buying(str(place), 1, "USD") for place in range(2000)))[0] == 200
    status, body = google.send(GOOD, buying("x" * 64, 1, "USD") | {"surprise": "x" * 1_000_000})
    assert (status, problem(body)[0]) == (413, "INVALID_ARGUMENT")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"events": [NaN]}', b"[" * 3000])
def test_what_is_no_json_object_is_refused(google: Client, body: bytes) -> None:
    """Whatever comes."""
    status, told = google.post(body)
    assert (status, problem(told)[0]) == (400, "INVALID_ARGUMENT")


def test_what_is_only_validated_is_not_kept(google: Client) -> None:
    """Errors are told, and no results: not even an id."""
    assert google.post({**batch(GOOD), "validateOnly": True}) == (200, {})
    assert google.lines("accepted") == []
    assert google.post({**batch({}), "validateOnly": True})[0] == 400


def test_another_account_is_denied(google: Client) -> None:
    """As operating account, and as the one that opens it."""
    other = {**ADS, "accountId": "9999999999"}
    for key in ("operatingAccount", "loginAccount"):
        status, body = google.post({**batch(GOOD), "destinations": [{**TO, key: other}]})
        assert (status, *problem(body)[:2]) == (403, "PERMISSION_DENIED", "PERMISSION_DENIED")


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "CREDENTIALS_MISSING"),
        ({"Authorization": RIGHT}, "CREDENTIALS_MISSING"),
        ({"Authorization": "Bearer wrong"}, "ACCESS_TOKEN_INVALID"),
    ],
)
def test_a_wrong_token_is_a_401(google: Client, headers: dict[str, str], reason: str) -> None:
    """Before anything is said about the events, or told of a request; the token is not told back."""
    for method, path in (("POST", PATH), ("GET", "/v1/requestStatus:retrieve?requestId=x")):
        status, reply = google.ask(method, path, b"{}" if method == "POST" else None, headers)
        assert (status, problem(json.loads(reply))[:2]) == (401, ("UNAUTHENTICATED", reason))
        assert b"wrong" not in reply


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", PATH), ("POST", "/v2/events:ingest"), ("POST", "/v1/requestStatus:retrieve"), ("GET", "/token")],
)
def test_a_wrong_address_is_a_page(google: Client, method: str, path: str) -> None:
    """404, and no JSON."""
    status, reply = google.ask(method, path, headers={"Authorization": f"Bearer {RIGHT}"})
    assert (status, reply[:9]) == (404, b"<!DOCTYPE")


def test_tag_and_server_are_one_and_the_later_tells_the_money(google: Client, clock: Clock) -> None:
    """By transaction and action, however long ago; another action or no transaction is another conversion."""
    assert google.pixel({**PIXEL, "value": 50}) == 200
    google.send(GOOD)
    clock.now_ms += 365 * DAY_MS
    again = {**GOOD, "eventTimestamp": at(clock.now_ms), "conversionValue": 20.01}
    google.send(again)
    google.send({**again, "destinationReferences": ["begin_checkout"]})
    google.pixel([{"label": "purchase_label", "value": 1, "currency_code": "USD"}] * 2)
    told = [(line["event_name"], line["event_id"], line["sources"]) for line in google.lines("deduped")]
    assert told == [
        ("purchase", "1", ["pixel", "server"]),
        ("begin_checkout", "1", ["server"]),
        ("purchase", "", ["pixel"]),
        ("purchase", "", ["pixel"]),
    ]
    stats = google.stats()
    assert (stats["after_dedupe"], stats["server_repeats"]) == (3, 1)
    assert stats["money"] == {"USD": 2001 + 200}


def test_an_event_without_references_is_for_all_destinations(google: Client) -> None:
    """A conversion of each action."""
    google.send(changed("destinationReferences", GONE))
    assert [line["event_name"] for line in google.lines("deduped")] == ["purchase", "begin_checkout"]


def test_money_is_exact_in_each_currencys_minor_units(google: Client) -> None:
    """Yen have none, dinars three digits."""
    assert (
        google.send(buying("1", 1200, "JPY"), buying("2", 12.345, "KWD"), buying("3", 0.1, "USD"))[0] == 200
    )
    assert google.stats()["money"] == {"JPY": 1200, "KWD": 12345, "USD": 10}


def test_what_is_too_old_is_taken_and_found_wrong_later(google: Client) -> None:
    """By its place; it doesn't count, the others of its request do."""
    old = changed("eventTimestamp", at(NOW_MS - 90 * DAY_MS - 1))
    status, body = google.send(
        buying("7", 1, "USD"), old, changed("destinationReferences", ["begin_checkout"])
    )
    assert status == 200
    assert found_later(google.later(body["requestId"])[1]) == [
        ("PARTIAL_SUCCESS", "2", {"EVENT_TOO_OLD": [1]}),
        ("SUCCESS", "1", {}),
    ]
    assert [line["event_id"] for line in google.lines("deduped")] == ["7", "1"]
    assert found_later(google.later(google.send(old)[1]["requestId"])[1])[0][0] == "FAILED"


def test_what_is_told_to_be_found_wrong_is_told_later(google: Client) -> None:
    """No request meets it. What counts already still does."""
    google.fail(kind="late", event_ids=["2"], reason="DENIED_CONSENT")
    google.fail(kind="late", event_ids=["3"], reason="PROCESSING_ERROR_REASON_DUPLICATE_TRANSACTION_ID")
    _, body = google.send(*(buying(str(place), 1, "USD") for place in range(1, 5)))
    wrong = {"DENIED_CONSENT": [1], "DUPLICATE_TRANSACTION_ID": [2]}
    assert found_later(google.later(body["requestId"])[1])[0] == ("PARTIAL_SUCCESS", "4", wrong)
    assert [line["event_id"] for line in google.lines("deduped")] == ["1", "3", "4"]


def test_a_request_is_forgotten_after_50_days(google: Client, clock: Clock) -> None:
    """An id that was never given out isn't known at all; one is never like another's."""
    first, second = (google.send(buying(name, 1, "USD"))[1]["requestId"] for name in "12")
    assert first != second
    clock.now_ms += MONTHS_MS
    assert google.later(first)[0] == 200
    clock.now_ms += 1
    assert problem(google.later(first)[1])[2] == [("request_id", "REQUEST_TOO_OLD")]
    for text in ("", "ä", "x" * 40, str(first)[:-8]):
        assert read_id(text) is None
        assert problem(google.later(text)[1])[2] == [("request_id", "INVALID_REQUEST_ID")]


def test_a_cart_with_a_click_id_of_an_app_is_warned_of(google: Client) -> None:
    """It is taken all the same."""
    status, body = google.send(GOOD, changed("adIdentifiers", {"wbraid": "Cl-1"}))
    assert status == 200
    warnings = body["fieldWarnings"]
    assert isinstance(warnings, list)
    assert [each["field"] for each in warnings] == ["events.events[1].cart_data"]


@pytest.mark.parametrize(
    ("fault", "status", "state", "reason", "fields"),
    [
        (
            {"kind": "poison", "event_ids": ["2"]},
            *(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
            [("events.events[1].user_data.user_identifiers", "INVALID_HEX_ENCODING")],
        ),
        (
            {"kind": "poison", "event_ids": ["2"], "named": False},
            *(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", []),
        ),
        ({"kind": "expired_token"}, 401, "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED", []),
        ({"kind": "429", "retry_after_s": 3}, 429, "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED", []),
        ({"kind": "status", "status": 503}, 503, "UNAVAILABLE", "INTERNAL_ERROR", []),
        ({"kind": "status", "status": 403}, 403, "PERMISSION_DENIED", "PERMISSION_DENIED", []),
        ({"kind": "status", "status": 418}, 418, "UNKNOWN", "INVALID_ARGUMENT", []),
    ],
)
def test_it_fails_as_google_does(
    google: Client,
    fault: dict[str, object],
    status: int,
    state: str,
    reason: str,
    fields: list[tuple[str, str]],
) -> None:
    """In Google's own words, and nothing is kept."""
    google.fail(**fault)
    told, body = google.send(GOOD, {**GOOD, "transactionId": "2"})
    assert (told, problem(body)) == (status, (state, reason, fields))
    assert google.lines("accepted") == []


@pytest.mark.parametrize(
    "told",
    [
        {},
        {**PIXEL, "label": "AbC-D"},
        {**PIXEL, "transaction_id": "1"},
        {**PIXEL, "value": "59.98"},
        {**PIXEL, "value": 59.985},
        {**PIXEL, "currency_code": "usd"},
        {"label": "purchase_label", "oid": "1"},
        [PIXEL, 7],
    ],
)
def test_a_pixel_event_in_other_names_is_refused(google: Client, told: object) -> None:
    """With a 400, and none of a list is kept."""
    assert google.pixel(told) == 400
    assert google.lines("pixel") == []


def test_the_shops_tag_speaks_googles_names(google: Client) -> None:
    """Every pixel event of the shop is taken, with what Google calls it, and its money to the minor unit."""
    told = list(traffic(Plan(seed=3, orders=60, now_ms=NOW_MS)))
    fires = [one for one in told if isinstance(one, PixelFire)]
    ids = {(one.event, told_id(one)) for one in told if isinstance(one, Truth)}
    assert fires
    for fired in fires:
        (event,) = pixel(fire(fired))
        assert (event.means, event.value_minor, event.currency) == (
            fired.event,
            fired.value_minor,
            fired.currency,
        )
        assert (event.means, event.event_id) in ids
    assert google.ask("POST", "/_emulator/pixel", fire(fires[0]))[0] == 200


def test_who_has_the_key_file_gets_a_token_sends_and_asks(clock: Clock) -> None:
    """From the file that the emulator writes to what became of the request, in the words of the platform's file."""
    grant, diagnosis = PLATFORM.grant, PLATFORM.diagnosis
    assert grant is not None
    assert diagnosis is not None
    with EmulatorThread(["google"], now_ms=clock) as served:
        google = Client(served.urls["google"])
        asked = grant.request(Secret(served.credentials["google"]), NOW_MS / 1000)
        assert isinstance(asked, Request)
        token = grant.judge(google.carry(asked))
        assert isinstance(token, Token)
        assert token.expires_in_s == 3600
        account = Account(google.url, ADS["accountId"], token.access, ACTIONS)
        google.fail(kind="late", event_ids=["2"], reason="CLICK_NOT_FOUND")
        events = [json.dumps(buying(name, 1, "USD"), separators=(",", ":")).encode() for name in "12"]
        reply = google.carry(PLATFORM.request(account, events))
        later = google.carry(diagnosis.request(account, json.loads(reply.body)["requestId"]))
        assert diagnosis.judge(later) == Diagnosed((LateFault("CLICK_NOT_FOUND", 1, (1,)),))
        assert google.stats()["rejected_requests"] == 0
        clock.now_ms += 3_600_000
        assert google.carry(PLATFORM.request(account, events)).status == 401
        stolen = f"ya29.{NOW_MS}.{'0' * 64}"
        assert google.post(batch(GOOD), stolen)[0] == 401
