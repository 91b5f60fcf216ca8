"""Amazon's stand-in, over real sockets: who is let in, what is taken of a batch, and what is one event to it."""

import copy
import json
from collections.abc import Iterator, Mapping
from urllib.parse import urlencode

import pytest

from consumer.emulators.amazon import fire, pixel, told_id, told_value
from consumer.emulators.amazon_access import CLIENT_ID, new_secret
from consumer.emulators.platforms import EmulatorThread
from consumer.emulators.shop import PixelFire, Plan, Truth, traffic
from tests.emulators.client import Asking, Clock

NOW_MS = 1_795_000_000_000
NOW = "2026-11-18T11:06:40Z"
PATH, TOKEN_PATH = "/adsApi/v1/create/events", "/auth/o2/token"
ACCOUNT = "amzn1.ads-account.g.a1bc2de3fg4hi5jk6lm7no8pq"
RIGHT = "right"
HASH = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
HASHED = ("EMAIL", "PHONE", "FIRST_NAME", "LAST_NAME", "ADDRESS", "CITY", "STATE", "POSTAL")
PERSON = "john_smith@gmail.com"
INVALID, NULL, RANGE = "FIELD_VALUE_IS_INVALID", "FIELD_VALUE_IS_NULL", "FIELD_VALUE_IS_OUT_OF_RANGE"
ONLY_OF_SALES = "FIELD_VALUE_MUST_BE_EMPTY_OR_NULL"
SIGNS = "FIELD_VALUE_CONTAINS_INVALID_CHARACTERS"
DESCRIPTION = {
    "name": "purchase",
    "conversionType": "OFF_AMAZON_PURCHASES",
    "eventSource": "WEBSITE",
    "eventIngestionMethod": "SERVER_TO_SERVER",
    "dataSetName": "Shop_Orders",
}
GOOD = {
    "eventDescription": DESCRIPTION,
    "eventTime": NOW,
    "eventId": "purchase:1",
    "countryCode": "DE",
    "matchKeys": [*({"type": kind, "values": [HASH]} for kind in HASHED), {"type": "FIP", "values": ["::1"]}],
    "value": 59.98,
    "currencyCode": "EUR",
    "unitsSold": 2,
    "consent": {"amazonConsent": {"amznUserData": "GRANTED", "amznAdStorage": "DENIED"}},
    "dataProcessingOptions": {"options": "LIMITED_DATA_USE"},
    "customData": [{"name": "brand", "value": "Acme_1", "dataType": "STRING"}],
    "deviceInfo": {"userAgent": "Mozilla/5.0"},
}
GONE = object()
PIXEL = {
    "pid": "768411f6-fa20-33cd-2222-8cdf646d1111",
    "event": "Off-AmazonPurchases",
    "ts": NOW_MS,
    "value": 59.98,
    "currencyCode": "EUR",
    "clientDedupeId": "purchase:1",
}


class Client(Asking):
    """One request a connection. Answers are status and JSON."""

    def post(self, body: object, path: str = PATH, **headers: str) -> tuple[int, dict[str, object]]:
        """JSON, as the demo's client; `body` may be bytes. A header that is empty is left out."""
        told = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {RIGHT}",
            "Amazon-Ads-ClientId": CLIENT_ID,
            "Amazon-Ads-AccountId": ACCOUNT,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, reply = self.ask("POST", path, text, {name: value for name, value in told.items() if value})
        return status, json.loads(reply)

    def send(self, *events: object, **headers: str) -> tuple[int, dict[str, object]]:
        """A batch."""
        return self.post({"events": events}, **headers)

    def fail(self, **fault: object) -> None:
        """From now on."""
        assert self.ask("POST", "/_emulator/faults", json.dumps(fault).encode())[0] == 200

    def pixel(self, told: object) -> int:
        """From the browser; the status."""
        return self.ask("POST", "/_emulator/pixel", json.dumps(told).encode())[0]


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="amazon")
def _amazon(clock: Clock) -> Iterator[Client]:
    with EmulatorThread(["amazon"], tokens={"amazon": RIGHT}, now_ms=clock) as served:
        yield Client(served.urls["amazon"])


def changed(path: str, value: object, **more: object) -> dict[str, object]:
    """The good event with one value put in, or taken out with GONE; `path` has dots."""
    event: dict[str, object] = copy.deepcopy({**GOOD, **more})
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


def named(event_id: str, **more: object) -> dict[str, object]:
    """The good event under another id."""
    return {**GOOD, "eventId": event_id, **more}


def step(event_id: str) -> dict[str, object]:
    """The first step of a checkout."""
    told = {name: each for name, each in GOOD.items() if name not in {"value", "currencyCode", "unitsSold"}}
    return {**told, "eventDescription": {**DESCRIPTION, "conversionType": "CHECKOUT"}, "eventId": event_id}


def errors(told: Mapping[str, object]) -> list[tuple[int, str, str]]:
    """Place, code and field of each event that was refused."""
    rows = told["error"]
    assert isinstance(rows, list)
    return [(row["index"], row["errors"][0]["code"], row["errors"][0]["fieldLocation"]) for row in rows]


def test_what_is_right_is_taken_and_told_back(amazon: Client) -> None:
    """207, and each event by its place."""
    status, told = amazon.send(GOOD, step("begin_checkout:1"))
    assert status == 207
    assert told == {
        "success": [{"index": 0, "event": GOOD}, {"index": 1, "event": step("begin_checkout:1")}],
        "error": [],
    }
    assert amazon.lines("accepted")[0] == {**GOOD, "received_at_ms": NOW_MS}
    assert (amazon.stats()["after_dedupe"], amazon.stats()["money"]) == (1, {"EUR": 5998})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("eventTime", "2026-11-11T11:06:40Z"),
        ("eventTime", "2026-11-18T12:07:40.000+01:00"),
        ("eventId", GONE),
        ("countryCode", "OTHER_EEA"),
        ("matchKeys", [{"type": "POSTAL", "values": [HASH]}]),
        ("matchKeys", [{"type": "MAID", "values": ["38400000-8cf0-11bd-b23e-10b96e40000d"]}]),
        ("value", 0),
        ("value", GONE),
        ("currencyCode", GONE),
        ("unitsSold", GONE),
        ("consent", {"tcf": "CP7aT0AP7aT0A"}),
        ("consent", {"geo": {"ipAddress": "198.51.100.7"}}),
        ("customData", []),
        ("deviceInfo.userAgent", "x" * 512),
        ("eventDescription.dataSetName", GONE),
        ("arefMeasurementTokens", "abcDEF1234.1794999900000|abcDEF1235.1794999900001"),
    ],
)
def test_what_the_rules_allow_is_taken(amazon: Client, path: str, value: object) -> None:
    """Right up to the borders."""
    assert errors(amazon.send(changed(path, value))[1]) == []


def test_consent_is_demanded_of_the_eea_alone(amazon: Client) -> None:
    """And of the United Kingdom."""
    told = amazon.send(*(changed("consent", GONE, countryCode=land) for land in ("US", "CH", "GB", "NO")))[1]
    assert errors(told) == [(place, NULL, f"events[{place}].consent") for place in (2, 3)]


def test_a_score_may_be_negative_but_money_may_not(amazon: Client) -> None:
    """What is no purchase's value is no money either."""
    assert errors(amazon.send({**step("a"), "value": -1.5})[1]) == []
    assert errors(amazon.send({**step("b"), "currencyCode": "EUR"})[1])[0][1] == ONLY_OF_SALES
    assert errors(amazon.send({**step("c"), "unitsSold": 1})[1])[0][1] == ONLY_OF_SALES


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("eventTime", NOW_MS, INVALID),
        ("eventTime", str(NOW_MS), INVALID),
        ("eventTime", "2026-11-18T11:06:40", INVALID),
        ("eventTime", "2026-11-31T11:06:40Z", INVALID),
        ("eventTime", "2026-11-18T11:07:41Z", RANGE),
        ("eventTime", "2026-11-11T11:06:39Z", RANGE),
        ("eventTime", GONE, NULL),
        ("eventId", "", INVALID),
        ("eventId", 1, INVALID),
        ("countryCode", "de", INVALID),
        ("countryCode", GONE, NULL),
        ("eventDescription", GONE, NULL),
        ("eventDescription.name", GONE, NULL),
        ("eventDescription.conversionType", "Purchase", INVALID),
        ("eventDescription.conversionType", "ADD_PAYMENT_INFO", INVALID),
        ("eventDescription.eventSource", "website", INVALID),
        ("eventDescription.eventIngestionMethod", "S2S", INVALID),
        ("eventDescription.dataSetName", "1st", INVALID),
        ("matchKeys", GONE, NULL),
        ("matchKeys", [], INVALID),
        ("matchKeys", [{"type": "EMAIL", "values": [HASH]}] * 16, INVALID),
        ("matchKeys.0.type", "email", INVALID),
        ("matchKeys.0.values", [HASH, HASH], INVALID),
        ("matchKeys.0.values", HASH, INVALID),
        ("matchKeys.8.values", ["unknown"], INVALID),
        ("value", "59.98", INVALID),
        ("value", True, INVALID),
        ("value", 59.985, INVALID),
        ("value", -0.01, RANGE),
        ("currencyCode", "eur", INVALID),
        ("currencyCode", "OMR", INVALID),
        ("unitsSold", "2", INVALID),
        ("unitsSold", 1.5, INVALID),
        ("unitsSold", 2**31, INVALID),
        ("dataProcessingOptions", "LIMITED_DATA_USE", INVALID),
        ("dataProcessingOptions", {"options": ["LIMITED_DATA_USE"]}, INVALID),
        ("consent", GONE, NULL),
        ("consent", {}, NULL),
        ("consent.amazonConsent", {"amznAdStorage": "GRANTED"}, NULL),
        ("consent.amazonConsent.amznUserData", "UNSPECIFIED", INVALID),
        ("customData", [{"name": "product-id", "value": "1"}], SIGNS),
        ("customData", [{"name": "productId", "value": "29.99"}], SIGNS),
        ("customData", [{"name": "a", "value": "1"}] * 14, INVALID),
        ("deviceInfo.userAgent", "x" * 513, INVALID),
        ("surprise", 1, INVALID),
        ("clientDedupeId", "purchase:1", INVALID),
        ("timestamp", NOW, INVALID),
        *(
            (f"matchKeys.{place}.values", [value], INVALID)
            for place in range(len(HASHED))
            for value in (PERSON, HASH.upper(), HASH[:32], f"{HASH}\n", "")
        ),
    ],
)
def test_a_broken_event_is_refused_alone(amazon: Client, path: str, value: object, code: str) -> None:
    """By its place, with a code and nobody's data; its neighbours are taken. A hash of a raw text looks like any."""
    status, told = amazon.send(GOOD, changed(path, value), named("purchase:2"))
    assert status == 207
    assert [(place, found) for place, found, _ in errors(told)] == [(1, code)]
    assert errors(told)[0][2].startswith(f"events[1].{path.partition('.')[0]}")
    assert [line["eventId"] for line in amazon.lines("accepted")] == ["purchase:1", "purchase:2"]
    assert PERSON not in json.dumps(told["error"])


def test_money_is_exact_and_part_of_a_minor_unit_is_refused(amazon: Client) -> None:
    """Yen have none; of a dinar's three decimals two can be told."""
    worth = [(1200, "JPY"), (0.1, "USD"), (12.35, "KWD"), (0.5, "JPY"), (12.345, "KWD"), (10**13, "USD")]
    told = amazon.send(
        *(named(f"purchase:{code}{value}", value=value, currencyCode=code) for value, code in worth)
    )[1]
    assert [(place, code) for place, code, _ in errors(told)] == [(3, RANGE), (4, INVALID), (5, RANGE)]
    assert amazon.stats()["money"] == {"JPY": 1200, "USD": 10, "KWD": 12350}


def test_an_answer_that_takes_none_is_a_refusal(amazon: Client) -> None:
    """Though its status is the same."""
    assert amazon.send(changed("eventTime", GONE))[0] == 207
    assert (amazon.stats()["server"], amazon.stats()["rejected_requests"]) == (0, 1)


@pytest.mark.parametrize("count", [0, 501])
def test_a_batch_has_1_to_500_events(amazon: Client, count: int) -> None:
    """None is too few, 501 too many."""
    status, told = amazon.send(*[GOOD] * count)
    assert (status, told["code"]) == (400, "BAD_REQUEST")


def test_500_events_are_taken_but_no_body_larger_than_a_megabyte(amazon: Client) -> None:
    """The most there may be."""
    small = {name: GOOD[name] for name in ("eventDescription", "eventTime", "countryCode", "consent")}
    assert (
        errors(amazon.send(*[{**small, "matchKeys": [{"type": "EMAIL", "values": [HASH]}]}] * 500)[1]) == []
    )
    status, told = amazon.send(*[{**GOOD, "partner": "x" * 2000}] * 400)
    assert (status, told["code"]) == (413, "CONTENT_TOO_LARGE")


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"{}", b'{"events": {}}', b'{"events": [NaN]}', b'{"data": []}'),
        *(json.dumps({"events": [GOOD], "test": True}).encode(), b'{"events": ["\xff"]}'),
    ],
)
def test_a_body_of_another_shape_is_refused(amazon: Client, body: bytes) -> None:
    """As a whole."""
    status, told = amazon.post(body)
    assert (status, told["code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Authorization": ""}, 401, "UNAUTHORIZED"),
        ({"Authorization": "Bearer wrong"}, 401, "UNAUTHORIZED"),
        ({"Authorization": RIGHT}, 401, "UNAUTHORIZED"),
        ({"Amazon_Ads_ClientId": ""}, 401, "UNAUTHORIZED"),
        ({"Amazon_Ads_ClientId": "amzn1.application-oa2-client.0"}, 401, "UNAUTHORIZED"),
        ({"Amazon_Ads_AccountId": ""}, 403, "FORBIDDEN"),
        ({"Amazon_Ads_AccountId": "123"}, 403, "FORBIDDEN"),
        ({"Content_Type": "text/plain"}, 400, "BAD_REQUEST"),
    ],
)
def test_a_stranger_is_sent_away(amazon: Client, headers: dict[str, str], status: int, code: str) -> None:
    """Before anything is said of the events."""
    told, reply = amazon.send(GOOD, **headers)
    assert (told, reply["code"]) == (status, code)
    assert amazon.stats()["server"] == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/accounts/1/dsp/conversionDefinitions/eventData", 404), ("GET", PATH, 405)],
)
def test_a_wrong_address_is_refused(amazon: Client, method: str, path: str, status: int) -> None:
    """The older API's too."""
    assert amazon.ask(method, path)[0] == status


def test_a_refresh_token_gets_an_access_token_for_an_hour(clock: Clock) -> None:
    """From the file that the emulator writes; whoever has another one gets none."""
    secret = new_secret()
    with EmulatorThread(["amazon"], tokens={"amazon": secret}, now_ms=clock) as served:
        amazon, held = Client(served.urls["amazon"]), json.loads(served.credentials["amazon"])
        assert held.pop("token_uri") == served.urls["amazon"] + TOKEN_PATH

        def asked(**more: str) -> tuple[int, dict[str, object]]:
            form = {"grant_type": "refresh_token", **held, **more}
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            status, reply = amazon.ask("POST", TOKEN_PATH, urlencode(form).encode(), kind)
            return status, json.loads(reply)

        status, given = asked()
        assert (status, given["expires_in"], given["token_type"]) == (200, 3600, "bearer")
        bearer = f"Bearer {given['access_token']}"
        assert amazon.send(GOOD, Authorization=bearer)[0] == 207
        assert amazon.send(GOOD, Authorization=bearer[:-1] + "x")[0] == 401
        assert amazon.send(GOOD, Authorization=f"Bearer {secret}")[0] == 401
        clock.now_ms += 3_600_000
        assert amazon.send(GOOD, Authorization=bearer)[0] == 401
        wrong = {
            "grant_type": (400, "unsupported_grant_type"),
            "client_id": (401, "invalid_client"),
            "client_secret": (401, "invalid_client"),
            "refresh_token": (400, "invalid_grant"),
        }
        for name, (refused, code) in wrong.items():
            status, told = asked(**{name: "wrong"})
            assert (status, told["error"]) == (refused, code)
        status, reply = amazon.ask("POST", TOKEN_PATH, b"{}", {"Content-Type": "application/json"})
        assert (status, json.loads(reply)["error"]) == (400, "invalid_request")
        assert amazon.stats()["requests"] == 10


def test_one_id_is_one_event_whatever_its_type_and_the_latest_tells_the_money(
    amazon: Client, clock: Clock
) -> None:
    """From tag and server, however late; without an id each is its own."""
    assert amazon.pixel(PIXEL) == 200
    amazon.send({**GOOD, "value": 50})
    clock.now_ms += 3 * 86_400_000
    amazon.send({**GOOD, "value": 49.5})
    amazon.send(named("begin_checkout:1"), changed("eventId", GONE), changed("eventId", GONE))
    amazon.send(step("begin_checkout:1"))
    told = [
        (line["event_name"], line["event_id"], line["value_minor"], line["sources"])
        for line in amazon.lines("deduped")
    ]
    assert told == [
        ("OFF_AMAZON_PURCHASES", "purchase:1", 4950, ["pixel", "server"]),
        ("OFF_AMAZON_PURCHASES", "begin_checkout:1", None, ["server"]),
        ("OFF_AMAZON_PURCHASES", "", 5998, ["server"]),
        ("OFF_AMAZON_PURCHASES", "", 5998, ["server"]),
    ]
    assert amazon.stats()["server_repeats"] == 2


def test_a_poison_is_refused_by_its_place(amazon: Client) -> None:
    """And its neighbours are taken; where it shall not be named, none is."""
    poison = {"kind": "poison", "event_ids": ["purchase:2"], "count": 1}
    batch = [GOOD, named("purchase:2"), named("purchase:3")]
    amazon.fail(**poison)
    assert [(place, code) for place, code, _ in errors(amazon.send(*batch)[1])] == [(1, INVALID)]
    assert [line["eventId"] for line in amazon.lines("accepted")] == ["purchase:1", "purchase:3"]
    amazon.fail(**poison, named=False)
    assert amazon.send(*batch)[1]["code"] == "BAD_REQUEST"
    amazon.fail(**poison, status=500)
    assert amazon.send(*batch)[1]["code"] == "INTERNAL_ERROR"
    assert amazon.stats()["server"] == 2


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"kind": "429", "retry_after_s": 3}, 429, "TOO_MANY_REQUESTS"),
        ({"kind": "expired_token"}, 401, "UNAUTHORIZED"),
        ({"kind": "status"}, 500, "INTERNAL_ERROR"),
        ({"kind": "status", "status": 503}, 503, "INTERNAL_ERROR"),
        ({"kind": "status", "status": 413}, 413, "CONTENT_TOO_LARGE"),
        ({"kind": "status", "status": 418}, 418, "BAD_REQUEST"),
    ],
)
def test_faults_speak_amazons_words(amazon: Client, fault: dict[str, object], status: int, code: str) -> None:
    """And keep nothing."""
    amazon.fail(**fault)
    told, reply = amazon.send(GOOD)
    assert (told, reply["code"]) == (status, code)
    assert (amazon.stats()["server"], amazon.stats()["rejected_requests"]) == (0, 1)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {**PIXEL, "event": ""},
        {**PIXEL, "eventId": "x"},
        {**PIXEL, "value": "59.98"},
        {**PIXEL, "value": 59.985},
        {**PIXEL, "currencyCode": "XXX"},
        {name: each for name, each in PIXEL.items() if name != "value"},
        [PIXEL, 7],
    ],
)
def test_a_pixel_event_in_other_names_is_refused(amazon: Client, told: object) -> None:
    """With a 400, and none of a list is kept."""
    assert amazon.pixel(told) == 400
    assert amazon.lines("pixel") == []


def test_the_shops_tag_and_its_truth_have_amazons_ids_and_money(amazon: Client) -> None:
    """Each id begins with its event's name; a dinar's third decimal is rounded half up."""
    told = list(traffic(Plan(seed=3, orders=90, now_ms=NOW_MS)))
    fires = [one for one in told if isinstance(one, PixelFire) and one.event != "add_payment_info"]
    truths = {(one.event, one.event_id): one for one in told if isinstance(one, Truth)}
    assert any(fired.currency == "KWD" for fired in fires)
    for fired in fires:
        (event,) = pixel(fire(fired))
        truth = truths[fired.event, fired.event_id]
        assert (event.means, event.event_id) == (fired.event, told_id(truth))
        assert event.event_id.startswith(f"{fired.event}:")
        if fired.event == "purchase":
            assert (event.value_minor, event.currency) == (told_value(truth), fired.currency)
            assert abs(told_value(truth) - truth.value_minor) <= 5
    assert amazon.ask("POST", "/_emulator/pixel", fire(fires[0]))[0] == 200
