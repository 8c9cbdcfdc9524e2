"""Files of the user's: loaded with their neighbours, and their errors told by their own lines."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from framefan.base import userfile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _imports_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def written(folder: Path, code: str, name: str = "own.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(code))
    return path


def raised(path: Path) -> BaseException:
    with pytest.raises(BaseException) as caught:
        userfile.load(path)
    return caught.value


def test_a_file_finds_its_neighbours_and_its_dataclasses(tmp_path: Path) -> None:
    written(tmp_path, "LIMIT = 3", "neighbour.py")
    path = written(
        tmp_path,
        """
        from __future__ import annotations
        from dataclasses import dataclass
        from neighbour import LIMIT
        @dataclass
        class Own:
            a: int = LIMIT
        """,
    )
    assert userfile.load(path).Own().a == 3


def test_loading_again_and_again_leaves_nothing_behind(tmp_path: Path) -> None:
    path = written(tmp_path, "1 / 0\n")
    for _ in range(3):
        raised(path)
    assert sys.path.count(str(tmp_path)) == 1
    assert "own" not in sys.modules, "half a module would be found by the next import"


def test_errors_are_told_by_the_line_that_raised(tmp_path: Path) -> None:
    path = written(tmp_path, "def deep():\n    1 / 0\n\ndeep()\n")
    error = raised(path)
    assert userfile.told(error) == "division by zero (own.py, line 2, in deep)"
    assert userfile.line(error, path) == 2


def test_the_line_of_a_file_is_its_own_whatever_it_called(tmp_path: Path) -> None:
    path = written(tmp_path, "import json\n\njson.loads('{')\n")
    error = raised(path)
    assert userfile.line(error, path) == 3
    assert userfile.where(error) == " (own.py, line 3, in <module>)"
    assert userfile.line(error, tmp_path / "other.py") is None


def test_a_wrong_syntax_has_a_line(tmp_path: Path) -> None:
    path = written(tmp_path, "a = 1\nb = = 2\n")
    assert userfile.line(raised(path), path) == 2


def test_an_error_whose_text_raises_is_told_all_the_same(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        class Bad(Exception):
            def __str__(self):
                raise KeyError
        raise Bad
        """,
    )
    error = raised(path)
    assert userfile.text(error) == "its __str__ raised KeyError"
    assert userfile.told(error).endswith("(own.py, line 5, in <module>)")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert isinstance(raised(tmp_path / "none.py"), FileNotFoundError)


@pytest.mark.parametrize("name", ["queue", "numpy"])
def test_a_file_takes_no_other_modules_place(tmp_path: Path, name: str) -> None:
    import numpy as before

    (tmp_path / f"{name}.py").write_text("it = 1")
    with pytest.raises(ImportError, match="rename the file"):
        userfile.load(tmp_path / f"{name}.py")
    assert sys.modules["numpy"] is before
