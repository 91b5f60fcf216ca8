"""OpenAI's stand-in, over real sockets: what it takes, what it refuses and how, and what it says it holds."""

import copy
import json
from collections.abc import Iterator, Mapping

import pytest

from consumer.emulators.openai import fire, pixel
from consumer.emulators.openai_event import DEDUPE_WINDOW_MS
from consumer.emulators.platforms import EmulatorThread
from consumer.emulators.shop import PixelFire, Plan, traffic
from tests.emulators.client import Asking, Clock

NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000
RIGHT = "right"
PATH = "/v1/events?pid=CapiDemoPixel000000042"
HASH = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
HASHED = tuple(
    f"{name}_sha256" for name in ("emails", "phone_numbers", "external_ids", "first_names", "last_names")
)
PERSON = "john_smith@gmail.com"
GOOD = {
    "id": "purchase:1",
    "type": "order_created",
    "timestamp_ms": NOW_MS - 60_000,
    "action_source": "web",
    "source_url": "https://shop.example/thanks",
    "oppref": "gAAAAAb",
    "opt_out": False,
    "user": {
        **{key: [HASH] for key in HASHED},
        "obref": "123e4567-e89b-42d3-a456-426614174000",
        "countries": ["US"],
        "regions": ["California"],
        "cities": ["San José"],
        "postal_codes": ["SW1A 1AA"],
        "ip_address": "2001:db8::1",
        "user_agent": "Mozilla/5.0",
    },
    "data": {
        "type": "contents",
        "amount": 5998,
        "currency": "USD",
        "contents": [
            {"id": "sku-1", "name": "Mug", "content_type": "product", "quantity": 2, "amount": 2999}
        ],
    },
}
PAYMENT = {
    "type": "custom",
    "custom_event_name": "add_payment_info",
    "data": {"type": "custom", "amount": 1, "currency": "USD"},
}
PIXEL = {
    "event": "order_created",
    "data": {"type": "contents", "amount": 5998, "currency": "USD"},
    "options": {"event_id": "purchase:1"},
}
GONE = object()


class Client(Asking):
    """One request a connection. Answers are status and body."""

    def post(
        self, body: object, *, path: str = PATH, token: str = f"Bearer {RIGHT}"
    ) -> tuple[int, dict[str, object]]:
        """JSON with a token; `body` may be bytes."""
        headers = {"Content-Type": "application/json", "Authorization": token}
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, reply = self.ask("POST", path, text, headers)
        return status, json.loads(reply)

    def send(self, *events: object) -> tuple[int, dict[str, object]]:
        """A batch."""
        return self.post({"events": events})


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


@pytest.fixture(name="openai")
def _openai(clock: Clock) -> Iterator[Client]:
    with EmulatorThread(["openai"], tokens={"openai": RIGHT}, now_ms=clock) as served:
        yield Client(served.urls["openai"])


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


def buying(event_id: str, amount: object = 5998, currency: str = "USD", **more: object) -> dict[str, object]:
    """A small event with money."""
    data = {"type": "contents", "amount": amount, "currency": currency}
    return {"id": event_id, "type": "order_created", "timestamp_ms": NOW_MS, "data": data, **more}


def param(body: Mapping[str, object]) -> object:
    """What a refusal finds wrong."""
    error = body["error"]
    assert isinstance(error, dict)
    return error["param"]


def test_a_good_batch_is_taken_and_kept_as_received(openai: Client) -> None:
    """The reply counts the events; what is kept has every field and the time of receipt."""
    other = {**GOOD, "id": "purchase:2"}
    assert openai.send(GOOD, other) == (200, {"accepted_events": 2})
    assert openai.lines("accepted") == [
        {**GOOD, "received_at_ms": NOW_MS},
        {**other, "received_at_ms": NOW_MS},
    ]
    assert [line["event_ids"] for line in openai.lines("requests")] == [["purchase:1", "purchase:2"]]


@pytest.mark.parametrize("right", [True, False])
def test_what_is_only_checked_is_not_kept(openai: Client, right: bool) -> None:  # noqa: FBT001 (a case)
    """Nor is what is wrong taken for right."""
    event = GOOD if right else changed("timestamp_ms", 0)
    status, _ = openai.post({"validate_only": True, "integration_source": "us", "events": [event]})
    assert (status, openai.stats()["server"]) == (200 if right else 400, 0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("timestamp_ms", NOW_MS - 7 * DAY_MS),
        ("timestamp_ms", NOW_MS + 600_000),
        ("action_source", GONE),
        ("user", GONE),
        ("user", {}),
        ("oppref", GONE),
        ("opt_out", True),
        ("data", {"type": "contents"}),
        ("data.amount", 0),
        ("data.currency", "usd"),
        ("data.contents", []),
        ("data.contents.0.variant_dict", {"size": "M"}),
        ("data.contents.0.group_id", "mugs"),
        ("user.cities", ["x" * 128]),
        ("user.emails_sha256", [HASH] * 4),
    ],
)
def test_what_the_rules_allow_is_taken(openai: Client, path: str, value: object) -> None:
    """Right up to the borders."""
    assert openai.send(changed(path, value))[0] == 200


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        *((key, GONE, key) for key in ("id", "type", "timestamp_ms", "data")),
        ("id", "", "id"),
        ("id", 7, "id"),
        ("type", "purchase", "type"),
        ("type", "lead_created", "data.type"),
        ("timestamp_ms", NOW_MS // 1000, "timestamp_ms"),
        ("timestamp_ms", NOW_MS * 1000, "timestamp_ms"),
        ("timestamp_ms", str(NOW_MS), "timestamp_ms"),
        ("timestamp_ms", NOW_MS + 0.5, "timestamp_ms"),
        ("timestamp_ms", True, "timestamp_ms"),
        ("timestamp_ms", NOW_MS - 7 * DAY_MS - 1, "timestamp_ms"),
        ("timestamp_ms", NOW_MS + 600_001, "timestamp_ms"),
        ("custom_event_name", "add_payment_info", "custom_event_name"),
        ("action_source", "website", "action_source"),
        ("source_url", GONE, "source_url"),
        ("source_url", "about:blank", "source_url"),
        ("oppref", " ", "oppref"),
        ("opt_out", "true", "opt_out"),
        ("surprise", 1, "surprise"),
        ("user.email", PERSON, "user.email"),
        ("user.email_sha256", HASH, "user.email_sha256"),
        ("user.obref", "", "user.obref"),
        ("user.countries", ["USA"], "user.countries"),
        ("user.countries", "US", "user.countries"),
        ("user.cities", ["x" * 129], "user.cities"),
        ("user.postal_codes", ["90210!"], "user.postal_codes"),
        ("user.ip_address", "unknown", "user.ip_address"),
        ("user.user_agent", " ", "user.user_agent"),
        ("data.type", "purchase", "data.type"),
        ("data.value", 59.98, "data.value"),
        ("data.plan_id", "gold", "data.plan_id"),
        ("data.amount", 59.98, "data.amount"),
        ("data.amount", "5998", "data.amount"),
        ("data.amount", -1, "data.amount"),
        ("data.amount", True, "data.amount"),
        ("data.currency", GONE, "data.currency"),
        ("data.currency", "XXX", "data.currency"),
        ("data.contents.0.quantity", "2", "data.contents[0].quantity"),
        ("data.contents.0.quantity", 0, "data.contents[0].quantity"),
        ("data.contents.0.amount", 29.99, "data.contents[0].amount"),
        ("data.contents.0.price", 2999, "data.contents[0].price"),
        ("data.contents.0.variant_dict", {"size": 1}, "data.contents[0].variant_dict"),
        *(
            (f"user.{key}", value, f"user.{key}")
            for key in HASHED
            for value in ([PERSON], [HASH.upper()], [HASH[:32]], [f"{HASH}\n"], HASH, [])
        ),
    ],
)
def test_a_broken_event_refuses_the_whole_batch(openai: Client, path: str, value: object, found: str) -> None:
    """400, the first event that is wrong, and nobody's data; nothing is kept.

    A hash of a value that was not normalised looks like any other: only raw values and other digits are seen.
    """
    status, body = openai.send(GOOD, changed(path, value), GOOD)
    assert (status, param(body)) == (400, f"events[1].{found}")
    assert PERSON not in json.dumps(body)
    assert openai.lines("accepted") == []
    assert (openai.stats()["requests"], openai.stats()["rejected_requests"]) == (1, 1)


@pytest.mark.parametrize(
    ("event", "found"),
    [
        (PAYMENT, ""),
        ({**PAYMENT, "data": {"type": "custom", "anything": [None]}}, ""),
        ({"type": "app_opened", "data": {"type": "customer_action"}, "action_source": "mobile_app"}, ""),
        ({**PAYMENT, "custom_event_name": "Order_Created"}, "custom_event_name"),
        ({**PAYMENT, "custom_event_name": "add payment"}, "custom_event_name"),
        ({**PAYMENT, "custom_event_name": "x" * 65}, "custom_event_name"),
        ({"type": "custom", "data": {"type": "custom"}}, "custom_event_name"),
        ({"type": "custom", "custom_event_name": "x", "data": {"type": "contents"}}, "data.type"),
        ({"type": "app_opened", "data": {"type": "customer_action"}}, "action_source"),
        ({"type": "lead_created", "data": {"type": "customer_action", "contents": []}}, "data.contents"),
    ],
)
def test_each_type_has_its_data(openai: Client, event: dict[str, object], found: str) -> None:
    """A custom event has a name of its own, and any data."""
    status, body = openai.send({**buying("a"), **event})
    assert (status, found and param(body)) == (400 if found else 200, found and f"events[0].{found}")


def test_an_items_amount_has_a_currency(openai: Client) -> None:
    """Its own or the event's."""
    item = {"id": "sku-1", "amount": 2999}
    status, body = openai.send(buying("a", data={"type": "contents", "contents": [item]}))
    assert (status, param(body)) == (400, "events[0].data.contents[0].currency")
    item["currency"] = "EUR"
    assert openai.send(buying("a", data={"type": "contents", "contents": [item]}))[0] == 200


def test_major_units_for_minor_ones_are_another_amount(openai: Client) -> None:
    """No rule tells them apart, if they are whole: what is held is what was told."""
    assert openai.send(buying("a", 59))[0] == 200
    assert openai.stats()["money"] == {"USD": 59}


@pytest.mark.parametrize(("count", "status"), [(0, 400), (1, 200), (1000, 200), (1001, 400)])
def test_a_batch_has_1_to_1000_events(openai: Client, count: int, status: int) -> None:
    """None is too few, 1001 too many."""
    assert openai.send(*[buying("a")] * count)[0] == status


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"{}", b"[" * 5000, b'{"events": {}}', b'{"events": [1]}', b'{"events": [NaN]}'),
        *(b'{"events": [{"id": "\xff"}]}', b'{"events": ' + b"[" * 5000, json.dumps(GOOD).encode()),
        json.dumps({"events": [GOOD], "test": True}).encode(),
        json.dumps({"events": [GOOD], "validate_only": "yes"}).encode(),
    ],
)
def test_a_body_of_another_shape_is_refused(openai: Client, body: bytes) -> None:
    """Whatever comes."""
    status, reply = openai.post(body)
    assert (status, openai.stats()["server"]) == (400, 0)
    assert "error" in reply


def test_a_body_can_be_too_large(openai: Client) -> None:
    """Then nothing of it is read."""
    assert openai.post(b" " * 4_000_001)[0] == 413


@pytest.mark.parametrize(
    ("asked", "status", "found"),
    [
        ({"token": ""}, 401, None),
        ({"token": RIGHT}, 401, None),
        ({"token": "Bearer wrong"}, 401, None),
        ({"path": "/v1/events"}, 400, "pid"),
        ({"path": "/v1/events?pid=another"}, 404, "pid"),
        ({"path": PATH.replace("v1", "v2")}, 404, None),
    ],
)
def test_a_strangers_request_is_refused(
    openai: Client, asked: dict[str, str], status: int, found: str | None
) -> None:
    """By key, pixel or address, before anything is said of the events; no key is told back."""
    told, body = openai.post({"events": [{}]}, **asked)
    assert (told, param(body)) == (status, found)
    assert "wrong" not in json.dumps(body)
    assert openai.ask("GET", PATH)[0] == 405


def test_pixel_and_server_are_one_by_name_and_id(openai: Client, clock: Clock) -> None:
    """The first is kept; another name or another id is another event, and so is one beyond the window."""
    assert openai.tell("pixel", PIXEL) == 200
    assert openai.send(GOOD, buying("purchase:1", 1), {**buying("purchase:1"), **PAYMENT})[0] == 200
    clock.now_ms += DEDUPE_WINDOW_MS
    openai.send(buying("purchase:1", timestamp_ms=clock.now_ms))
    clock.now_ms += 1
    openai.send(buying("purchase:1", timestamp_ms=clock.now_ms))
    told = [(line["event_name"], line["event_id"], line["sources"]) for line in openai.lines("deduped")]
    assert told == [
        ("order_created", "purchase:1", ["pixel", "server"]),
        ("add_payment_info", "purchase:1", ["server"]),
        ("order_created", "purchase:1", ["server"]),
    ]
    assert (openai.stats()["money"], openai.stats()["server_repeats"]) == ({"USD": 2 * 5998}, 2)


def test_money_is_told_in_each_currencys_minor_units(openai: Client) -> None:
    """Yen have none, dinars three digits."""
    amounts = [(1200, "JPY"), (12_345, "KWD"), (10, "USD")]
    assert openai.send(*(buying(str(place), *each) for place, each in enumerate(amounts)))[0] == 200
    assert openai.stats()["money"] == {"JPY": 1200, "KWD": 12_345, "USD": 10}


@pytest.mark.parametrize(
    ("fault", "status", "found"),
    [
        ({"kind": "poison", "event_ids": ["b"]}, 400, "events[1]"),
        ({"kind": "poison", "event_ids": ["b"], "named": False}, 400, None),
        ({"kind": "expired_token"}, 401, None),
        ({"kind": "429", "retry_after_s": 3}, 429, None),
        ({"kind": "status", "status": 403}, 403, None),
        ({"kind": "status"}, 500, None),
    ],
)
def test_faults_keep_nothing(
    openai: Client, fault: dict[str, object], status: int, found: str | None
) -> None:
    """In OpenAI's own words; a batch without the poison passes."""
    assert openai.tell("faults", fault) == 200
    told, body = openai.send(buying("a"), buying("b"))
    assert (told, param(body), openai.stats()["server"]) == (status, found, 0)
    assert openai.send(buying("a"))[0] == (200 if fault["kind"] == "poison" else status)


@pytest.mark.parametrize(
    "told",
    [
        {},
        7,
        {**PIXEL, "event": "purchase"},
        {**PIXEL, "event": "custom"},
        {**PIXEL, "id": "purchase:1"},
        {**PIXEL, "data": {"type": "contents"}},
        {**PIXEL, "data": {"type": "contents", "amount": 59.98, "currency": "USD"}},
        {**PIXEL, "data": {"type": "contents", "amount": 5998}},
        {**PIXEL, "options": {"eventID": "purchase:1"}},
        [PIXEL, 7],
    ],
)
def test_a_pixel_event_in_other_names_is_refused(openai: Client, told: object) -> None:
    """With a 400, and none of a list is kept."""
    assert openai.tell("pixel", told) == 400
    assert openai.lines("pixel") == []


def test_the_shops_pixel_speaks_openais_names(openai: Client) -> None:
    """Every pixel event of the shop is taken, with its id, and its money to the minor unit."""
    fires = [one for one in traffic(Plan(seed=3, orders=60, now_ms=NOW_MS)) if isinstance(one, PixelFire)]
    assert fires
    for fired in fires:
        (event,) = pixel(fire(fired))
        assert (event.means, event.event_id) == (fired.event, fired.event_id)
        assert (event.value_minor, event.currency) == (fired.value_minor, fired.currency)
    assert openai.ask("POST", "/_emulator/pixel", fire(fires[0]))[0] == 200
