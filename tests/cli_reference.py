"""docs/cli.md: every command and flag, as `python tests/cli_reference.py` writes it.

It reads the declarations that `--help` is made of, so the page does not depend on the version of
cyclopts.
"""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from framefan import errors
from framefan.commands.cli import app
from framefan.config.camera_settings import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = """# The command line

    framefan [run] [SOURCE ...] [OPTIONS]
    framefan COMMAND

Each flag of `run` can also be set in a file or in the environment:
[configuration.md](configuration.md). `framefan COMMAND --help` shows the same text as this page.
`framefan completion --install` lets your shell complete commands and flags: bash, zsh or fish.
`python tests/cli_reference.py` writes this page; a test compares.

| command | what it does |
|---|---|
"""
FOOT = """
## Exit codes

| code | meaning |
|---|---|
| {ok} | done; a run was ended by Ctrl-C, SIGTERM, SIGHUP or `--duration`, or its files ended |
| {failed} | it started, then failed; `doctor` found a problem; there is no such run |
| {usage} | a flag, key, source or reference is malformed |
| {start} | a file, port or predictor cannot be used |
| {forced} | a second signal ended it at once |

An error is up to three lines on stderr: what happened, why, and what to do.
"""


def page() -> str:
    """docs/cli.md."""
    lines = [f"| [`{name}`](#{name}) | {_sentence(name)} |" for name in COMMANDS]
    for name in COMMANDS:
        lines += ["", f"## {name}", "", f"    framefan {name}{_form(name)}", "", _sentence(name)]
        lines += _doctor() if name == "doctor" else list(_flags(name))
    codes = {
        "ok": errors.EXIT_OK,
        "failed": errors.EXIT_FAILED,
        "usage": errors.EXIT_USAGE,
        "start": errors.EXIT_START,
        "forced": errors.EXIT_FORCED,
    }
    return HEAD + "\n".join(lines) + "\n" + FOOT.format(**codes)


def _sentence(name: str) -> str:
    return " ".join(inspect.cleandoc(app[name].help).split())


def _arguments(name: str) -> list[Any]:
    return [each for each in app[name].assemble_argument_collection() if each.show]


def _is_flag(argument: Any) -> bool:
    """Whether it is written by its flag; what can also be given by its place is told by that."""
    return argument.index is None


def _form(name: str) -> str:
    """What is given without a flag, as a usage line has it."""
    form = ""
    for argument in _arguments(name):
        if not _is_flag(argument):
            word = argument.names[0].lstrip("-").upper()
            several = get_origin(argument.hint) is tuple
            shown = f"{word.removesuffix('S')} ..." if several else word
            form += f" {shown}" if argument.required else f" [{shown}]"
    return form + (" [OPTIONS]" if any(map(_is_flag, _arguments(name))) else "")


def _doctor() -> list[str]:
    given = [{each.names for each in _arguments(name)} for name in ("run", "doctor")]
    assert given[0] == given[1], "then it needs a table of its own"
    return ["", "It takes all that [`run`](#run) takes, and tries it without starting a run."]


def _flags(name: str) -> Iterator[str]:
    group = ""
    arguments = sorted(_arguments(name), key=_rank)
    for argument in arguments:
        title = argument.parameter.group[0].name
        if title != group:
            group = title
            yield from ("", f"| {title.lower()} | |", "|---|---|")
        yield f"| {_names(argument)} | {_meaning(argument)} |"


def _rank(argument: Any) -> int:
    key = argument.parameter.group[0].sort_key
    return key if isinstance(key, int) else 0 if not _is_flag(argument) else 9


def _names(argument: Any) -> str:
    if not _is_flag(argument):
        return f"`{argument.names[0].lstrip('-').upper()}`"
    value = _value(argument)
    return ", ".join(f"`{name}{value}`" for name in argument.names)


def _kinds(argument: Any) -> list[Any]:
    parts = [argument.hint, *get_args(argument.hint)]
    return [each for each in parts if each is not type(None)]


def _value(argument: Any) -> str:
    kinds = _kinds(argument)
    if bool in kinds:
        return ""
    words = {int: "N", float: "N", str: "TEXT"}
    metavar = argument.parameter.metavar or next((words[k] for k in words if k in kinds), "")
    return f" {metavar}" if metavar else " CHOICE"


def _meaning(argument: Any) -> str:
    text = str(argument.parameter.help)
    choices = [c for k in _kinds(argument) if get_origin(k) is Literal for c in get_args(k)]
    if choices:
        text += " One of " + ", ".join(f"`{each}`" for each in choices) + "."
    if argument.parameter.env_var:
        text += " Or " + ", ".join(f"`{each}`" for each in argument.parameter.env_var) + "."
    default = argument.field_info.default
    if argument.parameter.show_default is not False and default not in (
        inspect.Parameter.empty,
        None,
    ):
        text += f"  [{default}]"
    return " ".join(text.replace("|", "\\|").split())


if __name__ == "__main__":
    sys.stdout.write(page())
