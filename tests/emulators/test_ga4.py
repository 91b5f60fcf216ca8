"""Google Analytics' stand-in, over real sockets: what it keeps, what it drops without a word, what it finds wrong."""

import copy
import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from consumer.emulators.ga4 import fire, pixel
from consumer.emulators.platforms import EmulatorThread
from consumer.emulators.shop import PixelFire, Plan, traffic
from tests.emulators.client import Clock

NOW_MS = 1_795_000_000_000
NOW_US = NOW_MS * 1000
HOUR_US = 3_600_000_000
SECRET = "right"  # noqa: S105 (it opens nothing)
HASH = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
PERSON = "john_smith@gmail.com"
VISITOR = {
    "client_id": "1098115397.1794999900",
    "timestamp_micros": NOW_US - 60_000_000,
    "ip_override": "2001:db8::1",
    "user_agent": "Mozilla/5.0",
    "consent": {"ad_user_data": "GRANTED", "ad_personalization": "DENIED"},
    "user_data": {
        "sha256_email_address": [HASH],
        "sha256_phone_number": HASH,
        "address": [
            {
                **{f"sha256_{key}": HASH for key in ("first_name", "last_name", "street")},
                "city": "san josé",
                "region": "ca",
                "postal_code": "95113",
                "country": "US",
            }
        ],
    },
}
BOUGHT = {
    "name": "purchase",
    "params": {
        "transaction_id": "1",
        "currency": "USD",
        "value": 59.98,
        "tax": 4.5,
        "shipping": 0.0,
        "session_id": "1794999900",
        "event_id": "purchase:1",
        "our_own": "thing",
        "items": [{"item_id": "sku-1", "item_name": "Mug", "price": 27.74, "quantity": 2}],
    },
}
GOOD = {**VISITOR, "events": [BOUGHT]}
GONE = object()
EVENT, PARAMS, ITEM = "events.0.", "events.0.params.", "events.0.params.items.0."
PIXEL = {
    "v": "2",
    "en": "purchase",
    "cid": "1098115397.1794999900",
    "cu": "USD",
    "epn.value": 59.98,
    "ep.transaction_id": "1",
    "ep.event_id": "purchase:1",
}


class Client:
    """One request a connection."""

    def __init__(self, url: str) -> None:
        self._netloc = urlsplit(url).netloc

    def ask(self, method: str, path: str, body: object = b"") -> tuple[int, bytes, str]:
        """The status, the body and why it was dropped; `body` may be bytes."""
        connection = http.client.HTTPConnection(self._netloc, timeout=20)
        try:
            connection.request(method, path, body if isinstance(body, bytes) else json.dumps(body))
            reply = connection.getresponse()
            return reply.status, reply.read(), reply.headers.get("Emulator-Dropped", "")
        finally:
            connection.close()

    def send(
        self, body: object, *, secret: str = SECRET, account: str = "G-CAPIDEMO01"
    ) -> tuple[int, bytes, str]:
        """To be kept."""
        return self.ask("POST", f"/mp/collect?measurement_id={account}&api_secret={secret}", body)

    def validate(self, body: object) -> list[dict[str, str]]:
        """What the validation server finds."""
        status, reply, _ = self.ask("POST", "/debug/mp/collect?measurement_id=G-1&api_secret=x", body)
        assert status == 200
        found = json.loads(reply)["validationMessages"]
        assert isinstance(found, list)
        return found

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


@pytest.fixture(name="ga4")
def _ga4(clock: Clock) -> Iterator[Client]:
    with EmulatorThread(["ga4"], tokens={"ga4": SECRET}, now_ms=clock) as served:
        yield Client(served.urls["ga4"])


def changed(path: str, value: object) -> dict[str, object]:
    """The good body with one value put in, or taken out with GONE; `path` has dots."""
    body: dict[str, object] = copy.deepcopy(GOOD)
    *above, last = path.split(".")
    at: object = body
    for step in above:
        at = at[int(step)] if isinstance(at, list) else at[step] if isinstance(at, dict) else None
    assert isinstance(at, dict)
    if value is GONE:
        del at[last]
    else:
        at[last] = value
    return body


def telling(name: str, **params: object) -> dict[str, object]:
    """A small event."""
    return {"client_id": "1.2", "events": [{"name": name, "params": params}]}


def test_what_is_right_is_kept_with_its_visitor_and_answered_with_nothing(ga4: Client) -> None:
    """204, and each event has what its request told of the visitor."""
    assert ga4.send(GOOD) == (204, b"", "")
    assert ga4.lines("accepted") == [{**VISITOR, **BOUGHT, "received_at_ms": NOW_MS}]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("client_id", "GA1.1.1098115397.1794999900"),
        ("timestamp_micros", GONE),
        ("timestamp_micros", NOW_US - 72 * HOUR_US),
        ("timestamp_micros", NOW_US + 60_000_000),
        (EVENT + "timestamp_micros", NOW_US),
        ("consent", {}),
        ("user_data.sha256_email_address", [HASH] * 3),
        ("user_data.address", GONE),
        ("validation_behavior", "ENFORCE_RECOMMENDATIONS"),
        (EVENT + "name", "our_own_event"),
        (PARAMS + "session_id", 1794999900),
        (PARAMS + "our_own", "x" * 100),
        (PARAMS + "items", [{"item_name": "Mug"}] * 200),
        (ITEM + "item_id", GONE),
        (ITEM + "our_own", "thing"),
        (PARAMS + "transaction_id", ""),
    ],
)
def test_what_the_rules_allow_is_kept(ga4: Client, path: str, value: object) -> None:
    """Right up to the borders."""
    assert ga4.send(changed(path, value)) == (204, b"", "")
    assert ga4.validate(changed(path, value)) == []
    assert ga4.stats()["server"] == 1


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("client_id", GONE, "VALUE_REQUIRED"),
        ("client_id", "", "VALUE_INVALID"),
        ("client_id", 1098115397.1794999900, "VALUE_INVALID"),
        ("client_id", "undefined", "VALUE_INVALID"),
        ("timestamp_micros", NOW_MS // 1000, "VALUE_OUT_OF_BOUNDS"),
        ("timestamp_micros", NOW_MS, "VALUE_OUT_OF_BOUNDS"),
        ("timestamp_micros", NOW_US * 1000, "VALUE_OUT_OF_BOUNDS"),
        ("timestamp_micros", NOW_US + 60_000_001, "VALUE_OUT_OF_BOUNDS"),
        ("timestamp_micros", str(NOW_US), "VALUE_INVALID"),
        ("timestamp_micros", NOW_US + 0.5, "VALUE_INVALID"),
        (EVENT + "timestamp_micros", NOW_MS, "VALUE_OUT_OF_BOUNDS"),
        ("ip_override", "unknown", "VALUE_INVALID"),
        ("user_agent", " ", "VALUE_INVALID"),
        ("surprise", 1, "NAME_INVALID"),
        (EVENT + "value", 59.98, "NAME_INVALID"),
        ("consent", "GRANTED", "VALUE_INVALID"),
        ("consent.ad_user_data", "UNSPECIFIED", "VALUE_INVALID"),
        ("consent.ad_storage", "GRANTED", "NAME_INVALID"),
        ("validation_behavior", "STRICT", "VALUE_INVALID"),
        ("user_data.email", HASH, "NAME_INVALID"),
        ("user_data.sha256_email_address", [HASH] * 4, "VALUE_INVALID"),
        ("user_data.address", {"city": "springfield"}, "VALUE_INVALID"),
        ("user_data.address", [{}] * 3, "VALUE_INVALID"),
        ("user_data.address", [{"city": "Springfield"}], "VALUE_INVALID"),
        ("user_data.address", [{"country": "us"}], "VALUE_INVALID"),
        *(
            (f"user_data.{key}", value, "VALUE_INVALID")
            for key in ("sha256_email_address", "sha256_phone_number")
            for value in (PERSON, [HASH.upper()], [HASH[:32]], [f"{HASH}\n"], [])
        ),
        ("user_data.address", [{"sha256_first_name": "john"}], "VALUE_INVALID"),
        ("events", [], "VALUE_INVALID"),
        ("events", GONE, "VALUE_REQUIRED"),
        ("events", [{"name": "a"}] * 26, "EXCEEDED_MAX_ENTITIES"),
        (EVENT + "name", GONE, "VALUE_REQUIRED"),
        (EVENT + "name", "begin checkout", "NAME_INVALID"),
        (EVENT + "name", "x" * 41, "NAME_INVALID"),
        (EVENT + "name", "session_start", "NAME_RESERVED"),
        (EVENT + "name", "_purchase", "NAME_RESERVED"),
        (EVENT + "params", [], "VALUE_INVALID"),
        (EVENT + "params", {f"own_{place}": 1 for place in range(26)}, "EXCEEDED_MAX_ENTITIES"),
        (PARAMS + "ga_client_id", "1.2", "NAME_RESERVED"),
        (PARAMS + "our own", "x", "NAME_INVALID"),
        (PARAMS + "our_own", None, "VALUE_INVALID"),
        (PARAMS + "our_own", ["x"], "VALUE_INVALID"),
        (PARAMS + "our_own", "x" * 101, "VALUE_OUT_OF_BOUNDS"),
        (PARAMS + "transaction_id", GONE, "VALUE_REQUIRED"),
        (PARAMS + "transaction_id", 1, "VALUE_INVALID"),
        (PARAMS + "currency", GONE, "VALUE_REQUIRED"),
        (PARAMS + "currency", "$", "VALUE_INVALID"),
        (PARAMS + "value", GONE, "VALUE_REQUIRED"),
        (PARAMS + "value", "59.98", "VALUE_INVALID"),
        (PARAMS + "value", -1, "VALUE_INVALID"),
        (PARAMS + "value", 59.985, "VALUE_INVALID"),
        (PARAMS + "tax", "4.50", "VALUE_INVALID"),
        (PARAMS + "items", "sku-1", "VALUE_INVALID"),
        (PARAMS + "items", [{"item_id": "1"}] * 201, "EXCEEDED_MAX_ENTITIES"),
        (PARAMS + "items", [{"price": 1}], "VALUE_REQUIRED"),
        (ITEM + "item_id", 1, "VALUE_INVALID"),
        (ITEM + "item_name", "x" * 101, "VALUE_INVALID"),
        (ITEM + "price", "27.74", "VALUE_INVALID"),
        (ITEM + "quantity", "2", "VALUE_INVALID"),
        (ITEM + "quantity", 0, "VALUE_INVALID"),
        ("user_agent", "x" * 130_000, "VALUE_OUT_OF_BOUNDS"),
    ],
)
def test_what_is_wrong_is_dropped_without_a_word(ga4: Client, path: str, value: object, code: str) -> None:
    """204 and nothing, as for what is right; people find why in a header, and the validation server says it.

    A hash of a value that was not normalised looks like any other: only raw values and other digits are seen.
    """
    status, reply, why = ga4.send(changed(path, value))
    assert (status, reply, bool(why)) == (204, b"", True)
    found = ga4.validate(changed(path, value))
    assert code in {each["validationCode"] for each in found}
    assert PERSON not in json.dumps([why, found])
    assert ga4.lines("accepted") == []
    assert (ga4.stats()["requests"], ga4.stats()["rejected_requests"]) == (2, 2)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'{"events": [NaN]}', b"[" * 5000])
def test_a_body_of_another_shape_is_dropped(ga4: Client, body: bytes) -> None:
    """Whatever comes."""
    assert ga4.send(body)[:2] == (204, b"")
    assert [each["validationCode"] for each in ga4.validate(body)] == ["VALUE_INVALID"]
    assert ga4.stats()["server"] == 0


@pytest.mark.parametrize(
    ("secret", "account", "why"),
    [
        ("wrong", "G-CAPIDEMO01", "api_secret"),
        ("", "G-CAPIDEMO01", "api_secret"),
        ("right", "G-OTHER", "measurement_id"),
    ],
)
def test_a_strangers_events_are_dropped_without_a_word(
    ga4: Client, secret: str, account: str, why: str
) -> None:
    """The secret and the stream are told by nothing in the reply."""
    assert ga4.send(GOOD, secret=secret, account=account) == (204, b"", why)
    assert (ga4.stats()["server"], ga4.stats()["rejected_requests"]) == (0, 1)


def test_the_validation_server_records_nothing(ga4: Client) -> None:
    """And looks at no secret; what it finds right is no refusal."""
    assert ga4.validate(GOOD) == []
    assert (ga4.stats()["server"], ga4.stats()["rejected_requests"]) == (0, 0)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/collect", 404), ("POST", "/g/collect", 404), ("GET", "/mp/collect", 405)],
)
def test_a_wrong_address_is_a_page(ga4: Client, method: str, path: str, status: int) -> None:
    """Nobody's JSON."""
    told, reply, _ = ga4.ask(method, path, GOOD)
    assert (told, reply[:9]) == (status, b"<!DOCTYPE")


def test_what_is_too_old_is_kept_as_of_72_hours_ago(ga4: Client) -> None:
    """Unless the request asks for the rules to be enforced: then it is dropped."""
    old = changed("timestamp_micros", NOW_US - 73 * HOUR_US)
    assert ga4.send(old) == (204, b"", "")
    assert [line["timestamp_micros"] for line in ga4.lines("accepted")] == [NOW_US - 72 * HOUR_US]
    assert ga4.send({**old, "validation_behavior": "ENFORCE_RECOMMENDATIONS"})[2]


def test_purchases_alone_are_known_again_by_their_transaction(ga4: Client, clock: Clock) -> None:
    """From pixel and server, however late, whatever their event id; an empty id makes all such purchases one."""
    money = {"currency": "USD", "value": 59.98}
    assert ga4.ask("POST", "/_emulator/pixel", PIXEL)[0] == 200
    ga4.send(changed(PARAMS + "event_id", "another"))
    clock.now_ms += 365 * 86_400_000
    ga4.send(telling("purchase", transaction_id="1", **money))
    ga4.send(telling("purchase", transaction_id="2", **money))
    for name in ("purchase", "purchase", "begin_checkout", "begin_checkout"):
        ga4.send(telling(name, transaction_id="", **money))
    for _ in range(2):
        ga4.send(telling("refund", transaction_id="1", **money))
    told = [(line["event_name"], line["event_id"], line["sources"]) for line in ga4.lines("deduped")]
    assert told == [
        ("purchase", "purchase:1", ["pixel", "server"]),
        ("purchase", "2", ["server"]),
        ("purchase", "", ["server"]),
        ("begin_checkout", "", ["server"]),
        ("begin_checkout", "", ["server"]),
        ("refund", "1", ["server"]),
        ("refund", "1", ["server"]),
    ]
    stats = ga4.stats()
    assert (stats["after_dedupe"], stats["money"]) == (3, {"USD": 3 * 5998})
    assert (stats["refunds"], stats["refunds_money"]) == (2, {"USD": 2 * 5998})


def test_money_is_exact_in_each_currencys_minor_units(ga4: Client) -> None:
    """Yen have none, dinars three digits; minor units for major ones are another amount."""
    for order, (value, code) in enumerate([(1200, "JPY"), (12.345, "KWD"), (0.1, "USD"), (5998, "EUR")]):
        assert ga4.send(telling("purchase", transaction_id=str(order), value=value, currency=code))[2] == ""
    assert ga4.stats()["money"] == {"JPY": 1200, "KWD": 12345, "USD": 10, "EUR": 599_800}


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"kind": "poison", "event_ids": ["purchase:1"]}, 204),
        ({"kind": "poison", "event_ids": ["purchase:1"], "status": 400}, 400),
        ({"kind": "expired_token"}, 204),
        ({"kind": "429"}, 429),
        ({"kind": "status", "status": 503}, 503),
        ({"kind": "status"}, 500),
    ],
)
def test_faults_keep_nothing(ga4: Client, fault: dict[str, object], status: int) -> None:
    """A poison and an expired secret are not told, as Analytics doesn't tell them."""
    assert ga4.ask("POST", "/_emulator/faults", fault)[0] == 200
    assert ga4.send(GOOD)[0] == status
    assert (ga4.stats()["server"], ga4.stats()["rejected_requests"]) == (0, 1)
    assert [line["event_ids"] for line in ga4.lines("requests")] == [["purchase:1"]]


@pytest.mark.parametrize(
    "told",
    [
        {},
        {**PIXEL, "en": ""},
        {**PIXEL, "event_id": "x"},
        {**PIXEL, "epn.value": "59.98"},
        {**PIXEL, "epn.value": 59.985},
        {**PIXEL, "cu": "XXX"},
        [PIXEL, 7],
    ],
)
def test_a_pixel_event_in_other_names_is_refused(ga4: Client, told: object) -> None:
    """With a 400, and none of a list is kept."""
    assert ga4.ask("POST", "/_emulator/pixel", told)[0] == 400
    assert ga4.lines("pixel") == []


def test_the_shops_pixel_speaks_the_tags_names(ga4: Client) -> None:
    """Every pixel event of the shop is taken, with its id, and its money to the minor unit."""
    fires = [one for one in traffic(Plan(seed=3, orders=60, now_ms=NOW_MS)) if isinstance(one, PixelFire)]
    assert fires
    for fired in fires:
        (event,) = pixel(fire(fired))
        assert (event.means, event.event_id) == (fired.event, fired.event_id)
        assert (event.value_minor, event.currency) == (fired.value_minor, fired.currency)
    assert ga4.ask("POST", "/_emulator/pixel", fire(fires[0]))[0] == 200
