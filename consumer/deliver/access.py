"""The account that requests are sent for, with a token that is good now.

Most platforms take the token file's text as it is. Some want an access token in its place (OAuth 2.0): it is had when
it is first needed, and renewed before it ends. However many requests ask at once, one token request is sent; only they
wait for it, no other destination does.
"""

import asyncio
from typing import Protocol, TypeAlias

from msgspec import Struct, structs

from consumer.clock import Clock
from consumer.deliver.http import Answer
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

AHEAD_S = 300.0
"""So long before its end a token is renewed, while it is still used."""
LAST_S = 30.0
"""Closer to its end than this a token isn't used: the request may arrive too late."""
FRESH_S = 60.0
"""A token younger than this that is refused won't be had better by asking again."""

Refusal: TypeAlias = SetupFault | Transient | Throttled


class Sends(Protocol):
    """Something that sends requests."""

    async def send(self, request: Request, timeout_s: float) -> Answer:
        """Send it, once."""
        ...


class _Held(Struct, frozen=True):
    token: Secret
    had_s: float
    until_s: float


class Access:
    """One destination's. Used in one event loop."""

    def __init__(
        self, account: Account, grant: Grant | None, sends: Sends, clock: Clock, timeout_s: float
    ) -> None:
        """`account.token` is what the token file holds."""
        self._account = account
        self._grant = grant
        self._sends = sends
        self._clock = clock
        self._timeout_s = timeout_s
        self._held: _Held | None = None
        self._asking: asyncio.Task[Secret | Refusal] | None = None

    async def account(self) -> Account | Refusal:
        """The account with a good token, or why there is none."""
        if self._grant is None:
            return self._account
        held, now_s = self._held, self._clock.monotonic_s()
        if held is not None and now_s < held.until_s - LAST_S:
            if now_s >= held.until_s - AHEAD_S:
                self._ask(self._grant)
            return self._with(held.token)
        had = await asyncio.shield(self._ask(self._grant))
        return self._with(had) if isinstance(had, Secret) else had

    def _with(self, token: Secret) -> Account:
        """The account as requests need it, what the token file holds put beside the token."""
        return structs.replace(self._account, token=token, credentials=self._account.token)

    def refused(self, account: Account) -> bool:
        """The platform did not take this account's token; whether it is worth asking for another."""
        held = self._held
        if self._grant is None or held is None or held.token != account.token:
            return self._grant is not None
        if self._clock.monotonic_s() - held.had_s < FRESH_S:
            return False
        self._held = None
        return True

    def renew(self, account: Account) -> None:
        """Use what the token file holds now."""
        self._account = account
        self._held = self._asking = None

    def _ask(self, grant: Grant) -> "asyncio.Task[Secret | Refusal]":
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._had(grant, self._account))
        return self._asking

    async def _had(self, grant: Grant, account: Account) -> Secret | Refusal:
        request = grant.request(account.token, self._clock.now_ms() / 1000)
        if isinstance(request, SetupFault):
            return request
        answer = await self._sends.send(request, self._timeout_s)
        if not isinstance(answer, Reply):
            return Transient(f"token_{answer.code}")
        told = grant.judge(answer)
        if not isinstance(told, Token):
            return told
        now_s = self._clock.monotonic_s()
        if account is self._account:
            self._held = _Held(told.access, now_s, now_s + told.expires_in_s)
        return told.access

    def __repr__(self) -> str:
        return f"<Access to {self._account.account}: {'with' if self._held else 'no'} access token>"
