"""ARCHITECTURE.md names rooms, modules and functions that are there, and few enough to follow."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOC = (ROOT / "ARCHITECTURE.md").read_text()
MOST_MODULES, MOST_ROWS = 12, 20


def rows(title: str) -> list[list[str]]:
    """The cells of the table under a heading that begins with `title`, without its head."""
    section = re.split(rf"^## {title}.*$", DOC, flags=re.M)[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def functions(module: Path) -> set[str]:
    tree = ast.walk(ast.parse(module.read_text()))
    return {node.name for node in tree if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("walk", ["Walk 1", "Walk 2"])
def test_a_walk_goes_through_few_modules_and_functions_that_are_there(walk: str) -> None:
    steps = rows(walk)
    assert 0 < len(steps) <= MOST_MODULES
    for module, named, _ in steps:
        (path,) = quoted(module)
        assert set(quoted(named)) <= functions(ROOT / path), path


def places(where: str) -> tuple[list[Path], list[str]]:
    """The files and folders that a cell names, and the names that should be in them.

    A module without a folder lies in the one named before it, or in one of its rooms.
    """
    found: list[Path] = []
    names: list[str] = []
    folder = ROOT
    for name in quoted(where):
        if (ROOT / name).exists():
            found.append(ROOT / name)
            folder = ROOT / name if (ROOT / name).is_dir() else (ROOT / name).parent
        elif "/" in name or name.endswith((".py", ".js", ".css")):
            here = [path for path in (folder / name, found[-1].parent / name) if path.exists()]
            assert here, f"{name} of: {where}"
            found.append(here[0])
        else:
            names.append(name)
    return found, names


def test_where_to_change_what_is_short_and_names_what_is_there() -> None:
    listed = rows("Where to change what")
    assert 0 < len(listed) <= MOST_ROWS
    for _, where in listed:
        found, names = places(where)
        texts = [path.read_text() for path in found if path.is_file()]
        assert found, where
        for name in names:
            assert any(re.search(rf"\b{name}\b", text) for text in texts), (name, where)


def test_the_rooms_are_those_that_are_checked() -> None:
    told = {quoted(room)[0] for room, _ in rows("Rooms")}
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (
        each["layers"]
        for each in contracts["contracts"]
        if "framefan" in each.get("containers", [])
    )
    checked = {room for layer in layers for room in layer.split(" | ")} - {"errors"}
    assert {
        room.removeprefix("framefan/") for room in told if room.startswith("framefan/")
    } == checked
    assert all((ROOT / room).is_dir() for room in told)
