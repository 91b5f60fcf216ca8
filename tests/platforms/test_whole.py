"""A platform is several files of one name: none is missing, and none is left of a platform that is gone."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from consumer.emulators.platforms import STAND_INS
from consumer.platforms import PLATFORMS
from consumer.platforms.contract import Platform

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")


def holding(package: str, attribute: str) -> dict[str, object]:
    """What the modules of a package have under a name, by the names of their files."""
    names = [path.stem for path in (ROOT / package.replace(".", "/")).glob("[!_]*.py")]
    found = {name: getattr(import_module(f"{package}.{name}"), attribute, None) for name in names}
    return {name: each for name, each in found.items() if each is not None}


def test_a_file_bears_its_platforms_name() -> None:
    """So that none hides another, and whoever reads a setting finds the file."""
    assert holding("consumer.platforms", "PLATFORM") == PLATFORMS
    assert holding("consumer.emulators", "STAND_IN") == STAND_INS


def test_a_platform_has_a_stand_in_and_cases() -> None:
    """And neither is there without one."""
    folders = {path.name for path in Path(__file__).parent.iterdir() if path.is_dir()}
    assert STAND_INS.keys() == PLATFORMS.keys() == folders - {"__pycache__"}


@pytest.mark.parametrize("file", ["builds.json", "replies.json"])
def test_a_folder_holds_cases(platform: Platform, file: str) -> None:
    """Of both kinds, and not none."""
    assert json.loads((Path(__file__).parent / platform.name / file).read_text(encoding="utf-8"))


def test_a_stand_in_is_tested(platform: Platform) -> None:
    """In a file of its own."""
    assert (ROOT / "tests" / "emulators" / f"test_{platform.name}.py").is_file()


def test_the_guide_tells_of_every_field() -> None:
    """In their order, as whoever adds a platform fills them in."""
    table = GUIDE.partition("### 2.")[2].partition("### 3.")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == Platform.__struct_fields__


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:consumer|tests|schemas)/[\w./]+)`", GUIDE))))
def test_what_the_guide_names_is_there(path: str) -> None:
    """A newcomer who looks for it finds it."""
    assert (ROOT / path).exists()


def test_the_readme_has_its_rows(platform: Platform) -> None:
    """What it needs, and what it takes."""
    section = README.partition("## Platforms")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert rows.count(platform.name) >= 2
    assert set(rows) <= PLATFORMS.keys()
