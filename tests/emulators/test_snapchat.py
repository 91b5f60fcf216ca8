"""Snapchat's stand-in, over real sockets: what it takes, what it refuses and how, and what it knows again."""

import copy
import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from consumer.emulators.platforms import EmulatorThread
from consumer.emulators.shop import PixelFire, Plan, traffic
from consumer.emulators.shop.records import Known
from consumer.emulators.snapchat import STAND_IN, fire, pixel
from consumer.emulators.snapchat_event import DEDUPE_WINDOW_MS, ORDER_WINDOW_MS
from tests.emulators.client import Clock

NOW_MS = 1_795_000_000_000
NOW_S = NOW_MS // 1000
DAY_S = 86_400
RIGHT = "right"
PIXEL_ID = STAND_IN.account
OTHER = "5ca91d00-0000-4000-8000-000000000002"
PATH = f"/v3/{PIXEL_ID}/events"
HASH = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
HASHED = ("em", "ph", "fn", "ln", "ge", "ct", "st", "zp", "country", "external_id")
PERSON = "john_smith@gmail.com"
GOOD: dict[str, Any] = {
    "event_name": "PURCHASE",
    "event_time": NOW_S - 60,
    "event_id": "purchase:1",
    "action_source": "WEB",
    "event_source_url": "https://shop.example/thanks",
    "user_data": {
        **{key: [HASH] for key in HASHED},
        "client_ip_address": "2001:db8::1",
        "client_user_agent": "Mozilla/5.0",
        "sc_click_id": "b2b1c9d6-made-up",
        "sc_cookie1": "a1b2c3d4-made-up",
    },
    "custom_data": {
        "currency": "USD",
        "value": 59.98,
        "order_id": "1",
        "num_items": 2,
        "content_ids": ["sku-1"],
        "contents": [{"id": "sku-1", "quantity": "2", "item_price": "29.99", "brand": "Acme"}],
    },
    "data_processing_options": ["LDU"],
    "data_processing_options_country": 1,
    "data_processing_options_state": 1000,
    "opt_out": True,
}
GONE = object()
TRACKED: dict[str, Any] = {
    "event_type": "PURCHASE",
    "pixel_id": PIXEL_ID,
    "price": 59.98,
    "currency": "USD",
    "transaction_id": "1",
    "client_dedup_id": "purchase:1",
}


class Client:
    """One request a connection."""

    def __init__(self, url: str) -> None:
        self._netloc = urlsplit(url).netloc

    def ask(
        self, method: str, path: str, body: object = b"", content_type: str = "application/json"
    ) -> tuple[int, bytes]:
        """The status and the body; what is sent may be bytes."""
        connection = http.client.HTTPConnection(self._netloc, timeout=20)
        try:
            told = body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, told, {"Content-Type": content_type})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def post(self, body: object, *, path: str = PATH, token: str = RIGHT) -> tuple[int, dict[str, Any]]:
        """The status and Snapchat's own answer."""
        status, reply = self.ask("POST", f"{path}?access_token={token}", body)
        told: dict[str, Any] = json.loads(reply)
        assert told["status"] == ("VALID" if status == 200 else "INVALID")
        return status, told

    def send(self, *events: object) -> tuple[int, int | None]:
        """A batch: the status, and the place of the event that is named."""
        status, told = self.post({"data": events})
        return status, told.get("event")

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


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="snapchat")
def _snapchat(clock: Clock) -> Iterator[Client]:
    accounts = {"snapchat": [PIXEL_ID, OTHER]}
    with EmulatorThread(["snapchat"], tokens={"snapchat": RIGHT}, now_ms=clock, accounts=accounts) as served:
        yield Client(served.urls["snapchat"])


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


def buying(event_id: str, order_id: str, value: float = 1, code: str = "USD") -> dict[str, Any]:
    """A small purchase of now."""
    return {
        "event_name": "PURCHASE",
        "event_time": NOW_S,
        "event_id": event_id,
        "action_source": "WEB",
        "user_data": {"em": [HASH]},
        "custom_data": {"value": value, "currency": code, "order_id": order_id},
    }


def test_a_good_batch_is_taken(snapchat: Client) -> None:
    """VALID, and kept as received; test events count as any other."""
    batch = {"data": [GOOD, buying("purchase:2", "2")], "test_event_code": "TEST1"}
    assert snapchat.post(batch)[1]["status"] == "VALID"
    assert snapchat.lines("accepted")[0] == {**GOOD, "received_at_ms": NOW_MS}
    assert snapchat.lines("requests")[0]["event_ids"] == ["purchase:1", "purchase:2"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event_id", GONE),
        ("event_name", "ADD_CART"),
        ("event_time", NOW_S - 37 * DAY_S),
        ("event_time", NOW_S + 60),
        ("action_source", "website"),
        ("event_source_url", GONE),
        ("user_data", {"ph": HASH}),
        ("user_data", {"client_ip_address": "203.0.113.9", "client_user_agent": "Mozilla/5.0"}),
        ("user_data.em", [HASH, HASH]),
        ("custom_data.value", 0),
        ("custom_data.contents.0.item_price", "0"),
        ("data_processing_options_state", 0),
        ("data_processing_options", GONE),
    ],
)
def test_what_the_rules_allow_is_taken(snapchat: Client, path: str, value: object) -> None:
    """Right up to the borders."""
    assert snapchat.send(changed(path, value)) == (200, None)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event_time", NOW_MS),
        ("event_time", str(NOW_S)),
        ("event_time", NOW_S + 0.5),
        ("event_time", True),
        ("event_time", NOW_S + 61),
        ("event_time", NOW_S - 37 * DAY_S - 1),
        ("event_time", GONE),
        ("event_name", GONE),
        ("event_name", "purchase"),
        ("event_name", "REFUND"),
        ("event_id", ""),
        ("event_id", 7),
        ("action_source", GONE),
        ("action_source", "web"),
        ("event_source_url", "about:blank"),
        ("referrer_url", "https://shop.example/pay"),
        ("value", 59.98),
        ("opt_out", "true"),
        ("data_processing_options", "LDU"),
        ("data_processing_options", ["LMU"]),
        ("data_processing_options_country", True),
        ("data_processing_options_state", 1001),
        ("custom_data", GONE),
        ("custom_data", []),
        ("custom_data.value", GONE),
        ("custom_data.value", "59.98"),
        ("custom_data.value", -1),
        ("custom_data.value", 59.985),
        ("custom_data.currency", GONE),
        ("custom_data.currency", "usd"),
        ("custom_data.currency", "XXX"),
        ("custom_data.currency", "JPY"),
        ("custom_data.order_id", 1),
        ("custom_data.transaction_id", "1"),
        ("custom_data.num_items", "2"),
        ("custom_data.content_ids", "sku-1"),
        ("custom_data.brands", ["Acme"]),
        ("custom_data.contents", []),
        ("custom_data.contents.0.id", GONE),
        ("custom_data.contents.0.quantity", 2),
        ("custom_data.contents.0.quantity", "0"),
        ("custom_data.contents.0.item_price", 29.99),
        ("custom_data.contents.0.item_price", "29,99"),
        ("custom_data.contents.0.name", "Mug"),
        ("user_data", GONE),
        ("user_data", {}),
        ("user_data", {"sc_click_id": "x", "external_id": [HASH]}),
        ("user_data", {"client_ip_address": "203.0.113.9", "sc_cookie1": "x"}),
        ("user_data.client_ip_address", "unknown"),
        ("user_data.client_ip_address", HASH),
        ("user_data.client_user_agent", " "),
        ("user_data.sc_click_id", ""),
        ("user_data.email", [HASH]),
        ("user_data.db", [HASH]),
        *(
            (f"user_data.{key}", value)
            for key in HASHED
            for value in (PERSON, [HASH.upper()], [HASH[:32]], [f"{HASH}\n"], [])
        ),
    ],
)
def test_one_bad_event_refuses_its_batch(snapchat: Client, path: str, value: object) -> None:
    """With its place, and nothing of the customer. That a hash is of a text not normalised no one can see."""
    status, told = snapchat.post({"data": [GOOD, changed(path, value), GOOD]})
    assert (status, told["event"], told["errors"]["error_msgs"]) == (400, 1, [told["reason"]])
    assert PERSON not in json.dumps(told)
    stats = snapchat.stats()
    assert (stats["server"], stats["requests"], stats["rejected_requests"]) == (0, 1, 1)


def test_the_test_tool_tells_of_each_and_keeps_none(snapchat: Client) -> None:
    """Who may write and what is right is as for events that count."""
    path = f"{PATH}/validate"
    status, told = snapchat.post({"data": [GOOD, buying("purchase:2", "2")]}, path=path)
    assert (status, [log["status"] for log in told["event_logs"]]) == (200, ["VALID", "VALID"])
    status, told = snapchat.post({"data": [GOOD, changed("event_time", NOW_MS)]}, path=path)
    assert (status, [log["status"] for log in told["event_logs"]]) == (400, ["VALID", "INVALID"])
    assert snapchat.post({"data": []}, path=path)[0] == 400
    assert snapchat.post({"data": [GOOD]}, path=path, token="wrong")[0] == 401  # noqa: S106 (it opens nothing)
    assert (snapchat.stats()["server"], snapchat.stats()["rejected_requests"]) == (0, 3)


@pytest.mark.parametrize(("events", "status"), [(0, 400), (1, 200), (2000, 200), (2001, 400)])
def test_a_batch_has_1_to_2000_events(snapchat: Client, events: int, status: int) -> None:
    """None is too few, 2001 too many; no event is named for it."""
    assert snapchat.send(*[buying("a", "1")] * events) == (status, None)


def test_a_body_has_2_megabytes_at_most(snapchat: Client) -> None:
    """White space counts."""
    body = json.dumps({"data": [GOOD]}).encode()
    assert snapchat.post(body.ljust(2_000_000))[0] == 200
    assert snapchat.post(body.ljust(2_000_001))[0] == 413


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'{"data": {}}', b'{"data": [NaN]}', b'{"data":' + b"[" * 100_000]
    + [json.dumps({"data": [GOOD], **root}).encode() for root in ({"test_event_code": ""}, {"test": True})],
)  # fmt: skip
def test_a_body_of_another_shape_is_refused(snapchat: Client, body: bytes) -> None:
    """Always in Snapchat's shape, whatever comes."""
    status, told = snapchat.post(body)
    assert (status, "event" in told) == (400, False)


def test_a_form_is_refused(snapchat: Client) -> None:
    """The events come as JSON."""
    assert snapchat.ask("POST", f"{PATH}?access_token={RIGHT}", {"data": [GOOD]}, "text/plain")[0] == 400


def test_who_may_not_write_is_told_so(snapchat: Client) -> None:
    """Before anything is said of the events; the token is not told back."""
    for token in ("", "wrong"):
        status, told = snapchat.post({"data": [{}]}, token=token)
        assert (status, "event" in told, "wrong" in json.dumps(told)) == (401, False, False)
    stranger = "/v3/5ca91d00-0000-4000-8000-000000000003/events"
    assert snapchat.post({"data": [GOOD]}, path=stranger)[0] == 403


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v2/conversion", 404),
        ("POST", f"/v3/{PIXEL_ID}", 404),
        ("POST", f"{PATH}/", 404),
        ("GET", PATH, 405),
    ],
)
def test_a_wrong_address_is_told(snapchat: Client, method: str, path: str, status: int) -> None:
    """The older API, or a part of the path."""
    assert snapchat.ask(method, f"{path}?access_token={RIGHT}", {"data": [GOOD]})[0] == status


def test_pixel_and_server_fold_into_one(snapchat: Client) -> None:
    """By event id, and a purchase by its order; another pixel, name or both ids differing is another event."""
    assert snapchat.pixel(TRACKED) == 200
    snapchat.send(GOOD, {**GOOD, "event_id": "our-own"}, changed("custom_data.order_id", "2"))
    snapchat.post({"data": [GOOD]}, path=f"/v3/{OTHER}/events")
    snapchat.send(buying("purchase:3", "3"))
    cart = {**GOOD, "event_name": "START_CHECKOUT"}
    snapchat.send({**cart, "event_id": "begin:1"}, {**cart, "event_id": "begin:2"})
    snapchat.pixel([{**TRACKED, "event_type": "START_CHECKOUT", "client_dedup_id": "begin:1"}])
    told = [(line["event_id"], line["sources"]) for line in snapchat.lines("deduped")]
    assert told == [
        ("purchase:1", ["pixel", "server"]),
        ("purchase:1", ["server"]),
        ("purchase:3", ["server"]),
        ("begin:1", ["server", "pixel"]),
        ("begin:2", ["server"]),
    ]
    stats = snapchat.stats()
    assert (stats["server_repeats"], stats["after_dedupe"]) == (2, 3)
    assert stats["money"] == {"USD": 2 * 5998 + 100}


@pytest.mark.parametrize(
    ("told", "window_ms"),
    [
        ([buying("a", order) for order in "123"], DEDUPE_WINDOW_MS),
        ([buying(own, "1") for own in "abc"], ORDER_WINDOW_MS),
    ],
)
def test_dedupe_ends(snapchat: Client, clock: Clock, told: list[dict[str, Any]], window_ms: int) -> None:
    """48 hours after the first of an event id, 30 days after the first of an order."""
    times = ((0, 1), (window_ms, 1), (window_ms + 1, 2))
    for event, (later_ms, events) in zip(told, times, strict=True):
        clock.now_ms = NOW_MS + later_ms
        assert snapchat.send(event)[0] == 200
        assert snapchat.stats()["after_dedupe"] == events


def test_money_is_exact_in_each_currencys_minor_units(snapchat: Client) -> None:
    """Yen have none, dinars three digits; minor units for major ones are another amount."""
    paid = [(1200, "JPY"), (12.345, "KWD"), (0.1, "USD"), (5998, "EUR")]
    events = [buying(str(place), str(place), *each) for place, each in enumerate(paid)]
    assert snapchat.send(*events)[0] == 200
    assert snapchat.stats()["money"] == {"JPY": 1200, "KWD": 12345, "USD": 10, "EUR": 599_800}


@pytest.mark.parametrize(
    ("fault", "status", "place"),
    [
        ({"kind": "poison", "event_ids": ["b"]}, 400, 1),
        ({"kind": "poison", "event_ids": ["b"], "named": False}, 400, None),
        ({"kind": "expired_token"}, 401, None),
        ({"kind": "429", "retry_after_s": 3}, 429, None),
        ({"kind": "status", "status": 503}, 503, None),
        ({"kind": "status", "status": 418}, 418, None),
        ({"kind": "status"}, 500, None),
    ],
)
def test_faults_speak_snapchats_words(
    snapchat: Client, fault: dict[str, object], status: int, place: int | None
) -> None:
    """And take nothing."""
    assert snapchat.ask("POST", "/_emulator/faults", fault)[0] == 200
    assert snapchat.send(buying("a", "1"), buying("b", "2")) == (status, place)
    assert snapchat.stats()["server"] == 0


@pytest.mark.parametrize(
    "told",
    [
        {},
        {**TRACKED, "event_type": ""},
        {**TRACKED, "event_name": "PURCHASE"},
        {**TRACKED, "event_id": "purchase:1"},
        {**TRACKED, "price": "59.98"},
        {**TRACKED, "price": 59.985},
        {**TRACKED, "currency": "XXX"},
        {key: each for key, each in TRACKED.items() if key != "price"},
        [TRACKED, 7],
    ],
)
def test_a_pixel_event_in_other_names_is_refused(snapchat: Client, told: object) -> None:
    """With a 400, and none of a list is kept."""
    assert snapchat.pixel(told) == 400
    assert snapchat.stats()["pixel"] == 0


def test_the_shops_pixel_speaks_snapchats_names(snapchat: Client) -> None:
    """Every pixel event of the shop is taken, with its id, and its money to the minor unit."""
    fires = [one for one in traffic(Plan(seed=3, orders=60, now_ms=NOW_MS)) if isinstance(one, PixelFire)]
    assert fires
    for fired in fires:
        (event,) = pixel(fire(fired))
        assert (event.means, event.event_id) == (fired.event, fired.event_id)
        assert (event.value_minor, event.currency) == (fired.value_minor, fired.currency)
    assert snapchat.pixel(json.loads(fire(fires[0]))) == 200


@pytest.mark.parametrize(
    ("browser", "customer", "cause"),
    [
        ({}, True, ""),
        ({"ip": "203.0.113.9", "user_agent": "Mozilla/5.0"}, False, ""),
        ({"ip": "203.0.113.9", "sc_click_id": "x"}, False, "no_identifiers"),
    ],
)
def test_what_it_lacks(browser: dict[str, str], customer: bool, cause: str) -> None:  # noqa: FBT001 (a case's)
    """Who can't be known."""
    known = Known("begin_checkout", browser, customer, "US", "USD", {}, sale_opt_out=False)
    assert STAND_IN.taker.lacks(known) == cause
