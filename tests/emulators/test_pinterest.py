"""Pinterest's stand-in, over real sockets: what it takes, what fails alone, what refuses its request."""

import copy
import http.client
import json
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import pytest

from consumer.emulators.pinterest import fire, pixel
from consumer.emulators.pinterest_event import DEDUPE_WINDOW_MS
from consumer.emulators.platforms import EmulatorThread
from consumer.emulators.shop import PixelFire, Plan, traffic
from consumer.platforms.contract import Accepted, BatchRejected, PerEvent, Reply
from consumer.platforms.pinterest import judge
from tests.emulators.client import Clock

NOW_MS = 1_795_000_000_000
NOW_S = NOW_MS // 1000
DAY_S = 86_400
RIGHT = "right"
PATH = "/v5/ad_accounts/549755885175/events"
HASH = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
HASHED = ("em", "ph", "ge", "db", "fn", "ln", "ct", "st", "zp", "country", "external_id", "hashed_maids")
PERSON = "john_smith@gmail.com"
BROWSER = {"client_ip_address": "2001:db8::1", "client_user_agent": "Mozilla/5.0"}
GOOD = {
    "event_name": "checkout",
    "action_source": "web",
    "event_time": NOW_S - 60,
    "event_id": "purchase:1",
    "event_source_url": "https://shop.example/thanks",
    "opt_out": True,
    "user_data": {**{key: [HASH] for key in HASHED}, **BROWSER, "click_id": "dj0y", "partner_id": "p"},
    "custom_data": {
        "currency": "USD",
        "value": "59.98",
        "order_id": "1",
        "num_items": 2,
        "opt_out_type": "LDP",
        "content_ids": ["sku-1"],
        "contents": [{"id": "sku-1", "item_price": "29.99", "quantity": 2, "item_name": "Mug"}],
    },
}
GONE = object()
USER, CUSTOM, CONTENT = "user_data.", "custom_data.", "custom_data.contents.0."
TAG = {
    "event": "checkout",
    "tid": "2612345678901",
    "cb": NOW_MS,
    "ed": {"value": 59.98, "currency": "USD", "event_id": "purchase:1", "order_id": "1"},
}


class Client:
    """One request a connection. Answers are status and body."""

    def __init__(self, url: str) -> None:
        self._netloc = urlsplit(url).netloc

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Exactly this request."""
        connection = http.client.HTTPConnection(self._netloc, timeout=20)
        try:
            connection.request(method, path, body, dict(headers or {}))
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def post(
        self, body: object, *, path: str = PATH, authorization: str = f"Bearer {RIGHT}"
    ) -> tuple[int, dict[str, object]]:
        """JSON with a token; `body` may be bytes."""
        headers = {"Content-Type": "application/json", "Authorization": authorization}
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, reply = self.ask("POST", path, text, headers)
        found = json.loads(reply)
        assert isinstance(found, dict)
        return status, found

    def send(self, *events: object, path: str = PATH) -> tuple[int, dict[str, object]]:
        """A batch."""
        return self.post({"data": events}, path=path)

    def pixel(self, told: object) -> int:
        """From the browser; the status."""
        return self.ask("POST", "/_emulator/pixel", json.dumps(told).encode())[0]

    def fault(self, kind: str, **more: object) -> None:
        """From now on."""
        assert self.ask("POST", "/_emulator/faults", json.dumps({"kind": kind, **more}).encode())[0] == 200

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


@pytest.fixture(name="pinterest")
def _pinterest(clock: Clock) -> Iterator[Client]:
    with EmulatorThread(["pinterest"], tokens={"pinterest": RIGHT}, now_ms=clock) as served:
        yield Client(served.urls["pinterest"])


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


def buying(event_id: str, value: str, currency: str, name: str = "checkout") -> dict[str, object]:
    """A small event."""
    return {
        "event_name": name,
        "event_id": event_id,
        "action_source": "web",
        "event_time": NOW_S,
        "user_data": {"em": [HASH]},
        "custom_data": {"value": value, "currency": currency},
    }


def statuses(told: object) -> list[str]:
    """What became of each event, of an answer or of its details."""
    assert isinstance(told, dict)
    listed = told.get("details", told)["events"]
    return [each["status"] for each in listed]


def test_what_is_right_is_taken_as_it_came(pinterest: Client) -> None:
    """200, the counts, and what became of each; the event is kept untouched."""
    processed = {"status": "processed", "error_message": None, "warning_message": None}
    counts = {"num_events_received": 1, "num_events_processed": 1}
    assert pinterest.send(GOOD) == (200, {**counts, "events": [processed]})
    assert pinterest.lines("accepted") == [{**GOOD, "received_at_ms": NOW_MS}]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event_time", NOW_S - 7 * DAY_S),
        ("event_time", NOW_S + 60),
        ("event_source_url", None),
        ("event_source_url", GONE),
        ("action_source", "offline"),
        ("partner_name", "ss-partner"),
        ("user_data", {"em": [HASH, HASH], "st": [HASH], "country": [HASH]}),
        ("user_data", {"hashed_maids": [HASH], "st": [HASH], "country": [HASH]}),
        ("user_data", {**BROWSER, "st": [HASH], "country": [HASH]}),
        (USER + "our_own", {"any": "thing"}),
        (CUSTOM + "value", "59"),
        (CUSTOM + "content_ids", GONE),
        (CUSTOM + "num_items", 0),
        (CUSTOM + "opt_out_type", "LDP,ABC"),
        (CONTENT + "id", GONE),
    ],
)
def test_what_the_rules_allow_is_taken(pinterest: Client, path: str, value: object) -> None:
    """Right up to the borders."""
    assert pinterest.send(changed(path, value))[0] == 200


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event_time", str(NOW_S)),
        ("event_time", NOW_S + 0.5),
        ("event_time", True),
        *((key, GONE) for key in ("event_time", "event_name", "event_id", "action_source", "user_data")),
        ("event_id", 7),
        ("event_id", None),
        ("action_source", "website"),
        ("opt_out", "true"),
        ("surprise", 1),
        ("value", "59.98"),
        ("user_data", []),
        (USER + "em", HASH),
        (USER + "em", []),
        (USER + "ph", [7]),
        (USER + "click_id", ["dj0y"]),
        ("custom_data", []),
        (CUSTOM + "value", 59.98),
        (CUSTOM + "value", 5998),
        (CUSTOM + "num_items", "2"),
        (CUSTOM + "order_id", 1),
        (CUSTOM + "content_ids", "sku-1"),
        (CUSTOM + "opt_out_type", ["LDP"]),
        (CUSTOM + "our_own", "x"),
        (CUSTOM + "contents", {}),
        (CUSTOM + "contents", ["sku-1"]),
        (CONTENT + "item_price", 29.99),
        (CONTENT + "quantity", "2"),
        (CONTENT + "price", "29.99"),
    ],
)
def test_what_the_schema_does_not_allow_refuses_the_request(
    pinterest: Client, path: str, value: object
) -> None:
    """400, code 4196; nothing is kept, not even what was right."""
    status, told = pinterest.send(GOOD, changed(path, value), GOOD)
    assert (status, told["code"], sorted(told)) == (400, 4196, ["code", "message"])
    assert pinterest.lines("accepted") == []
    assert (pinterest.stats()["requests"], pinterest.stats()["rejected_requests"]) == (1, 1)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event_time", NOW_MS),
        ("event_time", NOW_S + 61),
        ("event_time", NOW_S - 7 * DAY_S - 1),
        ("event_name", "Purchase"),
        ("event_name", "initiatecheckout"),
        ("event_id", ""),
        ("event_source_url", "about:blank"),
        ("partner_name", "partner"),
        ("user_data", {}),
        ("user_data", {"ph": [HASH], "external_id": [HASH], "click_id": "dj0y"}),
        ("user_data", {"client_ip_address": "203.0.113.9"}),
        ("user_data", {"client_user_agent": "Mozilla/5.0"}),
        (USER + "client_ip_address", "unknown"),
        (USER + "client_ip_address", HASH),
        (USER + "client_user_agent", " "),
        (USER + "click_id", ""),
        (USER + "st", GONE),
        (USER + "country", GONE),
        (CUSTOM + "opt_out_type", "ldp"),
        ("custom_data", {}),
        (CUSTOM + "value", GONE),
        (CUSTOM + "value", "59,98"),
        (CUSTOM + "value", "-1.00"),
        (CUSTOM + "value", "$59.98"),
        (CUSTOM + "value", "59.985"),
        (CUSTOM + "currency", GONE),
        (CUSTOM + "currency", "usd"),
        (CUSTOM + "currency", "XXX"),
        (CUSTOM + "currency", "JPY"),
        (CUSTOM + "order_id", ""),
        (CUSTOM + "content_ids", [""]),
        (CUSTOM + "num_items", -1),
        (CONTENT + "item_price", "29.9985"),
        (CONTENT + "quantity", 0),
        *(
            (USER + key, value)
            for key in HASHED
            for value in ([PERSON], [HASH.upper()], [HASH[:32]], [f"{HASH}\n"])
        ),
    ],
)
def test_an_event_that_breaks_a_rule_fails_alone(pinterest: Client, path: str, value: object) -> None:
    """422 and what became of each, by place; the others are kept, and nobody's data is told back.

    The hash of a value that was not normalised looks like any other, and cents told as dollars like a high price:
    a raw value is seen, and so are the sums of money.
    """
    others = [{**GOOD, "event_id": "purchase:2"}, {**GOOD, "event_id": "purchase:3"}]
    status, told = pinterest.send(others[0], changed(path, value), others[1])
    assert (status, told["code"]) == (422, 4196)
    assert statuses(told) == ["processed", "failed", "processed"]
    assert PERSON not in json.dumps(told)
    assert [line["event_id"] for line in pinterest.lines("accepted")] == ["purchase:2", "purchase:3"]


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_has_1_to_1000_events(pinterest: Client, count: int) -> None:
    """None is too few, 1001 too many."""
    assert pinterest.send(*[GOOD] * count)[0] == 400
    assert pinterest.send(*[GOOD] * 1000)[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"{",
            b"[]",
            b"{}",
            b'{"data": {}}',
            b'{"data": [1]}',
            b'{"data": [NaN]}',
            b"[" * 5000,
            b"\xff",
        ),
        json.dumps({"data": [GOOD], "test": True}).encode(),
    ],
)
def test_a_body_of_another_shape_is_refused(pinterest: Client, body: bytes) -> None:
    """Whatever comes, in Pinterest's words."""
    status, told = pinterest.post(body)
    assert (status, told["code"]) == (400, 4196)


@pytest.mark.parametrize(
    ("method", "path", "authorization", "status", "code"),
    [
        ("POST", PATH, "", 401, 2),
        ("POST", PATH, RIGHT, 401, 2),
        ("POST", PATH, "Bearer wrong", 401, 2),
        ("POST", "/v5/ad_accounts/1/events", f"Bearer {RIGHT}", 403, 29),
        ("POST", "/v5/ad_accounts/me/events", f"Bearer {RIGHT}", 404, 50),
        ("POST", "/v4/ad_accounts/549755885175/events", f"Bearer {RIGHT}", 404, 50),
        ("GET", PATH, f"Bearer {RIGHT}", 405, 11),
        ("POST", f"{PATH}?test=1", f"Bearer {RIGHT}", 400, 4196),
        ("POST", PATH, f"Bearer {RIGHT}", 400, 4196),
    ],
    ids=["none", "bare", "wrong", "account", "no account", "version", "method", "test", "no content type"],
)
def test_who_may_not_write_is_told_so(
    pinterest: Client, method: str, path: str, authorization: str, status: int, code: int
) -> None:
    """Before anything is said about the events."""
    body = json.dumps({"data": [GOOD]}).encode()
    told, reply = pinterest.ask(method, path, body, {"Authorization": authorization})
    assert (told, json.loads(reply)["code"]) == (status, code)
    assert b"wrong" not in reply


def test_events_that_are_only_checked_are_not_kept(pinterest: Client) -> None:
    """The answer is the same; 20 are the most."""
    path = f"{PATH}?test=true"
    assert pinterest.send(*[GOOD] * 20, path=path)[0] == 200
    assert pinterest.send(*[GOOD] * 21, path=path)[0] == 400
    assert statuses(pinterest.send(GOOD, changed("event_id", ""), path=path)[1]) == ["processed", "failed"]
    assert (pinterest.stats()["server"], pinterest.stats()["rejected_requests"]) == (0, 2)
    assert pinterest.send(GOOD, path=f"{PATH}?test=false")[0] == 200
    assert pinterest.stats()["server"] == 1


def test_pixel_and_server_fold_into_one(pinterest: Client) -> None:
    """By id and name, the first kept, though the tag writes names without lines; what was offline never."""
    assert pinterest.pixel(TAG) == 200
    pinterest.send(GOOD, GOOD, {**GOOD, "event_id": "purchase:2"}, {**GOOD, "action_source": "offline"})
    tagged = {**TAG, "event": "initiatecheckout"}
    assert pinterest.pixel([tagged, {**TAG, "event": "pagevisit", "ed": {}}]) == 200
    pinterest.send({**GOOD, "event_name": "initiate_checkout"})
    told = [(line["event_name"], line["event_id"], line["sources"]) for line in pinterest.lines("deduped")]
    assert told == [
        ("checkout", "purchase:1", ["pixel", "server"]),
        ("checkout", "purchase:2", ["server"]),
        ("checkout", "purchase:1", ["server"]),
        ("initiate_checkout", "purchase:1", ["pixel", "server"]),
        ("page_visit", "", ["pixel"]),
    ]
    stats = pinterest.stats()
    assert (stats["server"], stats["pixel"], stats["after_dedupe"], stats["server_repeats"]) == (5, 3, 3, 1)
    assert stats["money"] == {"USD": 3 * 5998}


def test_dedupe_ends_24_hours_after_the_first(pinterest: Client, clock: Clock) -> None:
    """Counted from the first receipt, not from the latest."""
    event = buying("a", "1.00", "USD")
    pinterest.send(event)
    clock.now_ms = NOW_MS + DEDUPE_WINDOW_MS
    pinterest.send(event)
    assert pinterest.stats()["after_dedupe"] == 1
    clock.now_ms += 1
    pinterest.send(event)
    assert (pinterest.stats()["after_dedupe"], pinterest.stats()["server_repeats"]) == (2, 1)


def test_money_is_exact_in_each_currencys_minor_units(pinterest: Client) -> None:
    """Yen have none, dinars three digits; a number without a point is a whole one, cents or not."""
    status, _ = pinterest.send(
        buying("1", "1200", "JPY"),
        buying("2", "12.345", "KWD"),
        buying("3", "0.10", "USD"),
        buying("4", "5998", "USD"),
        buying("5", "99.00", "USD", name="initiate_checkout"),
    )
    assert status == 200
    assert pinterest.stats()["money"] == {"JPY": 1200, "KWD": 12345, "USD": 599810}


@pytest.mark.parametrize(
    ("more", "status", "verdicts"),
    [
        ({}, 422, ["Accepted", "Rejected", "Accepted"]),
        ({"status": 200}, 200, ["Accepted", "Rejected", "Accepted"]),
        ({"named": False}, 422, []),
        ({"named": False, "status": 400}, 400, []),
    ],
)
def test_a_poison_fails_and_the_others_are_kept(
    pinterest: Client, more: dict[str, object], status: int, verdicts: list[str]
) -> None:
    """Told by place, or not at all; either way those beside it count, and once when they are sent again."""
    events = [buying(event_id, "1.00", "USD") for event_id in ("a", "b", "c")]
    pinterest.fault("poison", event_ids=["b"], **more)
    for _ in range(2):
        told, body = pinterest.send(*events)
        assert told == status
        verdict = judge(Reply(told, {}, json.dumps(body).encode(), NOW_MS))
        if verdicts:
            assert isinstance(verdict, PerEvent)
            assert [type(each).__name__ for each in verdict.verdicts] == verdicts
        else:
            assert isinstance(verdict, BatchRejected)
    assert [line["event_id"] for line in pinterest.lines("deduped")] == ["a", "c"]
    told, body = pinterest.send(events[0], events[2])
    assert judge(Reply(told, {}, json.dumps(body).encode(), NOW_MS)) == PerEvent((Accepted(), Accepted()))


def test_a_poison_in_a_wrong_request_is_not_told(pinterest: Client) -> None:
    """What is wrong anyway comes first."""
    pinterest.fault("poison", event_ids=["purchase:1"])
    assert pinterest.send(GOOD, changed("surprise", 1))[0] == 400


@pytest.mark.parametrize(
    ("kind", "more", "status", "code"),
    [
        ("expired_token", {}, 401, 2),
        ("429", {"retry_after_s": 3}, 429, 8),
        ("status", {}, 500, 11),
        ("status", {"status": 503}, 503, 4197),
        ("status", {"status": 403}, 403, 29),
        ("status", {"status": 400}, 400, 4196),
    ],
)
def test_faults_on_command_are_pinterests_own(
    pinterest: Client, kind: str, more: dict[str, object], status: int, code: int
) -> None:
    """With its codes, and nothing is kept."""
    pinterest.fault(kind, **more)
    told, body = pinterest.send(GOOD)
    assert (told, body["code"]) == (status, code)
    assert pinterest.stats()["server"] == 0


@pytest.mark.parametrize(
    "told",
    [
        {},
        [],
        {**TAG, "event": ""},
        {**TAG, "event_id": "x"},
        {**TAG, "cb": "now"},
        {**TAG, "ed": []},
        {**TAG, "ed": {}},
        {**TAG, "ed": {"value": 59.98}},
        {**TAG, "ed": {"value": "59.985", "currency": "USD"}},
        [TAG, 7],
    ],
)
def test_a_pixel_event_in_other_names_is_refused(pinterest: Client, told: object) -> None:
    """With a 400, and none of a list is kept; an empty list is none."""
    assert pinterest.pixel(told) == (200 if told == [] else 400)
    assert pinterest.lines("pixel") == []


def test_the_shops_pixel_speaks_the_tags_names(pinterest: Client) -> None:
    """Every pixel event of the shop is taken, with its id, and its money to the minor unit."""
    fires = [one for one in traffic(Plan(seed=3, orders=60, now_ms=NOW_MS)) if isinstance(one, PixelFire)]
    assert fires
    for fired in fires:
        (event,) = pixel(fire(fired))
        assert (event.means, event.event_id) == (fired.event, fired.event_id)
        assert (event.value_minor, event.currency) == (fired.value_minor, fired.currency)
    assert pinterest.ask("POST", "/_emulator/pixel", fire(fires[0]))[0] == 200
