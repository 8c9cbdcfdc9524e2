"""Tables that fit: what gives way, and what does not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from framefan.commands.terminal.columns import Column, Version, fitted

NAMES = st.text(st.sampled_from("abc-9人é"), min_size=1, max_size=60)
NUMBERS = st.integers(0, 10**7).map(str)


@given(st.lists(st.tuples(NAMES, NUMBERS, NAMES, NUMBERS), min_size=1, max_size=5), st.data())
def test_a_number_is_whole_at_any_width(rows: list[tuple[str, ...]], data: st.DataObject) -> None:
    width = data.draw(st.none() | st.integers(40, 160))
    columns = [Column("a", True), Column("b"), Column("c", True), Column("d")]
    _, *lines = fitted(width, Version(columns, rows))
    for line, (a, b, c, d) in zip(lines, rows, strict=True):
        assert line.endswith(d)
        assert f" {b} " in line
        assert (a in line and c in line) or ".." in line
        assert width is None or cell_len(line) <= width
    if width is None:
        assert not any(".." in line for line in lines)


def test_the_version_that_says_most_and_fits_is_taken() -> None:
    def version(text: str) -> Version:
        return Version([Column("name", True), Column("what")], [("cam", text)])

    versions = [version("x" * 30), version("y" * 10), version("7")]
    assert "x" * 30 in fitted(None, *versions)[1]
    assert "x" * 30 in fitted(35, *versions)[1]
    assert "y" * 10 in fitted(34, *versions)[1]
    assert fitted(9, *versions) == ["name what", "cam     7"]
