"""Letters or receipts that can't be written: the destination stops there, and goes on by itself."""

from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from tests.broker.dispatch import Dispatch, Emulated, conversion, judge

EVENTS = 300
POISONED = 150


def set_limit(dispatch: Dispatch, name: str, max_bytes: int) -> None:
    """The largest record that the topic takes."""
    entry = ConfigEntry("max.message.bytes", str(max_bytes), incremental_operation=AlterConfigOpType.SET)
    topic = ConfigResource(ResourceType.TOPIC, f"{dispatch.prefix}.{name}", incremental_configs=[entry])
    client = admin(dispatch)
    for altered in client.incremental_alter_configs([topic]).values():
        altered.result(30)


def delete(dispatch: Dispatch, name: str) -> None:
    """Delete a topic."""
    client = admin(dispatch)
    for deleted in client.delete_topics([f"{dispatch.prefix}.{name}"]).values():
        deleted.result(30)


def admin(dispatch: Dispatch) -> AdminClient:
    """A client that changes topics."""
    return AdminClient({"bootstrap.servers": dispatch.settings.kafka.bootstrap_servers})


@pytest.mark.parametrize("how", ["too small", "deleted"])
def test_without_letters_the_destination_stops_and_goes_on_by_itself(
    open_dispatch: Callable[..., Dispatch], how: str
) -> None:
    """Nothing settles past a letter that can't be written, others go on; once it can be, all ends as it should."""
    quick = {
        "extra": {"topic.metadata.propagation.max.ms": 2000}
    }  # or half a minute passes until a topic is missed
    dispatch = open_dispatch(partitions=1, kafka=quick)
    with Emulated() as meta, Emulated() as other:
        dispatch.destination("meta-us", meta, batch_max_events=50)
        dispatch.destination("meta-eu", other, batch_max_events=50)
        dispatch.make_topics()
        meta.fault("poison", event_ids=[f"purchase:{POISONED}"])
        with dispatch.start() as process:
            process.await_ready()
            if how == "deleted":
                delete(dispatch, "dlq.meta")
            else:
                set_limit(dispatch, "dlq.meta", 100)
            dispatch.write(conversion(number) for number in range(EVENTS))
            halted = process.await_line("destination_halted", destination="meta-us")
            assert "letters" in halted["error"]
            assert process.get("/health/ready")[0] == 503
            assert process.get("/health/live")[0] == 200
            dispatch.await_settled("meta-eu", processes=[process])
            assert dispatch.committed("meta-us")[0][0] <= POISONED
            if how == "deleted":
                dispatch.make_topics()
            else:
                set_limit(dispatch, "dlq.meta", 1_000_000)
            dispatch.await_settled("meta-us", processes=[process])
            process.await_ready()
            assert process.status("deliver.meta-us")["halted"] == ""
            process.stop()
            assert process.lines("destination_halted")[-1]["destination"] == "meta-us"
        expected = set(dispatch.written.values())
        assert other.deduped() == expected
        assert meta.deduped() == expected - {f"purchase:{POISONED}"}
    assert judge(dispatch).outcomes == {"delivered": EVENTS - 1, "rejected": 1}
    assert judge(dispatch, "meta-eu").outcomes == {"delivered": EVENTS}
    assert {letter.headers["dlq.event.id"] for letter in dispatch.letters()} == {f"purchase:{POISONED}"}


def test_lost_offsets_halt_until_an_operator_accepts_the_gap(open_dispatch: Callable[..., Dispatch]) -> None:
    """Nobody guesses where the destination was: it halts and says what to do; that done, it goes on."""
    dispatch = open_dispatch()
    with Emulated("google") as google:
        dispatch.destination("google", google, "google")
        dispatch.make_topics()
        dispatch.write(conversion(number) for number in range(20))
        with dispatch.start() as process:
            dispatch.await_settled("google", processes=[process])
            process.stop()
        groups = [f"{dispatch.prefix}.{role}.google" for role in ("deliver", "diagnose")]
        client = admin(dispatch)
        for deleted in client.delete_consumer_groups(groups).values():
            deleted.result(30)
        with dispatch.start() as process:
            halted = process.await_line("destination_halted", destination="google")
            assert "capi offsets accept-gap" in halted["error"]
            assert "accept-gap" in process.await_line("diagnosis_halted", destination="google")["error"]
        for group in groups:
            words = ("accept-gap", "--group", group, "--execute", "--config", str(dispatch.file()))
            with dispatch.run("offsets", *words, log="accept-gap") as command:
                assert command.end() == 0, command.text
        dispatch.write(conversion(number) for number in range(20, 40))
        with dispatch.start() as process:
            for topic in ("conversions", "later"):
                dispatch.await_settled("google", processes=[process], topic=topic)
            process.await_that("diagnosis", lambda: process.status("diagnose.google")["events"] >= 40)
            process.stop()
        assert google.deduped() == {str(number) for number in range(40)}
    assert judge(dispatch, "google").outcomes == {"delivered": 40}
