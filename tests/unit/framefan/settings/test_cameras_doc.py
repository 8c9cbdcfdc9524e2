"""docs/cameras.md tells every state, reason and setting, with their defaults."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from framefan.settings.run import CameraSettings
from framefan.settings.states import REASONS, STATES

DOC = (Path(__file__).parents[4] / "docs" / "cameras.md").read_text()
ROWS = dict(re.findall(r"^\| (.+?) \| (.*?) \|", DOC, re.MULTILINE))


@pytest.mark.parametrize("state", STATES)
def test_states_are_told_as_the_table_has_them(state: str) -> None:
    assert ROWS[f"`{state}`"] == STATES[state].meaning


@pytest.mark.parametrize("reason", REASONS)
def test_reasons_are_told_as_the_table_has_them(reason: str) -> None:
    assert ROWS[f"`{reason}`"] == REASONS[reason]


@pytest.mark.parametrize("field", msgspec.structs.fields(CameraSettings), ids=lambda f: f.name)
def test_each_setting_is_told_with_its_default(field: msgspec.structs.FieldInfo) -> None:
    row = next(row for row in ROWS if f"`{field.name}`" in row.split(", "))
    names = re.findall(r"`(\w+)`", row)
    told = ROWS[row].split(", ") if len(names) > 1 else [ROWS[row]]
    default = told[names.index(field.name) % len(told)].strip("`")
    match field.default:
        case msgspec.NODEFAULT | "":
            pass
        case bool() as value:
            assert default == str(value).lower()
        case float() as value:
            assert float(re.match(r"[\d.]+", default)[0]) == value
        case value:
            assert default == value
