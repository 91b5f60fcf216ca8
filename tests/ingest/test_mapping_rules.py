"""Mapping files: what is read of them, and how each mistake is told."""

from pathlib import Path

import pytest
import yaml

from consumer.errors import ConfigurationError
from consumer.ingest.decode import mappings_of, references
from consumer.ingest.paths import All, At, First, Named, parse_path
from consumer.ingest.rules import parse_mapping

ORDER = {
    "order_id": "id",
    "status": "state",
    "updated_at": "changed",
    "created_at": "made",
    "grand_total_minor": "total",
}


def refused(order: object) -> str:
    """How a mapping of orders is refused."""
    with pytest.raises(ValueError, match="order") as caught:
        parse_mapping({"order": order}, references())
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("a", [Named("a")]),
        ("a.b_c.d-e", [Named("a"), Named("b_c"), Named("d-e")]),
        ("a[0].b", [Named("a"), At(0), Named("b")]),
        ("a[-1]", [Named("a"), At(-1)]),
        ('a["x.y z"].b', [Named("a"), Named("x.y z"), Named("b")]),
        ("a[*].b", [Named("a"), All(), Named("b")]),
        ("a[*status=success].b", [Named("a"), All("status", "success"), Named("b")]),
        ("a[name=_fbp].value", [Named("a"), First("name", "_fbp"), Named("value")]),
        ("a[name=].value", [Named("a"), First("name", ""), Named("value")]),
    ],
)
def test_paths_are_read(text: str, steps: list[object]) -> None:
    """Each kind of step, alone and after others, and from the root."""
    assert list(parse_path(text).steps) == steps
    assert list(parse_path(f"$.{text}").steps) == steps
    assert parse_path(f"$.{text}").from_root
    assert not parse_path(text).from_root


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "a[", "a[]", "a[x]", "a b", "$.", "a]b", "a[0]b"]
)
def test_what_is_no_path_is_told_with_its_place(text: str) -> None:
    """A path that can't be read names itself, and where the trouble is."""
    with pytest.raises(ValueError, match="path"):
        parse_path(text)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"statsu": "x"}, "order.statsu is not known; did you mean status?"),
        ({"items": {"each": "a", "skku": "x"}}, "order.items.skku is not known; did you mean sku?"),
        ({"items": {"each": "a", "sku": "x", "quantity": "q"}}, "order.items.price_minor must be mapped"),
        ({"customer": {"each": "a"}}, "order.customer.each is not known"),
        ({"shop": {"pth": "x"}}, "order.shop.pth is not known; did you mean path?"),
        ({"shop": {"path": "a..b"}}, "order.shop.path: 'a..b' is no path: see its character 2"),
        ({"shop": {}}, "order.shop: one of path, first_of, constant must say where it comes from"),
        ({"shop": {"path": "a", "constant": "b"}}, "one of path, first_of, constant"),
        ({"shop": {"path": "a", "unit": "minor"}}, "order.shop.unit is not known"),
        ({"shop": {"first_of": []}}, "order.shop.first_of must be a list of paths or rules"),
        ({"shop": {"constant": 5}}, "order.shop.constant must be text"),
        ({"shop": {"path": "a", "optional": "yes"}}, "order.shop.optional must be true or false"),
        ({"shop": {"path": "a", "hashed": "email"}}, "hashed is for what customers and addresses say"),
        (
            {"customer": {"email": {"path": "a", "hashed": "e-mail"}}},
            "order.customer.email.hashed must be one of email",
        ),
        ({"paid_at": {"path": "a", "unit": "minutes"}}, "order.paid_at.unit must be one of seconds, millis"),
        (
            {"paid_at": {"path": "a", "zone": "Europe/Berlin"}},
            "'Europe/Berlin' is no zone: write UTC or a fixed one",
        ),
        ({"tax_minor": {"path": "a", "rounded": True}}, "rounded is for price_minor alone"),
        ({"tax_minor": {"path": "a", "digits": "b..c"}}, "order.tax_minor.digits: 'b..c' is no path"),
        ({"tax_minor": {"path": "a", "digits": True}}, "order.tax_minor.digits must be a path"),
        ({"status": {"path": "a", "values": {}}}, "order.status.values must say theirs: ours"),
        (
            {"consent": {"ads": {"path": "a", "values": {1: "YES"}}}},
            "'YES' is none of UNSPECIFIED, GRANTED, DENIED",
        ),
        ({"consent": {"sale_opt_out": {"path": "a", "default": "no"}}}, "default must be true or false"),
        ({"paid_at": {"path": "a", "when": {"b": "paid"}}}, "order.paid_at.when must say path: [values]"),
        ({"envelope": "canal"}, "order.envelope: only debezium is known"),
        ({"shop": ["a"]}, "order.shop must be names, each with its rule"),
        ({"order_id": 5}, "order.order_id must be names"),
    ],
)
def test_each_mistake_is_told_by_its_place(changes: dict[str, object], told: str) -> None:
    """A wrong key, value or path is refused where it stands, with the nearest that is right."""
    assert told in refused({**ORDER, **changes})


@pytest.mark.parametrize("name", ORDER)
def test_what_must_be_mapped_is_named(name: str) -> None:
    """A mapping without one of the needed fields is refused by its name."""
    assert f"order.{name} must be mapped" in refused(
        {key: rule for key, rule in ORDER.items() if key != name}
    )


def test_a_kind_that_does_not_exist_is_refused() -> None:
    """Only orders and checkouts are mapped."""
    with pytest.raises(ValueError, match=r"orders is not known; did you mean order\?"):
        parse_mapping({"orders": ORDER}, references())
    with pytest.raises(ValueError, match="the file must be names"):
        parse_mapping(["order"], references())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("order: [", "is not YAML: look at line 1"),
        ("order: {order_id: id}", "order.status must be mapped"),
        ("- order", "the file must be names"),
    ],
)
def test_a_bad_file_is_refused_by_its_name(tmp_path: Path, text: str, told: str) -> None:
    """What is wrong with a file comes with the file's name, as an error of configuration."""
    file = tmp_path / "mapping.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=told) as caught:
        mappings_of(file)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A mapping that can't be read is an error of configuration; none at all is no mapping."""
    with pytest.raises(ConfigurationError, match="No such file"):
        mappings_of(tmp_path / "mapping.yaml")
    assert mappings_of(None) == {}


def test_a_good_file_is_read(tmp_path: Path) -> None:
    """A file that says what is needed maps its kinds and leaves the others as they are."""
    file = tmp_path / "mapping.yaml"
    file.write_text(yaml.safe_dump({"order": {**ORDER, "envelope": "debezium"}}))
    mappings = mappings_of(file)
    assert set(mappings) == {"order"}
    assert mappings["order"].is_enveloped
    assert set(mappings["order"].section.fields) == set(ORDER)
