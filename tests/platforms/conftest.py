"""The cases of all platforms, read from their folders, and the one purchase that all of them are told."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consumer.model import Conversion
from consumer.platforms import PLATFORMS
from consumer.platforms.contract import Reply

HERE = Path(__file__).parent
NOW_MS = 1_790_000_000_000
FILES = {"event": ("builds", "events"), "request": ("builds", "requests"), "reply": ("replies", "")}
BASE: dict[str, Any] = json.loads((HERE / "purchase.json").read_text(encoding="utf-8"))


@pytest.fixture
def conversion() -> Callable[[Mapping[str, Any]], Conversion]:
    """Makes the purchase of purchase.json, with what is given in place of its own."""
    return lambda given: msgspec.convert({**BASE, **given}, Conversion)


def patched(whole: Any, changes: Any) -> Any:  # noqa: ANN401 - JSON
    """JSON with changes to it, null for what goes (RFC 7396)."""
    if not isinstance(changes, dict):
        return changes
    kept = whole if isinstance(whole, dict) else {}
    merged = {**kept, **{key: patched(kept.get(key), change) for key, change in changes.items()}}
    return {key: each for key, each in merged.items() if key not in changes or changes[key] is not None}


@pytest.fixture
def reply() -> Callable[[Mapping[str, Any]], Reply]:
    """Makes what a row of replies.json says came back; a body that is no text is sent as JSON."""

    def make(row: Mapping[str, Any]) -> Reply:
        body = row["body"] if isinstance(row["body"], str) else json.dumps(row["body"])
        headers = {name.lower(): value for name, value in row["headers"].items()}
        return Reply(row["status"], headers, body.encode(), NOW_MS)

    return make


@pytest.fixture
def cases() -> Callable[[str, str], list[dict[str, Any]]]:
    """Gives one platform's cases of a kind: event, request or reply."""
    return rows


def rows(platform: str, kind: str) -> list[dict[str, Any]]:
    """One platform's cases of a kind: event, request or reply. All events but the first are told by their changes."""
    name, part = FILES[kind]
    path = HERE / platform / f"{name}.json"
    told = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    found: list[dict[str, Any]] = told.get(part, []) if isinstance(told, dict) else told
    if kind != "event":
        return found
    whole = found[0]["event"] if found else None
    return [{**row, "event": patched(whole, row["event"])} if "event" in row else row for row in found]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for a `platform` runs for each; one that asks for a case too, for each of its cases."""
    if "platform" not in metafunc.fixturenames:
        return
    kind = next((kind for kind in FILES if f"{kind}_case" in metafunc.fixturenames), None)
    if kind is None:
        metafunc.parametrize("platform", PLATFORMS.values(), ids=list(PLATFORMS))
        return
    found = [(platform, row) for name, platform in PLATFORMS.items() for row in rows(name, kind)]
    ids = [f"{platform.name}: {row['name']}" for platform, row in found]
    metafunc.parametrize(("platform", f"{kind}_case"), found, ids=ids)
