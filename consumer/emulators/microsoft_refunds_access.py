"""Access to Microsoft Advertising's API: an app's credentials, its token server, and the tokens that it gives.

A token carries its own end and a seal by the app's secret, so that nothing is remembered: any emulator with the same
secret takes it. The developer's token is sealed likewise.
"""

import hmac
import re
import secrets
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import parse_qs

import msgspec

from consumer.emulators.contract import Asked, Refused

TOKEN_PATH = "/common/oauth2/v2.0/token"  # noqa: S105 (a path)
FORM = "application/x-www-form-urlencoded"
SCOPE = "https://ads.microsoft.com/msads.manage"
CLIENT_ID = "0a1b2c3d-4e5f-4607-8899-aabbccddeeff"
CLIENT_SECRET = "emulated~"  # noqa: S105 (how one begins)
TOKEN_S = 3600
ACCESS_TOKEN = re.compile(r"EwB\.([0-9]{1,12})\.([0-9a-f]{64})")
EXPIRED, INVALID = "AuthenticationTokenExpired", "InvalidCredentials"


def new_secret() -> str:
    """An app's client secret, which is all that the emulator must know."""
    return CLIENT_SECRET + secrets.token_hex(20)


def token_file(secret: str, url: str) -> str:
    """What a client needs to be let in, as JSON."""
    told = {
        "client_id": CLIENT_ID,
        "client_secret": secret,
        "refresh_token": _seal(secret, "refresh"),
        "developer_token": _seal(secret, "developer"),
        "token_uri": url + TOKEN_PATH,
    }
    return msgspec.json.format(msgspec.json.encode(told)).decode() + "\n"


def give_token(asked: Asked, secret: str, now_ms: int) -> Refused:
    """An access token for a refresh token, or OAuth's refusal (RFC 6749, 5.2)."""
    if asked.headers.get("content-type", "").partition(";")[0].strip() != FORM:
        return _refusal("invalid_request", "The request body must be a form")
    told = {name: values[0] for name, values in parse_qs(asked.body.decode(errors="replace")).items()}
    if told.get("grant_type") != "refresh_token":
        return _refusal("unsupported_grant_type", "The grant type is not supported")
    if not _is(told, "client_id", CLIENT_ID) or not _is(told, "client_secret", secret):
        return _refusal("invalid_client", "Invalid client secret provided", 401)
    if not _is(told, "refresh_token", _seal(secret, "refresh")):
        return _refusal("invalid_grant", "The refresh token is not valid")
    if SCOPE not in told.get("scope", "").split():
        return _refusal("invalid_scope", "The scope is not valid")
    given = {
        "access_token": _access_token(secret, now_ms // 1000 + TOKEN_S),
        "refresh_token": _seal(secret, "refresh"),
        "token_type": "Bearer",
        "expires_in": TOKEN_S,
        "scope": SCOPE,
    }
    return Refused(200, msgspec.json.encode(given), is_refusal=False)


def denied(asked: Asked, secret: str, now_ms: int) -> str:
    """The symbol of the error with which a request is turned away; empty if it may be made.

    A secret that is no app's is itself the one access token, for tests that need no token server.
    """
    scheme, _, token = asked.headers.get("authorization", "").partition(" ")
    developer = asked.headers.get("developertoken", "")
    if scheme.lower() != "bearer" or not _same(developer, _seal(secret, "developer")):
        return INVALID
    if not secret.startswith(CLIENT_SECRET):
        return "" if _same(token, secret) else INVALID
    found = ACCESS_TOKEN.fullmatch(token)
    if found is None or not _same(token, _access_token(secret, int(found[1]))):
        return INVALID
    return "" if now_ms < int(found[1]) * 1000 else EXPIRED


def _is(told: Mapping[str, str], name: str, right: str) -> bool:
    return _same(told.get(name, ""), right)


def _same(told: str, right: str) -> bool:
    return hmac.compare_digest(told.encode(errors="replace"), right.encode())


def _access_token(secret: str, end_s: int) -> str:
    return f"EwB.{end_s}.{_seal(secret, str(end_s))}"


def _seal(secret: str, text: str) -> str:
    return hmac.digest(secret.strip().encode(), text.encode(), sha256).hex()


def _refusal(code: str, why: str, status: int = 400) -> Refused:
    return Refused(status, msgspec.json.encode({"error": code, "error_description": why}))
