"""The changelog and the version agree, and the release script keeps them so."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import release  # noqa: E402 - its folder is none of the package's

CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
PROJECT = (ROOT / "pyproject.toml").read_text()
NUMBER = tomllib.loads(PROJECT)["project"]["version"]


def released(changelog: str) -> list[str]:
    return re.findall(r"^## (\d+\.\d+\.\d+)", changelog, re.M)


def test_the_newest_release_of_the_changelog_is_this_version() -> None:
    assert released(CHANGELOG)[0] == NUMBER


def test_the_entries_of_a_release_get_its_heading_and_nothing_is_lost() -> None:
    made = release.with_heading(CHANGELOG, "9.8.7", "2030-01-02")
    assert released(made) == ["9.8.7", *released(CHANGELOG)]
    assert release.entries(made) == ""
    assert made.replace("## 9.8.7 (2030-01-02)\n\n", "", 1).split() == CHANGELOG.split()


def test_the_version_is_written_once() -> None:
    assert tomllib.loads(release.with_version(PROJECT, "9.8.7"))["project"]["version"] == "9.8.7"
    assert release.with_version(PROJECT, NUMBER) == PROJECT


def test_what_is_no_version_is_refused() -> None:
    assert "like 0.2.0" in release.problem("next")
