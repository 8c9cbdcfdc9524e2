"""docs/faults.md says what the table says, and every test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fault_rows import page
from fault_table import ROWS
from guard_table import SWITCHES

TESTS = Path(__file__).parents[1]
NAMED = sorted({each for rows in ROWS.values() for row in rows for each in (*row.tests, *row.red)})


def test_the_page_is_the_tables() -> None:
    assert (TESTS.parent / "docs" / "faults.md").read_text() == page()


def test_every_switch_has_its_place_on_the_page() -> None:
    shown = {each.partition("[")[0] for switch in SWITCHES for each in switch.tests}
    assert shown <= set(NAMED)
    assert len({switch.name for switch in SWITCHES}) == len(SWITCHES)
    for switch in SWITCHES:
        assert switch.seen, switch.name


@pytest.mark.parametrize("named", NAMED)
def test_a_test_that_is_named_is_there(named: str) -> None:
    file, _, name = named.partition("::")
    text = (TESTS / f"{file}.py").read_text()
    assert re.search(rf"^(async )?def {name}\(", text, re.MULTILINE)
