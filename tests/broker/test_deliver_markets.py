"""Several destinations of one platform: each market's orders to its own account, and counted by its own rule."""

from collections import Counter
from collections.abc import Callable, Iterable

from consumer.model import Conversion
from tests.broker.dispatch import Dispatch, Emulated, conversion, judge, refund

CURRENCIES = ("EUR", "USD", "EUR", "JPY", "KWD")
EURO = 'currency in ["EUR"]'
ORDERS = 100


def order(number: int) -> Conversion:
    """An order of some market, with tax and shipping in what was paid."""
    return conversion(
        number,
        currency=CURRENCIES[number % len(CURRENCIES)],
        value_minor=10_000 + number,
        tax_minor=1_500 + 2 * number,
        shipping_minor=490,
    )


def half_back(number: int) -> Conversion:
    """Half of that order's money, given back."""
    of = order(number)
    return refund(
        number,
        currency=of.currency,
        value_minor=of.value_minor // 2,
        corrects_value_minor=of.value_minor,
        corrects_tax_minor=of.tax_minor,
        corrects_shipping_minor=of.shipping_minor,
    )


def sums(worth: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Minor units by currency."""
    total: Counter[str] = Counter()
    for currency, minor in worth:
        total[currency] += minor
    return dict(total)


def outcomes(dispatch: Dispatch, destination: str) -> dict[str, tuple[str, str, int]]:
    """Event id to outcome, reason and value, as the receipts of one destination have it."""
    return {
        each.event_id: (each.outcome, each.reason, each.value_minor)
        for each in dispatch.receipts()
        if each.destination == destination
    }


def test_each_market_has_its_own_account(open_dispatch: Callable[..., Dispatch]) -> None:
    """By a condition and its complement every order is at exactly one of two accounts, and skipped at the other."""
    dispatch = open_dispatch()
    with Emulated(account="1111111111") as euro, Emulated(account="2222222222") as world:
        dispatch.destination("meta-euro", euro, when=EURO)
        dispatch.destination("meta-world", world, when=f"!({EURO})", value="without_tax_and_shipping")
        dispatch.make_topics()
        orders = [order(number) for number in range(ORDERS)]
        dispatch.write(orders)
        with dispatch.start() as process:
            dispatch.await_settled("meta-euro", "meta-world", processes=[process])
            skipped = 'capi_deliveries_total{destination="meta-euro",outcome="skipped",reason="when"}'
            assert process.metric(skipped) == sum(each.currency != "EUR" for each in orders)
            process.stop()
        ours = {
            each.event_id: ("delivered", "", each.value_minor) for each in orders if each.currency == "EUR"
        }
        theirs = {
            each.event_id: ("delivered", "", each.value_minor - each.tax_minor - each.shipping_minor)
            for each in orders
            if each.currency != "EUR"
        }
        assert (euro.deduped(), world.deduped()) == (set(ours), set(theirs))
        assert euro.stats["money"] == sums(("EUR", minor) for _, _, minor in ours.values())
        currency = {each.event_id: each.currency for each in orders}
        assert world.stats["money"] == sums(
            (currency[event_id], minor) for event_id, (_, _, minor) in theirs.items()
        )
        assert euro.stats["rejected_requests"] == world.stats["rejected_requests"] == 0
    for name, own, others in (("meta-euro", ours, theirs), ("meta-world", theirs, ours)):
        told = outcomes(dispatch, name)
        assert {event_id: told[event_id] for event_id in own} == own
        assert {told[event_id][:2] for event_id in others} == {("skipped", "when")}
        assert judge(dispatch, name).outcomes == {"delivered": len(own), "skipped": len(others)}
    assert dispatch.letters() == []


def test_each_property_counts_orders_by_its_own_rule(open_dispatch: Callable[..., Dispatch]) -> None:
    """One counts all that was paid, the other without tax and shipping; a refund takes back its share of either."""
    dispatch = open_dispatch(partitions=1)
    orders = [order(number) for number in range(10)]
    refunds = [half_back(number) for number in range(10)]
    with Emulated("ga4", account="G-PAID1") as paid, Emulated("ga4", account="G-EARNED1") as earned:
        dispatch.destination("ga4-paid", paid, "ga4")
        dispatch.destination("ga4-earned", earned, "ga4", value="without_tax_and_shipping")
        dispatch.make_topics()
        dispatch.write([*orders, *refunds])
        with dispatch.start() as process:
            dispatch.await_settled("ga4-paid", "ga4-earned", processes=[process])
            process.stop()
        net = [each.value_minor - each.tax_minor - each.shipping_minor for each in orders]
        currencies = [each.currency for each in orders]
        assert paid.stats["money"] == sums((each.currency, each.value_minor) for each in orders)
        assert paid.stats["refunds_money"] == sums((each.currency, each.value_minor) for each in refunds)
        assert earned.stats["money"] == sums(zip(currencies, net, strict=True))
        back = {
            event["event_id"]: event["value_minor"] for event in earned.events() if event["means"] == "refund"
        }
        assert earned.stats["refunds"] == len(back) == len(refunds)
        for each, of, worth in zip(refunds, orders, net, strict=True):
            assert abs(back[each.event_id] - worth * each.value_minor / of.value_minor) <= 1 / 2
    for name in ("ga4-paid", "ga4-earned"):
        assert judge(dispatch, name).outcomes == {"delivered": len(orders) + len(refunds)}
