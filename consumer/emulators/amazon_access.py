"""Access to Amazon's APIs by Login with Amazon: the app's credentials, its token server, and the tokens that it gives.

A token carries its own end and a seal by the app's secret, so that nothing is remembered: any emulator with the same
secret takes it.
"""

import hmac
import re
import secrets
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import parse_qs

import msgspec

from consumer.emulators.contract import Asked, Refused

TOKEN_PATH = "/auth/o2/token"  # noqa: S105 (a path)
FORM = "application/x-www-form-urlencoded"
CLIENT_ID = "amzn1.application-oa2-client.0a1b2c3d4e5f60718293a4b5c6d7e8f9"
CLIENT_SECRET = "amzn1.oa2-cs.v1."  # noqa: S105 (how one begins)
TOKEN_S = 3600
ACCESS_TOKEN = re.compile(r"Atza\|([0-9]{1,12})\.([0-9a-f]{64})")


def new_secret() -> str:
    """An app's client secret, which is all that the emulator must know."""
    return CLIENT_SECRET + secrets.token_hex(32)


def token_file(secret: str, url: str) -> str:
    """What a client needs to be let in, as JSON."""
    told = {
        "client_id": CLIENT_ID,
        "client_secret": secret,
        "refresh_token": _refresh_token(secret),
        "token_uri": url + TOKEN_PATH,
    }
    return msgspec.json.format(msgspec.json.encode(told)).decode() + "\n"


def give_token(asked: Asked, secret: str, now_ms: int) -> Refused:
    """An access token for a refresh token, or OAuth's refusal (RFC 6749, 5.2)."""
    if asked.headers.get("content-type", "").partition(";")[0].strip() != FORM:
        return _refusal(400, "invalid_request", "The Content-Type must be that of a form")
    told = {name: values[0] for name, values in parse_qs(asked.body.decode(errors="replace")).items()}
    if told.get("grant_type") != "refresh_token":
        return _refusal(400, "unsupported_grant_type", "The authorization grant type is not supported")
    if not _is(told, "client_id", CLIENT_ID) or not _is(told, "client_secret", secret):
        return _refusal(401, "invalid_client", "Client authentication failed")
    if not _is(told, "refresh_token", _refresh_token(secret)):
        return _refusal(400, "invalid_grant", "The request has an invalid grant parameter : refresh_token")
    given = {
        "access_token": _access_token(secret, now_ms // 1000 + TOKEN_S),
        "refresh_token": _refresh_token(secret),
        "token_type": "bearer",
        "expires_in": TOKEN_S,
    }
    return Refused(200, msgspec.json.encode(given), is_refusal=False)


def lets_in(asked: Asked, secret: str, now_ms: int) -> bool:
    """Whether a request has an access token that is good now.

    A secret that is no app's is itself the one access token, for tests that need no token server.
    """
    scheme, _, token = asked.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return False
    if not secret.startswith(CLIENT_SECRET):
        return _same(token, secret)
    found = ACCESS_TOKEN.fullmatch(token)
    if found is None or not _same(token, _access_token(secret, int(found[1]))):
        return False
    return now_ms < int(found[1]) * 1000


def _is(told: Mapping[str, str], name: str, right: str) -> bool:
    return _same(told.get(name, ""), right)


def _same(told: str, right: str) -> bool:
    return hmac.compare_digest(told.encode(errors="replace"), right.encode())


def _refresh_token(secret: str) -> str:
    return f"Atzr|{_seal(secret, 'refresh')}"


def _access_token(secret: str, end_s: int) -> str:
    return f"Atza|{end_s}.{_seal(secret, str(end_s))}"


def _seal(secret: str, text: str) -> str:
    return hmac.digest(secret.strip().encode(), text.encode(), sha256).hex()


def _refusal(status: int, code: str, why: str) -> Refused:
    return Refused(status, msgspec.json.encode({"error": code, "error_description": why}))
