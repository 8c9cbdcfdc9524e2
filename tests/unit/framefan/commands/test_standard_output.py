"""What a command prints reaches a person in any encoding, or they are told that it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan.commands import standard_output

FULL = Path("/dev/full")
SAYS = """
import sys
from framefan.commands import cli
def says(tokens):
    sys.{stream}.write({text!a} + "\\n")
    sys.{stream}.flush()
    return 7
cli.execute = says
cli.main()
"""
ENCODINGS: dict[str, dict[str, str]] = {
    "C": {"LC_ALL": "C"},
    "C, really": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "Latin 1": {"PYTHONIOENCODING": "latin-1:strict"},
    "UTF-8": {"PYTHONIOENCODING": "utf-8"},
}


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("environment", ENCODINGS.values(), ids=ENCODINGS)
def test_letters_that_the_encoding_lacks_are_readable(
    environment: dict[str, str], stream: str
) -> None:
    text = json.dumps({"camera": "カメラ é 😀 \udce9"}, ensure_ascii=False)
    done = subprocess.run(
        [sys.executable, "-c", SAYS.format(stream=stream, text=text)],
        env={key: each for key, each in os.environ.items() if not key.startswith("PYTHONUTF")}
        | environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 7, done.stderr
    said = getattr(done, stream).decode("latin-1" if "latin-1" in str(environment) else "utf-8")
    assert json.loads(said) == json.loads(text), "JSON stays what it was"


@given(st.text(st.characters(exclude_categories=())))
def test_whatever_is_escaped_json_reads_back(text: str) -> None:
    standard_output.codecs.register_error(standard_output._ESCAPE, standard_output._escaped)
    written = json.dumps(text, ensure_ascii=False).encode("ascii", standard_output._ESCAPE)
    assert json.loads(written) == json.loads(json.dumps(text))


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", [["predictors"], ["--help"], ["--version"], ["once", "-h"]])
def test_a_full_disk_is_an_error_of_three_lines(arguments: list[str]) -> None:
    with FULL.open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "framefan", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    what, why, fix = done.stderr.splitlines()
    assert what == "framefan: standard output cannot be written: No space left on device"
    assert why.startswith("  why: ")
    assert fix.startswith("  do:  ")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
def test_where_errors_cannot_be_told_the_exit_code_still_is() -> None:
    with FULL.open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", SAYS.format(stream="stderr", text="x" * 99)],
            stderr=full,
            stdout=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stdout) == (7, b"")
