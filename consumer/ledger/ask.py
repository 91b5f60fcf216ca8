"""Asks the ledger for a story: over HTTP where one runs, else its file."""

from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import duckdb
import msgspec
from msgspec import Struct

from consumer.errors import ConfigurationError, StateUnusable, Unreachable
from consumer.ledger.store import FILE, opened_read_only
from consumer.ledger.story import By, Story, tell
from consumer.settings import Settings, safe_url

TIMEOUT_S = 30.0


class Asked(Struct, frozen=True):
    """One question. It prints no value: an id is enough to find a person in the shop's own books."""

    by: By
    value: str

    def __repr__(self) -> str:
        return f"<Asked by {self.by}>"


def ask(settings: Settings, question: Asked, address: str = "") -> Story:
    """The story; an empty one if nothing is known.

    Asks the ledger at `address`; without one, that of this machine if it runs, else the file. Raises
    ConfigurationError, Unreachable, StateUnusable.
    """
    if address:
        story = _over_http(_checked(address), question)
        if story is None:
            raise Unreachable(f"{address} is no ledger, or is not open yet: see its /health/status")
        return story
    if settings.http.port:
        try:
            story = _over_http(f"http://127.0.0.1:{settings.http.port}", question)
        except Unreachable:
            story = None
        if story is not None:
            return story
    return _from_file(settings, question)


def _checked(address: str) -> str:
    try:
        return safe_url(address).rstrip("/")
    except ValueError as error:
        raise ConfigurationError(f"--ledger: {error}") from None


def _over_http(address: str, question: Asked) -> Story | None:
    """None if whoever answers there is no ledger that is open. Raises Unreachable if nobody does."""
    url = f"{address}/v1/why?{urlencode([(question.by, question.value)])}"
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=TIMEOUT_S) as reply:
            return msgspec.json.decode(reply.read(), type=Story)
    except (HTTPError, HTTPException, msgspec.DecodeError):
        return None
    except (URLError, OSError) as error:
        raise Unreachable(f"{address} does not answer: {getattr(error, 'reason', error)}") from None


def _from_file(settings: Settings, question: Asked) -> Story:
    connection = opened_read_only(settings.ledger.dir / FILE)
    try:
        return tell(connection, settings.topics.prefix, question.by, question.value)
    except duckdb.Error:
        message = f"{settings.ledger.dir / FILE} is of another version, or damaged; a ledger that starts makes it anew"
        raise StateUnusable(message) from None
    finally:
        connection.close()
