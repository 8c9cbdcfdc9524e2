"""Each option is declared once; flags, help, variables, keys, checks, notes and docs follow."""

from __future__ import annotations

import ast
import math
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from framefan.commands.cli import app
from framefan.config.camera_settings import CAMERA
from framefan.config.configure import configure
from framefan.config.options import Options, arguments
from framefan.config.places import LIMITS, from_environment
from framefan.config.predictor_settings import OWN_LIMITS, PREDICTOR
from framefan.errors import UsageError
from framefan.settings.options import OPTIONS, Option, number
from framefan.settings.run import CameraSettings, Keys, Limits, PredictorSettings, Settings
from framefan.settings.secret import Secret, SourceText
from framefan.supervisor import reload_plan

ROOT = Path(__file__).parents[4]
TABLES = {
    "": OPTIONS,
    "[limits]\n": LIMITS,
    "[[camera]]\nsource = 'rtsp://h/x'\n": CAMERA,
    "[[predictor]]\nname = 'a'\npredictor = 'qr'\n": PREDICTOR,
}
"""Each with what stands above its keys in a file."""
DECLARED = [*OPTIONS.values(), *LIMITS.values(), *CAMERA.values()]
NUMBERS = [
    pytest.param(head, option, id=option.key)
    for head, table in TABLES.items()
    for option in table.values()
    if option.range
]


@pytest.fixture(autouse=True)
def _runtime(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_every_field_is_an_option_or_made_from_one() -> None:
    assert set(Limits.__struct_fields__) == set(LIMITS)
    assert set(CameraSettings.__struct_fields__) == set(CAMERA)
    assert set(PredictorSettings.__struct_fields__) == set(PREDICTOR) - {*OWN_LIMITS} | {"limits"}
    made = {option.field for option in OPTIONS.values()} | {"run_dir", "limits", "predictors"}
    assert set(Settings.__struct_fields__) <= made
    of_cameras = {"mode", "fast", "loop", "gate"}
    assert made - set(Settings.__struct_fields__) == of_cameras | {"open", "config"}


def test_each_text_stands_in_one_place() -> None:
    """In a declaration: neither the flags nor the pages have words of their own."""
    files = [*(ROOT / "framefan").rglob("*.py"), *(ROOT / "tests").glob("*_reference.py")]
    texts = Counter(
        node.value
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    helps = {each.help for each in DECLARED if "{" not in each.help and each.key != "predictor"}
    assert len(helps) > 60
    assert {text: texts[text] for text in helps if texts[text] != 1} == {}


@pytest.mark.parametrize(("head", "option"), NUMBERS)
def test_a_number_out_of_range_is_refused_by_name(head: str, option: Option) -> None:
    wrong = [option.least - 1, option.most + 1, math.nan]
    for value in wrong if option.kind is float else filter(math.isfinite, wrong):
        Path("f.toml").write_text(f"{head}{option.key} = {value}\n")
        with pytest.raises(
            UsageError, match=rf"{option.key}.* cannot be {number(value)}"
        ) as raised:
            configure((), Options(config="f.toml"), {})
        assert number(option.least) in raised.value.why
        assert math.isinf(option.most) or number(option.most) in raised.value.why
    for value in (option.least, min(option.most, 1e12)):
        option.check(value)


def test_every_flag_variable_and_key_is_taken() -> None:
    kinds: dict[Any, Any] = {int: 3, float: 3.0, bool: True, str: "x", tuple[str, ...]: ("x",)}
    shown = app["run"].assemble_argument_collection()
    flags = {each.field_info.name: each for each in shown if each.names != ("*",)}
    assert list(flags) == list(OPTIONS)
    for key, option in OPTIONS.items():
        value = kinds.get(option.kind, option.default)
        text = " ".join(value) if isinstance(value, tuple) else str(value)
        assert from_environment({option.variable: text}).values == {key: value}
        help_ = flags[key].parameter.help
        assert help_.startswith(option.help)
        if option.default and option.kind in (int, str):
            assert help_.endswith(f"[{option.default}]")
    assert arguments(Options(workers=3, loop=True, track=False)) == ["--workers", "3", "--loop"]


def test_once_takes_those_that_say_so() -> None:
    taken = {each.field_info.name for each in app["once"].assemble_argument_collection()}
    assert taken & set(OPTIONS) - {"name"} == {key for key, each in OPTIONS.items() if each.in_once}


def test_the_pages_have_every_declaration() -> None:
    settings = (ROOT / "docs/configuration.md").read_text()
    commands = (ROOT / "docs/cli.md").read_text()
    for option in DECLARED:
        assert f"`{option.key}`" in settings
        assert f"| {option.range} | {option.help} |" in settings or not option.range
        assert option.help in settings
        assert option.help in commands or not option.group


OTHER: dict[str, Any] = {
    "cameras": (CameraSettings(name="a", source=SourceText("demo")),),
    "token": Secret("hunter2"),
    "publish_keys": Keys(folder="hunter2"),
    "origins": ("http://a",),
}


def other(option: Option) -> Any:
    """Another value than the default."""
    if option.kind in (bool, int, float):
        return not option.default if option.kind is bool else option.default + 1
    return OTHER.get(option.field, "x")


def test_a_reload_applies_what_is_live_and_names_the_rest() -> None:
    assert {key for key, each in OPTIONS.items() if each.is_live} == {
        "sources",
        *reload_plan._COMMANDS,
    }
    old = Settings()
    for option in OPTIONS.values():
        if hasattr(old, option.field):
            value = other(option)
            new = msgspec.structs.replace(old, **{option.field: value})
            notes = reload_plan.plan(old, new).notes
            assert len(notes) == (not option.is_live), option.key
            assert all(note.startswith(option.hidden_as or option.key) for note in notes)
            assert all(("from" in note) != bool(option.hidden_as) for note in notes)
            assert "hunter2" not in str(notes)
    for key, option in LIMITS.items():
        limits = Limits(**{key: other(option)})
        (note,) = reload_plan.plan(old, msgspec.structs.replace(old, limits=limits)).notes
        assert note.startswith(f"limits.{key} changed from ")
