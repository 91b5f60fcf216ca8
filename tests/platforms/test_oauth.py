"""Access tokens: what is asked of an authorization server, and what its answers mean."""

import json
from base64 import urlsafe_b64decode
from functools import cache
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from consumer.platforms.contract import Reply, Request, Secret, SetupFault, Throttled, Token, Transient
from consumer.platforms.oauth import ASSERTION_S, JWT_BEARER, judge, refresh_token, service_account

NOW_S = 1_790_000_000.9
URL = "https://tokens.example/token"
ELSEWHERE = "https://elsewhere.example/token"
GRANT = service_account(URL, "https://scope.example/events")
EXCHANGE = refresh_token(URL, {"scope": "events"})
HELD = {"client_id": "id&1", "client_secret": "s=cret", "refresh_token": "r/1"}
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """Made once."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: Private, password: bytes = b"") -> str:
    """A private key's text, as key files hold it."""
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    ).decode()


def key_file(**more: str) -> Secret:
    """A service account's."""
    told = {
        "type": "service_account",
        "client_email": "capi@project.example",
        "private_key": pem(rsa_key()),
        "private_key_id": "k1",
        "token_uri": "",
    }
    return Secret(json.dumps({**told, **more}))


def fields(request: Request | SetupFault) -> dict[str, str]:
    """Of a token request's form."""
    assert isinstance(request, Request)
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.method == "POST"
    return {name: values[0] for name, values in parse_qs(request.body.decode(), strict_parsing=True).items()}


def part(text: str) -> bytes:
    """One of the three of a signed assertion."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_an_assertion_says_who_asks_for_what_and_is_signed() -> None:
    """RS256 by the file's key; addressed to where it is sent; good for an hour from whole seconds on."""
    told = fields(GRANT.request(key_file(), NOW_S))
    assert told["grant_type"] == JWT_BEARER
    head, claims, signature = told["assertion"].split(".")
    assert json.loads(part(head)) == {"typ": "JWT", "alg": "RS256", "kid": "k1"}
    assert json.loads(part(claims)) == {
        "iss": "capi@project.example",
        "scope": "https://scope.example/events",
        "aud": URL,
        "iat": 1_790_000_000,
        "exp": 1_790_000_000 + ASSERTION_S,
    }
    rsa_key().public_key().verify(
        part(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )


def test_the_files_own_address_wins() -> None:
    """It is asked there, and the assertion is for there."""
    request = GRANT.request(key_file(token_uri=ELSEWHERE), NOW_S)
    assert isinstance(request, Request)
    assert request.url == ELSEWHERE
    assert json.loads(part(fields(request)["assertion"].split(".")[1]))["aud"] == ELSEWHERE
    exchanged = EXCHANGE.request(Secret(json.dumps({**HELD, "token_uri": ELSEWHERE})), NOW_S)
    assert isinstance(exchanged, Request)
    assert exchanged.url == ELSEWHERE


def test_a_refresh_token_is_exchanged() -> None:
    """With all that the file holds, escaped, and what the platform wants besides."""
    request = EXCHANGE.request(Secret(json.dumps(HELD)), NOW_S)
    assert fields(request) == {"grant_type": "refresh_token", **HELD, "scope": "events"}
    assert isinstance(request, Request)
    assert request.url == URL


@pytest.mark.parametrize(
    "file",
    [
        Secret(""),
        Secret("a token"),
        Secret("[]"),
        Secret("null"),
        Secret('{"client_email": "capi@project.example"}'),
        key_file(client_email=""),
        key_file(private_key=""),
        key_file(private_key="a key"),
        key_file(private_key="ключ"),
        key_file(private_key=pem(rsa_key())[:-200]),
        key_file(private_key=pem(rsa_key(), password=b"made-up")),
        key_file(private_key=pem(ec.generate_private_key(ec.SECP256R1()))),
    ],
)
def test_a_key_file_that_is_none_is_a_set_up_fault(file: Secret) -> None:
    """Whatever is wrong with it, the sentence says what it must be and nothing of what it is."""
    for grant in (GRANT, EXCHANGE):
        fault = grant.request(file, NOW_S)
        assert isinstance(fault, SetupFault)
        assert fault.code == "key_file"
        assert "PRIVATE" not in fault.why


@pytest.mark.parametrize("missing", list(HELD))
def test_each_part_of_a_refresh_token_is_needed(missing: str) -> None:
    """Absent or empty."""
    for held in ({**HELD, missing: ""}, {name: each for name, each in HELD.items() if name != missing}):
        fault = EXCHANGE.request(Secret(json.dumps(held)), NOW_S)
        assert isinstance(fault, SetupFault)
        assert fault.code == "key_file"


@pytest.mark.parametrize(
    "address",
    [
        "http://tokens.example/token",
        "ftp://127.0.0.1/",
        "https://",
        "https:///token",
        "tokens",
        "http://[::1",
    ],
)
def test_credentials_go_over_tls(address: str) -> None:
    """What could be read on its way, or is no address, gets none."""
    for request in (
        GRANT.request(key_file(token_uri=address), NOW_S),
        EXCHANGE.request(Secret(json.dumps({**HELD, "token_uri": address})), NOW_S),
    ):
        assert isinstance(request, SetupFault)
        assert request.code == "token_uri"


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:4000/token", "http://localhost/token", "http://[::1]:1/token"]
)
def test_this_machine_needs_no_tls(address: str) -> None:
    """Emulators listen there."""
    request = GRANT.request(key_file(token_uri=address), NOW_S)
    assert isinstance(request, Request)
    assert request.url == address


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, {"access_token": "t1", "expires_in": 3599}, Token(Secret("t1"), 3599.0)),
        (200, {"access_token": "t1", "expires_in": "3599", "x": [1]}, Token(Secret("t1"), 3599.0)),
        (200, {"access_token": "t1"}, Transient("token_200")),
        (200, {"access_token": "t1", "expires_in": 0}, Transient("token_200")),
        (200, {"access_token": ""}, Transient("token_200")),
        (200, "<html>Sign in</html>", Transient("token_200")),
        (200, '{"access_tok', Transient("token_200")),
        (200, '{"x":' + "[" * 3000, Transient("token_200")),
        (200, {"error": "invalid_grant"}, SetupFault("token_invalid_grant", "")),
        (201, {"access_token": "t1", "expires_in": 3599}, Transient("token_201")),
        (302, "", SetupFault("token_302", "")),
        (400, {"error": "invalid_grant", "error_description": "x"}, SetupFault("token_invalid_grant", "")),
        (400, {"error": "invalid_scope"}, SetupFault("token_invalid_scope", "")),
        (400, {"error": {"code": 400}}, SetupFault("token_400", "")),
        (400, {"error": "temporarily_unavailable"}, Transient("token_temporarily_unavailable")),
        (400, {"error": "server_error"}, Transient("token_server_error")),
        (400, {"error": "internal_failure"}, Transient("token_internal_failure")),
        (401, {"error": "invalid_client"}, SetupFault("token_invalid_client", "")),
        (404, "<html>Not found</html>", SetupFault("token_404", "")),
        (408, "", Transient("token_408")),
        (429, {"error": "slow_down"}, Throttled("token_slow_down")),
        (429, "<html>Slow</html>", Throttled("token_429")),
        (500, "<html>Sorry</html>", Transient("token_500")),
        (503, {"error": "invalid_request"}, Transient("token_invalid_request")),
        (400, {"error": "x" * 100}, SetupFault(f"token_{'x' * 58}", "")),
    ],
)
def test_an_answer_means(
    status: int, body: object, verdict: Token | SetupFault | Transient | Throttled
) -> None:
    """A token, a refusal for people to put right, or a server that is not well."""
    text = body if isinstance(body, str) else json.dumps(body)
    told = judge(Reply(status, {}, text.encode(), int(NOW_S * 1000)))
    if isinstance(told, SetupFault) and isinstance(verdict, SetupFault):
        assert told.why
        assert told.code == verdict.code
    else:
        assert told == verdict


def test_a_wait_is_heeded() -> None:
    """As the header tells it."""
    for status, kind in ((429, Throttled), (503, Transient)):
        told = judge(Reply(status, {"retry-after": "30"}, b"", int(NOW_S * 1000)))
        assert isinstance(told, kind)
        assert told.after_s == 30.0


def test_a_token_prints_as_stars() -> None:
    """Wherever it is shown."""
    told = judge(Reply(200, {}, b'{"access_token": "t-1", "expires_in": 1}', 0))
    assert "t-1" not in repr(told)
