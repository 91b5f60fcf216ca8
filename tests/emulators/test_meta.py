"""Meta's stand-in, over real sockets: what it takes, what it refuses and how, and what it says it holds."""

import copy
import http.client
import json
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import pytest

from consumer.emulators.meta import fire, pixel
from consumer.emulators.meta_event import DEDUPE_WINDOW_MS
from consumer.emulators.platforms import EmulatorThread
from consumer.emulators.shop import PixelFire, Plan, traffic
from tests.emulators.client import Asking, Clock

NOW_MS = 1_795_000_000_000
NOW_S = NOW_MS // 1000
DAY_S = 86_400
RIGHT = "right"
PATH = "/v26.0/1234567890/events"
HASH = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
HASHED = ("em", "ph", "fn", "ln", "ge", "db", "ct", "st", "zp", "country")
PERSON = "john_smith@gmail.com"
GOOD = {
    "event_name": "Purchase",
    "event_time": NOW_S - 60,
    "event_id": "purchase:1",
    "action_source": "website",
    "event_source_url": "https://shop.example/thanks",
    "referrer_url": "https://shop.example/pay",
    "user_data": {
        **{key: [HASH] for key in (*HASHED, "external_id")},
        "client_ip_address": "2001:db8::1",
        "client_user_agent": "Mozilla/5.0",
        "fbc": "fb.1.1794999900000.IwAR2-x_Y",
        "fbp": "fb.1.1794999900000.1098115397",
    },
    "custom_data": {
        "value": 59.98,
        "currency": "USD",
        "order_id": "1",
        "content_type": "product",
        "content_ids": ["sku-1"],
        "contents": [{"id": "sku-1", "quantity": 2, "item_price": 29.99}],
        "our_own": {"any": "thing"},
    },
    "data_processing_options": ["LDU"],
    "data_processing_options_country": 1,
    "data_processing_options_state": 1000,
    "opt_out": False,
}
GONE = object()
PIXEL = {"ev": "Purchase", "eid": "purchase:1", "ts": NOW_MS, "cd": {"value": 59.98, "currency": "USD"}}


class Client(Asking):
    """One request a connection. Answers are status and body."""

    def post(self, body: object, *, path: str = PATH, token: str = RIGHT) -> tuple[int, dict[str, object]]:
        """JSON with a token; `body` may be bytes."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, reply = self.ask("POST", path, text, headers)
        return status, json.loads(reply)

    def send(self, *events: object) -> tuple[int, dict[str, object]]:
        """A batch."""
        return self.post({"data": events})

    def pixel(self, told: object) -> int:
        """From the browser; the status."""
        return self.ask("POST", "/_emulator/pixel", json.dumps(told).encode())[0]


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="meta")
def _meta(clock: Clock) -> Iterator[Client]:
    with EmulatorThread(["meta"], tokens={"meta": RIGHT}, now_ms=clock) as served:
        yield Client(served.urls["meta"])


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


def buying(event_id: str, value: object, currency: str, name: str = "Purchase") -> dict[str, object]:
    """A small event with money."""
    return {
        "event_name": name,
        "event_time": NOW_S,
        "event_id": event_id,
        "action_source": "system_generated",
        "user_data": {"em": HASH},
        "custom_data": {"value": value, "currency": currency},
    }


def error(body: Mapping[str, object]) -> dict[str, object]:
    """Graph's error of a reply."""
    found = body["error"]
    assert isinstance(found, dict)
    return found


def test_a_good_batch_is_taken_and_kept_as_received(meta: Client) -> None:
    """The reply counts the events; what is kept has every field and the time of receipt."""
    status, body = meta.send(GOOD, {**GOOD, "event_id": "purchase:2"})
    assert (status, body["events_received"], body["messages"]) == (200, 2, [])
    assert body["fbtrace_id"]
    assert meta.lines("accepted") == [
        {**GOOD, "received_at_ms": NOW_MS},
        {**GOOD, "event_id": "purchase:2", "received_at_ms": NOW_MS},
    ]
    assert meta.lines("requests") == [
        {"at_ms": NOW_MS, "status": 200, "events": 2, "event_ids": ["purchase:1", "purchase:2"], "fault": ""}
    ]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event_id", GONE),
        ("custom_data.currency", "usd"),
        ("custom_data.value", 0),
        ("custom_data.value", 60),
        ("user_data.em", HASH),
        ("user_data.em", f"{HASH}.AQYCAQIA"),
        ("user_data.ph", [HASH, HASH]),
        ("user_data.external_id", "customer 7"),
        ("user_data.client_ip_address", "203.0.113.9"),
        ("user_data.fbc", "fb.2.1794999900000.IwAR2-x_Y.AQYCAQIA"),
        ("user_data.fbp", "fb.1.1794999900000.1098115397.AQYCAQIA"),
        ("user_data", {"external_id": ["7"], "client_user_agent": "Mozilla/5.0"}),
        ("user_data", {"fn": HASH, "ln": HASH, "client_user_agent": "Mozilla/5.0"}),
        ("event_time", NOW_S - 7 * DAY_S),
        ("event_time", NOW_S + 60),
        ("data_processing_options", []),
        ("data_processing_options_state", 0),
        ("custom_data.contents.0.delivery_category", "curbside"),
        ("original_event_data", {"event_name": "Purchase", "event_time": NOW_S}),
    ],
)
def test_what_the_rules_allow_is_taken(meta: Client, path: str, value: object) -> None:
    """Right up to the borders."""
    assert meta.send(changed(path, value))[0] == 200


def test_what_is_demanded_of_websites_alone_is_not_demanded_elsewhere(meta: Client) -> None:
    """Neither page nor browser; and a shop's till may be 62 days late."""
    assert meta.send(buying("a", 1, "USD"))[0] == 200
    till = {**buying("b", 1, "USD"), "action_source": "physical_store"}
    assert meta.send({**till, "event_time": NOW_S - 62 * DAY_S})[0] == 200
    assert error(meta.send({**till, "event_time": NOW_S - 62 * DAY_S - 1})[1])["error_subcode"] == 2804003


@pytest.mark.parametrize(
    ("path", "value", "subcode"),
    [
        ("event_time", NOW_MS, 2804019),
        ("event_time", str(NOW_S), 2804019),
        ("event_time", NOW_S + 0.5, 2804019),
        ("event_time", True, 2804019),
        ("event_time", NOW_S + 61, 2804019),
        ("event_time", NOW_S - 8 * DAY_S, 2804003),
        ("event_time", NOW_S - 7 * DAY_S - 1, 2804003),
        ("event_time", GONE, 2804019),
        ("event_name", GONE, 2804019),
        ("event_name", "", 2804019),
        ("event_id", "", 2804019),
        ("event_id", 7, 2804019),
        ("action_source", GONE, 2804019),
        ("action_source", "web", 2804019),
        ("event_source_url", GONE, 2804019),
        ("event_source_url", "shop.example", 2804019),
        ("surprise", 1, 2804019),
        ("value", 59.98, 2804019),
        ("opt_out", "false", 2804019),
        ("opt_out", 0, 2804019),
        ("data_processing_options", "LDU", 2804019),
        ("data_processing_options", ["ldu"], 2804019),
        ("data_processing_options_country", "1", 2804019),
        ("data_processing_options_country", True, 2804019),
        ("data_processing_options_state", 6, 2804019),
        ("custom_data", GONE, 2804009),
        ("custom_data", [], 2804019),
        ("custom_data.value", GONE, 2804009),
        ("custom_data.value", "59.98", 2804009),
        ("custom_data.value", "5998", 2804009),
        ("custom_data.value", True, 2804009),
        ("custom_data.value", -1, 2804009),
        ("custom_data.value", None, 2804009),
        ("custom_data.value", 59.985, 2804019),
        ("custom_data.value", 10**13, 2804019),
        ("custom_data.currency", GONE, 2804009),
        ("custom_data.currency", "XXX", 2804009),
        ("custom_data.currency", "Usd", 2804009),
        ("custom_data.currency", "$", 2804009),
        ("custom_data.order_id", 1, 2804019),
        ("custom_data.content_type", "products", 2804019),
        ("custom_data.content_ids", "sku-1", 2804019),
        ("custom_data.content_ids", [1], 2804019),
        ("custom_data.contents", {}, 2804019),
        ("custom_data.contents", ["sku-1"], 2804019),
        ("custom_data.contents.0.id", GONE, 2804019),
        ("custom_data.contents.0.quantity", "2", 2804019),
        ("custom_data.contents.0.quantity", 0, 2804019),
        ("custom_data.contents.0.item_price", "29.99", 2804019),
        ("custom_data.contents.0.price", 29.99, 2804019),
        ("custom_data.num_items", 1.5, 2804019),
        ("user_data", GONE, 2804019),
        ("user_data", [], 2804019),
        ("user_data", {}, 2804050),
        ("user_data", {"client_user_agent": "x"}, 2804050),
        ("user_data", {"ct": HASH, "country": HASH, "zp": HASH, "client_user_agent": "x"}, 2804050),
        ("user_data", {"db": HASH, "client_user_agent": "x"}, 2804050),
        ("user_data", {"ln": HASH, "ge": HASH}, 2804050),
        ("user_data.client_user_agent", GONE, 2804019),
        ("user_data.client_user_agent", "", 2804019),
        ("user_data.client_ip_address", HASH, 2804019),
        ("user_data.client_ip_address", "203.0.113.9 ", 2804019),
        ("user_data.client_ip_address", "203.0.113.999", 2804019),
        ("user_data.fbc", "IwAR2-x_Y", 2804019),
        ("user_data.fbc", "fb.1.1794999900.IwAR2-x_Y", 2804019),
        ("user_data.fbp", "fb.1.1794999900000.abc", 2804019),
        ("user_data.email", HASH, 2804019),
        ("original_event_data", {"event_nam": "Purchase"}, 2804019),
        *(
            (f"user_data.{key}", value, 2804019)
            for key in HASHED
            for value in (PERSON, [HASH.upper()], [HASH[:32]], [f"{HASH}\n"], [])
        ),
    ],
)
def test_a_broken_event_refuses_the_whole_batch(meta: Client, path: str, value: object, subcode: int) -> None:
    """400, code 100, the rule's subcode, the event's index in the text and nobody's data; nothing is kept."""
    status, body = meta.send(GOOD, changed(path, value), GOOD)
    refused = error(body)
    assert (status, refused["code"], refused["error_subcode"]) == (400, 100, subcode)
    assert (refused["type"], refused["is_transient"]) == ("OAuthException", False)
    assert refused.keys() >= {"error_user_title", "error_user_msg", "fbtrace_id"}
    assert "$['data'][1]" in str(refused["message"])
    assert PERSON not in json.dumps(body)
    assert meta.lines("accepted") == []
    assert (meta.stats()["requests"], meta.stats()["rejected_requests"]) == (1, 1)


def test_limited_use_without_an_address_demands_the_state(meta: Client) -> None:
    """With an address, Meta finds the place by it."""
    event = changed("data_processing_options_state", GONE)
    assert meta.send(event)[0] == 200
    unplaced = {**event, "user_data": {"em": HASH, "client_user_agent": "Mozilla/5.0"}}
    assert error(meta.send(unplaced)[1])["error_subcode"] == 2804019


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_has_1_to_1000_events(meta: Client, count: int) -> None:
    """None is too few, 1001 too many."""
    status, body = meta.send(*[GOOD] * count)
    assert (status, error(body)["code"]) == (400, 100)


def test_1000_events_are_taken(meta: Client) -> None:
    """The most there may be."""
    status, body = meta.send(*[GOOD] * 1000)
    assert (status, body["events_received"]) == (200, 1000)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'{"data": {}}', b'{"data": "[]"}', b'{"data": [1]}', b'{"data": [NaN]}']
    + [json.dumps({"data": [GOOD], key: "x"}).encode() for key in ("events", "partner")]
    + [json.dumps({"data": [GOOD], "test_event_code": code}).encode() for code in ("", 7)],
)
def test_a_body_of_another_shape_is_refused(meta: Client, body: bytes) -> None:
    """Always as a Graph error, whatever comes."""
    status, reply = meta.post(body)
    assert (status, error(reply)["code"]) == (400, 100)


def test_a_form_is_refused(meta: Client) -> None:
    """The events come as JSON."""
    headers = {"Content-Type": "text/plain", "Authorization": f"Bearer {RIGHT}"}
    assert meta.ask("POST", PATH, json.dumps({"data": [GOOD]}).encode(), headers)[0] == 400


def test_the_token_comes_in_the_header_the_query_or_the_body(meta: Client) -> None:
    """Each of the three will do; test events count as any other."""
    text = {"Content-Type": "application/json"}
    body = json.dumps({"data": [GOOD], "test_event_code": "TEST1"}).encode()
    inside = json.dumps({"data": [GOOD], "access_token": RIGHT}).encode()
    assert meta.ask("POST", PATH, body, {**text, "Authorization": f"Bearer {RIGHT}"})[0] == 200
    assert meta.ask("POST", f"{PATH}?access_token={RIGHT}", body, text)[0] == 200
    assert meta.ask("POST", PATH, inside, text)[0] == 200
    assert meta.stats()["server"] == 3


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": RIGHT}])
def test_a_wrong_token_is_a_401(meta: Client, headers: dict[str, str]) -> None:
    """Code 190, before anything is said about the events; the token is not told back."""
    asked = {"Content-Type": "application/json", **headers}
    status, reply = meta.ask("POST", PATH, json.dumps({"data": [{}]}).encode(), asked)
    assert (status, error(json.loads(reply))["code"]) == (401, 190)
    assert b"wrong" not in reply


@pytest.mark.parametrize(
    ("path", "code", "subcode"),
    [
        ("/v26.0/999/events", 100, 33),
        ("/v19.0/1234567890/events", 2500, None),
        ("/v99.0/1234567890/events", 2500, None),
        ("/1234567890/events", 2500, None),
        ("/v26.0/1234567890/event", 2500, None),
    ],
)
def test_a_wrong_address_is_a_graph_error(meta: Client, path: str, code: int, subcode: int | None) -> None:
    """Another dataset, version or edge."""
    status, body = meta.post({"data": [GOOD]}, path=path)
    assert (status, error(body)["code"], error(body).get("error_subcode")) == (400, code, subcode)


@pytest.mark.parametrize("version", ["v22.0", "v23.0", "v24.0", "v25.0", "v26.0"])
def test_versions_that_are_alive_are_taken(meta: Client, version: str) -> None:
    """v22.0 to v26.0."""
    assert meta.post({"data": [GOOD]}, path=f"/{version}/1234567890/events")[0] == 200


def test_pixel_and_server_fold_into_one(meta: Client) -> None:
    """By id and name, the first kept; another name or no id is another event."""
    assert meta.pixel(PIXEL) == 200
    meta.send(GOOD)
    meta.send(GOOD)
    meta.send({**GOOD, "event_id": "purchase:2"})
    meta.pixel([{**PIXEL, "eid": "purchase:2"}, {**PIXEL, "ev": "InitiateCheckout"}])
    meta.send(changed("event_id", GONE), changed("event_id", GONE))
    told = [(line["event_name"], line["event_id"], line["sources"]) for line in meta.lines("deduped")]
    assert told == [
        ("Purchase", "purchase:1", ["pixel", "server"]),
        ("Purchase", "purchase:2", ["server", "pixel"]),
        ("InitiateCheckout", "purchase:1", ["pixel"]),
        ("Purchase", "", ["server"]),
        ("Purchase", "", ["server"]),
    ]
    assert meta.lines("deduped")[0]["event"] == PIXEL
    assert meta.lines("pixel")[0] == {**PIXEL, "received_at_ms": NOW_MS}
    stats = meta.stats()
    assert (stats["server"], stats["pixel"], stats["after_dedupe"], stats["server_repeats"]) == (5, 3, 4, 1)
    assert stats["money"] == {"USD": 4 * 5998}
    assert stats["events"] == {
        "Purchase": {"server": 5, "pixel": 2, "after_dedupe": 4},
        "InitiateCheckout": {"server": 0, "pixel": 1, "after_dedupe": 1},
    }


def test_dedupe_ends_48_hours_after_the_first(meta: Client, clock: Clock) -> None:
    """Counted from the first receipt, not from the latest."""
    meta.send(buying("a", 1, "USD"))
    clock.now_ms = NOW_MS + DEDUPE_WINDOW_MS
    meta.send(buying("a", 1, "USD"))
    assert meta.stats()["after_dedupe"] == 1
    clock.now_ms += 1
    meta.send(buying("a", 1, "USD"))
    assert (meta.stats()["after_dedupe"], meta.stats()["server_repeats"]) == (2, 1)


def test_money_is_exact_in_each_currencys_minor_units(meta: Client) -> None:
    """Yen have none, dinars three digits; floats that are not what they look like do no harm."""
    status, _ = meta.send(
        buying("1", 1200, "JPY"),
        buying("2", 1200.0, "JPY"),
        buying("3", 12.345, "KWD"),
        buying("4", 0.1, "USD"),
        buying("5", 0.2, "usd"),
        buying("6", 1.15, "EUR"),
        buying("7", 99.0, "USD", name="InitiateCheckout"),
        buying("8", 5.25, "USD", name="Refund"),
    )
    assert status == 200
    stats = meta.stats()
    assert stats["money"] == {"JPY": 2400, "KWD": 12345, "USD": 30, "EUR": 115}
    assert (stats["after_dedupe"], stats["refunds"], stats["refunds_money"]) == (6, 1, {"USD": 525})


@pytest.mark.parametrize(("value", "currency"), [(0.5, "JPY"), (12.3456, "KWD"), (0.1 + 0.2, "USD")])
def test_part_of_a_minor_unit_is_refused(meta: Client, value: float, currency: str) -> None:
    """No such amount was ever paid."""
    assert error(meta.send(buying("1", value, currency))[1])["error_subcode"] == 2804019


@pytest.mark.parametrize(
    "told",
    [
        {},
        {**PIXEL, "ev": ""},
        {**PIXEL, "event_id": "x"},
        {**PIXEL, "ts": "now"},
        {**PIXEL, "cd": []},
        {**PIXEL, "cd": {"value": "59.98", "currency": "USD"}},
        [PIXEL, 7],
    ],
)
def test_a_pixel_event_in_other_names_is_refused(meta: Client, told: object) -> None:
    """With a 400, and none of a list is kept."""
    assert meta.pixel(told) == 400
    assert meta.lines("pixel") == []


def test_the_shops_pixel_speaks_metas_names(meta: Client) -> None:
    """Every pixel event of the shop is taken, with its id, and its money to the minor unit."""
    fires = [one for one in traffic(Plan(seed=3, orders=60, now_ms=NOW_MS)) if isinstance(one, PixelFire)]
    assert fires
    for fired in fires:
        (event,) = pixel(fire(fired))
        assert (event.means, event.event_id) == (fired.event, fired.event_id)
        assert (event.value_minor, event.currency) == (fired.value_minor, fired.currency)
    assert meta.ask("POST", "/_emulator/pixel", fire(fires[0]))[0] == 200


def test_lines_are_lines_however_the_json_was_laid_out(meta: Client) -> None:
    """An event of many lines is one line of what is kept."""
    assert meta.post(json.dumps({"data": [GOOD]}, indent=2).encode())[0] == 200
    assert [line["event_id"] for line in meta.lines("accepted")] == ["purchase:1"]
    assert [line["event_id"] for line in meta.lines("deduped")] == ["purchase:1"]


def test_a_full_emulator_says_so(clock: Clock) -> None:
    """507 in plain words, for server and pixel, and nothing of the batch is kept."""
    with EmulatorThread(["meta"], tokens={"meta": RIGHT}, now_ms=clock, events_max=2) as served:
        meta = Client(served.urls["meta"])
        assert meta.send(GOOD)[0] == 200
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {RIGHT}"}
        status, reply = meta.ask("POST", PATH, json.dumps({"data": [GOOD, GOOD]}).encode(), headers)
        assert (status, b"DELETE /_emulator" in reply) == (507, True)
        assert meta.pixel([PIXEL, PIXEL]) == 507
        assert (meta.stats()["server"], meta.stats()["pixel"]) == (1, 0)


def test_latency_comes_after_the_events_are_kept(clock: Clock) -> None:
    """A client that gives up during it has sent them all the same."""
    accounts = {"meta": ["42"]}
    with EmulatorThread(
        ["meta"], tokens={"meta": RIGHT}, now_ms=clock, accounts=accounts, latency_ms=60_000
    ) as served:
        netloc = urlsplit(served.urls["meta"]).netloc
        connection = http.client.HTTPConnection(netloc, timeout=0.3)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {RIGHT}"}
        connection.request("POST", "/v26.0/42/events", json.dumps({"data": [GOOD]}), headers)
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()
        assert Client(served.urls["meta"]).stats()["server"] == 1
