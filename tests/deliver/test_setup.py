"""A destination's settings against what its platform wants to know."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from consumer.deliver.setup import EVERY_EVENT, account_of, platform_of, resends, wants_of
from consumer.errors import ConfigurationError
from consumer.platforms import PLATFORMS
from consumer.platforms.contract import Field, Platform, Secret, Setup
from consumer.settings import Destination

NAMED = msgspec.structs.replace(
    PLATFORMS["meta"],
    events={"purchase": "Purchase", "begin_checkout": "Checkout"},
    dedupes_server_events=frozenset({"purchase"}),
    setup=Setup(
        account=Field("a number of ten digits", r"\d{10}"),
        credentials="a key",
        action=Field("a conversion action's number", r"\d+"),
        options={
            "manager": Field("a manager's number", r"\d+", needed=False),
            "zone": Field("a zone", "eu|us"),
        },
    ),
)
RIGHT = {"account": "1234567890", "actions": {"purchase": "77"}, "options": {"zone": "eu"}}


def destination(**changes: Any) -> Destination:  # noqa: ANN401 (a setting's value)
    """A destination of the settings."""
    told = {"name": "d", "platform": "meta", "account": "1", "token_file": Path("token"), **changes}
    return Destination.model_validate(told)


def wants(platform: Platform, **changes: Any) -> Any:  # noqa: ANN401 (a setting's value)
    """What it takes, with these settings."""
    named = destination(**changes)
    return wants_of(named, platform, account_of(named, platform, Secret("t")))


def test_account_is_as_it_is_set() -> None:
    """The account carries what requests need, its address without a slash at the end."""
    named = destination(base_url="http://127.0.0.1:9/", **RIGHT, test_event_code="T1")
    account = account_of(named, NAMED, Secret("t"))
    assert (account.base_url, account.account, account.token) == (
        "http://127.0.0.1:9",
        "1234567890",
        Secret("t"),
    )
    assert (account.actions, account.options, account.test_event_code) == (
        {"purchase": "77"},
        {"zone": "eu"},
        "T1",
    )
    assert account_of(destination(), NAMED, Secret("t")).base_url == NAMED.base_url


def test_events_are_those_with_an_action() -> None:
    """Where a platform wants an id for each event, those without one aren't sent, unless the settings name them."""
    assert wants(NAMED, **RIGHT).events == {"purchase"}
    assert wants(PLATFORMS["meta"]).events == EVERY_EVENT
    with pytest.raises(
        ConfigurationError, match=r"actions\.begin_checkout is missing.*leave begin_checkout out"
    ):
        wants(NAMED, **RIGHT, events=["purchase", "begin_checkout", "refund"])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"account": "123-456-7890"},
            "destinations.d.account does not have the form of a number of ten digits",
        ),
        ({"actions": {}}, "destinations.d.actions is missing: name a conversion action's number for each"),
        ({"actions": {"purchase": "x"}}, "destinations.d.actions.purchase does not have the form"),
        ({"actions": {"refund": "1"}}, "destinations.d.actions.refund: meta takes purchase, begin_checkout"),
        ({"options": {}}, "destinations.d.options.zone is missing: a zone"),
        ({"options": {"zone": "mars"}}, "destinations.d.options.zone does not have the form of a zone"),
        (
            {"options": {"zone": "eu", "zonee": "1"}},
            "destinations.d.options.zonee is not known to meta; did you",
        ),
        ({"when": "currency in [EUR]"}, "destinations.d.when: .*quotes"),
        ({"when": "price > 3"}, "destinations.d.when: .*price"),
    ],
)
def test_what_is_wrong_is_said(changes: dict[str, Any], sentence: str) -> None:
    """Each refusal names the setting and what it must be."""
    with pytest.raises(ConfigurationError, match=sentence):
        wants(NAMED, **{**RIGHT, **changes})


def test_actions_where_there_are_none() -> None:
    """A platform that has events of its own is told no ids."""
    with pytest.raises(ConfigurationError, match="meta has events of its own and takes none"):
        wants(PLATFORMS["meta"], actions={"purchase": "1"})


def test_unknown_platform_has_its_nearest_name() -> None:
    """A name that nobody knows is refused with the nearest one."""
    with pytest.raises(ConfigurationError, match="did you mean meta"):
        platform_of(destination(platform="metta"))


def test_what_is_sent_again() -> None:
    """By the setting all, or those events alone that the platform is documented to dedupe."""
    assert resends(destination(), NAMED) == EVERY_EVENT
    assert resends(destination(unknown="letter"), NAMED) == {"purchase"}
