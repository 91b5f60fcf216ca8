"""Microsoft's stand-in, over real sockets: what it takes, what it refuses and how, and what it knows again."""

import copy
import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from consumer.emulators.microsoft import STAND_IN, fire, pixel
from consumer.emulators.platforms import EmulatorThread
from consumer.emulators.shop import PixelFire, Plan, traffic
from consumer.emulators.shop.records import Known

NOW_MS = 1_795_000_000_000
NOW_S = NOW_MS // 1000
DAY_S = 86_400
RIGHT = "right"
TAG = STAND_IN.account
OTHER = "97200002"
PATH = f"/v1/{TAG}/events"
HASH = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
CLICK = "0123456789abcdef0123456789abcdef"
PERSON = "john_smith@gmail.com"
GOOD: dict[str, Any] = {
    "eventType": "custom",
    "eventName": "purchase",
    "eventId": "purchase:1",
    "eventTime": NOW_S - 60,
    "eventSourceUrl": "https://shop.example/thanks",
    "referrerUrl": "https://search.example/",
    "adStorageConsent": "G",
    "userData": {
        "em": HASH,
        "ph": HASH,
        "externalId": HASH,
        "msclkid": CLICK,
        "clientIpAddress": "2001:db8::1",
        "clientUserAgent": "Mozilla/5.0",
    },
    "customData": {
        "value": 59.98,
        "currency": "USD",
        "transactionId": "1",
        "items": [{"id": "sku-1", "name": "Mug", "price": 29.99, "quantity": 2}],
    },
}
GONE = object()
PUSHED: dict[str, Any] = {
    "ti": TAG,
    "event": "purchase",
    "event_id": "purchase:1",
    "revenue_value": 59.98,
    "currency": "USD",
    "transaction_id": "1",
}


class Client:
    """One request a connection."""

    def __init__(self, url: str) -> None:
        self._netloc = urlsplit(url).netloc

    def ask(
        self, method: str, path: str, body: object = b"", token: str = RIGHT, kind: str = "application/json"
    ) -> tuple[int, bytes]:
        """The status and the body; what is sent may be bytes."""
        connection = http.client.HTTPConnection(self._netloc, timeout=20)
        try:
            told = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers = {"Content-Type": kind, "Authorization": f"Bearer {token}"}
            connection.request(method, path, told, headers)
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def post(self, body: object, *, path: str = PATH) -> tuple[int, dict[str, Any]]:
        """The status and Microsoft's own answer."""
        status, reply = self.ask("POST", path, body)
        told: dict[str, Any] = json.loads(reply)
        return status, told

    def send(self, *events: object, skip: bool = False) -> tuple[int, list[tuple[int, str, bool]]]:
        """A batch: the status, and of each thing found its place, code and whether it is a warning."""
        status, told = self.post({"data": events, "continueOnValidationError": skip})
        found = told.get("error", {}).get("details", [])
        return status, [(each["index"], each["errorCode"], each["isWarning"]) for each in found]

    def pixel(self, told: object) -> int:
        """From the browser; the status."""
        return self.ask("POST", "/_emulator/pixel", told)[0]

    def lines(self, what: str) -> list[dict[str, Any]]:
        """A list of the emulator's."""
        return [json.loads(line) for line in self.ask("GET", f"/_emulator/{what}")[1].splitlines()]

    def stats(self) -> dict[str, Any]:
        """The sums."""
        found: dict[str, Any] = json.loads(self.ask("GET", "/_emulator/stats")[1])
        return found


@pytest.fixture(name="microsoft")
def _microsoft() -> Iterator[Client]:
    accounts = {"microsoft": [TAG, OTHER]}
    tokens = {"microsoft": RIGHT}
    with EmulatorThread(["microsoft"], tokens=tokens, now_ms=lambda: NOW_MS, accounts=accounts) as served:
        yield Client(served.urls["microsoft"])


def changed(path: str, value: object) -> dict[str, Any]:
    """The good event with one value put in, or taken out with GONE; `path` has dots."""
    event: Any = copy.deepcopy(GOOD)
    *above, last = path.split(".")
    at = event
    for step in above:
        at = at[int(step)] if step.isdecimal() else at[step]
    if value is GONE:
        del at[last]
    else:
        at[last] = value
    assert isinstance(event, dict)
    return event


def buying(event_id: str, value: float = 1, code: str = "USD") -> dict[str, Any]:
    """A small purchase of now."""
    return {
        "eventType": "custom",
        "eventName": "purchase",
        "eventId": event_id,
        "eventTime": NOW_S,
        "userData": {"msclkid": CLICK},
        "customData": {"value": value, "currency": code},
    }


def test_a_good_batch_is_taken(microsoft: Client) -> None:
    """With their number, and kept as received; a data provider may be named beside them."""
    status, told = microsoft.post({"data": [GOOD, buying("purchase:2")], "dataProvider": "made-up"})
    assert (status, told["eventsReceived"], "error" in told) == (200, 2, False)
    assert microsoft.lines("accepted")[0] == {**GOOD, "received_at_ms": NOW_MS}
    assert microsoft.lines("requests")[0]["event_ids"] == ["purchase:1", "purchase:2"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("eventTime", NOW_S - 7 * DAY_S),
        ("eventTime", NOW_S + 60),
        ("eventName", "a name of one's own"),
        ("eventId", GONE),
        ("adStorageConsent", "D"),
        ("userData", {"externalId": "opaque"}),
        ("userData.msclkid", "01234567-89AB-CDEF-0123-456789ABCDEF"),
        ("customData", GONE),
        ("customData.value", 0),
        ("customData.currency", "usd"),
    ],
)
def test_what_the_rules_allow_is_taken(microsoft: Client, path: str, value: object) -> None:
    """Right up to the borders."""
    assert microsoft.send(changed(path, value)) == (200, [])


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("eventTime", NOW_MS, "InvalidEventTime"),
        ("eventTime", str(NOW_S), "InvalidEventTime"),
        ("eventTime", NOW_S + 0.5, "InvalidEventTime"),
        ("eventTime", True, "InvalidEventTime"),
        ("eventTime", NOW_S + 61, "InvalidEventTime"),
        ("eventTime", NOW_S - 7 * DAY_S - 1, "InvalidEventTime"),
        ("eventTime", GONE, "Empty"),
        ("eventType", GONE, "Empty"),
        ("eventType", "purchase", "InvalidEnumValue"),
        ("eventType", "pageLoad", "InvalidValue"),
        ("eventName", "", "InvalidValue"),
        ("eventId", 7, "InvalidValue"),
        ("eventSourceUrl", "about:blank", "InvalidUrl"),
        ("adStorageConsent", "GRANTED", "InvalidEnumValue"),
        ("continueOnValidationError", True, "UnknownProperty"),
        ("pageLoadId", CLICK, "InvalidValue"),
        ("userData", GONE, "Empty"),
        ("userData", {}, "Empty"),
        ("userData", {"clientIpAddress": "203.0.113.9", "clientUserAgent": "Mozilla/5.0"}, "Empty"),
        ("userData.fn", HASH, "UnknownProperty"),
        ("userData.msclkid", "N", "InvalidValue"),
        ("userData.msclkid", f"_uet{CLICK}", "InvalidValue"),
        ("userData.clientIpAddress", "unknown", "InvalidValue"),
        ("userData.clientUserAgent", " ", "InvalidValue"),
        ("customData.value", "59.98", "InvalidValue"),
        ("customData.value", -1, "InvalidValue"),
        ("customData.value", 59.985, "InvalidValue"),
        ("customData.currency", "JPY", "InvalidValue"),
        ("customData.revenue_value", 1, "UnknownProperty"),
        ("customData.transactionId", 1, "InvalidValue"),
        ("customData.items", [], "InvalidValue"),
        ("customData.items.0.price", "29.99", "InvalidValue"),
        ("customData.items.0.quantity", 0, "InvalidValue"),
    ],
)
def test_one_bad_event_refuses_its_batch(microsoft: Client, path: str, value: object, code: str) -> None:
    """With its place and a code."""
    assert microsoft.send(GOOD, changed(path, value), GOOD) == (400, [(1, code, False)])
    stats = microsoft.stats()
    assert (stats["server"], stats["requests"], stats["rejected_requests"]) == (0, 1, 1)


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("userData.em", HASH.upper(), "InvalidSha256"),
        ("userData.em", PERSON, "InvalidSha256"),
        ("userData.ph", HASH[:32], "InvalidSha256"),
        ("referrerUrl", "android-app://com.example", "InvalidUrl"),
        ("customData.currency", "XXX", "InvalidValue"),
        ("customData.pageType", "checkout", "InvalidEnumValue"),
    ],
)
def test_some_fields_only_raise_a_warning(microsoft: Client, path: str, value: object, code: str) -> None:
    """The event is taken, and what was in the field is told back. A hash of a text not normalised no one can see."""
    status, told = microsoft.post({"data": [GOOD, changed(path, value)]})
    (detail,) = told["error"]["details"]
    assert (status, told["eventsReceived"]) == (200, 2)
    assert (detail["index"], detail["errorCode"], detail["isWarning"]) == (1, code, True)
    assert (detail["propertyName"], detail["attemptedValue"]) == (f"data[1].{path}", value)


def test_whoever_loses_all_identifiers_to_warnings_is_refused(microsoft: Client) -> None:
    """Nobody could be found by what is left."""
    status, found = microsoft.send(changed("userData", {"em": PERSON}))
    assert (status, found) == (400, [(0, "InvalidSha256", True), (0, "Empty", False)])


def test_bad_events_are_skipped_if_one_asks_for_that(microsoft: Client) -> None:
    """Ten are named at most; if all are bad, all is refused."""
    bad = changed("eventTime", NOW_MS)
    status, told = microsoft.post({"data": [GOOD, *[bad] * 12], "continueOnValidationError": True})
    assert (status, told["eventsReceived"], len(told["error"]["details"])) == (200, 1, 10)
    assert microsoft.stats()["server"] == 1
    assert microsoft.send(bad, skip=True)[0] == 400


@pytest.mark.parametrize(("events", "status"), [(0, 400), (1, 200), (1000, 200), (1001, 400)])
def test_a_batch_has_1_to_1000_events(microsoft: Client, events: int, status: int) -> None:
    """None is too few, 1001 too many; no event is named for it."""
    assert microsoft.send(*[buying("a")] * events) == (status, [])


def test_a_body_has_a_megabyte_at_most(microsoft: Client) -> None:
    """White space counts."""
    body = json.dumps({"data": [GOOD]}).encode()
    assert microsoft.post(body.ljust(1_000_000))[0] == 200
    assert microsoft.post(body.ljust(1_000_001))[0] == 413


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'{"data": {}}', b'{"data": [NaN]}', b'{"data":' + b"[" * 100_000]
    + [json.dumps({"data": [GOOD], **root}).encode() for root in ({"dataProvider": ""}, {"test": True})],
)  # fmt: skip
def test_a_body_of_another_shape_is_refused(microsoft: Client, body: bytes) -> None:
    """Always in Microsoft's shape, whatever comes."""
    status, told = microsoft.post(body)
    assert (status, told["error"]["code"], told["error"]["details"]) == (400, "ValidationError", [])


def test_an_event_that_is_no_object_is_refused(microsoft: Client) -> None:
    """Named by its place."""
    assert microsoft.send(GOOD, 7) == (400, [(1, "InvalidValue", False)])


def test_who_may_not_write_is_told_so(microsoft: Client) -> None:
    """Before anything is said of the events; the token is not told back."""
    for path, token in ((PATH, ""), (PATH, "wrong"), ("/v1/1/events", RIGHT)):
        status, body = microsoft.ask("POST", path, {"data": [{}]}, token=token)
        assert (status, json.loads(body)["error"]["code"], b"wrong" in body) == (401, "Unauthorized", False)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", f"/v2/{TAG}/events", 404),
        ("POST", f"{PATH}/", 404),
        ("POST", "/v1/tag/events", 404),
        ("GET", PATH, 405),
    ],
)
def test_a_wrong_address_is_told(microsoft: Client, method: str, path: str, status: int) -> None:
    """Another version, or no tag."""
    assert microsoft.ask(method, path, {"data": [GOOD]})[0] == status


def test_a_form_is_refused(microsoft: Client) -> None:
    """The events come as JSON."""
    assert microsoft.ask("POST", PATH, {"data": [GOOD]}, kind="text/plain")[0] == 400


def test_pixel_and_server_fold_into_one(microsoft: Client) -> None:
    """By tag, name and event id; without an id nothing is known again."""
    assert microsoft.pixel(PUSHED) == 200
    microsoft.send(GOOD, GOOD, changed("eventId", "our-own"), changed("eventName", "begin_checkout"))
    microsoft.post({"data": [GOOD]}, path=f"/v1/{OTHER}/events")
    microsoft.send(changed("eventId", GONE), changed("eventId", GONE))
    told = [(line["event_name"], line["event_id"], line["sources"]) for line in microsoft.lines("deduped")]
    assert told == [
        ("purchase", "purchase:1", ["pixel", "server"]),
        ("purchase", "our-own", ["server"]),
        ("begin_checkout", "purchase:1", ["server"]),
        ("purchase", "purchase:1", ["server"]),
        ("purchase", "", ["server"]),
        ("purchase", "", ["server"]),
    ]
    stats = microsoft.stats()
    assert (stats["server_repeats"], stats["after_dedupe"]) == (1, 5)


def test_money_is_exact_in_each_currencys_minor_units(microsoft: Client) -> None:
    """Yen have none, dinars three digits; minor units for major ones are another amount."""
    paid = [(1200, "JPY"), (12.345, "KWD"), (0.1, "USD"), (5998, "EUR")]
    assert microsoft.send(*[buying(str(place), *each) for place, each in enumerate(paid)])[0] == 200
    assert microsoft.stats()["money"] == {"JPY": 1200, "KWD": 12345, "USD": 10, "EUR": 599_800}


@pytest.mark.parametrize(
    ("fault", "status", "places"),
    [
        ({"kind": "poison", "event_ids": ["b"]}, 400, [1]),
        ({"kind": "poison", "event_ids": ["a", "b"]}, 400, [0, 1]),
        ({"kind": "poison", "event_ids": ["b"], "named": False}, 400, []),
        ({"kind": "expired_token"}, 401, []),
        ({"kind": "429", "retry_after_s": 3}, 429, []),
        ({"kind": "status", "status": 503}, 503, []),
        ({"kind": "status", "status": 418}, 418, []),
        ({"kind": "status"}, 500, []),
    ],
)
def test_faults_speak_microsofts_words(
    microsoft: Client, fault: dict[str, object], status: int, places: list[int]
) -> None:
    """And take nothing."""
    assert microsoft.ask("POST", "/_emulator/faults", fault)[0] == 200
    told = microsoft.send(buying("a"), buying("b"))
    assert (told[0], [place for place, *_ in told[1]]) == (status, places)
    assert microsoft.stats()["server"] == 0


@pytest.mark.parametrize(
    "told",
    [
        {},
        {**PUSHED, "event": ""},
        {**PUSHED, "eventId": "purchase:1"},
        {**PUSHED, "value": 59.98},
        {**PUSHED, "revenue_value": "59.98"},
        {**PUSHED, "revenue_value": 59.985},
        {**PUSHED, "currency": "XXX"},
        {key: each for key, each in PUSHED.items() if key != "revenue_value"},
        [PUSHED, 7],
    ],
)
def test_a_pixel_event_in_other_names_is_refused(microsoft: Client, told: object) -> None:
    """With a 400, and none of a list is kept."""
    assert microsoft.pixel(told) == 400
    assert microsoft.stats()["pixel"] == 0


def test_the_shops_pixel_speaks_the_tags_names(microsoft: Client) -> None:
    """Every pixel event of the shop is taken, with its id, and its money to the minor unit."""
    fires = [one for one in traffic(Plan(seed=3, orders=60, now_ms=NOW_MS)) if isinstance(one, PixelFire)]
    assert fires
    for fired in fires:
        (event,) = pixel(fire(fired))
        assert (event.means, event.event_id) == (fired.event, fired.event_id)
        assert (event.value_minor, event.currency) == (fired.value_minor, fired.currency)
    assert microsoft.pixel(json.loads(fire(fires[0]))) == 200


@pytest.mark.parametrize(
    ("browser", "customer", "cause"),
    [
        ({}, True, ""),
        ({"msclkid": CLICK}, False, ""),
        ({"ip": "203.0.113.9", "user_agent": "Mozilla/5.0"}, False, "no_identifiers"),
    ],
)
def test_what_it_lacks(browser: dict[str, str], customer: bool, cause: str) -> None:  # noqa: FBT001 (a case's)
    """Who can't be known."""
    known = Known("purchase", browser, customer, "US", "USD", {}, sale_opt_out=False)
    assert STAND_IN.taker.lacks(known) == cause
