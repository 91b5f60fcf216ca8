"""Schemas and ids of one registry on disk: written whole or not at all, and believed only if they make sense."""

import hashlib
import os
import tempfile
from pathlib import Path

import structlog

from consumer.codec import parse_schema
from consumer.errors import ConfigurationError, Undecodable

ID_MAX = 2**31 - 1

_LOG = structlog.get_logger("registry")


class SchemaCache:
    """One registry's folder in the cache.

    A registry is told apart by its address: one that begins anew there, with other schemas under the same ids,
    needs another cache folder.
    """

    def __init__(self, cache_dir: Path, address: str) -> None:
        """Make the folder. Raises ConfigurationError if it can't be written."""
        self._folder = cache_dir / _digest(address)[:16]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                pass
        except OSError as error:
            message = (
                f"{self._folder}: {error.strerror}; name a folder that can be written in registry.cache_dir"
            )
            raise ConfigurationError(message) from None

    def schema(self, schema_id: int) -> str | None:
        """The text of a schema; None if it isn't here, or is no schema."""
        text = self._get(f"{schema_id}.avsc")
        if text is None:
            return None
        try:
            parse_schema(text)
        except Undecodable:
            return None
        return text

    def put_schema(self, schema_id: int, schema_json: str) -> None:
        """Remember the text of a schema."""
        self._put(f"{schema_id}.avsc", schema_json)

    def registered(self, subject: str, schema_json: str) -> int | None:
        """The id that this very text got under the subject; None if it isn't here, or is no id."""
        text = self._get(_registered(subject, schema_json)) or ""
        is_id = text.isascii() and text.isdigit() and 0 < int(text) <= ID_MAX
        return int(text) if is_id else None

    def put_registered(self, subject: str, schema_json: str, schema_id: int) -> None:
        """Remember the id of a text under a subject."""
        self._put(_registered(subject, schema_json), str(schema_id))

    def __repr__(self) -> str:
        return f"<SchemaCache {self._folder}>"

    def _get(self, name: str) -> str | None:
        try:
            return (self._folder / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def _put(self, name: str, text: str) -> None:
        """A full disk costs the next restart a request, no more."""
        try:
            handle, unfinished = tempfile.mkstemp(dir=self._folder, prefix="unfinished-")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                Path(unfinished).replace(self._folder / name)
            except BaseException:
                Path(unfinished).unlink(missing_ok=True)
                raise
        except OSError as error:
            _LOG.warning("schema_not_cached", path=str(self._folder), error=error.strerror)


def _registered(subject: str, schema_json: str) -> str:
    return f"{_digest(subject + chr(0) + schema_json)[:32]}.id"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
