"""Schemas by id, and ids of our own schemas: memory, then disk, then the registry's Confluent API over HTTP.

What was seen once is on disk, so neither running nor restarting needs the registry. What the registry doesn't
know is never on disk: one that is starting may say so of any id.
"""

from collections.abc import Callable
from urllib.parse import urlsplit

from confluent_kafka.schema_registry import (
    Schema,
    SchemaReference,
    SchemaRegistryClient,
    SchemaRegistryError,
)
from msgspec import Struct

from consumer.clock import Clock, SystemClock
from consumer.codec import self_contained
from consumer.errors import (
    ConfigurationError,
    Refused,
    SchemaUnavailable,
    Undecodable,
    UnknownSchema,
    Unreachable,
)
from consumer.kafka.schemacache import SchemaCache
from consumer.settings import RegistrySettings

UNKNOWN_AFTER_S = 30.0
"""How long a working registry must not know an id before its records are letters."""
RETRY_S = 1.0

SCHEMA_UNKNOWN = 40403
_NOT_FOUND = frozenset({40401, 40402, SCHEMA_UNKNOWN})
_REFUSED = frozenset({401, 403})
_UNFIT = frozenset({409, 422})


class Released(Struct, frozen=True):
    """A version of a subject, its text self-contained."""

    schema_id: int
    version: int
    schema_json: str


class Miss(Struct, frozen=True):
    """An id that could not be had at `asked_s`.

    `unknown_since_s` is when the registry first said that it knows none such; it has said so ever since.
    Seconds are those of the monotonic clock.
    """

    asked_s: float
    unknown_since_s: float | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the registry has not known the id for long enough."""
        return self.unknown_since_s is not None and self.asked_s - self.unknown_since_s >= UNKNOWN_AFTER_S

    def may_ask(self, now_s: float) -> bool:
        """Whether it is time to ask again."""
        return now_s >= self.asked_s + (UNKNOWN_AFTER_S if self.is_settled else RETRY_S)


def after_failure(miss: Miss | None, now_s: float, *, unknown: bool) -> Miss:
    """What is remembered of a failed id; `unknown` if the registry said that it knows none such.

    Any other answer begins the wait anew: the registry was not working all along.
    """
    if not unknown:
        return Miss(now_s)
    since_s = miss.unknown_since_s if miss is not None else None
    return Miss(now_s, now_s if since_s is None else since_s)


class SchemaStore:
    """Schemas and their ids, remembered. One a process; blocks for one request's time-out at most per call.

    A schema with references takes one request more for each of them.
    """

    def __init__(self, settings: RegistrySettings, clock: Clock | None = None) -> None:
        """Make the cache's folder; asks nothing. Raises ConfigurationError if the folder can't be written."""
        self._clock = clock or SystemClock()
        self._address = _without_login(settings.url)
        self._disk = SchemaCache(settings.cache_dir, self._address)
        self._client = SchemaRegistryClient(
            {"url": settings.url, "timeout": settings.timeout_s, "max.retries": 0}
        )
        # The client keeps strange replies as well, and would give them for ever.
        self._forget: Callable[[], None] = self._client.clear_caches
        self._texts: dict[int, str] = {}
        self._misses: dict[int, Miss] = {}
        self._silent_until_s = float("-inf")

    def schema(self, schema_id: int) -> str:
        """The self-contained text of a schema. Raises SchemaUnavailable; UnknownSchema after 30 s of not known."""
        if (known := self._texts.get(schema_id)) is not None:
            return known
        text = self._disk.schema(schema_id)
        if text is None:
            text = self._asked(schema_id)
            self._disk.put_schema(schema_id, text)
        self._texts[schema_id] = text
        return text

    def register(self, subject: str, schema_json: str) -> int:
        """The id of a schema under a subject; from the disk if the registry can't be asked.

        Raises Unreachable, Refused, and ConfigurationError if the registry won't have the schema.
        """
        try:
            schema_id = _number(self._client.register_schema(subject, Schema(schema_json, "AVRO")))
        except Exception as error:  # noqa: BLE001 (see `_problem`)
            problem = self._problem(f"register {subject}", error)
            remembered = self._disk.registered(subject, schema_json)
            if remembered is None or not isinstance(problem, Unreachable):
                raise problem from None
            return remembered
        self._disk.put_registered(subject, schema_json, schema_id)
        self._disk.put_schema(schema_id, schema_json)
        return schema_id

    def latest(self, subject: str) -> Released | None:
        """The newest version of a subject; None if there is no such subject. Raises Unreachable, Refused."""
        try:
            found = self._client.get_latest_version(subject)
            return Released(_number(found.schema_id), _number(found.version), self._resolved(found.schema))
        except Exception as error:  # noqa: BLE001 (see `_problem`)
            if _is_not_found(error):
                return None
            raise self._problem(f"look up {subject}", error) from None

    def compatible(self, subject: str, schema_json: str) -> bool:
        """Whether the registry, by the subject's own level, would take this schema as its next version.

        True for a subject that isn't there yet. Raises Unreachable, Refused, ConfigurationError.
        """
        try:
            return bool(self._client.test_compatibility(subject, Schema(schema_json, "AVRO")))
        except Exception as error:  # noqa: BLE001 (see `_problem`)
            if _is_not_found(error):
                return True
            raise self._problem(f"test {subject}", error) from None

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def __repr__(self) -> str:
        return f"<SchemaStore {self._address}: {len(self._texts)} schemas, {len(self._misses)} missing>"

    def _asked(self, schema_id: int) -> str:
        now_s = self._clock.monotonic_s()
        miss = self._misses.get(schema_id)
        if now_s < self._silent_until_s or (miss is not None and not miss.may_ask(now_s)):
            raise self._missing(schema_id)
        try:
            text = self._resolved(self._client.get_schema(schema_id))
        except Exception as error:  # noqa: BLE001 (see `_problem`)
            self._failed(schema_id, error)
            raise self._missing(schema_id) from None
        self._misses.pop(schema_id, None)
        return text

    def _failed(self, schema_id: int, error: Exception) -> None:
        self._forget()
        now_s = self._clock.monotonic_s()
        answered = isinstance(error, SchemaRegistryError)
        unknown = isinstance(error, SchemaRegistryError) and error.error_code == SCHEMA_UNKNOWN
        self._misses[schema_id] = after_failure(self._misses.get(schema_id), now_s, unknown=unknown)
        if not answered:
            # Many partitions may ask for many ids: a registry that hangs costs them one time-out, not one each.
            self._silent_until_s = now_s + RETRY_S

    def _missing(self, schema_id: int) -> SchemaUnavailable | UnknownSchema:
        miss = self._misses.get(schema_id)
        settled = miss is not None and miss.is_settled
        return UnknownSchema(schema_id) if settled else SchemaUnavailable(schema_id)

    def _resolved(self, schema: Schema) -> str:
        text = _text(schema)
        if not schema.references:
            return text
        needed: dict[tuple[str, int], str] = {}
        for reference in schema.references:
            self._gather(reference, needed)
        try:
            return self_contained(text, needed.values())
        except Undecodable:
            return text  # not Avro: who decodes by it will say so

    def _gather(self, reference: SchemaReference, needed: dict[tuple[str, int], str]) -> None:
        """Add what a reference needs and then its own text."""
        at = (str(reference.subject), _number(reference.version))
        if at in needed:
            return
        # A version that was deleted softly is still needed by those that refer to it.
        found = self._client.get_version(*at, deleted=True).schema
        for each in found.references or ():
            self._gather(each, needed)
        needed[at] = _text(found)

    def _problem(self, doing: str, error: Exception) -> Unreachable | Refused | ConfigurationError:
        """What to tell of a failed call. Of a strange reply the client raises whatever it stumbles over."""
        self._forget()
        if not isinstance(error, SchemaRegistryError):
            why = type(error).__name__
            return Unreachable(
                f"{doing}: the registry at {self._address} gives no answer ({why}); check registry.url"
            )
        status = f"status {error.http_status_code}, code {error.error_code}"
        if error.http_status_code in _REFUSED:
            return Refused(
                f"{doing}: the registry at {self._address} refuses ({status}); check its access rights"
            )
        if error.http_status_code in _UNFIT:
            return ConfigurationError(
                f"{doing}: the registry won't have the schema ({status}): "
                "it does not fit what is there; `capi schemas check` says why"
            )
        return Unreachable(
            f"{doing}: the registry at {self._address} gives no useful answer ({status}); check registry.url"
        )


def _is_not_found(error: Exception) -> bool:
    return isinstance(error, SchemaRegistryError) and error.error_code in _NOT_FOUND


def _number(given: object) -> int:
    if not isinstance(given, int):
        raise TypeError("not a number")
    return given


def _text(schema: Schema) -> str:
    if not isinstance(schema.schema_str, str):
        raise TypeError("not a text")
    return schema.schema_str


def _without_login(url: str) -> str:
    """The address as people may see it, and by which a registry is told apart."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
