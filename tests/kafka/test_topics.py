"""Topics: what is missing is made, what differs is told, nothing shrinks."""

import pytest

from consumer.errors import ConfigurationError, Unreachable
from consumer.kafka.topics import (
    LETTER_MAX_BYTES,
    Alter,
    Create,
    Found,
    Grow,
    Refuse,
    Topics,
    TopicSpec,
    changes,
    partitions_of,
    specs,
)
from consumer.settings import Destination, KafkaSettings, Settings, TopicSettings

KEYED = TopicSpec("capi.state", 6, {"retention.ms": "1000"})


def settings(bootstrap: str, prefix: str) -> Settings:
    """Settings of a shop whose own topics bear the prefix too, with two destinations at one platform."""
    topics = TopicSettings(prefix=prefix, orders=f"{prefix}.orders", checkouts=f"{prefix}.checkouts")
    meta = {"platform": "meta", "account": "1", "token_file": "token"}
    destinations = tuple(Destination.model_validate({"name": name, **meta}) for name in ("us", "eu"))
    kafka = KafkaSettings(bootstrap_servers=bootstrap)
    return Settings(topics=topics, kafka=kafka, destinations=destinations)


def test_every_topic_of_the_design_is_wanted_once() -> None:
    """Two destinations at one platform share its letters; the shop's own topics come only if asked for."""
    wanted = settings("127.0.0.1:1", "capi")
    ours = [
        "capi.state",
        "capi.ingest-replay",
        "capi.conversions",
        "capi.endings",
        "capi.later",
        "capi.replay",
        "capi.receipts",
        "capi.control",
        "capi.audit",
        "capi.dlq.ingest",
        "capi.dlq.meta",
    ]
    assert [spec.name for spec in specs(wanted, 6)] == ours
    assert [spec.name for spec in specs(wanted, 6, shop=True)] == ["capi.orders", "capi.checkouts", *ours]


def test_orders_by_checkout_are_wanted_where_orders_are_keyed_otherwise() -> None:
    """As many partitions as the rest, a day by the broker's clock, and as much room as a letter has."""
    wanted = settings("127.0.0.1:1", "capi")
    named = wanted.topics.model_copy(update={"orders_keyed_by_checkout": False})
    (spec,) = (
        spec
        for spec in specs(wanted.model_copy(update={"topics": named}), 6)
        if spec.name == "capi.orders-by-checkout"
    )
    assert (spec.partitions, spec.grows) == (6, False)
    assert spec.config == {
        "cleanup.policy": "delete",
        "retention.ms": "86400000",
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(LETTER_MAX_BYTES),
    }


def test_state_outlives_the_longest_window() -> None:
    """The changelog keeps records for twice the longest window, by the broker's clock."""
    state = specs(settings("127.0.0.1:1", "capi"), 6)[0]
    assert int(state.config["retention.ms"]) == 2 * 7 * 86_400_000
    assert state.config["message.timestamp.type"] == "LogAppendTime"
    assert state.config["cleanup.policy"] == "compact,delete"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, [Create(KEYED)]),
        (Found(6, {"retention.ms": "1000"}), []),
        (Found(6, {"retention.ms": "5000"}), []),
        (Found(6, {"retention.ms": "-1"}), []),
        (
            Found(6, {"retention.ms": "500"}),
            [Alter("capi.state", {"retention.ms": "500"}, {"retention.ms": "1000"})],
        ),
        (Found(12, {"retention.ms": "1000"}), [Refuse("capi.state", 12, 6)]),
        (Found(3, {"retention.ms": "1000"}), [Refuse("capi.state", 3, 6)]),
    ],
)
def test_a_keyed_topic_is_never_resized(found: Found | None, expected: list[object]) -> None:
    """It is made, or its settings are mended; another number of partitions is refused either way."""
    assert changes([KEYED], {KEYED.name: found} if found else {}) == expected


def test_a_topic_without_keys_grows_and_never_shrinks() -> None:
    """Letters may get more partitions; if there are more than wanted, all is well."""
    letters = TopicSpec("capi.dlq.meta", 3, {}, grows=True)
    assert changes([letters], {letters.name: Found(1, {})}) == [Grow(letters.name, 1, 3)]
    assert changes([letters], {letters.name: Found(6, {})}) == []


def test_applying_twice_changes_nothing(bootstrap: str, prefix: str) -> None:
    """On a real cluster: all is made once, the second plan is empty, and a resize is refused untouched."""
    wanted = settings(bootstrap, prefix)
    topics = Topics(wanted.kafka)
    assert len(topics.apply(specs(wanted, 2, shop=True), 1)) == len(specs(wanted, 2, shop=True))
    assert topics.plan(specs(wanted, 2, shop=True)) == []
    assert partitions_of(wanted.kafka, f"{prefix}.orders") == 2
    with pytest.raises(ConfigurationError, match="--partitions 2"):
        topics.apply(specs(wanted, 4, shop=True), 1)
    assert partitions_of(wanted.kafka, f"{prefix}.state") == 2


def test_what_was_made_is_seen_at_once(bootstrap: str, prefix: str) -> None:
    """Whoever starts right after `apply` finds the topics: a broker may tell of them a moment later."""
    topics = Topics(settings(bootstrap, prefix).kafka)
    for number in range(60):
        made = [TopicSpec(f"{prefix}.{number}", 1, {})]
        topics.apply(made, 1)
        assert topics.found([made[0].name]) != {}, f"not there in round {number}"


def test_a_differing_setting_is_mended(bootstrap: str, prefix: str) -> None:
    """On a real cluster: a retention that is too short is told with both values, and put right."""
    wanted = settings(bootstrap, prefix)
    topics = Topics(wanted.kafka)
    short = [TopicSpec(f"{prefix}.receipts", 1, {"retention.ms": "60000"})]
    topics.apply(short, 1)
    receipts = [spec for spec in specs(wanted, 1) if spec.name == f"{prefix}.receipts"]
    (change,) = topics.plan(receipts)
    assert str(change) == f"alter {prefix}.receipts: retention.ms 60000 to 2592000000"
    topics.apply(receipts, 1)
    assert topics.plan(receipts) == []


def test_a_cluster_that_does_not_answer_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong address is told as such."""
    monkeypatch.setattr("consumer.kafka.topics.ASK_TIMEOUT_S", 1.0)
    with pytest.raises(Unreachable, match=r"kafka\.bootstrap_servers"):
        partitions_of(KafkaSettings(bootstrap_servers="127.0.0.1:1"), "orders")


def test_topics_are_found_by_how_their_names_begin(bootstrap: str, prefix: str) -> None:
    """Letters of a platform that no destination has any more are still there to be read."""
    topics = Topics(KafkaSettings(bootstrap_servers=bootstrap))
    topics.apply([TopicSpec(f"{prefix}.{name}", 1, {}) for name in ("dlq.meta", "dlq.ingest", "dlqs")], 1)
    assert topics.beginning_with(f"{prefix}.dlq.") == [f"{prefix}.dlq.ingest", f"{prefix}.dlq.meta"]
    assert topics.beginning_with(f"{prefix}.none") == []
