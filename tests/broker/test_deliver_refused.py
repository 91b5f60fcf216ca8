"""What `capi` refuses at start: with the exit code that scripts rely on, and what to do about it."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from consumer.local.broker import free_ports
from tests.broker.dispatch import Dispatch, Emulated

CONFIGURATION, UNREACHABLE = 78, 69
DEADLINE_S = 90.0


class At(Emulated):
    """An address of a platform that nobody listens on: a refused process asks nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.url = "http://127.0.0.1:9"


def refused(dispatch: Dispatch, *arguments: str, code: int, **more: object) -> str:
    """Run `capi` with these settings until it ends with this code; what it said, which is one clear text."""
    file = dispatch.file("refused", **more)
    with dispatch.run(*arguments, "--config", str(file), log="refused") as process:
        assert process.end(DEADLINE_S) == code, process.text
        assert "Traceback" not in process.text
        (said,) = [line for line in process.text.splitlines() if not line.startswith("{")]
        assert said.startswith("capi: ")
        return said


@pytest.fixture
def dispatch(open_dispatch: Callable[..., Dispatch]) -> Dispatch:
    """One destination, its token in place; no topics yet."""
    made = open_dispatch()
    made.destination("meta-us", At())
    return made


def changed(dispatch: Dispatch, **changes: object) -> dict[str, Any]:
    """The destination with other values."""
    (destination,) = dispatch.values["destinations"]
    return {"destinations": [{**destination, **changes}]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"token_file": "nowhere.token"}, "put the access token there"),
        ({"platform": "mta"}, "did you mean meta?"),
        ({"base_url": "http://capi.example"}, "must begin with https://"),
        ({"batch_max_event": 5}, "did you mean destinations.batch_max_events?"),
    ],
)
def test_a_destination_that_is_wrong_is_refused(
    dispatch: Dispatch, changes: Mapping[str, object], says: str
) -> None:
    """By `config check`, which asks nobody, and by `run` alike: exit 78, and the text says what to write."""
    values = changed(dispatch, **changes)
    assert says in refused(dispatch, "config", "check", code=CONFIGURATION, **values)
    assert says in refused(dispatch, "run", "--role", "deliver", code=CONFIGURATION, **values)


def test_right_settings_pass_the_check(dispatch: Dispatch) -> None:
    """`config check` of what is refused nowhere: exit 0."""
    with dispatch.run("config", "check", "--config", str(dispatch.file()), log="check") as process:
        assert process.end() == 0, process.text


def test_an_unknown_setting_is_refused(dispatch: Dispatch) -> None:
    """An unknown key: exit 78, with the nearest one that is known."""
    said = refused(dispatch, "run", code=CONFIGURATION, drain_timeouts=5)
    assert "drain_timeouts; did you mean drain_timeout_s?" in said


def test_a_destination_that_is_not_there_is_refused(dispatch: Dispatch) -> None:
    """`--destination` with a name that the settings don't have: exit 78, with the nearest one."""
    arguments = ("run", "--role", "deliver", "--destination", "meta-uk")
    assert "did you mean meta-us?" in refused(dispatch, *arguments, code=CONFIGURATION)


def test_deliver_without_destinations_is_refused(dispatch: Dispatch) -> None:
    """A role with nothing to do: exit 78, and where a destination belongs."""
    said = refused(dispatch, "run", "--role", "deliver", code=CONFIGURATION, destinations=[])
    assert "add one under destinations" in said


@pytest.mark.parametrize("role", ["deliver", "enrich", "all"])
def test_missing_topics_are_refused(dispatch: Dispatch, role: str) -> None:
    """No topics: exit 78, with the command that makes them."""
    assert "`capi topics apply`" in refused(dispatch, "run", "--role", role, code=CONFIGURATION)


def test_topics_of_unequal_partitions_are_refused(dispatch: Dispatch, make_topic: Callable[..., str]) -> None:
    """The shop's topics differ in their partitions: exit 78, with both counts."""
    make_topic("orders", 3)
    make_topic("checkouts", 2)
    dispatch.make_own_topics()
    said = refused(dispatch, "run", "--role", "enrich", code=CONFIGURATION)
    assert "partitions" in said
    assert {"2", "3"} <= set(said.replace(",", " ").replace(":", " ").split())


def test_a_broker_that_does_not_answer_is_told(dispatch: Dispatch) -> None:
    """A wrong address of Kafka: exit 69, with the setting to look at."""
    kafka = {**dispatch.values["kafka"], "bootstrap_servers": f"127.0.0.1:{free_ports(1)[0]}"}
    said = refused(dispatch, "run", "--role", "deliver", code=UNREACHABLE, kafka=kafka)
    assert "kafka.bootstrap_servers" in said
