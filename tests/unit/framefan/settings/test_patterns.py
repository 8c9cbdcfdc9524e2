"""Image patterns: which files they name, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from framefan.settings.patterns import matching

if TYPE_CHECKING:
    from pathlib import Path


def test_patterns_list_files_by_number_or_name(tmp_path: Path):
    for name in ("a_2.png", "a_10.png", "a_1.png", "a_x.png", "b_1.png"):
        (tmp_path / name).touch()

    def names(pattern: str) -> list[str]:
        return [path.name for path in matching(tmp_path / pattern)]

    assert names("a_%d.png") == ["a_1.png", "a_2.png", "a_10.png"]
    assert names("a_%02d.png") == ["a_10.png"]
    assert names("a_*.png") == ["a_1.png", "a_10.png", "a_2.png", "a_x.png"]
    assert names("c_*.png") == []
    assert matching(tmp_path / "none" / "*.png") == []


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*/*.jpg", ["a/1.jpg", "a/10.jpg", "b/2.jpg"]),
        ("*/%d.jpg", ["a/1.jpg", "b/2.jpg", "a/10.jpg"]),
        ("**/*.jpg", ["0.jpg", "a/1.jpg", "a/10.jpg", "b/2.jpg", "b/c/3.jpg"]),
        ("**/%d.jpg", ["0.jpg", "a/1.jpg", "b/2.jpg", "b/c/3.jpg", "a/10.jpg"]),
        ("b/*/*.jpg", ["b/c/3.jpg"]),
        ("[d]/*.jpg", ["[d]/7.JPG"]),
        ("*/*.jpG", ["[d]/7.JPG", "a/1.jpg", "a/10.jpg", "b/2.jpg"]),
        ("**/*.png", []),
        ("0.jpg/*", []),
    ],
)
def test_patterns_of_folders_and_of_capitals(pattern: str, names: list[str], tmp_path: Path):
    for name in ("0.jpg", "a/1.jpg", "a/10.jpg", "b/2.jpg", "b/c/3.jpg", "[d]/7.JPG", ".h/8.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    found = [str(path.relative_to(tmp_path)) for path in matching(tmp_path / pattern)]
    assert found == names
