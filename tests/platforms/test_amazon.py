"""What no case of Amazon's has room for: the way from its token file to an event that is taken."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from consumer.deliver.http import _revealed
from consumer.emulators.amazon import STAND_IN
from consumer.emulators.contract import Access, Asked, Refused, Taken
from consumer.model import Conversion
from consumer.platforms.amazon import PLATFORM
from consumer.platforms.contract import Account, PerEvent, Reply, Request, Secret, SetupFault, Token

NOW_MS = 1_790_000_000_000
SECRET = STAND_IN.secret()


def answered(request: Request, now_ms: int = NOW_MS) -> Taken | Refused:
    """What the emulator makes of a request."""
    headers = {name.lower(): _revealed(value) for name, value in request.headers.items()}
    asked = Asked(request.method, urlsplit(request.url).path, {}, headers, request.body)
    access = Access(SECRET, frozenset({STAND_IN.account}), STAND_IN.actions, STAND_IN.options)
    return STAND_IN.check(asked, access, now_ms)


def granted(token_file: str) -> object:
    """What is had for a token file."""
    assert PLATFORM.grant is not None
    request = PLATFORM.grant.request(Secret(token_file), NOW_MS / 1000)
    assert isinstance(request, Request), request
    answer = answered(request)
    return PLATFORM.grant.judge(Reply(answer.status, {}, answer.body, NOW_MS))


def test_a_token_file_leads_to_an_event_that_is_taken(
    conversion: Callable[[Mapping[str, Any]], Conversion],
) -> None:
    """For an hour: then the access token is refused, and a new one is to be had."""
    token = granted(STAND_IN.credentials(SECRET, "http://127.0.0.1:1"))
    assert isinstance(token, Token)
    assert token.expires_in_s == 3600
    account = Account(PLATFORM.base_url, STAND_IN.account, token.access, options=STAND_IN.options)
    event = PLATFORM.event(conversion({}), account)
    assert isinstance(event, bytes)
    request = PLATFORM.request(account, [event, event])
    answer = answered(request)
    verdict = PLATFORM.judge(Reply(answer.status, {}, answer.body, NOW_MS))
    assert isinstance(verdict, PerEvent)
    assert len(verdict.verdicts) == 2
    late = answered(request, NOW_MS + 3_600_000)
    assert isinstance(PLATFORM.judge(Reply(late.status, {}, late.body, NOW_MS)), SetupFault)


def test_another_apps_token_file_gets_no_token() -> None:
    """Which is for people to put right."""
    found = granted(STAND_IN.credentials(STAND_IN.secret(), "http://127.0.0.1:1"))
    assert isinstance(found, SetupFault)
    assert found.code == "token_invalid_client"
