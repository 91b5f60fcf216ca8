"""Access to Google's APIs by a service account: its key file, the token server, and the tokens that this gives out.

A token carries its own end and a seal by the key, so that nothing is remembered: any emulator with the same secret
takes it.
"""

import hmac
import re
from base64 import urlsafe_b64decode
from hashlib import sha256
from urllib.parse import parse_qs

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from msgspec import Struct

from consumer.emulators.contract import Asked, Refused

TOKEN_PATH = "/token"  # noqa: S105 (a path)
SCOPE = "https://www.googleapis.com/auth/datamanager"
EMAIL = "capi@capi-demo.iam.gserviceaccount.com"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_S = 3600
SKEW_S = 300
ACCESS_TOKEN = re.compile(r"ya29\.([0-9]{1,12})\.([0-9a-f]{64})")


class _Head(Struct):
    alg: str


class _Claims(Struct):
    iss: str
    scope: str
    aud: str
    iat: int
    exp: int


def new_key() -> str:
    """A private key, which is all that the emulator must know."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def key_file(secret: str, url: str) -> str:
    """As Google Cloud gives it out, but for the token server's address."""
    told = {
        "type": "service_account",
        "project_id": "capi-demo",
        "private_key_id": _seal(secret, "id")[:40],
        "private_key": secret,
        "client_email": EMAIL,
        "client_id": "100000000000000000001",
        "token_uri": url + TOKEN_PATH,
    }
    return msgspec.json.format(msgspec.json.encode(told)).decode() + "\n"


def give_token(asked: Asked, secret: str, now_ms: int, scope: str = SCOPE) -> Refused:
    """An access token of this scope for a signed assertion, or OAuth's refusal (RFC 7523, 3)."""
    form = {name: values[0] for name, values in parse_qs(asked.body.decode(errors="replace")).items()}
    if form.get("grant_type") != GRANT_TYPE:
        return _refusal("unsupported_grant_type", "Invalid grant_type")
    audience = f"http://{asked.headers.get('host', '')}{TOKEN_PATH}"
    if why := _problem(form.get("assertion", ""), secret, audience, scope, now_ms):
        return _refusal("invalid_grant", why)
    end_s = now_ms // 1000 + TOKEN_S
    told = {"access_token": _token(secret, end_s), "expires_in": TOKEN_S, "token_type": "Bearer"}
    return Refused(200, msgspec.json.encode(told), is_refusal=False)


def denied(asked: Asked, secret: str, now_ms: int) -> str:
    """The reason why a request may not be made; empty if it may.

    A secret that is no key is itself the one access token, for tests that need no token server.
    """
    scheme, _, token = asked.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return "CREDENTIALS_MISSING"
    if not secret.startswith("-----BEGIN"):
        return "" if hmac.compare_digest(token.encode(), secret.encode()) else "ACCESS_TOKEN_INVALID"
    found = ACCESS_TOKEN.fullmatch(token)
    if found is None or not hmac.compare_digest(token, _token(secret, int(found[1]))):
        return "ACCESS_TOKEN_INVALID"
    return "" if now_ms < int(found[1]) * 1000 else "ACCESS_TOKEN_EXPIRED"


def _token(secret: str, end_s: int) -> str:
    return f"ya29.{end_s}.{_seal(secret, str(end_s))}"


def _seal(secret: str, text: str) -> str:
    return hmac.digest(secret.strip().encode(), text.encode(), sha256).hex()


def _problem(assertion: str, secret: str, audience: str, scope: str, now_ms: int) -> str:
    """What is wrong with an assertion; empty if nothing is."""
    try:
        key = load_pem_private_key(secret.encode(), None)
        head, claims, signature = assertion.split(".")
        told = msgspec.json.decode(_part(claims), type=_Claims)
        if msgspec.json.decode(_part(head), type=_Head).alg != "RS256" or not isinstance(key, RSAPrivateKey):
            return "Invalid JWT: the algorithm must be RS256"
        key.public_key().verify(_part(signature), f"{head}.{claims}".encode(), PKCS1v15(), SHA256())
    except InvalidSignature:
        return "Invalid JWT Signature."
    except (ValueError, msgspec.DecodeError):
        return "Invalid JWT: it can't be read"
    wrong = {
        "Invalid JWT: no such account": told.iss != EMAIL,
        "Invalid JWT: the audience must be the token server": told.aud != audience,
        f"Invalid JWT: the scope must be {scope}": scope not in told.scope.split(),
        "Invalid JWT: Token must be a short-lived token (60 minutes)": not 0 < told.exp - told.iat <= TOKEN_S,
        "Invalid JWT: iat and exp must be in a reasonable timeframe": not told.iat - SKEW_S
        <= now_ms / 1000
        < told.exp + SKEW_S,
    }
    return next((why for why, is_so in wrong.items() if is_so), "")


def _part(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _refusal(code: str, why: str) -> Refused:
    return Refused(400, msgspec.json.encode({"error": code, "error_description": why}))
