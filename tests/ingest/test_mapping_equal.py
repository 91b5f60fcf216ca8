"""A mapping that says what the reference schemas say anyway makes the very same orders and checkouts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from consumer.codec import Encoder, load_schema, schemas_dir
from consumer.errors import Undecodable
from consumer.ingest import Ingest
from consumer.ingest.decode import references
from consumer.ingest.rules import parse_mapping
from consumer.ingest.targets import Group, Kind, Target, targets
from consumer.model import Record

ID = 7
EXAMPLES = [
    pytest.param(path.parent.parent.name, path, id=f"{path.parent.parent.name}-{path.stem}")
    for kind in ("order", "checkout")
    for path in sorted(Path(schemas_dir(), kind, "examples").glob("*.json"))
]


def plain(wanted: Mapping[str, Target], within: str = "") -> dict[str, object]:
    """Each of our fields from the path of its own name."""
    told: dict[str, object] = {}
    for name, target in wanted.items():
        if isinstance(target, Group):
            told[name] = (
                {"each": f"{within}{name}", **plain(target.fields)}
                if target.repeated
                else plain(target.fields, f"{name}.")
            )
        else:
            is_money = target.kind is Kind.MONEY
            told[name] = {"path": f"{within}{name}", "unit": "minor"} if is_money else f"{within}{name}"
    return told


MAPPINGS = parse_mapping({kind: plain(targets(each)) for kind, each in references().items()}, references())


def record(value: bytes) -> Record:
    """A record of some topic with this value."""
    return Record("shop", 0, 0, 0, None, value)


@pytest.mark.parametrize("nullable", [False, True], ids=["plain", "nullable"])
@pytest.mark.parametrize(("kind", "path"), EXAMPLES)
def test_a_mapping_of_ours_changes_nothing(kind: str, path: Path, nullable: bool) -> None:  # noqa: FBT001
    """Every released example gives the same noun by the mapping as without one, its head's digest included."""
    schema = json.loads(load_schema(kind))
    if nullable:
        for field in schema["fields"]:
            field["type"] = ["null", field["type"]]
            field.pop("default", None)
    text = json.dumps(schema)
    value = Encoder[dict[str, Any]](text, ID)(json.loads(path.read_text()))
    reference, mapped = Ingest(lambda _: text), Ingest(lambda _: text, MAPPINGS)
    if kind == "checkout":
        assert mapped.checkout(record(value)) == reference.checkout(record(value))
        return
    head, known = mapped.order_head(record(value)), reference.order_head(record(value))
    assert head is not None
    assert known is not None
    assert head.head == known.head
    assert mapped.has_refunds(record(value), head) is reference.has_refunds(record(value), known)
    assert mapped.order(record(value), head) == mapped.order(record(value)) == reference.order(record(value))


@pytest.mark.parametrize("cut", [1, 5, 40, 200])
@pytest.mark.parametrize("kind", ["order", "checkout"])
def test_a_cut_or_long_record_is_undecodable(kind: str, cut: int) -> None:
    """With a mapping, too, a record must end where its bytes end."""
    text = load_schema(kind)
    name = {"order": "typical", "checkout": "payment-full"}[kind]
    told = json.loads((schemas_dir() / kind / "examples" / f"{name}.json").read_text())
    value = Encoder[dict[str, Any]](text, ID)(told)
    ingest = Ingest(lambda _: text, MAPPINGS)
    for bad in (value[:-cut], value + b"x" * cut):
        with pytest.raises(Undecodable):
            (ingest.order if kind == "order" else ingest.checkout)(record(bad))
