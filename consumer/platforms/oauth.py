"""Access tokens: the grants of OAuth 2.0 that platforms use, each for what its token file holds.

A service account signs an assertion with its key (RFC 7523); a refresh token is exchanged (RFC 6749, section 6). Both
answer in the shape of RFC 6749, sections 5.1 and 5.2.
"""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Annotated, TypeAlias
from urllib.parse import urlencode, urlsplit

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from google.auth import crypt, jwt
from msgspec import Struct

from consumer.platforms.contract import (
    Grant,
    Reply,
    Request,
    Secret,
    SetupFault,
    Throttled,
    Token,
    Transient,
    retry_after_s,
)

ASSERTION_S = 3600
"""How long an assertion is good, and the token that is had for it: Google takes no more."""
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
NOT_WELL = frozenset({HTTPStatus.REQUEST_TIMEOUT, *range(500, 600)})
NOT_WELL_CODES = frozenset({"temporarily_unavailable", "server_error", "internal_failure"})
_Told: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]


class _Key(Struct):
    """What counts of a service account's key file."""

    client_email: _Told
    private_key: _Told
    private_key_id: str = ""
    token_uri: str = ""


class _Refresh(Struct):
    client_id: _Told
    client_secret: _Told
    refresh_token: _Told
    token_uri: str = ""


class _Answer(Struct):
    access_token: str = ""
    expires_in: float = 0.0
    error: str = ""


def service_account(token_uri: str, scope: str) -> Grant:
    """The token file is a service account's key, as the cloud's console gives it out; a `token_uri` in it wins."""
    return Grant(partial(_signed, token_uri, scope), judge)


def refresh_token(token_uri: str, more: Mapping[str, str] | None = None) -> Grant:
    """The token file is JSON with client_id, client_secret and refresh_token; a `token_uri` in it wins.

    `more` are further fields of the request, such as a scope.
    """
    return Grant(partial(_refreshed, token_uri, more or {}), judge)


def _signed(token_uri: str, scope: str, credentials: Secret, now_s: float) -> Request | SetupFault:
    try:
        key = msgspec.json.decode(credentials.reveal(), type=_Key)
        url = key.token_uri or token_uri
        signer = crypt.RSASigner(_private(key.private_key), key.private_key_id or None)
    except (msgspec.DecodeError, ValueError, TypeError, UnsupportedAlgorithm):
        return SetupFault("key_file", "the token file must hold a service account's key, as JSON, whole")
    if not _safe(url):
        return _unsafe()
    claims = {
        "iss": key.client_email,
        "scope": scope,
        "aud": url,
        "iat": int(now_s),
        "exp": int(now_s) + ASSERTION_S,
    }
    assertion = jwt.encode(signer, claims).decode()
    return Request(url, FORM, urlencode({"grant_type": JWT_BEARER, "assertion": assertion}).encode())


def _private(pem: str) -> RSAPrivateKey:
    """Raises ValueError, UnsupportedAlgorithm, or TypeError for a key under a password or of another kind."""
    key = load_pem_private_key(pem.encode(), None)
    if not isinstance(key, RSAPrivateKey):
        raise TypeError("no RSA key")
    return key


def _refreshed(
    token_uri: str, more: Mapping[str, str], credentials: Secret, now_s: float
) -> Request | SetupFault:
    del now_s
    try:
        held = msgspec.json.decode(credentials.reveal(), type=_Refresh)
    except msgspec.DecodeError:
        return SetupFault(
            "key_file", "the token file must hold JSON with client_id, client_secret and refresh_token"
        )
    url = held.token_uri or token_uri
    if not _safe(url):
        return _unsafe()
    told = {
        "grant_type": "refresh_token",
        "client_id": held.client_id,
        "client_secret": held.client_secret,
        "refresh_token": held.refresh_token,
        **more,
    }
    return Request(url, FORM, urlencode(told).encode())


def judge(reply: Reply) -> Token | SetupFault | Transient | Throttled:
    """A token, or why there is none: a refusal, or an address that is another's, is for people to put right."""
    try:
        told = msgspec.json.decode(reply.body, type=_Answer, strict=False)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        told = _Answer()
    name = f"token_{told.error or reply.status}"[:64]
    if reply.status == HTTPStatus.OK and told.access_token and told.expires_in > 0:
        return Token(Secret(told.access_token), told.expires_in)
    if reply.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled(name, retry_after_s(reply))
    if reply.status in NOT_WELL or told.error in NOT_WELL_CODES:
        return Transient(name, retry_after_s(reply))
    if told.error or reply.status >= HTTPStatus.MULTIPLE_CHOICES:
        return SetupFault(name, "no access token is given out for what the token file holds")
    return Transient(name, retry_after_s(reply))


def _safe(url: str) -> bool:
    """Over TLS, or to this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme == "http":
        return parts.hostname in LOOPBACK
    return parts.scheme == "https" and bool(parts.hostname)


def _unsafe() -> SetupFault:
    return SetupFault("token_uri", "token_uri in the token file must begin with https://")
