"""What holds for every platform: written once, so that the next platform is held to it too."""

import ast
import sys
from collections.abc import Callable, Mapping
from functools import reduce
from http import HTTPStatus
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeAlias, get_args
from urllib.parse import parse_qsl, urlsplit

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from consumer.deliver.batch import FRAME_BYTES, Queue
from consumer.deliver.delivery import Delivery, Now
from consumer.deliver.http import _revealed
from consumer.deliver.match import found
from consumer.deliver.route import DEADLINE_MARGIN_MS, Expire, Send, Wants, route
from consumer.deliver.settle import Progress
from consumer.emulators.contract import Access, Asked, Refused, Taken
from consumer.emulators.kept import Kept
from consumer.emulators.platforms import STAND_INS
from consumer.emulators.shop.records import PixelFire
from consumer.forms import KIND_OF
from consumer.ingest.identity import Address, Customer, hashed
from consumer.model import Conversion, EventName, Record
from consumer.money import exponent
from consumer.platforms import PLATFORMS
from consumer.platforms.contract import (
    Accepted,
    Account,
    AllBut,
    EventVerdict,
    Identifier,
    Later,
    PerEvent,
    Platform,
    Reply,
    Request,
    Secret,
    SetupFault,
    Throttled,
    Transient,
    Unconfirmed,
    Unfit,
    Verdict,
)

ROOT = Path(__file__).parent.parent.parent
Make: TypeAlias = Callable[[Mapping[str, Any]], Conversion]
Cases: TypeAlias = Callable[[str, str], list[dict[str, Any]]]

BLIND = (Transient, Throttled, Later, Unconfirmed)
"""Verdicts after which the same request is sent again."""
TOKEN = "made-up-token"  # noqa: S105 (it opens nothing)
CUSTOMER = Customer(
    "Customer-42", "Jane.Doe@Shopper.Example", "+1 202 555 0143", "Jane", "Doerington", "female", "1990-02-28"
)
ADDRESS = Address("742 Evergreen Terrace", "Springfield", "California", "90210", "US")
RAW = (
    b"shopper.example",
    b"2025550143",
    b"555 0143",
    b"jane",
    b"doerington",
    b"1990-02-28",
    b"19900228",
    b"female",
)
PLACES = frozenset({"city", "region", "postal_code", "country"})
PARTS = PLACES | {"first_name", "last_name", "street"}
"""Of what the identifier `address` is made."""
CLICK_IDS: Mapping[str, tuple[str, ...]] = {
    "click_id": (
        *("fbc", "fbclid", "gclid", "gbraid", "wbraid", "ttclid", "sc_click_id", "epik", "rdt_cid"),
        *("li_fat_id", "twclid", "msclkid", "oppref"),
    ),
    "browser_id": ("fbp", "ttp", "sc_cookie1", "rdt_uuid", "ga_client_id", "obref"),
    "session_id": ("ga_session_id",),
}
DEMANDED = {("ga4", "browser_id"), ("amazon", "country")}
"""What an event can't do without."""
CURRENCIES = ("USD", "EUR", "JPY", "KWD", "CLP", "BHD")
amounts = st.integers(0, 10**12)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
items = st.fixed_dictionaries({"sku": texts, "quantity": st.integers(1, 1_000_000), "price_minor": amounts})
parts = st.fixed_dictionaries(
    {"currency": st.sampled_from(CURRENCIES), "value_minor": amounts, "items": st.lists(items, max_size=4)},
    optional={
        "event_name": st.sampled_from([str(name) for name in EventName]),
        "ip": st.sampled_from(
            ["", "unknown", "198.51.100.7", "fe80::1%eth0", " 2001:db8::1 ", "1.2.3.4, 5.6.7.8"]
        ),
        "user_agent": st.sampled_from(["", " ", "curl/8", "Mözilla \u2713"]),
        "page_url": st.sampled_from(
            ["", "about:blank", "/thanks", "https://", "http://shop.example", "https://a b"]
        ),
        "referrer_url": st.sampled_from(["", "https://search.example/", "android-app://com.example"]),
        "fbclid_at": st.sampled_from([0, 1_789_990_000_000]),
        "order_id": st.sampled_from(["", "1001", "Ö-1"]),
        "sale_opt_out": st.booleans(),
        "consent_region": st.sampled_from(["", "US", "US-CA", "us-tx", "US-NV", "DE", "DE-BY"]),
        "event_time": st.integers(1_789_990_000_000, 1_790_000_000_000),
        "order_only": st.booleans(),
    },
)
odd_ids = st.sampled_from(
    ["", " ", "IwAR0New", "fb.1.2.3", "fb.1.1780000000000.IwAR0Older", "fb.1.1780000000000.77", "é"]
)


def account_at(platform: Platform) -> Account:
    """The demo's account at a platform."""
    stand_in = STAND_INS[platform.name]
    return Account(
        platform.base_url,
        stand_in.account,
        Secret(TOKEN),
        stand_in.actions,
        stand_in.options,
        credentials=Secret(stand_in.credentials(TOKEN, platform.base_url)),
    )


def asked(platform: Platform, events: list[bytes]) -> tuple[Asked, Access]:
    """A request of ours as the platform's emulator gets it, and who may write there."""
    return arrived(platform, platform.request(account_at(platform), events))


def arrived(platform: Platform, request: Request) -> tuple[Asked, Access]:
    """The same of any request."""
    stand_in, url = STAND_INS[platform.name], urlsplit(request.url)
    headers = {name.lower(): _revealed(value) for name, value in request.headers.items()}
    query = dict(parse_qsl(url.query)) | {
        name: value.reveal() for name, value in request.secret_query.items()
    }
    access = Access(TOKEN, frozenset({stand_in.account}), stand_in.actions, stand_in.options)
    return Asked(request.method, url.path, query, headers, request.body), access


def whole(platform: Platform, cases: Cases, **given: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
    """What a platform's first case is of, a purchase or its refund, with what is given in place of its own."""
    return {**cases(platform.name, "event")[0]["given"], **given}


def answered(platform: Platform, told: Conversion) -> Taken | Refused | Unfit:
    """What the emulator makes of a conversion at the time of its event."""
    event = platform.event(told, account_at(platform))
    if isinstance(event, Unfit):
        return event
    return STAND_INS[platform.name].check(*asked(platform, [event]), told.event_time)


def test_every_platform_is_whole(platform: Platform, cases: Cases) -> None:
    """A platform has an emulator and cases of a purchase, of each event that it takes, of requests and of replies."""
    assert platform.name in STAND_INS
    assert (Path(__file__).parent / platform.name).is_dir()
    told = {
        row["given"].get("event_name", "purchase") for row in cases(platform.name, "event") if "event" in row
    }
    assert told == set(platform.events)
    assert cases(platform.name, "request")


def test_platforms_do_not_know_each_other(platform: Platform) -> None:
    """A platform's file imports no other platform's, nor does its emulator: each can be read, and removed, alone."""
    others = {name for name in PLATFORMS if name != platform.name}
    for package in ("platforms", "emulators"):
        tree = ast.parse((ROOT / "consumer" / package / f"{platform.name}.py").read_text(encoding="utf-8"))
        imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        assert not {name for name in imported if name.rpartition(".")[2] in others}


def test_every_case_has_a_source(platform: Platform, cases: Cases) -> None:
    """Each case says where it is from, and none is there twice under one name."""
    for kind in ("event", "request", "reply"):
        rows = cases(platform.name, kind)
        assert all(row["source"] for row in rows)
        assert len({row["name"] for row in rows}) == len(rows)


def test_every_verdict_has_a_reply(platform: Platform, cases: Cases) -> None:
    """For each kind of verdict that a platform's file uses there is a reply that means it, of all events or of one."""
    used = vars(sys.modules[platform.judge.__module__])
    can_say = {kind.__name__ for kind in get_args(Verdict | EventVerdict) if kind.__name__ in used}
    told = [row["expect"] for row in cases(platform.name, "reply")]
    each = (one for row in told for one in (row, *row.get("verdicts", ()), *row.get("but", {}).values()))
    assert {one["verdict"] for one in each} == can_say


def test_every_known_code_is_meant(platform: Platform, cases: Cases) -> None:
    """A code that no reply of ours has is unknown: the table of known ones isn't simply all there are."""
    unknown = [row for row in cases(platform.name, "reply") if not row["expect"].get("known", True)]
    assert unknown
    assert platform.known_codes.isdisjoint(row["expect"]["code"] for row in unknown)


@pytest.mark.parametrize("role", ["unknown_4xx", "unknown_5xx"])
def test_unknown_errors(
    platform: Platform, role: str, cases: Cases, reply: Callable[[Mapping[str, Any]], Reply]
) -> None:
    """An unknown 5xx is tried again; an unknown 4xx in the platform's own words is never sent again as it was."""
    rows = [row for row in cases(platform.name, "reply") if row.get("role") == role]
    assert rows
    for row in rows:
        again = isinstance(platform.judge(reply(row)), BLIND)
        assert again is (role == "unknown_5xx"), row["name"]


@given(status=st.integers(200, 599), body=st.binary(max_size=64), header=texts)
def test_every_reply_is_judged(platform: Platform, status: int, body: bytes, header: str) -> None:
    """Whatever comes back has a verdict; bytes that mean nothing are never taken for a success.

    Of a platform that never reports, an empty reply is one.
    """
    headers = dict.fromkeys(("retry-after", "x-business-use-case-usage", "content-type"), header)
    verdict = platform.judge(Reply(status, headers, body, 1_790_000_000_000))
    assert isinstance(verdict, get_args(Verdict))
    silent = not platform.reports and status < HTTPStatus.MULTIPLE_CHOICES and not body.strip()
    assert silent or not isinstance(verdict, Accepted | PerEvent | AllBut)


def test_build_is_deterministic(platform: Platform, conversion: Make, cases: Cases) -> None:
    """The same conversion gives the same bytes, so that a request sent again is the same one."""
    for row in cases(platform.name, "event"):
        account = account_at(platform)
        once, again = (platform.event(conversion(row["given"]), account) for _ in range(2))
        assert once == again
        if isinstance(once, bytes):
            assert asked(platform, [once]) == asked(platform, [once])


def test_nothing_personal_is_raw(platform: Platform, conversion: Make, cases: Cases) -> None:
    """No e-mail, phone number, name or birthday of a customer stands in a request, but the hash of an e-mail does."""
    identity = hashed(CUSTOMER, ADDRESS)
    told = conversion(whole(platform, cases, identity=identity))
    event = platform.event(told, account_at(platform))
    assert isinstance(event, bytes)
    request = asked(platform, [event])[0]
    for text in RAW:
        assert text not in request.body.lower()
    emails = [digest for each, digest in identity.items() if KIND_OF[each] == "email"]
    assert any(digest.encode() in request.body for digest in emails) is ("email" in platform.identifiers)


def test_secret_is_masked(platform: Platform) -> None:
    """A request shows its secret neither in its URL nor when printed."""
    request = platform.request(account_at(platform), [b"{}"])
    assert TOKEN not in f"{request} {request!r} {request.url}"
    assert any(
        isinstance(each, Secret) for each in (*request.headers.values(), *request.secret_query.values())
    )


@pytest.mark.parametrize("currency", CURRENCIES)
@pytest.mark.parametrize("value_minor", [0, 1, 7, 10, 1999, 100_000, 123_456_789])
def test_money_arrives(platform: Platform, conversion: Make, currency: str, value_minor: int) -> None:
    """The platform reads the minor units that the customer paid, whatever the currency's decimals.

    Where it takes fewer of them than the currency has, it reads the nearest amount that it can be told. A platform of
    refunds is told what is left, and never what was paid.
    """
    if EventName.PURCHASE not in platform.events:
        return
    told = conversion({"currency": currency, "value_minor": value_minor})
    answer = answered(platform, told)
    assert isinstance(answer, Taken), answer
    step = 10 ** max(0, (exponent(currency) or 0) - platform.decimals_max)
    nearest = (value_minor + step // 2) // step * step
    assert (answer.events[0].value_minor, answer.events[0].currency) == (nearest, currency)
    assert exponent(currency) is not None


@pytest.mark.parametrize("factor", [1_000, 1_000_000])
def test_time_of_another_unit_is_unfit(
    platform: Platform, conversion: Make, cases: Cases, factor: int
) -> None:
    """A time in microseconds or nanoseconds is refused here: at a platform it would refuse its whole batch."""
    told = conversion(whole(platform, cases, event_time=1_790_000_000_000 * factor))
    assert isinstance(platform.event(told, account_at(platform)), Unfit)


def test_emulator_takes_our_cases(platform: Platform, conversion: Make, cases: Cases) -> None:
    """The emulator, written apart from the platform's file, takes all that the cases say we send."""
    for row in cases(platform.name, "event"):
        answer = answered(platform, conversion(row["given"]))
        assert isinstance(answer, Unfit if "unfit" in row else Taken), (row["name"], answer)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(given=parts, keep=st.sets(st.integers(0, 30)), fbc=odd_ids, fbclid=odd_ids)
def test_emulator_takes_what_we_build(
    platform: Platform,
    conversion: Make,
    cases: Cases,
    given: dict[str, Any],
    keep: set[int],
    fbc: str,
    fbclid: str,
) -> None:
    """Whatever a conversion lacks or has oddly: what is built of it is taken, or nothing is built."""
    if given.get("event_name") not in platform.events:
        given = {name: each for name, each in given.items() if name != "event_name"}
    full = conversion(whole(platform, cases, **given))
    told = msgspec.structs.replace(
        full,
        identity={form: each for place, (form, each) in enumerate(full.identity.items()) if place in keep},
        click_ids={**full.click_ids, "fbc": fbc, "fbclid": fbclid, "fbp": fbc},
    )
    assert isinstance(answered(platform, told), Taken | Unfit), answered(platform, told)


def test_a_probe_leaves_nothing(platform: Platform, conversion: Make, cases: Cases) -> None:
    """What tries the credentials is accepted and not kept; what counts bears the code for tests. A stranger is told so.

    Of a platform that never reports, nobody is told.
    """
    probe = platform.probe
    if probe is None:
        return
    told = conversion(whole(platform, cases))
    account = msgspec.structs.replace(account_at(platform), test_event_code="TEST42")
    event = platform.event(told, account)
    assert isinstance(event, bytes)
    request = probe.request(account, [event])
    assert TOKEN not in f"{request}"
    assert not probe.counts or b"TEST42" in request.body
    tried, access = arrived(platform, request)

    def answer(access: Access) -> tuple[bool, Verdict]:
        given = STAND_INS[platform.name].check(tried, access, told.event_time)
        kept = isinstance(given, Taken) and bool(given.events)
        return kept, probe.judge(Reply(given.status, {}, given.body, told.event_time))

    kept, verdict = answer(access)
    assert kept is probe.counts
    assert isinstance(verdict, Accepted) or verdict == PerEvent((Accepted(),)), verdict
    kept, verdict = answer(msgspec.structs.replace(access, token="another"))  # noqa: S106 (it opens nothing)
    assert not kept
    assert isinstance(verdict, SetupFault if platform.reports else Accepted), verdict


@given(status=st.integers(200, 599), body=st.binary(max_size=64))
def test_every_reply_to_a_probe_is_judged(platform: Platform, status: int, body: bytes) -> None:
    """Bytes that mean nothing prove nothing."""
    if platform.probe is not None:
        verdict = platform.probe.judge(Reply(status, {}, body, 1_790_000_000_000))
        assert isinstance(verdict, get_args(Verdict))
        assert not isinstance(verdict, Accepted | PerEvent | AllBut)


def without(told: Conversion, name: str) -> Conversion:
    """The conversion, had the shop not told this identifier."""
    if name == "address":
        return reduce(without, sorted(PARTS), told)
    if name in CLICK_IDS:
        kept = {key: each for key, each in told.click_ids.items() if key not in CLICK_IDS[name]}
        return msgspec.structs.replace(told, click_ids=kept)
    if name in ("ip", "user_agent"):
        return msgspec.structs.replace(told, **{name: ""})
    plain = {name: ""} if name in PLACES else {}
    identity = {each: digest for each, digest in told.identity.items() if KIND_OF[each] != name}
    return msgspec.structs.replace(told, identity=identity, **plain)


def shown(platform: Platform, told: Conversion) -> set[str] | None:
    """The identifiers whose markers are in the event; None if there is no event."""
    event = platform.event(told, account_at(platform))
    return None if isinstance(event, Unfit) else set(found(event, platform.identifiers))


def everything(platform: Platform, conversion: Make, cases: Cases) -> Conversion:
    """The purchase with everything, from an address of version 4, which is all that some take."""
    given = whole(platform, cases, ip="198.51.100.7", identity=hashed(CUSTOMER, ADDRESS))
    return conversion(given)


def test_identifiers_are_those_told(platform: Platform, conversion: Make, cases: Cases) -> None:
    """Of a purchase with everything all are shown, and what the shop doesn't tell takes its own marker alone away."""
    told, every = everything(platform, conversion, cases), set(platform.identifiers)
    assert shown(platform, told) == every
    assert all(b'":' in marker for marker in platform.identifiers.values())
    for name in every:
        left = shown(platform, without(told, name))
        assert left == every - {name} or (left is None and (platform.name, name) in DEMANDED), name


def test_all_identifiers_are_named(platform: Platform, conversion: Make, cases: Cases) -> None:
    """What a platform doesn't name as an identifier it isn't told, or it is a part of its address."""
    told = everything(platform, conversion, cases)
    event = platform.event(told, account_at(platform))
    parts = PARTS if "address" in platform.identifiers else frozenset()
    for name in {*get_args(Identifier)} - {*platform.identifiers} - parts - {"address"}:
        same = platform.event(without(told, name), account_at(platform)) == event
        assert same or (platform.name, name) in DEMANDED, name


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_text_is_taken_for_an_identifier(
    platform: Platform, conversion: Make, cases: Cases, data: st.DataObject
) -> None:
    """Whatever products, pages and ids are called, even like a marker: only identifiers are found."""
    markers = [marker.decode() for marker in platform.identifiers.values()]
    pieces = st.sampled_from([*markers, '"', "\\", ":", "{", "x"])
    texts = st.lists(pieces, min_size=1, max_size=3).map("".join)
    gone = data.draw(st.sets(st.sampled_from(get_args(Identifier))))
    told = reduce(without, sorted(gone), everything(platform, conversion, cases))
    words = ("sku", "name", "brand", "category", "variant")
    odd = {name: data.draw(texts) for name in ("event_id", "order_id", "user_agent", "referrer_url", *words)}
    item = msgspec.structs.replace(told.items[0], **{name: odd.pop(name) for name in words})
    named = msgspec.structs.replace(
        told, **odd, items=(item,), page_url="https://shop.example/" + data.draw(texts)
    )
    if "user_agent" in gone:
        named = msgspec.structs.replace(named, user_agent="")
    assert shown(platform, named) in (shown(platform, told), None)


def numbered(platform: Platform, conversion: Make, cases: Cases, count: int) -> list[bytes]:
    """So many events that differ only by their ids."""
    made = []
    for number in range(count):
        given = whole(platform, cases, event_id=f"{number:08}", order_id=f"{number:08}")
        event = platform.event(conversion(given), account_at(platform))
        assert isinstance(event, bytes)
        made.append(event)
    return made


def test_limits_are_the_platforms(platform: Platform, conversion: Make, cases: Cases) -> None:
    """As many events as our limit says are taken in one request; what is more is never put into one."""
    limits = platform.limits
    events = numbered(platform, conversion, cases, limits.events_max + 1)
    at_ms = conversion(whole(platform, cases)).event_time
    room = limits.bytes_max - FRAME_BYTES
    most = next(
        (n for n, size in enumerate(accumulate(map(len, events))) if size + n > room), limits.events_max
    )
    taken = STAND_INS[platform.name].check(*asked(platform, events[: min(most, limits.events_max)]), at_ms)
    assert isinstance(taken, Taken), taken
    assert len(taken.events) == min(most, limits.events_max)
    queue, now = Queue(limits.events_max, limits.bytes_max, 0.0), Now(at_ms, 1.0)
    told = conversion(whole(platform, cases))
    for offset, event in enumerate(events):
        record = Record("capi.conversions", 0, offset, at_ms, None, b"")
        queue.add(Delivery(record, told, Progress(0), offset, event, at_ms + 1), 0, now)
    sizes = []
    while (group := queue.take(now)) is not None:
        body = platform.request(account_at(platform), [each.event for each in group.deliveries]).body
        assert len(body) <= limits.bytes_max
        sizes.append(len(group.deliveries))
    assert sum(sizes) == len(events)
    assert max(sizes) <= limits.events_max
    assert len(sizes) > 1


def test_window_is_the_platforms(platform: Platform, conversion: Make, cases: Cases) -> None:
    """What goes at the very end of its window is still taken; what is older ends before any request."""
    told = conversion(whole(platform, cases))
    wants, limits = Wants(frozenset(platform.events), account_at(platform)), platform.limits
    since = (
        told.corrects_event_time if limits.refund_until_ms and told.corrects_event_time else told.event_time
    )
    closes_ms = since + (limits.refund_until_ms or limits.age_max_ms) - DEADLINE_MARGIN_MS
    told = msgspec.structs.replace(told, enriched_at=told.event_time)
    assert isinstance(route(told, platform, wants, 0, closes_ms - 1), Send)
    assert isinstance(route(told, platform, wants, 0, closes_ms), Expire)
    event = platform.event(told, account_at(platform))
    assert isinstance(event, bytes)
    answer = STAND_INS[platform.name].check(*asked(platform, [event]), closes_ms - 1)
    assert isinstance(answer, Taken), answer


def test_pixel_and_server_count_once(platform: Platform, conversion: Make, cases: Cases) -> None:
    """The pixel's purchase and the server's are one at the platform, whichever comes first."""
    if EventName.PURCHASE not in platform.events:
        return
    told, stand_in = conversion(whole(platform, cases)), STAND_INS[platform.name]
    answer = answered(platform, told)
    assert isinstance(answer, Taken)
    fired = PixelFire(
        *("purchase", told.event_id, told.event_time, told.currency, told.value_minor, 2, told.order_id),
        *(told.page_url, told.click_ids, frozenset({platform.name})),
    )
    pixel = stand_in.pixel(stand_in.fire(fired))
    for first, second in ((answer.events, pixel), (pixel, answer.events)):
        kept = Kept(10, last_wins=stand_in.last_wins)
        kept.keep(first, "server" if first is answer.events else "pixel", told.event_time)
        kept.keep(second, "server" if second is answer.events else "pixel", told.event_time + 1_000)
        stats = kept.stats(1, 0)
        assert (stats.server, stats.pixel, stats.after_dedupe) == (1, 1, 1)
        assert stats.money == {told.currency: told.value_minor}
