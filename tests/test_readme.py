"""The README says what is so: its settings load, its commands, metrics and words exist."""

import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from consumer.cli import app
from consumer.deliver.match import WEIGHTS
from consumer.ingest.decode import references
from consumer.ingest.rules import parse_mapping
from consumer.model import Ending, Outcome
from consumer.settings import Settings
from consumer.telemetry.catalogue import CATALOGUE

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_its_settings_load() -> None:
    """The examples are a settings file and a mapping that the product takes."""
    settings_block, mapping_block = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    settings = Settings.model_validate(yaml.safe_load(settings_block))
    assert settings.destinations[0].name == "meta-us"
    mappings = parse_mapping(yaml.safe_load(mapping_block), references())
    assert "grand_total_minor" in mappings["order"].section.fields


@pytest.mark.parametrize("words", sorted(set(re.findall(r"`capi ([a-z]+(?: [a-z][a-z-]+)?)", README))))
def test_its_commands_exist(words: str) -> None:
    """Whoever types what stands there gets no usage error."""
    command = get_command(app)
    for word in words.split():
        commands = getattr(command, "commands", None)
        assert commands is not None, words
        assert word in commands, words
        command = commands[word]


def test_its_metrics_exist() -> None:
    """A dashboard can be built from the names, with these labels."""
    known = {metric.name: metric.labels for metric in CATALOGUE}
    named = re.findall(r"`(capi_\w+)\{([^}]*)\}`", README)
    assert len(named) > 3
    for name, labels in named:
        assert known[name] == tuple(labels.split(",")), name


def test_its_weights_are_those_of_the_score() -> None:
    """Whoever adds up what an event tells gets its score."""
    table = README.partition("## Match quality")[2].partition("## ")[0]
    rows = re.findall(r"^\| (`.+) \| ([\d.]+)(?: each)? \|$", table, re.MULTILINE)
    told = {name: float(weight) for names, weight in rows for name in re.findall(r"`(\w+)`", names)}
    assert told == {name: weight / 10 for name, weight in WEIGHTS.items()}


@pytest.mark.parametrize("word", [*Ending, *Outcome])
def test_it_names_every_ending_and_outcome(word: str) -> None:
    """Nothing becomes of a record or a delivery that the README doesn't explain."""
    assert f"`{word}`" in README
