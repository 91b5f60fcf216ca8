"""Every ending of a record, and what conversions hold."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import pytest

from consumer.enrich.plan import Arrival
from consumer.enrich.planned import Converted, Empty, Filtered, Kept, Planned, Refused, Repeated, Waits
from consumer.errors import Undecodable
from consumer.model import Consent, ConsentState, Conversion, Ending, Item, Location, Record

Told: TypeAlias = Callable[[list[Planned]], list[Conversion]]
Shop: TypeAlias = Any
DAY_S = 86_400
DENIED = Consent(ads=ConsentState.DENIED)
PURCHASE = ("purchase:o1",)


def test_purchase_of_completed_checkout_is_joined_at_once(shop: Shop, told: Told) -> None:
    """An order whose checkout is completed leaves with its click ids, browser and identity."""
    shop.plan(
        shop.step(
            "STARTED",
            browser={"fbclid": "click", "ip": "192.0.2.1", "user_agent": "UA"},
            identity={"em": "h1"},
        ),
        shop.step("COMPLETED", at_s=90, identity={"ph": "h2"}),
    )
    (purchase,) = told(shop.plan(shop.order(identity={"em": "h3"})))
    assert (purchase.event_id, purchase.event_name, purchase.order_only) == ("purchase:o1", "purchase", False)
    assert purchase.identity == {"em": "h3", "ph": "h2"}
    assert (purchase.ip, purchase.user_agent, purchase.click_ids) == ("192.0.2.1", "UA", {"fbclid": "click"})
    assert purchase.fbclid_at == shop.step(at_s=10).told.updated_at_ms


def test_order_before_its_checkout_waits_for_completion(shop: Shop, told: Told) -> None:
    """An order that comes first is joined when its checkout completes, with what the checkout knew by then."""
    assert shop.plan(shop.order()) == [Waits()]
    assert (
        told(shop.plan(shop.step("PAYMENT", at_s=95, browser={"fbp": "b"})))[0].event_name
        == "add_payment_info"
    )
    purchase, kept = shop.plan(shop.step("COMPLETED", at_s=99))
    assert isinstance(purchase, Converted)
    assert (purchase.conversion.order_id, purchase.conversion.click_ids) == ("o1", {"fbp": "b"})
    assert kept == Kept()


def test_wait_ends_by_stream_time_of_checkouts(shop: Shop, told: Told) -> None:
    """When the checkouts have passed the order's time plus the wait, it goes out, marked order_only if unmatched."""
    shop.plan(shop.order(at_s=100))
    assert told(shop.plan(shop.step("CONTACT", "other", at_s=160))) == []
    (purchase,) = told(shop.plan(shop.step("CONTACT", "other", at_s=160.001)))
    assert purchase.order_only


def test_wait_that_ends_with_some_context_is_joined_with_it(shop: Shop, told: Told) -> None:
    """A checkout that never completes still gives its context."""
    shop.plan(shop.step("CONTACT", browser={"gclid": "g"}), shop.order(at_s=100))
    (purchase,) = told(shop.plan(shop.step("CONTACT", "other", at_s=200)))
    assert not purchase.order_only
    assert purchase.click_ids == {"gclid": "g"}


def test_wait_ends_by_the_clock_for_idle_checkouts(shop: Shop, told: Told) -> None:
    """With checkouts at their end the wait is counted on the clock from when the order was read."""
    shop.plan(shop.order())
    assert shop.wait(59.9) == []
    assert [purchase.order_only for purchase in told(shop.wait(0.1))] == [True]


def test_order_without_checkout_goes_out_at_once(shop: Shop) -> None:
    """There is nothing to wait for."""
    (converted,) = shop.plan(shop.order(checkout_id=""))
    assert isinstance(converted, Converted)
    assert converted.conversion.order_only
    assert converted.key == b"order:o1"


def test_steps_make_their_events_and_others_leave_context(shop: Shop, told: Told) -> None:
    """STARTED and PAYMENT are events at their own time; CONTACT, COMPLETED and unknown steps are not."""
    events = told(shop.plan(shop.step("STARTED"), shop.step("PAYMENT", at_s=20, event_id="pixel-7")))
    assert [(event.event_name, event.event_id) for event in events] == [
        ("begin_checkout", "begin_checkout:c1"),
        ("add_payment_info", "pixel-7"),
    ]
    assert [event.event_time - shop.step(at_s=0).told.updated_at_ms for event in events] == [10_000, 20_000]
    assert shop.plan(shop.step("CONTACT"), shop.step("COMPLETED"), shop.step("UPSELL")) == [Kept()] * 3


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "PENDING"}, Filtered("state_pending")),
        ({"status": "Cancelled"}, Filtered("state_cancelled")),
        ({"status": "WEIRD-STATE"}, Filtered("state_other")),
        ({"paid_at_ms": 1_790_000_000_000 - 8 * DAY_S * 1000}, Filtered("too_old")),
    ],
)
def test_filtered(shop: Shop, changes: Mapping[str, Any], expected: Planned) -> None:
    """What is no purchase, or too old to be told from a repetition, ends filtered with its reason."""
    assert shop.plan(shop.order(**changes)) == [expected]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"paid_at_ms": 0}, "no_paid_at"),
        ({"paid_at_ms": 4_070_908_800_000}, "future_time"),
        ({"currency": ""}, "no_currency"),
        ({"currency": "XXQ"}, "no_currency"),
    ],
)
def test_refused(shop: Shop, changes: Mapping[str, Any], reason: str) -> None:
    """A paid order without a possible time or currency becomes a letter: nothing is guessed."""
    (planned,) = shop.plan(shop.order(**changes))
    assert isinstance(planned, Refused)
    assert planned.reason == reason


def test_tombstone_and_unusable_record(shop: Shop) -> None:
    """A null value is a tombstone; what can't be decoded is a letter with the decoder's reason."""
    record = Record("orders", 0, 0, 0, None, None)
    assert shop.plan(Arrival(record, None)) == [Empty()]
    assert shop.plan(Arrival(record, Undecodable("bad"))) == [Refused("undecodable", "bad")]


def test_step_without_currency_keeps_context_only(shop: Shop, told: Told) -> None:
    """A step without currency is no event, but its context still counts."""
    assert shop.plan(shop.step("STARTED", currency="", browser={"fbp": "b"})) == [Filtered("no_currency")]
    (purchase,) = told(shop.plan(shop.step("COMPLETED", at_s=20), shop.order()))
    assert purchase.click_ids == {"fbp": "b"}


def test_future_step_is_a_letter_and_leaves_no_context(shop: Shop) -> None:
    """A step of 2099 moves no stream time and can't win every later merge."""
    (planned,) = shop.plan(shop.step("STARTED", at_s=73 * 365 * DAY_S))
    assert isinstance(planned, Refused)
    assert (planned.reason, shop.memory.context("c1"), shop.memory.time.checkouts_ms) == (
        "future_time",
        None,
        0,
    )


def test_same_record_again_is_a_reread(shop: Shop) -> None:
    """A rewound offset makes no second conversion, of an order or of a step, waiting or not."""
    step, order, waiting = shop.step(), shop.order(checkout_id=""), shop.order("o2", "c2")
    shop.plan(step, order, waiting)
    assert shop.plan(step, order, waiting) == [
        Repeated(Ending.REREAD, (event_id,))
        for event_id in ("begin_checkout:c1", "purchase:o1", "purchase:o2")
    ]
    assert shop.memory.waiting == 1


def test_update_that_changes_nothing_is_a_duplicate_without_being_decoded(shop: Shop) -> None:
    """Equal but for its time: seen from the head alone, so the whole order is never asked for."""
    shop.plan(shop.order(checkout_id=""))
    update = shop.order(checkout_id="", at_s=500, paid_at_ms=shop.order().told.head.paid_at_ms)
    shop.book.orders.clear()
    assert shop.plan(update) == [Repeated(Ending.DUPLICATE, PURCHASE)]


def test_update_with_the_same_worth_is_a_duplicate_and_another_a_conflict(shop: Shop) -> None:
    """Value, currency and items decide; the first one wins."""
    shop.plan(shop.order(checkout_id=""))
    same, conflict = Repeated(Ending.DUPLICATE, PURCHASE), Repeated(Ending.CONFLICT, PURCHASE)
    assert shop.plan(shop.order(checkout_id="", rest=b"new address")) == [same]
    assert shop.plan(shop.order(checkout_id="", total=1)) == [conflict]
    other = (Item("sku-2", 1, 1999),)
    assert shop.plan(shop.order(checkout_id="", items=other, rest=b"items")) == [conflict]


def test_one_pixel_id_for_events_of_two_names(shop: Shop, told: Told) -> None:
    """Platforms compare event ids within an event name, and so do we."""
    happened = shop.plan(shop.step("STARTED", event_id="e"), shop.order(checkout_id="", event_id="e"))
    assert [event.event_id for event in told(happened)] == ["e", "e"]


def test_update_on_day_ten_is_no_second_purchase(shop: Shop) -> None:
    """When the event id's entry has expired, the event itself is too old."""
    shop.now_ms += 20 * DAY_S * 1000
    shop.plan(shop.order(checkout_id=""))
    paid_at_ms = shop.order().told.head.paid_at_ms
    shop.memory.time.observe("checkouts", paid_at_ms + 10 * DAY_S * 1000, shop.now_ms)
    shop.memory.time.advance(orders_ended=True, checkouts_ended=False, idle_ms=0)
    assert shop.memory.claim("ppurchase:o1") is None
    assert shop.plan(shop.order(checkout_id="", paid_at_ms=paid_at_ms)) == [Filtered("too_old")]


def test_denied_consent_leaves_nothing_personal(shop: Shop, told: Told) -> None:
    """Denied: no identity, click id, address or user agent, in the conversion or in state."""
    browser = {"fbp": "b", "ip": "192.0.2.1", "user_agent": "UA", "page_url": "https://s.example/a"}
    shop.plan(shop.step("CONTACT", browser=browser, identity={"em": "h"}))
    (event,) = told(shop.plan(shop.step("PAYMENT", at_s=20, consent=DENIED)))
    assert (event.identity, event.click_ids, event.ip, event.user_agent, event.fbclid_at) == (
        {},
        {},
        "",
        "",
        0,
    )
    assert (event.page_url, event.consent_ads) == ("https://s.example/a", "DENIED")
    context = shop.memory.context("c1")
    assert (set(context.browser), context.identity) == ({"page_url"}, {})


def test_silence_about_consent_is_what_the_settings_say(open_shop: Callable[..., Shop], told: Told) -> None:
    """Nobody said anything: denied by default, granted where the operator decided so."""
    for deny, state, identity in ((True, "DENIED", {}), (False, "GRANTED", {"em": "h"})):
        shop = open_shop(deny_when_missing=deny)
        (purchase,) = told(shop.plan(shop.order(checkout_id="", consent=Consent(), identity={"em": "h"})))
        assert (purchase.consent_ads, purchase.identity) == (state, identity)


def test_consent_withdrawn_after_completion_counts(shop: Shop, told: Told) -> None:
    """A closed context changes no more, but for consent withdrawn."""
    shop.plan(shop.step("COMPLETED", browser={"fbp": "b"}))
    shop.plan(shop.step("CONTACT", at_s=20, browser={"fbp": "other"}))
    assert shop.memory.context("c1").browser_of("fbp") == "b"
    shop.plan(shop.step("CONTACT", at_s=30, consent=DENIED))
    (purchase,) = told(shop.plan(shop.order(consent=Consent())))
    assert (purchase.consent_ads, purchase.click_ids) == ("DENIED", {})


def test_places_of_two_countries_are_not_mixed(shop: Shop, told: Told) -> None:
    """The order's place is filled from the checkout's only within one country."""
    shop.plan(shop.step("COMPLETED"))
    (purchase,) = told(shop.plan(shop.order(location=Location(country="FR", city="Lyon"))))
    assert (purchase.country, purchase.city, purchase.postal_code) == ("FR", "Lyon", "")


def test_too_large_conversion_is_a_letter_and_may_come_again(
    open_shop: Callable[..., Shop], told: Told
) -> None:
    """A refused order claims nothing: its event id is free for a smaller one."""
    shop = open_shop(conversion_max_bytes=2_000)
    (planned,) = shop.plan(shop.order(checkout_id="", items=(Item("s" * 3_000, 1, 1),)))
    assert isinstance(planned, Refused)
    assert planned.reason == "too_large"
    assert len(told(shop.plan(shop.order(checkout_id="")))) == 1


def test_too_large_context_is_left_out_of_a_conversion(open_shop: Callable[..., Shop], told: Told) -> None:
    """An order is not lost because its checkout's user agent is absurd."""
    shop = open_shop(conversion_max_bytes=3_000)
    shop.plan(shop.step("COMPLETED", browser={"user_agent": "U" * 4_000}))
    (purchase,) = told(shop.plan(shop.order()))
    assert purchase.order_only


def test_time_beyond_now_moves_no_stream_time(shop: Shop, told: Told) -> None:
    """An order updated in 2099 still waits, and ends no other's wait."""
    shop.plan(shop.order("o1"), shop.order("o2", "c2", at_s=73 * 365 * DAY_S, paid_at_ms=shop.now_ms))
    assert (shop.memory.waiting, shop.memory.time.orders_ms) == (
        2,
        shop.order(at_s=100).told.head.updated_at_ms,
    )
    assert len(told(shop.wait(61))) == 2
