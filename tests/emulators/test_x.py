"""X's stand-in, over real sockets: what it takes, what it refuses and how, and what it says it holds."""

import copy
import http.client
import json
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import pytest

from consumer.emulators.platforms import EmulatorThread
from consumer.emulators.shop import PixelFire, Plan, traffic
from consumer.emulators.shop.records import Known
from consumer.emulators.x import STAND_IN, fire, pixel
from consumer.emulators.x_event import DEDUPE_WINDOW_MS
from tests.emulators.client import Clock

NOW_MS = 1_795_000_000_000
NOW, OLDEST, LATEST = "2026-11-18T11:06:40.000Z", "2026-11-11T11:06:40.000Z", "2026-11-18T11:07:40.000Z"
RIGHT = "right"
PATH = "/12/measurement/conversions/o8z6j"
HASH = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
PERSON = "john_smith@gmail.com"
TAG = "tw-o8z6j-o8z21"
GOOD = {
    "conversion_time": NOW,
    "event_id": TAG,
    "identifiers": [
        {"twclid": "23opevjt88psuo13lu8d020qkn"},
        {"hashed_email": HASH},
        {"hashed_phone_number": HASH},
        {"ip_address": "2001:db8::1", "user_agent": "Mozilla/5.0"},
    ],
    "conversion_id": "purchase:1",
    "value": 59.98,
    "price_currency": "USD",
    "number_items": 2,
    "contents": [{"content_id": "sku-1", "content_name": "Mug", "content_price": 29.99, "num_items": 2}],
}
GONE = object()
PIXEL = {"event": TAG, "conversion_id": "purchase:1", "value": 59.98, "currency": "USD"}


class Client:
    """One request a connection. Answers are status and body."""

    def __init__(self, url: str) -> None:
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

    def post(self, body: object, *, path: str = PATH, token: str = RIGHT) -> tuple[int, dict[str, object]]:
        """JSON with a token; `body` may be bytes."""
        headers = {"Content-Type": "application/json", "X-Pixel-Token": token}
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, reply = self.ask("POST", path, text, headers)
        return status, json.loads(reply)

    def send(self, *events: object) -> tuple[int, dict[str, object]]:
        """A batch."""
        return self.post({"conversions": events})

    def tell(self, what: str, told: object) -> int:
        """Of the emulator's own: a pixel's event, or a fault; the status."""
        return self.ask("POST", f"/_emulator/{what}", json.dumps(told).encode())[0]

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


@pytest.fixture(name="x")
def _x(clock: Clock) -> Iterator[Client]:
    with EmulatorThread(["x"], tokens={"x": RIGHT}, now_ms=clock) as served:
        yield Client(served.urls["x"])


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


def errors(body: Mapping[str, object]) -> list[tuple[str, str]]:
    """Code and parameter of each error of a reply."""
    found = body["errors"]
    assert isinstance(found, list)
    return [(each["code"], each.get("parameter", "")) for each in found]


def test_a_good_batch_is_taken_and_kept_as_received(x: Client) -> None:
    """The reply counts the events; what is kept has every field and the time of receipt."""
    status, body = x.send(GOOD, {**GOOD, "conversion_id": "purchase:2"})
    data = body["data"]
    assert isinstance(data, dict)
    assert (status, data["conversions_processed"], bool(data["debug_id"])) == (200, 2, True)
    assert x.lines("accepted") == [
        {**GOOD, "received_at_ms": NOW_MS},
        {**GOOD, "conversion_id": "purchase:2", "received_at_ms": NOW_MS},
    ]
    assert [line["event_ids"] for line in x.lines("requests")] == [["purchase:1", "purchase:2"]]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("conversion_id", GONE),
        ("event_id", "o8z22"),
        ("conversion_time", "2026-11-18T11:06:40Z"),
        ("conversion_time", OLDEST),
        ("conversion_time", LATEST),
        ("value", 0.0),
        ("value", 65.0),
        ("number_items", GONE),
        ("contents", []),
        ("contents.0.content_type", "Mugs"),
        ("identifiers", [{"twclid": "x"}]),
        ("identifiers", [{"ip_address": "203.0.113.9", "user_agent": "Mozilla/5.0"}]),
        ("identifiers", [{"ip_address": "203.0.113.9"}, {"hashed_phone_number": HASH}]),
        ("identifiers", [{"hashed_email": HASH}, {"hashed_email": HASH}]),
        ("search_string", "mugs"),
    ],
)
def test_what_the_rules_allow_is_taken(x: Client, path: str, value: object) -> None:
    """Right up to the borders."""
    assert x.send(changed(path, value))[0] == 200


@pytest.mark.parametrize(
    ("path", "value", "parameter"),
    [
        ("conversion_time", GONE, "conversion_time"),
        ("conversion_time", NOW_MS, "conversion_time"),
        ("conversion_time", NOW_MS // 1000, "conversion_time"),
        ("conversion_time", str(NOW_MS), "conversion_time"),
        ("conversion_time", "2026-11-18T11:06:40.000+00:00", "conversion_time"),
        ("conversion_time", "2026-11-18T11:06:40.000", "conversion_time"),
        ("conversion_time", "2026-11-18T11:06:40.000000Z", "conversion_time"),
        ("conversion_time", "2026-11-31T11:06:40.000Z", "conversion_time"),
        ("conversion_time", "2026-11-18T11:07:40.001Z", "conversion_time"),
        ("conversion_time", "2026-11-11T11:06:39.999Z", "conversion_time"),
        ("conversion_timestamp", NOW_MS, "conversion_timestamp"),
        ("event_source_url", "https://shop.example/", "event_source_url"),
        ("currency", "USD", "currency"),
        ("event_id", GONE, "event_id"),
        ("event_id", "Purchase", "event_id"),
        ("event_id", "o8z29", "event_id"),
        ("event_id", "tw-o9999-o8z21", "event_id"),
        ("event_id", "", "event_id"),
        ("conversion_id", 7, "conversion_id"),
        ("conversion_id", "", "conversion_id"),
        ("value", 60, "value"),
        ("value", 5998, "value"),
        ("value", "59.98", "value"),
        ("value", -1.5, "value"),
        ("value", 1e16, "value"),
        ("value", 59.985, "value"),
        ("value", True, "value"),
        ("price_currency", GONE, "price_currency"),
        ("price_currency", "usd", "price_currency"),
        ("price_currency", "XXX", "price_currency"),
        ("number_items", 0, "number_items"),
        ("number_items", "2", "number_items"),
        ("number_items", 2.0, "number_items"),
        ("contents", {}, "contents"),
        ("contents.0.content_price", 30, "content_price"),
        ("contents.0.content_price", "29.99", "content_price"),
        ("contents.0.num_items", "2", "num_items"),
        ("contents.0.num_items", 0, "num_items"),
        ("contents.0.content_id", 1, "content_id"),
        ("contents.0.price", 29.99, "price"),
        ("identifiers", GONE, "identifiers"),
        ("identifiers", [], "identifiers"),
        ("identifiers", [{}], "identifiers"),
        ("identifiers", {"hashed_email": HASH}, "identifiers"),
        ("identifiers", [{"hashed_email": HASH, "twclid": "x"}], "identifiers"),
        ("identifiers", [{"hashed_email": HASH, "user_agent": "x"}], "identifiers"),
        ("identifiers", [{"ip_address": "203.0.113.9"}], "identifiers"),
        ("identifiers", [{"user_agent": "Mozilla/5.0"}], "identifiers"),
        ("identifiers", [{"email": PERSON}], "email"),
        ("identifiers", [{"ip_address": "unknown"}, {"twclid": "x"}], "ip_address"),
        ("identifiers", [{"user_agent": " Mozilla/5.0"}, {"twclid": "x"}], "user_agent"),
        ("identifiers", [{"twclid": ""}], "twclid"),
        *(
            ("identifiers", [{key: value}], key)
            for key in ("hashed_email", "hashed_phone_number")
            for value in (PERSON, HASH.upper(), HASH[:32], f"{HASH}\n", [HASH], "")
        ),
    ],
)
def test_a_broken_event_refuses_the_whole_batch(x: Client, path: str, value: object, parameter: str) -> None:
    """400, a code and the parameter, nobody's data and no index; nothing is kept.

    A hash of a value that was not normalised looks like any other: only raw values and other digits are seen.
    """
    status, body = x.send(GOOD, changed(path, value), GOOD)
    code, named = errors(body)[0]
    assert (status, named) == (400, parameter)
    assert code in {"INVALID_PARAMETER", "MISSING_PARAMETER"}
    assert PERSON not in json.dumps(body)
    assert x.lines("accepted") == []
    assert (x.stats()["requests"], x.stats()["rejected_requests"]) == (1, 1)


def test_all_that_is_wrong_is_listed(x: Client) -> None:
    """Of all events, and not whose it is."""
    status, body = x.send(
        changed("value", 60), GOOD, changed("identifiers", []), changed("event_id", "o8z29")
    )
    assert (status, [parameter for _, parameter in errors(body)]) == (
        400,
        ["value", "identifiers", "event_id"],
    )


@pytest.mark.parametrize(("count", "status"), [(0, 400), (1, 200), (500, 200), (501, 400)])
def test_a_batch_has_1_to_500_events(x: Client, count: int, status: int) -> None:
    """None is too few, 501 too many."""
    told, body = x.send(*[GOOD] * count)
    assert told == status
    assert status == 200 or errors(body) == [("INVALID_PARAMETER", "conversions")]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"{}", b"[" * 5000, b'{"conversions": {}}', b'{"conversions": [1]}'),
        *(b'{"conversions": [NaN]}', b'{"conversions": [{"a": "\xff"}]}', b'{"conversions": ' + b"[" * 5000),
        json.dumps({"conversions": [GOOD], "test": True}).encode(),
    ],
)
def test_a_body_of_another_shape_is_refused(x: Client, body: bytes) -> None:
    """Whatever comes."""
    status, reply = x.post(body)
    assert (status, bool(errors(reply))) == (400, True)


def test_a_body_says_that_it_is_json(x: Client) -> None:
    """Else it is not read."""
    assert (
        x.ask("POST", PATH, json.dumps({"conversions": [GOOD]}).encode(), {"X-Pixel-Token": RIGHT})[0] == 400
    )


@pytest.mark.parametrize(
    ("path", "token", "status", "error"),
    [
        (PATH, "wrong", 401, ("UNAUTHORIZED_ACCESS", "")),
        (PATH, "", 401, ("UNAUTHORIZED_ACCESS", "")),
        (f"{PATH}9", RIGHT, 404, ("NOT_FOUND", "pixel_id")),
        ("/11/measurement/conversions/o8z6j", RIGHT, 404, ("ROUTE_NOT_FOUND", "")),
        (f"{PATH}/events", RIGHT, 404, ("ROUTE_NOT_FOUND", "")),
    ],
)
def test_a_strangers_request_is_refused(
    x: Client, path: str, token: str, status: int, error: tuple[str, str]
) -> None:
    """The token stands in no other header, and the address has one form."""
    told, body = x.post({"conversions": [GOOD]}, path=path, token=token)
    assert (told, errors(body)) == (status, [error])
    assert x.ask("GET", PATH)[0] == 405
    assert x.lines("accepted") == []


def test_pixel_and_server_are_one_by_tag_and_conversion_id(x: Client, clock: Clock) -> None:
    """Within the window; another tag, another id or no id is another event."""
    assert x.tell("pixel", {**PIXEL, "event": "o8z21"}) == 200
    x.send(
        GOOD, {**GOOD, "event_id": "o8z22"}, changed("conversion_id", GONE), changed("conversion_id", GONE)
    )
    clock.now_ms += DEDUPE_WINDOW_MS
    late = {**GOOD, "conversion_time": "2026-11-20T11:06:40.000Z"}
    x.send(late)
    clock.now_ms += 1
    x.send(late)
    told = [(line["event_name"], line["event_id"], line["sources"]) for line in x.lines("deduped")]
    assert told == [
        ("purchase", "purchase:1", ["pixel", "server"]),
        ("begin_checkout", "purchase:1", ["server"]),
        ("purchase", "", ["server"]),
        ("purchase", "", ["server"]),
        ("purchase", "purchase:1", ["server"]),
    ]
    assert (x.stats()["after_dedupe"], x.stats()["money"]) == (4, {"USD": 4 * 5998})


def test_money_is_exact_in_each_currencys_minor_units(x: Client) -> None:
    """Yen have none, dinars three digits; minor units for major ones are another amount, if they have a point."""
    for order, (value, code) in enumerate([(1200.0, "JPY"), (12.345, "KWD"), (0.1, "USD"), (5998.0, "EUR")]):
        told = {**GOOD, "conversion_id": str(order), "value": value, "price_currency": code}
        assert x.send(told)[0] == 200
    assert x.stats()["money"] == {"JPY": 1200, "KWD": 12345, "USD": 10, "EUR": 599_800}


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"kind": "poison", "event_ids": ["purchase:1"]}, 400, "INVALID_PARAMETER"),
        ({"kind": "poison", "event_ids": ["purchase:1"], "named": False}, 400, "INVALID_PARAMETER"),
        ({"kind": "expired_token"}, 401, "UNAUTHORIZED_ACCESS"),
        ({"kind": "429", "retry_after_s": 7}, 429, "TOO_MANY_REQUESTS"),
        ({"kind": "status"}, 500, "INTERNAL_ERROR"),
        ({"kind": "status", "status": 503}, 503, "SERVICE_UNAVAILABLE"),
        ({"kind": "status", "status": 403}, 403, "UNAUTHORIZED_CLIENT_APPLICATION"),
    ],
)
def test_faults_keep_nothing(x: Client, fault: dict[str, object], status: int, code: str) -> None:
    """X's own words, and no event named in them."""
    assert x.tell("faults", fault) == 200
    told, body = x.send({**GOOD, "conversion_id": "a"}, GOOD)
    assert (told, errors(body)) == (status, [(code, "")])
    assert (x.stats()["server"], x.stats()["rejected_requests"]) == (0, 1)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {**PIXEL, "event": "o8z29"},
        {**PIXEL, "event": ""},
        {**PIXEL, "price_currency": "USD"},
        {**PIXEL, "value": "59.98"},
        {**PIXEL, "value": 59.985},
        {**PIXEL, "currency": "XXX"},
        [PIXEL, 7],
    ],
)
def test_a_pixel_event_in_other_names_is_refused(x: Client, told: object) -> None:
    """With a 400, and none of a list is kept."""
    assert x.tell("pixel", told) == 400
    assert x.lines("pixel") == []


def test_the_shops_pixel_speaks_xs_names(x: Client) -> None:
    """Every pixel event of the shop is taken, with its id, and its money to the minor unit."""
    fires = [one for one in traffic(Plan(seed=3, orders=60, now_ms=NOW_MS)) if isinstance(one, PixelFire)]
    assert fires
    for fired in fires:
        (event,) = pixel(fire(fired))
        assert (event.means, event.event_id) == (fired.event, fired.event_id)
        assert (event.value_minor, event.currency) == (fired.value_minor, fired.currency)
    assert x.tell("pixel", json.loads(fire(fires[0]))) == 200


@pytest.mark.parametrize(
    ("browser", "customer", "opted_out", "cause"),
    [
        ({}, True, False, ""),
        ({"ip": "203.0.113.9", "user_agent": "Mozilla/5.0"}, False, False, ""),
        ({"twclid": "x"}, False, False, ""),
        ({"ip": "203.0.113.9"}, False, False, "no_identifiers"),
        ({}, False, False, "no_identifiers"),
        ({"twclid": "x"}, True, True, "sale_opt_out"),
    ],
)
def test_what_it_lacks(browser: dict[str, str], customer: bool, opted_out: bool, cause: str) -> None:  # noqa: FBT001 (a case's)
    """Who can't be known, and who may not be told of."""
    known = Known("purchase", browser, customer, "US", "USD", {}, opted_out)
    assert STAND_IN.taker.lacks(known) == cause
