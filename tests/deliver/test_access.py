"""Access tokens: had once however many ask, renewed before they end, and asked for anew when one is refused."""

import asyncio
from collections.abc import Callable

import pytest

from consumer.deliver.access import AHEAD_S, FRESH_S, LAST_S, Access
from consumer.deliver.http import Answer, NoReply, NotSent
from consumer.platforms.contract import (
    Account,
    Grant,
    Reply,
    Request,
    Secret,
    SetupFault,
    Throttled,
    Token,
    Transient,
)

T0_S = 5_000.0
GOOD_S = 3_600.0
FILE, OTHER_FILE = (
    Account("https://p.example", "1", Secret("file")),
    Account("https://p.example", "1", Secret("other file")),
)


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.s = T0_S

    def now_ms(self) -> int:
        """Wall time."""
        return int(self.s * 1000)

    def monotonic_s(self) -> float:
        """The same, in seconds."""
        return self.s


class TokenHost:
    """Gives out tokens t1, t2 … once it is let; `asked` are the credentials of each request."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: list[Answer] = []
        self.opened = asyncio.Event()
        self.opened.set()

    async def send(self, request: Request, timeout_s: float) -> Answer:
        """Answer once open."""
        assert timeout_s == 10
        self.asked.append(request.body.decode())
        number = len(self.asked)
        await self.opened.wait()
        return self.answers.pop(0) if self.answers else Reply(200, {}, b"t%d" % number, 0)


def _judge(reply: Reply) -> Token | SetupFault | Transient | Throttled:
    if reply.status != 200:
        return SetupFault("invalid_grant", "refused")
    return Token(Secret(reply.body.decode()), GOOD_S)


def _request(credentials: Secret, now_s: float) -> Request | SetupFault:
    if credentials.reveal() == "no key":
        return SetupFault("key_file", "no key")
    return Request(f"https://t.example/{now_s}", {}, credentials.reveal().encode())


GRANT = Grant(_request, _judge)


def told(had: object) -> str:
    """The token of an account, or the code of what there is in its place."""
    return had.token.reveal() if isinstance(had, Account) else str(getattr(had, "code", had))


def run(test: Callable[[Access, TokenHost, Hands], object]) -> None:
    """Run a test in a loop, with an access of its own."""

    async def running() -> None:
        host, hands = TokenHost(), Hands()
        outcome = test(Access(FILE, GRANT, host, hands, 10), host, hands)
        assert asyncio.iscoroutine(outcome)
        await outcome

    asyncio.run(running())


def test_token_file_as_it_is() -> None:
    """Without a grant the account is used as it stands, and nothing is asked."""

    async def test() -> None:
        host = TokenHost()
        access = Access(FILE, None, host, Hands(), 10)
        assert await access.account() is FILE
        assert not access.refused(FILE)
        access.renew(OTHER_FILE)
        assert await access.account() is OTHER_FILE
        assert host.asked == []

    asyncio.run(test())


def test_what_the_file_holds_stands_beside_the_token() -> None:
    """Some platforms want more of it than a token; it changes with the file."""

    async def test(access: Access, _: TokenHost, __: Hands) -> None:
        first = await access.account()
        assert isinstance(first, Account)
        assert (first.token, first.credentials) == (Secret("t1"), Secret("file"))
        assert await access.account() == first
        access.renew(OTHER_FILE)
        second = await access.account()
        assert isinstance(second, Account)
        assert (second.token, second.credentials) == (Secret("t2"), Secret("other file"))

    run(test)


def test_asked_once_however_many_wait() -> None:
    """A hundred requests at once wait for one token request."""

    async def test(access: Access, host: TokenHost, _: Hands) -> None:
        host.opened.clear()
        waiting = [asyncio.create_task(access.account()) for _ in range(100)]
        await asyncio.sleep(0)
        host.opened.set()
        assert {told(had) for had in await asyncio.gather(*waiting)} == {"t1"}
        assert host.asked == ["file"]

    run(test)


def test_one_that_gives_up_takes_nobody_along() -> None:
    """A request that is cancelled while it waits leaves the token to the others."""

    async def test(access: Access, host: TokenHost, _: Hands) -> None:
        host.opened.clear()
        first, second = (asyncio.create_task(access.account()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        host.opened.set()
        assert told(await second) == "t1"
        assert len(host.asked) == 1

    run(test)


def test_renewed_ahead_without_a_wait() -> None:
    """Near its end a token is renewed while it is still used; at its end it is waited for."""

    async def test(access: Access, host: TokenHost, hands: Hands) -> None:
        await access.account()
        hands.s = T0_S + GOOD_S - AHEAD_S - 1
        assert told(await access.account()) == "t1"
        assert len(host.asked) == 1
        hands.s += 2
        host.opened.clear()
        assert told(await access.account()) == "t1"
        await asyncio.sleep(0)
        assert len(host.asked) == 2
        host.opened.set()
        await asyncio.sleep(0.01)
        assert told(await access.account()) == "t2"
        hands.s += GOOD_S - LAST_S + 1
        assert told(await access.account()) == "t3"

    run(test)


def test_refused_token_is_asked_for_anew() -> None:
    """A refused token is replaced, unless it is so fresh that another would fare no better."""

    async def test(access: Access, host: TokenHost, hands: Hands) -> None:
        first = await access.account()
        assert isinstance(first, Account)
        assert not access.refused(first)
        hands.s += FRESH_S
        assert access.refused(first)
        second = await access.account()
        assert told(second) == "t2"
        assert access.refused(first)  # somebody has another by now
        assert isinstance(second, Account)
        assert not access.refused(second)
        assert len(host.asked) == 2

    run(test)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (NotSent("connection"), "token_connection"),
        (NoReply("timeout"), "token_timeout"),
        (Reply(400, {}, b"", 0), "invalid_grant"),
    ],
)
def test_no_token_is_told_and_tried_again(answer: Answer, code: str) -> None:
    """What keeps a token from us is the verdict on the request that needed it; the next one asks again."""

    async def test(access: Access, host: TokenHost, _: Hands) -> None:
        host.answers = [answer]
        assert told(await access.account()) == code
        assert told(await access.account()) == "t2"

    run(test)


def test_key_that_is_none_is_a_setup_fault() -> None:
    """A token file that can't be used is told without a request."""

    async def test(access: Access, host: TokenHost, _: Hands) -> None:
        access.renew(Account("https://p.example", "1", Secret("no key")))
        assert told(await access.account()) == "key_file"
        assert host.asked == []

    run(test)


def test_new_token_file_is_used_at_once() -> None:
    """What is had for the old file meanwhile is not kept."""

    async def test(access: Access, host: TokenHost, _: Hands) -> None:
        host.opened.clear()
        old = asyncio.create_task(access.account())
        await asyncio.sleep(0)
        access.renew(OTHER_FILE)
        new = asyncio.create_task(access.account())
        await asyncio.sleep(0)
        host.opened.set()
        assert (told(await old), told(await new)) == ("t1", "t2")
        assert told(await access.account()) == "t2"
        assert host.asked == ["file", "other file"]

    run(test)
