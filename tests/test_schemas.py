"""The released schemas, and the checks that guard them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from consumer.codec import Decoder, Encoder, load_schema, schemas_dir
from consumer.compatibility import incompatibilities
from consumer.contracts import check_released, newest, round_trip, versions
from consumer.errors import ConfigurationError
from consumer.model import Conversion, OrderEnding, Receipt

NAMES = ("checkout", "conversion", "ending", "order", "receipt")
Ours: TypeAlias = Conversion | OrderEnding | Receipt
EXAMPLES = [
    pytest.param(path.parent.parent.name, path, id=f"{path.parent.parent.name}-{path.stem}")
    for path in sorted(schemas_dir().glob("*/examples/*.json"))
]


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A copy of the released schemas that a test may change."""
    return Path(shutil.copytree(schemas_dir(), tmp_path / "schemas"))


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_every_example_survives(name: str, example: Path) -> None:
    """What an example says is the same after it was written and read again."""
    assert round_trip(newest(name), example.read_bytes()) == []


@pytest.mark.parametrize(
    ("kind", "name"), [(Conversion, "conversion"), (OrderEnding, "ending"), (Receipt, "receipt")]
)
def test_examples_of_ours_become_structs(kind: type[Ours], name: str) -> None:
    """An example, read as the struct and written again, has the same bytes; no field is missing in either."""
    schema = load_schema(name)
    decode: Decoder[Ours] = Decoder(kind, schema, {1: schema}.__getitem__)
    examples = sorted((schemas_dir() / name / "examples").glob("*.json"))
    assert examples
    for path in examples:
        example = json.loads(path.read_text())
        assert set(example) == set(kind.__struct_fields__)
        value = Encoder[dict[str, object]](schema, 1)(example)
        assert Encoder[Ours](schema, 1)(decode(value)) == value


def test_the_released_schemas_are_sound() -> None:
    """All five are there, with examples, and every check of them passes."""
    findings = check_released(schemas_dir())
    assert {finding.what.split()[0] for finding in findings} == set(NAMES)
    for name in NAMES:
        assert any(finding.what.startswith(f"{name} v1 takes ") for finding in findings)
    assert [str(finding) for finding in findings if finding.problems] == []


def test_a_compatible_version_passes(released: Path) -> None:
    """A new field with a default and a dropped field are fine, the examples of v1 included."""
    schema = json.loads((released / "receipt" / "v1.avsc").read_text())
    schema["fields"].append({"name": "note", "type": "string", "default": ""})
    (released / "receipt" / "v2.avsc").write_text(json.dumps(schema))
    findings = {finding.what: finding.problems for finding in check_released(released)}
    assert findings["receipt v2 reads v1"] == ()
    assert not any(findings.values())


def without_default(schema: dict[str, Any]) -> None:
    """Add a field that old data lacks."""
    schema["fields"].append({"name": "note", "type": "string"})


def other_type(schema: dict[str, Any]) -> None:
    """Make a number a text."""
    _field(schema, "attempts").update(type="string", default="")


def narrower(schema: dict[str, Any]) -> None:
    """Make a long an int."""
    _field(schema, "conversion_offset")["type"] = "int"


def renamed(schema: dict[str, Any]) -> None:
    """Rename a field that has no default."""
    _field(schema, "event_id")["name"] = "id_of_event"


def other_unit(schema: dict[str, Any]) -> None:
    """Give a time another unit."""
    _field(schema, "settled_at_ms")["type"]["logicalType"] = "timestamp-micros"


def _field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return next(field for field in schema["fields"] if field["name"] == name)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (without_default, "note was added without a default"),
        (other_type, "attempts was int, is string"),
        (narrower, "conversion_offset was long, is int"),
        (renamed, "id_of_event was added without a default"),
        (other_unit, "settled_at_ms was timestamp-millis, is timestamp-micros"),
    ],
)
def test_an_incompatible_version_is_caught(
    change: Callable[[dict[str, Any]], None], problem: str, released: Path
) -> None:
    """A version that can't read what v1 wrote is told with the field and what is wrong with it."""
    schema = json.loads((released / "receipt" / "v1.avsc").read_text())
    change(schema)
    (released / "receipt" / "v2.avsc").write_text(json.dumps(schema))
    findings = {finding.what: finding.problems for finding in check_released(released)}
    assert findings["receipt v2 reads v1"] == (problem,)


def test_every_earlier_version_counts(released: Path) -> None:
    """A default that v2 gave and v3 took is a problem with v1 alone, and v10 comes after v9."""
    schema = json.loads((released / "receipt" / "v1.avsc").read_text())
    schema["fields"].append({"name": "note", "type": "string", "default": ""})
    (released / "receipt" / "v2.avsc").write_text(json.dumps(schema))
    del schema["fields"][-1]["default"]
    (released / "receipt" / "v10.avsc").write_text(json.dumps(schema))
    findings = {finding.what: finding.problems for finding in check_released(released)}
    assert list(versions(released / "receipt")) == ["v1", "v2", "v10"]
    assert findings["receipt v10 reads v2"] == ()
    assert findings["receipt v10 reads v1"] == ("note was added without a default",)


def test_a_broken_schema_or_example_is_a_finding(released: Path) -> None:
    """What can't be parsed, and what an example says in vain, is told and does not end the check."""
    (released / "order" / "v2.avsc").write_text('{"type": "record"}')
    receipts = released / "receipt" / "examples"
    example = json.loads((receipts / "delivered.json").read_text())
    (receipts / "unknown-field.json").write_text(json.dumps({**example, "outcom": "x"}))
    (receipts / "wrong-type.json").write_text(json.dumps({**example, "attempts": "many"}))
    (receipts / "cut.json").write_text(json.dumps(example)[:50])
    findings = {finding.what: finding.problems for finding in check_released(released)}
    assert findings["order v2 parses"] == ("the writer's schema is not a valid Avro schema",)
    assert findings["receipt v1 takes unknown-field"] == ("outcom is not in the schema",)
    assert findings["receipt v1 takes wrong-type"]
    assert findings["receipt v1 takes cut"]
    assert sum(bool(problems) for problems in findings.values()) == 4


def test_a_folder_without_schemas_is_an_error(tmp_path: Path) -> None:
    """Nothing to check is no success."""
    with pytest.raises(ConfigurationError):
        check_released(tmp_path)


def record(of_type: object) -> str:
    """A record with one field of this type."""
    return json.dumps({"type": "record", "name": "R", "fields": [{"name": "f", "type": of_type}]})


ENUM = {"type": "enum", "name": "E", "symbols": ["A", "B"]}
LIST = {"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]}
LONGER = {"type": "record", "name": "L", "fields": [*LIST["fields"], {"name": "n", "type": "int"}]}


@pytest.mark.parametrize(
    ("reader", "writer", "problems"),
    [
        ("long", "int", []),
        ("double", "long", []),
        ("bytes", "string", []),
        (["null", "int"], "int", []),
        (["null", "string"], ["string", "null"], []),
        ("int", ["null", "int"], ["f was null, is int"]),
        (["null", "int"], "string", ["f was string, which the union lacks"]),
        (ENUM, {**ENUM, "symbols": ["B"]}, []),
        ({**ENUM, "symbols": ["B"]}, ENUM, ["f lost A and has no default"]),
        ({**ENUM, "symbols": ["B"], "default": "B"}, ENUM, []),
        ({"type": "array", "items": "int"}, {"type": "array", "items": "string"}, ["f[] was string, is int"]),
        ({"type": "map", "values": "int"}, {"type": "map", "values": "string"}, ["f{} was string, is int"]),
        ({"type": "map", "values": "int"}, {"type": "array", "items": "int"}, ["f was array, is map"]),
        (
            {"type": "fixed", "name": "F", "size": 3},
            {"type": "fixed", "name": "F", "size": 4},
            ["f was 4 bytes, is 3"],
        ),
        (LIST, LONGER, []),
        (LONGER, LIST, ["f.n was added without a default"]),
        (["null", LIST], LONGER, []),
        (["null", LONGER], LIST, ["f was record, which the union lacks"]),
        ({**LIST, "name": "M", "fields": []}, LIST, ["f was named L, is M"]),
    ],
)
def test_resolution_rules(reader: object, writer: object, problems: list[str]) -> None:
    """Each rule of Avro's schema resolution, both ways round where it matters."""
    assert incompatibilities(record(reader), record(writer)) == problems


def test_a_problem_in_a_union_does_not_hide_the_same_one_elsewhere() -> None:
    """A pair of records is looked at anew where a union has turned it down."""

    def pair(first: object) -> str:
        fields = [{"name": "f", "type": first}, {"name": "g", "type": "L"}]
        return json.dumps({"type": "record", "name": "R", "fields": fields})

    assert incompatibilities(pair(["null", LONGER]), pair(LIST)) == [
        "f was record, which the union lacks",
        "g.n was added without a default",
    ]
