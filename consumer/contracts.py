"""Whether our released schemas hold what they promise: examples survive, old data stays readable."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias

import msgspec
from msgspec import Struct

from consumer.avro import MALFORMED, Mismatch, NullField, compile_reader
from consumer.codec import BODY_AT, Encoder, parse_schema, schemas_dir
from consumer.compatibility import incompatibilities
from consumer.errors import ConfigurationError, Undecodable

Json: TypeAlias = object


class Finding(Struct, frozen=True):
    """One thing that was looked at, and what is wrong with it: nothing if `problems` is empty."""

    what: str
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.what}: {'; '.join(self.problems) or 'ok'}"


class Latest(Protocol):
    """The newest version of a subject."""

    @property
    def version(self) -> int:
        """Its number, from 1."""
        ...

    @property
    def schema_json(self) -> str:
        """Its self-contained text."""
        ...


class Registry(Protocol):
    """A registry that tells what it has. Raises Unreachable, Refused."""

    def latest(self, subject: str) -> Latest | None:
        """The newest version of a subject; None if there is none."""
        ...

    def compatible(self, subject: str, schema_json: str) -> bool:
        """Whether the registry would take the schema as the next version."""
        ...


def versions(folder: Path) -> dict[str, str]:
    """The texts of one schema's released versions, oldest first, by name: `v1`, `v2` and so on."""
    found = sorted(folder.glob("v*.avsc"), key=lambda path: int(path.stem[1:]))
    return {path.stem: path.read_text(encoding="utf-8") for path in found}


def newest(name: str) -> str:
    """The text of our newest version of a schema: order, checkout, ending, conversion or receipt."""
    return list(versions(schemas_dir() / name).values())[-1]


def check_released(schemas: Path) -> list[Finding]:
    """Look at every schema of the folder by itself. Raises ConfigurationError if there are none."""
    folders = sorted({path.parent for path in schemas.glob("*/v*.avsc")})
    if not folders:
        message = f"{schemas} holds no schemas"
        raise ConfigurationError(message)
    return [finding for folder in folders for finding in _check(folder)]


def check_registered(registry: Registry, subject: str, schema_json: str, *, ours: bool) -> list[Finding]:
    """Compare a schema with what the registry has under the subject: we must be able to read what it describes.

    If the subject is `ours`, the registry must also take the schema as the next version.
    """
    latest = registry.latest(subject)
    if latest is None:
        return [Finding(f"registry {subject}, which it does not have yet")]
    what = f"registry {subject} v{latest.version}"
    findings = [
        Finding(f"{what} read by ours", _told(partial(incompatibilities, schema_json, latest.schema_json)))
    ]
    if ours:
        refused = (
            () if registry.compatible(subject, schema_json) else ("the registry would not take ours next",)
        )
        findings.append(Finding(f"{what} followed by ours", refused))
    return findings


def _check(folder: Path) -> Iterator[Finding]:
    name, released = folder.name, versions(folder)
    invalid = {version: _told(partial(_unparsed, text)) for version, text in released.items()}
    yield from (Finding(f"{name} {version} parses", problems) for version, problems in invalid.items())
    valid = [(version, text) for version, text in released.items() if not invalid[version]]
    if not valid:
        return
    last, last_text = valid[-1]
    for example in sorted((folder / "examples").glob("*.json")):
        problems = tuple(round_trip(last_text, example.read_bytes()))
        yield Finding(f"{name} {last} takes {example.stem}", problems)
    for at, (newer, newer_text) in enumerate(valid):
        for older, older_text in valid[:at]:
            yield Finding(f"{name} {newer} reads {older}", tuple(incompatibilities(newer_text, older_text)))


def round_trip(schema_json: str, example: bytes) -> list[str]:
    """What of an example, as JSON, is lost on its way to Avro and back, by path. Raises Undecodable."""
    try:
        told = msgspec.json.decode(example, type=dict[str, object])
    except msgspec.DecodeError as error:
        return [f"it is no JSON object: {error}"]
    encode: Encoder[Mapping[str, object]] = Encoder(schema_json, 1)
    try:
        value = encode(told)
        back, end = compile_reader(parse_schema(schema_json))(value, BODY_AT)
    except (TypeError, *MALFORMED, Mismatch, NullField) as error:
        return [str(error)]
    whole = [] if end == len(value) else ["bytes are left over"]
    return [*whole, *_lost(told, msgspec.to_builtins(back), "")]


def _lost(told: Json, back: Json, path: str) -> Iterator[str]:
    """Fields that the example leaves to their defaults may come back."""
    if isinstance(told, dict) and isinstance(back, dict):
        for key, value in told.items():
            below = f"{path}.{key}".lstrip(".")
            if key not in back:
                yield f"{below} is not in the schema"
            else:
                yield from _lost(value, back[key], below)
    elif isinstance(told, Sequence) and isinstance(back, Sequence) and not isinstance(told, str):
        if len(told) != len(back):
            yield f"{path} changed its length"
        for each, other in zip(told, back, strict=False):
            yield from _lost(each, other, f"{path}[]")
    elif told != back:
        yield f"{path} changed"


def _unparsed(schema_json: str) -> list[str]:
    parse_schema(schema_json)
    return []


def _told(check: Callable[[], list[str]]) -> tuple[str, ...]:
    """The problems, a schema that can't be read among them."""
    try:
        return tuple(check())
    except Undecodable as error:
        return (str(error),)
