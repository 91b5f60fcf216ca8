"""Reddit's stand-in, over real sockets: what it takes, what it refuses and how, and what it says it holds."""

import copy
import json
from collections.abc import Iterator, Mapping

import pytest

from consumer.emulators.platforms import EmulatorThread
from consumer.emulators.reddit import fire, pixel
from consumer.emulators.reddit_event import DEDUPE_WINDOW_MS, SESSION_MS
from consumer.emulators.shop import PixelFire, Plan, traffic
from tests.emulators.client import Asking, Clock

NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000
RIGHT = "right"
PATH = "/api/v3/pixels/t2_capidemo/conversion_events"
HASH = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
UUID = "5e6d1e3c-0000-4000-8000-000000000003"
PERSON = "john_smith@gmail.com"
AGENT = "web:shop:v1 (tests)"
GOOD = {
    "event_at": NOW_MS - 60_000,
    "action_source": "WEBSITE",
    "type": {"tracking_type": "PURCHASE"},
    "click_id": "3184742045291813272",
    "event_source_url": "https://shop.example/thanks",
    "metadata": {
        "conversion_id": "purchase:1",
        "currency": "USD",
        "value": 59.98,
        "item_count": 2,
        "products": [{"id": "sku-1", "name": "Mug", "category": "Home", "quantity": 2, "item_price": 29.99}],
    },
    "user": {
        **dict.fromkeys(("email", "phone_number", "external_id"), HASH),
        "ip_address": "2001:db8::1",
        "user_agent": "Mozilla/5.0",
        "uuid": UUID,
        "screen_dimensions": {"width": 1920, "height": 1080},
        "data_processing_options": {"modes": ["LDU"], "country": "US", "region": "US-CA"},
    },
}
CHECKOUT = {"tracking_type": "CUSTOM", "custom_event_name": "InitiateCheckout"}
GONE = object()
PIXEL = {
    "id": "t2_capidemo",
    "ts": NOW_MS,
    "event": "Purchase",
    "m.conversionId": "purchase:1",
    "m.valueDecimal": 59.98,
    "m.currency": "USD",
    "uuid": UUID,
}


class Client(Asking):
    """One request a connection. Answers are status and body."""

    def post(
        self, body: object, *, path: str = PATH, token: str = f"Bearer {RIGHT}", agent: str = AGENT
    ) -> tuple[int, dict[str, dict[str, object]]]:
        """JSON with a token; `body` may be bytes."""
        headers = {"Content-Type": "application/json", "Authorization": token, "User-Agent": agent}
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, reply = self.ask("POST", path, text, headers)
        return status, json.loads(reply)

    def send(self, *events: object) -> tuple[int, dict[str, dict[str, object]]]:
        """A batch."""
        return self.post({"data": {"events": events}})


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="reddit")
def _reddit(clock: Clock) -> Iterator[Client]:
    with EmulatorThread(["reddit"], tokens={"reddit": RIGHT}, now_ms=clock) as served:
        yield Client(served.urls["reddit"])


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


def buying(conversion_id: str, value: object = 1, currency: str = "USD", **more: object) -> dict[str, object]:
    """A small event with money."""
    told = {"conversion_id": conversion_id} if conversion_id else {}
    return {
        "event_at": NOW_MS,
        "action_source": "WEBSITE",
        "type": {"tracking_type": "PURCHASE"},
        "metadata": {**told, "value": value, "currency": currency},
        "user": {"uuid": UUID},
        **more,
    }


def paths(body: Mapping[str, Mapping[str, object]]) -> list[str]:
    """What a refusal finds wrong."""
    fields = body["error"].get("fields", [])
    assert isinstance(fields, list)
    return [each["field"] for each in fields]


def test_a_good_batch_is_taken_and_kept_as_received(reddit: Client) -> None:
    """The reply counts the events; what is kept has every field and the time of receipt."""
    other = changed("metadata.conversion_id", "purchase:2")
    assert reddit.send(GOOD, other) == (
        200,
        {"data": {"message": "Successfully processed 2 conversion events."}},
    )
    assert reddit.lines("accepted") == [
        {**GOOD, "received_at_ms": NOW_MS},
        {**other, "received_at_ms": NOW_MS},
    ]
    assert [line["event_ids"] for line in reddit.lines("requests")] == [["purchase:1", "purchase:2"]]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event_at", NOW_MS - 7 * DAY_MS),
        ("event_at", NOW_MS + 300_000),
        ("type", {"tracking_type": "CUSTOM", "custom_event_name": "é" * 64}),
        ("type.tracking_type", "ADD_TO_CART"),
        ("event_source_url", GONE),
        ("metadata", GONE),
        ("metadata.conversion_id", GONE),
        ("metadata.value", 0),
        ("metadata.value", 60),
        ("metadata.products.0.quantity", GONE),
        ("user", {"email": HASH}),
        ("user", {"ip_address": "203.0.113.9", "user_agent": "Mozilla/5.0"}),
        ("user", GONE),
        ("user.external_id", "customer 7"),
        ("user.ip_address", HASH),
        ("user.uuid", f"1794999900000.{UUID.upper()}"),
        ("user.data_processing_options.region", GONE),
        ("user.data_processing_options.region", "CA"),
    ],
)
def test_what_the_rules_allow_is_taken(reddit: Client, path: str, value: object) -> None:
    """Right up to the borders."""
    assert reddit.send(changed(path, value))[0] == 200


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("event_at", GONE, "event_at"),
        ("event_at", NOW_MS // 1000, "event_at"),
        ("event_at", NOW_MS * 1000, "event_at"),
        ("event_at", str(NOW_MS), "event_at"),
        ("event_at", NOW_MS + 0.5, "event_at"),
        ("event_at", "2026-11-18T11:06:40Z", "event_at"),
        ("event_at", True, "event_at"),
        ("event_at", NOW_MS - 7 * DAY_MS - 1, "event_at"),
        ("event_at", NOW_MS + 300_001, "event_at"),
        ("action_source", GONE, "action_source"),
        ("action_source", "website", "action_source"),
        ("action_source", "APP", "event_source_url"),
        ("type", GONE, "type"),
        ("type", "PURCHASE", "type"),
        ("type", {}, "type.tracking_type"),
        ("type.tracking_type", "Purchase", "type.tracking_type"),
        ("type.tracking_type", "REFUND", "type.tracking_type"),
        ("type.tracking_type", "CUSTOM", "type.custom_event_name"),
        ("type.custom_event_name", "Purchase", "type.custom_event_name"),
        ("type", {"tracking_type": "CUSTOM", "custom_event_name": "é" * 65}, "type.custom_event_name"),
        ("click_id", "", "click_id"),
        ("event_source_url", "about:blank", "event_source_url"),
        ("metadata.conversion_id", 7, "metadata.conversion_id"),
        ("metadata.currency", GONE, "metadata"),
        ("metadata.currency", "usd", "metadata.currency"),
        ("metadata.currency", "XXX", "metadata.currency"),
        ("metadata.value", GONE, "metadata"),
        ("metadata.value", "59.98", "metadata.value"),
        ("metadata.value", -1, "metadata.value"),
        ("metadata.value", 59.985, "metadata.value"),
        ("metadata.value", True, "metadata.value"),
        ("metadata.item_count", "2", "metadata.item_count"),
        ("metadata.item_count", 2.5, "metadata.item_count"),
        ("type.tracking_type", "LEAD", "metadata.item_count"),
        ("type.tracking_type", "SEARCH", "metadata.value"),
        ("metadata.products", {}, "metadata.products"),
        ("metadata.products.0.id", GONE, "metadata.products[0].id"),
        ("metadata.products.0.category", GONE, "metadata.products[0].category"),
        ("metadata.products.0.item_price", "29.99", "metadata.products[0].item_price"),
        ("metadata.products.0.quantity", 0, "metadata.products[0].quantity"),
        ("user", [], "user"),
        ("user.uuid", "1794999900000.abcd-uuid", "user.UUID"),
        ("user.uuid", "00000000-0000-0000-0000-000000000000", "user.UUID"),
        ("user.ip_address", "unknown", "user.ip_address"),
        ("user.user_agent", " ", "user.user_agent"),
        ("user.screen_dimensions", {"width": 1920}, "user.screen_dimensions.height"),
        ("user.screen_dimensions.width", 32768, "user.screen_dimensions.width"),
        ("user.data_processing_options.country", GONE, "user.data_processing_options.country"),
        ("user.data_processing_options.country", "USA", "user.data_processing_options.country"),
        ("user.data_processing_options.country", "DE", "user.data_processing_options.region"),
        ("user.data_processing_options.modes", "LDU", "user.data_processing_options.modes"),
        *(
            (f"user.{key}", value, f"user.{key}")
            for key in ("email", "phone_number")
            for value in (PERSON, HASH.upper(), HASH[:32], f"{HASH}\n", [HASH])
        ),
    ],
)
def test_a_broken_event_refuses_the_whole_batch(reddit: Client, path: str, value: object, found: str) -> None:
    """400, the event's path, and nobody's data; nothing is kept.

    A hash of a value that was not normalised looks like any other: only raw values and other digits are seen.
    """
    status, body = reddit.send(GOOD, changed(path, value), GOOD)
    assert (status, body["error"]["code"]) == (400, 400)
    assert body["error"]["message"] == "There were 1 invalid conversion events. None were processed."
    assert f"$.data.events[1].{found}" in paths(body)
    assert all(each.startswith("$.data.events[1].") for each in paths(body))
    assert PERSON not in json.dumps(body)
    assert reddit.lines("accepted") == []
    assert (reddit.stats()["requests"], reddit.stats()["rejected_requests"]) == (1, 1)


def test_minor_units_for_major_ones_are_another_amount(reddit: Client) -> None:
    """No rule tells them apart: what is held is what was told."""
    assert reddit.send(buying("a", 5998))[0] == 200
    assert reddit.stats()["money"] == {"USD": 599_800}


@pytest.mark.parametrize("user", [{"user_agent": "x"}, {"ip_address": "203.0.113.9"}, {}])
def test_an_event_has_a_signal(reddit: Client, user: dict[str, object]) -> None:
    """A browser alone is none, nor is an address alone."""
    assert paths(reddit.send(buying("a", user=user))[1]) == ["$.data.events[0].user"]
    assert reddit.send(buying("a", user=user, click_id="x"))[0] == 200


def test_each_broken_event_is_named(reddit: Client) -> None:
    """All of them at once."""
    body = reddit.send(changed("type", {}), GOOD, changed("user.uuid", "x"))[1]
    assert str(body["error"]["message"]).startswith("There were 2 ")
    assert paths(body) == ["$.data.events[0].type.tracking_type", "$.data.events[2].user.UUID"]


@pytest.mark.parametrize("path", ["surprise", "value", "metadata.value_decimal", "user.opt_out", "test_id"])
def test_an_unknown_field_refuses_the_batch_without_an_index(reddit: Client, path: str) -> None:
    """Only the field's name is told."""
    status, body = reddit.send(GOOD, changed(path, 1))
    field = path.rpartition(".")[2]
    assert (status, body) == (
        400,
        {"error": {"code": 400, "message": f'JSON error "unknown field" on field "{field}"'}},
    )
    assert reddit.stats()["server"] == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'{"data":{}}', b'{"data":{"events":{}}}', b'{"data":{"events":[1]}}']
    + [b'{"data":{"events":[NaN]}}', json.dumps({"events": [GOOD]}).encode(), b'{"data":' + b"[" * 5000]
    + [json.dumps({"data": {"events": [GOOD], "test_id": code}}).encode() for code in ("", 7)]
    + [json.dumps({"data": {"events": [GOOD]}, "test_id": "t"}).encode()]
    + [json.dumps({"data": {"events": [GOOD], "test_mode": True}}).encode()],
)
def test_a_body_of_another_shape_is_refused(reddit: Client, body: bytes) -> None:
    """Whatever comes."""
    status, reply = reddit.post(body)
    assert (status, reply["error"]["code"], paths(reply)) == (400, 400, [])


def test_a_batch_has_1_to_1000_events(reddit: Client) -> None:
    """The most there may be, one more, and none; with a test id, they count all the same."""
    assert reddit.send(*[buying("")] * 1000)[0] == 200
    assert reddit.send(*[buying("")] * 1001) == (400, {"error": {"code": 400, "message": "Bad Request"}})
    assert reddit.send()[0] == 400
    assert reddit.post({"data": {"test_id": "t", "partner": "us", "events": [buying("a")]}})[0] == 200
    assert reddit.stats()["server"] == 1001


@pytest.mark.parametrize(
    ("asked", "status", "reason"),
    [
        ({"token": ""}, 401, None),
        ({"token": RIGHT}, 401, None),
        ({"token": "Bearer wrong"}, 401, "UNAUTHORIZED"),
        ({"path": "/api/v3/pixels/t2_other/conversion_events"}, 403, None),
        ({"path": "/api/v2.0/conversions/events/t2_capidemo"}, 404, None),
        ({"agent": ""}, 429, None),
        ({"agent": "Python/3.11 aiohttp/3.13.2"}, 429, None),
        ({"agent": "python-requests/2.32.3"}, 429, None),
    ],
)
def test_a_stranger_is_refused(
    reddit: Client, asked: dict[str, str], status: int, reason: str | None
) -> None:
    """By token, pixel, address or user agent, before anything is said of the events; no token is told back."""
    told, body = reddit.post({"data": {"events": [{}]}}, **asked)
    assert (told, body["error"].get("reason")) == (status, reason)
    assert "wrong" not in json.dumps(body)


def test_pixel_and_server_fold_into_one(reddit: Client, clock: Clock) -> None:
    """By id, type and custom name, in one channel and for two days from the first; the first is kept."""
    assert reddit.tell("pixel", PIXEL) == 200
    reddit.send(GOOD, buying("purchase:1", type=CHECKOUT), buying("purchase:1", action_source="OTHER"))
    reddit.tell("pixel", {**PIXEL, "event": "Custom", "m.customEventName": "InitiateCheckout"})
    clock.now_ms += DEDUPE_WINDOW_MS
    reddit.send(buying("purchase:1", event_at=clock.now_ms))
    clock.now_ms += 1
    reddit.send(buying("purchase:1", event_at=clock.now_ms))
    told = [(line["event_name"], line["event_id"], line["sources"]) for line in reddit.lines("deduped")]
    assert told == [
        ("PURCHASE", "purchase:1", ["pixel", "server"]),
        ("InitiateCheckout", "purchase:1", ["server", "pixel"]),
        ("PURCHASE", "purchase:1", ["server"]),
        ("PURCHASE", "purchase:1", ["server"]),
    ]
    assert (reddit.stats()["after_dedupe"], reddit.stats()["server_repeats"]) == (3, 1)


def test_without_an_id_a_visitors_session_tells(reddit: Client, clock: Clock) -> None:
    """The same type within five minutes."""
    reddit.tell("pixel", {key: each for key, each in PIXEL.items() if key != "m.conversionId"})
    clock.now_ms += SESSION_MS
    reddit.send(buying(""), buying("", user={"email": HASH}))
    clock.now_ms += 1
    reddit.send(buying(""))
    assert [line["sources"] for line in reddit.lines("deduped")] == [
        ["pixel", "server"],
        ["server"],
        ["server"],
    ]


def test_money_is_exact_in_each_currencys_minor_units(reddit: Client) -> None:
    """Yen have none, dinars three digits."""
    amounts = [(1200, "JPY"), (12.345, "KWD"), (0.1, "USD"), (1.15, "EUR")]
    assert reddit.send(*(buying(str(place), *each) for place, each in enumerate(amounts)))[0] == 200
    assert reddit.stats()["money"] == {"JPY": 1200, "KWD": 12345, "USD": 10, "EUR": 115}


@pytest.mark.parametrize(
    ("fault", "status", "found"),
    [
        ({"kind": "poison", "event_ids": ["b"]}, 400, ["$.data.events[1].type"]),
        ({"kind": "poison", "event_ids": ["b"], "named": False}, 400, []),
        ({"kind": "expired_token"}, 401, []),
        ({"kind": "429", "retry_after_s": 3}, 429, []),
        ({"kind": "status", "status": 403}, 403, []),
        ({"kind": "status", "status": 401}, 401, []),
        ({"kind": "status"}, 500, []),
    ],
)
def test_faults_keep_nothing(reddit: Client, fault: dict[str, object], status: int, found: list[str]) -> None:
    """In Reddit's own words; a batch without the poison passes."""
    assert reddit.tell("faults", fault) == 200
    told, body = reddit.send(buying("a"), buying("b"))
    assert (told, paths(body), reddit.stats()["server"]) == (status, found, 0)
    assert reddit.send(buying("a"))[0] == (200 if fault["kind"] == "poison" else status)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {**PIXEL, "event": "PURCHASE"},
        {**PIXEL, "conversion_id": "x"},
        {**PIXEL, "ts": "now"},
        {**PIXEL, "m.valueDecimal": "59.98"},
        {**PIXEL, "m.valueDecimal": 59.985},
        {**PIXEL, "m.currency": "XXX"},
        [PIXEL, 7],
    ],
)
def test_a_pixel_event_in_other_names_is_refused(reddit: Client, told: object) -> None:
    """With a 400, and none of a list is kept."""
    assert reddit.tell("pixel", told) == 400
    assert reddit.lines("pixel") == []


def test_the_shops_pixel_speaks_reddits_names(reddit: Client) -> None:
    """Every pixel event of the shop is taken, with its id, and its money to the minor unit."""
    fires = [one for one in traffic(Plan(seed=3, orders=60, now_ms=NOW_MS)) if isinstance(one, PixelFire)]
    assert fires
    for fired in fires:
        (event,) = pixel(fire(fired))
        assert (event.means, event.event_id) == (fired.event, fired.event_id)
        assert (event.value_minor, event.currency) == (fired.value_minor, fired.currency)
    assert reddit.ask("POST", "/_emulator/pixel", fire(fires[0]))[0] == 200
