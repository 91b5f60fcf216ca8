"""TikTok's stand-in, over real sockets: what it takes, what it refuses and how, and what it knows again."""

import copy
import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from consumer.emulators.platforms import STAND_INS, EmulatorThread
from consumer.emulators.shop import PixelFire, Plan, traffic
from consumer.emulators.shop.records import Known
from consumer.emulators.tiktok import PATH, fire, pixel
from consumer.emulators.tiktok_event import DEDUPE_WINDOW_MS, VISITOR_WINDOW_MS
from tests.emulators.client import Clock

NOW_MS = 1_795_000_000_000
NOW_S = NOW_MS // 1000
DAY_S = 86_400
RIGHT = "right"
SOURCE = STAND_INS["tiktok"].account
HASH = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
PERSON = "john_smith@gmail.com"
PHONE = "+12025550143"
GOOD: dict[str, Any] = {
    "event": "Purchase",
    "event_time": NOW_S - 60,
    "event_id": "purchase:1",
    "user": {
        **dict.fromkeys(("email", "phone", "external_id", "first_name", "last_name", "zip_code"), HASH),
        "ttclid": "E.C.P.made-up",
        "ttp": "made-up-ttp",
        "ip": "8.8.8.8",
        "user_agent": "Mozilla/5.0",
        "city": "sanjosé",
        "state": "new york",
        "country": "us",
    },
    "properties": {
        "currency": "USD",
        "value": 59.98,
        "content_type": "product",
        "contents": [{"content_id": "sku-1", "content_name": "Mug", "price": 29.99, "quantity": 2}],
        "order_id": "1",
    },
    "page": {"url": "https://shop.example/thanks", "referrer": "https://shop.example/pay"},
    "limited_data_use": True,
}
GONE = object()
PIXEL: dict[str, Any] = {
    "event": "Purchase",
    "event_id": "purchase:1",
    "timestamp": "2026-11-18T11:46:40Z",
    "context": {"pixel": {"code": SOURCE}, "user": {"anonymous_id": "made-up-ttp"}},
    "properties": {"value": 59.98, "currency": "USD"},
}


class Client:
    """One request a connection."""

    def __init__(self, url: str) -> None:
        self._netloc = urlsplit(url).netloc

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

    def post(self, body: object, *, path: str = PATH, token: str = RIGHT) -> tuple[int, int, str]:
        """The status, and the body's code and message."""
        headers = {"Content-Type": "application/json", "Access-Token": token}
        status, reply = self.ask("POST", path, body, headers)
        told = json.loads(reply)
        assert told.keys() == {"code", "message", "request_id", "data"}
        return status, told["code"], told["message"]

    def send(self, *events: object, **root: object) -> tuple[int, str]:
        """A batch, always answered with 200: the code and the message."""
        status, code, message = self.post(
            {"event_source": "web", "event_source_id": SOURCE, **root, "data": events}
        )
        assert status == 200
        return code, message

    def pixel(self, told: object) -> int:
        """From the browser; the status."""
        return self.ask("POST", "/_emulator/pixel", told)[0]

    def fault(self, **told: object) -> None:
        """A fault for the next requests."""
        assert self.ask("POST", "/_emulator/faults", told)[0] == 200

    def deduped(self) -> list[tuple[str, list[str]]]:
        """The ids and sources after dedupe."""
        lines = self.ask("GET", "/_emulator/deduped")[1].splitlines()
        return [(told["event_id"], told["sources"]) for told in map(json.loads, lines)]

    def stats(self) -> dict[str, Any]:
        """The sums."""
        found: dict[str, Any] = json.loads(self.ask("GET", "/_emulator/stats")[1])
        return found


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="tiktok")
def _tiktok(clock: Clock) -> Iterator[Client]:
    accounts = {"tiktok": [SOURCE, "C0OTHER"]}
    with EmulatorThread(["tiktok"], tokens={"tiktok": RIGHT}, now_ms=clock, accounts=accounts) as served:
        yield Client(served.urls["tiktok"])


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


def test_a_good_batch_is_taken(tiktok: Client) -> None:
    """Code 0; what is kept has its money in minor units."""
    assert tiktok.send(GOOD, {**GOOD, "event_id": "purchase:2"}, test_event_code="TEST1") == (0, "OK")
    assert tiktok.deduped() == [("purchase:1", ["server"]), ("purchase:2", ["server"])]
    assert tiktok.stats()["money"] == {"USD": 2 * 5998}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event", "CompletePayment"),
        ("event", "Subscribe"),
        ("event_id", GONE),
        ("event_time", NOW_S - 7 * DAY_S),
        ("event_time", NOW_S + 60),
        ("user.email", [HASH, HASH]),
        ("user", {"ttp": "made-up-ttp", "ip": "8.8.8.8"}),
        ("user", {"ip": "2606:4700:4700::1111", "user_agent": "Mozilla/5.0"}),
        ("limited_data_use", False),
        ("limited_data_use", GONE),
        ("page", GONE),
        ("properties.value", 0),
        ("properties.contents.0.content_type", "product"),
        ("device", {"platform": "Linux"}),
    ],
)
def test_what_the_rules_allow_is_taken(tiktok: Client, path: str, value: object) -> None:
    """Right up to the borders."""
    assert tiktok.send(changed(path, value)) == (0, "OK")


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("event", GONE, 40002),
        ("event", "", 40002),
        ("event_time", NOW_MS, 40002),
        ("event_time", str(NOW_S), 40002),
        ("event_time", NOW_S + 0.5, 40002),
        ("event_time", True, 40002),
        ("event_time", NOW_S + 61, 40002),
        ("event_time", NOW_S - 7 * DAY_S - 1, 40002),
        ("event_time", GONE, 40002),
        ("event_id", 7, 40002),
        ("surprise", 1, 40002),
        ("value", 59.98, 40002),
        ("user", GONE, 40002),
        ("user", [], 40002),
        ("user", {"user_agent": "Mozilla/5.0", "first_name": HASH}, 40002),
        ("user", {"ip": "8.8.8.8"}, 40002),
        ("user.email", PERSON, 40062),
        ("user.email", [HASH, PERSON], 40062),
        ("user.email", HASH.upper(), 40062),
        ("user.email", HASH[:40], 40062),
        ("user.phone", PHONE, 40062),
        ("user.external_id", "customer-7", 40062),
        ("user.zip_code", "94107", 40062),
        ("user.first_name", [HASH], 40062),
        ("user.phone_number", HASH, 40002),
        ("user.ttclid", "", 40002),
        ("user.ip", "unknown", 40002),
        ("user.ip", "fe80::1%eth0", 40002),
        ("user.user_agent", " ", 40002),
        ("user.city", "san josé", 40002),
        ("user.state", "CA", 40002),
        ("user.country", "US", 40002),
        ("user.country", "usa", 40002),
        ("user.ip", "203.0.113.9", 40002),
        ("user.ip", "10.0.0.1", 40002),
        ("user.ip", GONE, 40002),
        ("limited_data_use", "true", 40002),
        ("limited_data_use", 1, 40002),
        ("properties", GONE, 40002),
        ("properties.value", GONE, 40002),
        ("properties.value", "59.98", 40002),
        ("properties.value", -1, 40002),
        ("properties.value", 59.985, 40002),
        ("properties.currency", GONE, 40002),
        ("properties.currency", "usd", 40002),
        ("properties.currency", "XXX", 40002),
        ("properties.currency", "JPY", 40002),
        ("properties.order_id", 1, 40002),
        ("properties.content_ids", ["sku-1"], 40002),
        ("properties.content_type", "products", 40002),
        ("properties.contents", [], 40002),
        ("properties.contents.0.content_id", 1, 40002),
        ("properties.contents.0.content_id", GONE, 40002),
        ("properties.contents.0.id", "sku-1", 40002),
        ("properties.contents.0.price", "29.99", 40002),
        ("properties.contents.0.quantity", "2", 40002),
        ("properties.contents.0.quantity", 0, 40002),
        ("page.url", "about:blank", 40002),
        ("page.title", "Thanks", 40002),
    ],
)
def test_one_bad_event_refuses_its_batch(tiktok: Client, path: str, value: object, code: int) -> None:
    """With the code, the field's name and nothing of the customer. That a hash is of a wrong text no one can see."""
    told, message = tiktok.send({**GOOD, "event_id": "purchase:0"}, changed(path, value))
    assert (told, message[:18]) == (code, "Invalid value for ")
    assert PERSON not in message
    assert PHONE not in message
    stats = tiktok.stats()
    assert (stats["server"], stats["requests"], stats["rejected_requests"]) == (0, 1, 1)


@pytest.mark.parametrize(
    ("root", "code"),
    [
        ({"event_source": "website"}, 40002),
        ({"event_source_id": 7}, 40002),
        ({"event_source_id": "C0STRANGE"}, 40001),
        ({"test_event_code": ""}, 40002),
        ({"partner_name": "Nobody"}, 40063),
        ({"pixel_code": SOURCE}, 40002),
        ({"event_source": "offline"}, 40002),
    ],
)
def test_a_wrong_root_is_refused(tiktok: Client, root: dict[str, object], code: int) -> None:
    """Keys of the older API, strangers' pixels, partners without a name; limited use isn't for offline events."""
    assert tiktok.send(GOOD, **root)[0] == code


def test_offline_events_may_be_28_days_old(tiktok: Client) -> None:
    """No more than that."""
    event = {**changed("limited_data_use", GONE), "event_time": NOW_S - 28 * DAY_S}
    assert tiktok.send(event, event_source="offline")[0] == 0
    assert tiktok.send({**event, "event_time": NOW_S - 28 * DAY_S - 1}, event_source="offline")[0] == 40002


@pytest.mark.parametrize(("events", "code"), [(0, 40061), (1, 0), (1000, 0), (1001, 40061)])
def test_a_batch_has_1_to_1000_events(tiktok: Client, events: int, code: int) -> None:
    """None is too few, 1001 too many."""
    assert tiktok.send(*[GOOD] * events)[0] == code


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"data": []}', b'{"x":' + b"[" * 100_000, json.dumps([GOOD]).encode()]
)
def test_a_body_of_another_shape_is_refused(tiktok: Client, body: bytes) -> None:
    """Always in TikTok's shape, whatever comes."""
    assert tiktok.post(body)[:2] == (200, 40002)


def test_who_may_not_write_is_told_so(tiktok: Client) -> None:
    """The token stands bare in its own header; it is not told back."""
    assert tiktok.post({}, token="")[:2] == (200, 40104)
    for token in ("wrong", f"Bearer {RIGHT}"):
        status, code, message = tiktok.post({}, token=token)
        assert (status, code) == (200, 40105)
        assert token not in message
    bearer = {"Content-Type": "application/json", "Authorization": f"Bearer {RIGHT}"}
    assert json.loads(tiktok.ask("POST", PATH, {}, bearer)[1])["code"] == 40104


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (PATH.rstrip("/"), 40400),
        (PATH.replace("v1.3", "v1.2"), 40051),
        ("/open_api/v1.3/pixel/track/", 40400),
        ("/", 40400),
    ],
)
def test_a_wrong_address_is_told(tiktok: Client, path: str, code: int) -> None:
    """Another version, the older API, or no slash at the end."""
    assert tiktok.post({}, path=path)[:2] == (200, code)


@pytest.mark.parametrize(
    ("fault", "status", "code", "named"),
    [
        ({"kind": "poison", "event_ids": ["b"]}, 200, 40002, "Batch.1."),
        ({"kind": "poison", "event_ids": ["b"], "named": False}, 200, 40002, ""),
        ({"kind": "poison", "event_ids": ["b"], "status": 400}, 400, 40002, "Batch.1."),
        ({"kind": "expired_token"}, 200, 40102, ""),
        ({"kind": "429", "retry_after_s": 3}, 429, 40100, ""),
        ({"kind": "429", "status": 200}, 200, 40100, ""),
        ({"kind": "status", "status": 503}, 503, 50000, ""),
        ({"kind": "status", "status": 401}, 401, 40105, ""),
        ({"kind": "status", "status": 418}, 418, 40002, ""),
    ],
)
def test_faults_speak_tiktoks_words(
    tiktok: Client, fault: dict[str, object], status: int, code: int, named: str
) -> None:
    """And take nothing."""
    tiktok.fault(**fault)
    batch = {
        "event_source": "web",
        "event_source_id": SOURCE,
        "data": [{**GOOD, "event_id": i} for i in "ab"],
    }
    answer = tiktok.post(batch)
    assert answer[:2] == (status, code)
    assert named in answer[2]
    assert bool(named) == ("Batch." in answer[2])
    assert tiktok.stats()["server"] == 0


def test_pixel_and_server_fold_into_one(tiktok: Client) -> None:
    """By pixel, name and id, the first kept; any other of the three is another event."""
    assert tiktok.pixel(PIXEL) == 200
    tiktok.send(GOOD, GOOD, {**GOOD, "event": "CompletePayment"})
    tiktok.send(GOOD, event_source_id="C0OTHER")
    tiktok.send({**GOOD, "event_id": "purchase:2"})
    tiktok.pixel([{**PIXEL, "event_id": "purchase:2"}, {**PIXEL, "event": "InitiateCheckout"}])
    assert tiktok.deduped() == [
        ("purchase:1", ["pixel", "server"]),
        ("purchase:1", ["server"]),
        ("purchase:1", ["server"]),
        ("purchase:2", ["server", "pixel"]),
        ("purchase:1", ["pixel"]),
    ]
    stats = tiktok.stats()
    assert (stats["server"], stats["pixel"], stats["after_dedupe"], stats["server_repeats"]) == (5, 3, 4, 1)


@pytest.mark.parametrize(
    ("event", "window_ms"), [(GOOD, DEDUPE_WINDOW_MS), (changed("event_id", GONE), VISITOR_WINDOW_MS)]
)
def test_dedupe_ends(tiktok: Client, clock: Clock, event: dict[str, Any], window_ms: int) -> None:
    """48 hours after the first of an id; five minutes after a visitor's first without one."""
    event = {**event, "event_time": NOW_S}
    for later_ms, events in ((0, 1), (window_ms, 1), (window_ms + 1, 2)):
        clock.now_ms = NOW_MS + later_ms
        assert tiktok.send(event)[0] == 0
        assert tiktok.stats()["after_dedupe"] == events


@pytest.mark.parametrize(
    "told",
    [
        {},
        {**PIXEL, "event": ""},
        {**PIXEL, "event_name": "Purchase"},
        {**PIXEL, "timestamp": NOW_MS},
        {**PIXEL, "context": {}},
        {**PIXEL, "properties": []},
        {**PIXEL, "properties": {"value": "59.98", "currency": "USD"}},
        {**PIXEL, "properties": {"value": 59.985, "currency": "USD"}},
        {**PIXEL, "properties": {}},
        [PIXEL, 7],
    ],
)
def test_a_pixel_event_in_other_names_is_refused(tiktok: Client, told: object) -> None:
    """With a 400, and none of a list is kept."""
    assert tiktok.pixel(told) == 400
    assert tiktok.stats()["pixel"] == 0


def test_the_shops_pixel_speaks_tiktoks_names() -> None:
    """Every pixel event of the shop is taken, with its id, and its money to the minor unit."""
    fires = [one for one in traffic(Plan(seed=3, orders=60, now_ms=NOW_MS)) if isinstance(one, PixelFire)]
    assert fires
    for fired in fires:
        (event,) = pixel(fire(fired))
        assert (event.means, event.event_id) == (fired.event, fired.event_id)
        assert (event.value_minor, event.currency) == (fired.value_minor, fired.currency)


@pytest.mark.parametrize(
    ("opted_out", "browser", "cause"),
    [
        (True, {"ip": "8.8.8.8"}, ""),
        (True, {"ip": "203.0.113.9"}, "no_public_ip"),
        (True, {}, "no_public_ip"),
        (False, {}, ""),
    ],
)
def test_the_truth_knows_who_cannot_be_told_of(
    opted_out: bool,  # noqa: FBT001 (a column of the table)
    browser: dict[str, str],
    cause: str,
) -> None:
    """A sale opted out comes to nothing here without a public address."""
    known = Known(
        "purchase", browser, customer=True, country="US", currency="USD", consent={}, sale_opt_out=opted_out
    )
    assert STAND_INS["tiktok"].taker.lacks(known) == cause
