"""Each platform's cases: what a conversion becomes, what a request looks like, what a reply means."""

from collections.abc import Callable
from typing import Any, TypeAlias

import orjson

from consumer.model import Conversion
from consumer.platforms.contract import (
    Account,
    AllBut,
    BatchRejected,
    EventVerdict,
    PerEvent,
    Platform,
    Reply,
    Secret,
    Unfit,
    Verdict,
)

Case: TypeAlias = dict[str, Any]


def test_conversion_becomes_this_event(
    platform: Platform, event_case: Case, conversion: Callable[[Case], Conversion]
) -> None:
    """A conversion becomes exactly the event of its case, or is unfit for the reason that it names."""
    account = Account(platform.base_url, "1", Secret("made-up"), **event_case.get("account", {}))
    told = platform.event(conversion(event_case["given"]), account)
    if "unfit" in event_case:
        assert isinstance(told, Unfit)
        assert told.code == event_case["unfit"]
        assert told.why
    else:
        assert isinstance(told, bytes), told
        assert orjson.loads(told) == event_case["event"]


def test_events_become_this_request(platform: Platform, request_case: Case) -> None:
    """Events become exactly the request of its case; a secret in it prints as stars."""
    told = request_case["account"]
    secrets = {name: Secret(told[name]) for name in ("token", "credentials") if name in told}
    account = Account(**{**told, **secrets})
    request = platform.request(account, [event.encode() for event in request_case["events"]])
    assert request.url == request_case["url"]
    assert {name: str(value) for name, value in request.headers.items()} == request_case["headers"]
    assert {name: str(value) for name, value in request.secret_query.items()} == request_case.get("query", {})
    assert orjson.loads(request.body) == request_case["body"]


def test_reply_means_this_verdict(
    platform: Platform, reply_case: Case, reply: Callable[[Case], Reply]
) -> None:
    """A reply means exactly the verdict of its case, and its code is counted as known or not."""
    verdict = platform.judge(reply(reply_case))
    expect = {key: each for key, each in reply_case["expect"].items() if key != "known"}
    assert _told(verdict) == expect
    assert getattr(verdict, "why", "reason") != ""
    known = getattr(verdict, "code", "") in {"", *platform.known_codes}
    assert known is reply_case["expect"].get("known", True)


def _told(verdict: Verdict | EventVerdict) -> Case:
    """A verdict as cases have it: its kind, and what it says but for its sentence."""
    said = {name: getattr(verdict, name) for name in verdict.__struct_fields__ if name != "why"}
    if isinstance(verdict, PerEvent):
        said = {"verdicts": [_told(each) for each in verdict.verdicts]}
    if isinstance(verdict, AllBut):
        said = {"but": {str(place): _told(each) for place, each in verdict.verdicts.items()}}
    if isinstance(verdict, BatchRejected):
        said["culprits"] = list(verdict.culprits)
    return {
        "verdict": type(verdict).__name__,
        **{name: each for name, each in said.items() if each not in (None, [], "")},
    }
