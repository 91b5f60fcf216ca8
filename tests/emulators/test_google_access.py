"""Google's token server, as it stands in: whose assertions it takes."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from urllib.parse import urlencode

import pytest
from google.auth import crypt, jwt

from consumer.emulators.contract import Asked
from consumer.emulators.google_access import (
    EMAIL,
    GRANT_TYPE,
    SCOPE,
    TOKEN_S,
    denied,
    give_token,
    key_file,
    new_key,
)

NOW_S = 1_795_000_000
KEY = new_key()
CLAIMS = {
    "iss": EMAIL,
    "scope": SCOPE,
    "aud": "http://127.0.0.1:4000/token",
    "iat": NOW_S,
    "exp": NOW_S + TOKEN_S,
}


def signed(key: str = KEY, claims: Mapping[str, object] | None = None) -> str:
    """An assertion."""
    text: bytes = jwt.encode(crypt.RSASigner.from_string(key), {**CLAIMS, **(claims or {})})
    return text.decode()


def headed(head: Mapping[str, str]) -> str:
    """The right one, under another head."""
    return f"{urlsafe_b64encode(json.dumps(head).encode()).decode()}.{signed().split('.', 1)[1]}"


def answer(secret: str = KEY, **form: str) -> dict[str, object]:
    """What the token server says."""
    asked = Asked("POST", "/token", {}, {"host": "127.0.0.1:4000"}, urlencode(form).encode())
    told = give_token(asked, secret, NOW_S * 1000)
    assert (told.status, told.is_refusal) in {(200, False), (400, True)}
    body = json.loads(told.body)
    assert isinstance(body, dict)
    assert ("error" in body) is told.is_refusal
    return body


def denied_at(token: object, now_s: int, secret: str = KEY) -> str:
    """Why a request with a token may not be made."""
    asked = Asked("POST", "/v1/events:ingest", {}, {"authorization": f"Bearer {token}"}, b"")
    return denied(asked, secret, now_s * 1000)


def test_a_right_assertion_gets_a_token_for_an_hour() -> None:
    """That any emulator with the same key takes, and no other."""
    told = answer(grant_type=GRANT_TYPE, assertion=signed())
    token = told["access_token"]
    assert (told["expires_in"], told["token_type"]) == (3600, "Bearer")
    assert denied_at(token, NOW_S + TOKEN_S - 1) == ""
    assert denied_at(token, NOW_S + TOKEN_S) == "ACCESS_TOKEN_EXPIRED"
    assert denied_at(token, NOW_S, new_key()) == "ACCESS_TOKEN_INVALID"
    assert denied_at(str(token).replace(str(NOW_S + TOKEN_S), str(NOW_S + 9 * TOKEN_S)), NOW_S) != ""
    assert denied_at("ya29.x", NOW_S) == "ACCESS_TOKEN_INVALID"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "someone@else.example"},
        {"scope": "https://www.googleapis.com/auth/adwords"},
        {"aud": "https://oauth2.googleapis.com/token"},
        {"exp": NOW_S + TOKEN_S + 1},
        {"exp": NOW_S},
        {"iat": NOW_S + 400},
        {"iat": NOW_S - 4000, "exp": NOW_S - 400},
        {"iat": NOW_S * 1000, "exp": NOW_S * 1000 + TOKEN_S},
        {"iat": str(NOW_S)},
    ],
)
def test_an_assertion_says_by_whom_for_what_to_whom_and_when(claims: dict[str, object]) -> None:
    """Each of them is looked at."""
    assert answer(grant_type=GRANT_TYPE, assertion=signed(claims=claims))["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "assertion",
    [
        "",
        "a.b",
        "a.b.c",
        "ä.b.c",
        signed()[:-8],
        signed(new_key()),
        headed({}),
        headed({"alg": "none"}),
    ],
)
def test_an_assertion_is_signed_with_the_key(assertion: str) -> None:
    """By RS256, and by no other key."""
    assert answer(grant_type=GRANT_TYPE, assertion=assertion)["error"] == "invalid_grant"


def test_other_grants_are_not_given() -> None:
    """Nor where there is no key at all."""
    assert answer(grant_type="refresh_token", assertion=signed())["error"] == "unsupported_grant_type"
    assert answer()["error"] == "unsupported_grant_type"
    assert answer("plain", grant_type=GRANT_TYPE, assertion=signed())["error"] == "invalid_grant"


def test_the_key_file_is_as_the_cloud_gives_it_out() -> None:
    """With the emulator's own token server in it."""
    told = json.loads(key_file(KEY, "http://127.0.0.1:4000"))
    assert told.keys() >= {"type", "project_id", "private_key_id", "private_key", "client_email", "token_uri"}
    assert (told["type"], told["private_key"]) == ("service_account", KEY)
    assert told["token_uri"] == CLAIMS["aud"]
