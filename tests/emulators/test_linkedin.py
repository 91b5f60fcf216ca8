"""LinkedIn's stand-in, over real sockets: what it takes, what it refuses and how, and what it says it holds."""

import copy
import http.client
import json
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import pytest

from consumer.emulators.linkedin import STAND_IN, fire, pixel
from consumer.emulators.platforms import EmulatorThread
from consumer.emulators.shop import PixelFire, Plan, traffic
from consumer.emulators.shop.records import Known
from tests.emulators.client import Clock

NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000
RIGHT = "right"
PATH = "/rest/conversionEvents"
HASH = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
UUID = "6a5f0000-0000-4000-8000-000000000004"
PERSON = "john_smith@gmail.com"
URN = "urn:lla:llaPartnerConversion:"
HEADERS = {
    "Authorization": f"Bearer {RIGHT}",
    "Content-Type": "application/json",
    "LinkedIn-Version": "202607",
    "X-RestLi-Method": "BATCH_CREATE",
    "X-Restli-Protocol-Version": "2.0.0",
}
GOOD = {
    "conversion": f"{URN}104012",
    "conversionHappenedAt": NOW_MS - 60_000,
    "conversionValue": {"currencyCode": "USD", "amount": "59.98"},
    "eventId": "purchase:1",
    "user": {
        "userIds": [
            {"idType": "SHA256_EMAIL", "idValue": HASH},
            {"idType": "LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID", "idValue": UUID},
            {"idType": "SHA256_IP_ADDRESS", "idValue": HASH},
        ],
        "userInfo": {"firstName": "Jane", "lastName": "Doe", "companyName": "Acme", "countryCode": "US"},
        "externalIds": ["customer 7"],
    },
}
GONE = object()
PIXEL = {
    "conversion_id": 204012,
    "conversion_value": 59.98,
    "currency": "USD",
    "event_id": "purchase:1",
}


class Client:
    """One request a connection. Answers are status and body."""

    def __init__(self, url: str) -> None:
        self._netloc = urlsplit(url).netloc

    def ask(
        self, method: str, path: str, body: object = b"", headers: Mapping[str, object] | None = None
    ) -> tuple[int, bytes]:
        """With these in place of the usual headers; `body` may be bytes."""
        connection = http.client.HTTPConnection(self._netloc, timeout=20)
        sent = {
            name: str(value) for name, value in {**HEADERS, **(headers or {})}.items() if value is not GONE
        }
        try:
            connection.request(method, path, body if isinstance(body, bytes) else json.dumps(body), sent)
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def send(self, *events: object) -> tuple[int, dict[str, object]]:
        """A batch."""
        status, reply = self.ask("POST", PATH, {"elements": events})
        return status, json.loads(reply)

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


@pytest.fixture(name="linkedin")
def _linkedin(clock: Clock) -> Iterator[Client]:
    with EmulatorThread(["linkedin"], tokens={"linkedin": RIGHT}, now_ms=clock) as served:
        yield Client(served.urls["linkedin"])


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


def buying(event_id: str, amount: str, currency: str) -> dict[str, object]:
    """A small purchase."""
    value = {"currencyCode": currency, "amount": amount}
    return {**GOOD, "eventId": event_id, "conversionValue": value}


def told_id(kind: str, value: object) -> list[dict[str, object]]:
    """One user id."""
    return [{"idType": kind, "idValue": value}]


def test_a_batch_is_answered_with_a_status_of_each_and_kept_as_received(linkedin: Client) -> None:
    """200, and 201 for every one; what is kept has every field."""
    other = {**GOOD, "eventId": "purchase:2"}
    assert linkedin.send(GOOD, other) == (200, {"elements": [{"status": 201}, {"status": 201}]})
    assert linkedin.lines("accepted") == [{**each, "received_at_ms": NOW_MS} for each in (GOOD, other)]
    assert linkedin.lines("requests")[0]["event_ids"] == ["purchase:1", "purchase:2"]


def test_an_event_alone_is_answered_with_nothing(linkedin: Client) -> None:
    """201, if the request doesn't say that it is a batch; then it must not be one."""
    assert linkedin.ask("POST", PATH, GOOD, {"X-RestLi-Method": GONE}) == (201, b"")
    assert linkedin.ask("POST", PATH, {"elements": [GOOD]}, {"X-RestLi-Method": GONE})[0] == 422
    assert linkedin.ask("POST", PATH, b"{", {"X-RestLi-Method": GONE})[0] == 400
    assert linkedin.stats()["server"] == 1


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("eventId", GONE),
        ("eventId", "x" * 64),
        ("conversionHappenedAt", NOW_MS),
        ("conversionHappenedAt", NOW_MS - 90 * DAY_MS),
        ("conversionValue.amount", "0"),
        ("conversionValue.amount", "50.0"),
        ("user.userInfo", GONE),
        ("user.externalIds", []),
        ("user", {"userIds": [], "externalIds": ["7"]}),
        ("user", {"userIds": [], "lead": "urn:li:leadGenFormResponse:1"}),
        ("user", {"userIds": [], "userInfo": {"firstName": "Jane", "lastName": "Doe"}}),
        ("user.userIds", told_id("PLAINTEXT_IP_ADDRESS", "192.0.2.1")),
        ("user.userIds", told_id("LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID", UUID.upper())),
        ("user.userIds", told_id("ACXIOM_ID", "any")),
    ],
)
def test_what_the_rules_allow_is_taken(linkedin: Client, path: str, value: object) -> None:
    """Right up to the borders."""
    assert linkedin.send(changed(path, value))[0] == 200
    assert linkedin.stats()["server"] == 1


@pytest.mark.parametrize(
    ("path", "value", "at"),
    [
        ("surprise", 1, "/surprise"),
        ("conversion", GONE, "/conversion"),
        ("conversion", "104012", "/conversion"),
        ("conversion", f"{URN}x", "/conversion"),
        ("conversionHappenedAt", GONE, "/conversionHappenedAt"),
        ("conversionHappenedAt", str(NOW_MS), "/conversionHappenedAt"),
        ("conversionHappenedAt", NOW_MS - 0.5, "/conversionHappenedAt"),
        ("conversionHappenedAt", "2026-11-18T12:26:40Z", "/conversionHappenedAt"),
        ("conversionValue", "59.98", "/conversionValue"),
        ("conversionValue.amount", 59.98, "/conversionValue/amount"),
        ("conversionValue.amount", 5998, "/conversionValue/amount"),
        ("conversionValue.amount", "59,98", "/conversionValue/amount"),
        ("conversionValue.amount", "-1", "/conversionValue/amount"),
        ("conversionValue.amount", "59.985", "/conversionValue/amount"),
        ("conversionValue.amount", GONE, "/conversionValue/amount"),
        ("conversionValue.currencyCode", "usd", "/conversionValue/currencyCode"),
        ("conversionValue.currencyCode", "$", "/conversionValue/currencyCode"),
        ("conversionValue.value", "1", "/conversionValue/value"),
        ("eventId", "", "/eventId"),
        ("eventId", 7, "/eventId"),
        ("eventId", "x" * 65, "/eventId"),
        ("user", GONE, "/user"),
        ("user", {}, "/user/userIds"),
        ("user", {"userIds": []}, "/user"),
        ("user", {"userIds": {}}, "/user/userIds"),
        ("user.email", HASH, "/user/email"),
        ("user.externalIds", ["1", "2"], "/user/externalIds"),
        ("user.lead", "7", "/user/lead"),
        ("user.userInfo.lastName", GONE, "/user/userInfo/lastName"),
        ("user.userInfo", {"countryCode": "US"}, "/user/userInfo/firstName"),
        ("user.userInfo.countryCode", "us", "/user/userInfo/countryCode"),
        ("user.userIds", told_id("SHA256_PHONE", HASH), "/user/userIds/0/idType"),
        ("user.userIds", [{"idType": "SHA256_EMAIL"}], "/user/userIds/0/idValue"),
        ("user.userIds", told_id("PLAINTEXT_IP_ADDRESS", "2001:db8::1"), "/user/userIds/0/idValue"),
        ("user.userIds", told_id("LINKEDIN_FIRST_PARTY_ADS_TRACKING_UUID", "x"), "/user/userIds/0/idValue"),
        *(
            ("user.userIds", told_id(kind, value), "/user/userIds/0/idValue")
            for kind in ("SHA256_EMAIL", "SHA256_IP_ADDRESS")
            for value in (PERSON, HASH.upper(), HASH[:32], f"{HASH}\n", [HASH])
        ),
    ],
)
def test_events_of_the_wrong_shape_refuse_their_batch_and_are_all_named(
    linkedin: Client, path: str, value: object, at: str
) -> None:
    """422, with a line for each and nobody's data in it; nothing is kept.

    A hash of a value that was not normalised looks like any other: only raw values and other digits are seen.
    """
    status, body = linkedin.send(GOOD, changed(path, value), GOOD, changed(path, value))
    message = str(body["message"])
    assert (status, body["status"]) == (422, 422)
    assert [line for line in message.splitlines() if line.startswith("Index: ")] == [
        line for line in message.splitlines() if f"ERROR :: {at} ::" in line
    ]
    assert message.startswith("Index: 1, ERROR :: ")
    assert "\nIndex: 3, ERROR :: " in message
    assert PERSON not in message
    assert linkedin.lines("accepted") == []
    assert (linkedin.stats()["requests"], linkedin.stats()["rejected_requests"]) == (1, 1)


@pytest.mark.parametrize(
    "at_ms",
    [NOW_MS // 1000, NOW_MS * 1000, NOW_MS + 1, NOW_MS - 90 * DAY_MS - 1],
    ids=["seconds", "microseconds", "future", "too old"],
)
def test_a_wrong_time_refuses_its_batch_and_all_are_listed(linkedin: Client, at_ms: int) -> None:
    """400, with a list of places."""
    wrong = changed("conversionHappenedAt", at_ms)
    status, body = linkedin.send(wrong, GOOD, GOOD, wrong)
    assert (status, body["status"]) == (400, 400)
    assert "indices [0, 3] (0-indexed)" in str(body["message"])
    assert linkedin.stats()["server"] == 0


def test_an_event_without_a_value_is_taken_and_never_seen_again(linkedin: Client) -> None:
    """Each has its 201."""
    status, body = linkedin.send(changed("conversionValue", GONE), GOOD)
    assert (status, body) == (200, {"elements": [{"status": 201}, {"status": 201}]})
    assert linkedin.stats()["server"] == 1


def test_a_rule_of_another_account_is_a_403(linkedin: Client) -> None:
    """For the batch as a whole; nobody is named."""
    status, body = linkedin.send(GOOD, changed("conversion", f"{URN}999"))
    assert (status, body["message"]) == (403, "No ad accounts found")
    assert linkedin.stats()["server"] == 0


@pytest.mark.parametrize(("count", "status"), [(0, 400), (5000, 200), (5001, 400)])
def test_a_batch_has_1_to_5000_events(linkedin: Client, count: int, status: int) -> None:
    """Not more, not none."""
    assert linkedin.send(*[GOOD] * count)[0] == status


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b'{"elements": {}}', b'{"elements": [NaN]}', b'{"elements": [], "x": 1}'],
)
def test_a_body_of_another_shape_is_refused(linkedin: Client, body: bytes) -> None:
    """As LinkedIn's error, whatever comes."""
    status, reply = linkedin.ask("POST", PATH, body)
    assert (status, json.loads(reply)["status"]) == (400, 400)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("POST", PATH, {"Authorization": "Bearer wrong"}, 401, "INVALID_ACCESS_TOKEN"),
        ("POST", PATH, {"Authorization": RIGHT}, 401, "EMPTY_ACCESS_TOKEN"),
        ("POST", PATH, {"Authorization": GONE}, 401, "EMPTY_ACCESS_TOKEN"),
        ("POST", PATH, {"LinkedIn-Version": GONE}, 400, "VERSION_MISSING"),
        ("POST", PATH, {"LinkedIn-Version": "202511"}, 426, "NONEXISTENT_VERSION"),
        ("POST", PATH, {"LinkedIn-Version": "2026-07"}, 426, "NONEXISTENT_VERSION"),
        ("POST", PATH, {"X-Restli-Protocol-Version": GONE}, 400, None),
        ("POST", PATH, {"X-RestLi-Method": "BATCH_UPDATE"}, 400, None),
        ("POST", PATH, {"Content-Type": "text/plain"}, 415, None),
        ("GET", PATH, {}, 405, None),
        ("POST", "/v2/conversionEvents", {}, 404, "RESOURCE_NOT_FOUND"),
    ],
)
def test_strangers_and_wrong_headers_are_told_apart(
    linkedin: Client, method: str, path: str, headers: Mapping[str, object], status: int, code: str | None
) -> None:
    """In LinkedIn's error, before anything is said of the events; the token is not told back."""
    told, reply = linkedin.ask(method, path, {"elements": [{}]}, headers)
    body = json.loads(reply)
    assert (told, body["status"], body.get("code")) == (status, status, code)
    assert b"wrong" not in reply


def test_tag_and_server_are_one_by_the_event_id_alone(linkedin: Client, clock: Clock) -> None:
    """Whichever comes first, however late, whatever the rules; without an id nothing is known again."""
    assert linkedin.ask("POST", "/_emulator/pixel", PIXEL)[0] == 200
    linkedin.send(GOOD, {**GOOD, "eventId": "purchase:2"})
    clock.now_ms += 80 * DAY_MS
    linkedin.ask("POST", "/_emulator/pixel", [{**PIXEL, "event_id": "purchase:2"}])
    linkedin.send({**GOOD, "conversion": f"{URN}104013"})
    linkedin.send(changed("eventId", GONE), changed("eventId", GONE))
    told = [(line["event_name"], line["event_id"], line["sources"]) for line in linkedin.lines("deduped")]
    assert told == [
        ("PURCHASE", "purchase:1", ["pixel", "server"]),
        ("PURCHASE", "purchase:2", ["server", "pixel"]),
        ("PURCHASE", "", ["server"]),
        ("PURCHASE", "", ["server"]),
    ]
    stats = linkedin.stats()
    assert (stats["after_dedupe"], stats["server_repeats"], stats["money"]) == (4, 1, {"USD": 4 * 5998})


def test_money_is_exact_in_each_currencys_minor_units(linkedin: Client) -> None:
    """Yen have none, dinars three digits; minor units for major ones are another amount."""
    sent = [("1200", "JPY"), ("12.345", "KWD"), ("0.10", "USD"), ("5998", "EUR")]
    assert linkedin.send(*(buying(code, amount, code) for amount, code in sent))[0] == 200
    assert linkedin.stats()["money"] == {"JPY": 1200, "KWD": 12345, "USD": 10, "EUR": 599_800}


@pytest.mark.parametrize(
    ("fault", "status", "told"),
    [
        ({"kind": "poison", "event_ids": ["b", "c"]}, 422, "Index: 2, ERROR :: /conversion :: is poison\n"),
        ({"kind": "poison", "event_ids": ["b", "c"], "status": 400}, 400, "indices [1, 2] (0-indexed)"),
        ({"kind": "poison", "event_ids": ["b"], "named": False}, 422, "Invalid Urn format"),
        ({"kind": "poison", "event_ids": ["b"], "status": 400, "named": False}, 400, "CONVERSIONS_API."),
        ({"kind": "expired_token"}, 401, "revoked"),
        ({"kind": "status", "status": 401}, 401, "revoked"),
        ({"kind": "status", "status": 403}, 403, "No ad accounts found"),
        ({"kind": "status", "status": 426}, 426, "not active"),
        ({"kind": "status"}, 500, "went wrong"),
        ({"kind": "429"}, 429, "throttle"),
    ],
)
def test_faults_keep_nothing_and_say_it_as_linkedin_does(
    linkedin: Client, fault: dict[str, object], status: int, told: str
) -> None:
    """A poison names every culprit, if it is to be named."""
    assert linkedin.ask("POST", "/_emulator/faults", fault)[0] == 200
    answer, body = linkedin.send(*({**GOOD, "eventId": each} for each in "abc"))
    assert (answer, body["status"]) == (status, status)
    assert told in str(body["message"])
    assert (linkedin.stats()["server"], linkedin.stats()["rejected_requests"]) == (0, 1)


@pytest.mark.parametrize(
    "told",
    [
        {},
        {**PIXEL, "conversion_id": "204012"},
        {**PIXEL, "conversion_id": 104012},
        {**PIXEL, "eventId": "x"},
        {**PIXEL, "conversion_value": "59.98"},
        {**PIXEL, "conversion_value": 59.985},
        {**PIXEL, "currency": "XXX"},
        [PIXEL, 7],
    ],
)
def test_a_pixel_event_in_other_names_is_refused(linkedin: Client, told: object) -> None:
    """With a 400, and none of a list is kept."""
    assert linkedin.ask("POST", "/_emulator/pixel", told)[0] == 400
    assert linkedin.lines("pixel") == []


def test_the_shops_pixel_speaks_the_tags_names(linkedin: Client) -> None:
    """Every pixel event of the shop is taken, with its id, and its money to the minor unit."""
    fires = [one for one in traffic(Plan(seed=3, orders=60, now_ms=NOW_MS)) if isinstance(one, PixelFire)]
    assert fires
    for fired in fires:
        (event,) = pixel(fire(fired))
        assert (event.means, event.event_id) == (fired.event, fired.event_id)
        assert (event.value_minor, event.currency) == (fired.value_minor, fired.currency)
    assert linkedin.ask("POST", "/_emulator/pixel", fire(fires[0]))[0] == 200


@pytest.mark.parametrize(
    ("browser", "customer", "sale_opt_out", "cause"),
    [
        ({}, True, False, ""),
        ({"li_fat_id": UUID}, False, False, ""),
        ({"ip": "192.0.2.1"}, False, False, ""),
        ({"ip": "2001:db8::1", "fbp": "fb.1.1.1"}, False, False, "no_identifiers"),
        ({}, False, False, "no_identifiers"),
        ({"li_fat_id": UUID}, True, True, "sale_opt_out"),
    ],
)
def test_what_an_event_must_have(
    *, browser: Mapping[str, str], customer: bool, sale_opt_out: bool, cause: str
) -> None:
    """An e-mail, the tag's id or an address of version 4; and no opt-out of sale, which LinkedIn can't be told of."""
    consent = dict.fromkeys(("ads", "analytics", "personalisation"), "GRANTED")
    known = Known("purchase", browser, customer, "US", "USD", consent, sale_opt_out)
    assert STAND_IN.taker.lacks(known) == cause
