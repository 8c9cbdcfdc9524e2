"""The flags, each derived from its option's declaration; `None` means that it was not given."""

from __future__ import annotations

from dataclasses import field, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from framefan.settings.options import GROUPS, OPTIONS, Option, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cyclopts import Token

_GROUPS = {name: Group(name, sort_key=order) for order, name in enumerate(GROUPS)}


def whole(_type: Any, tokens: Sequence[Token]) -> int:
    """Parse a whole number, because cyclopts would round 1.9 to 2. Raises ValueError."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f'"{tokens[0].value}" is not a whole number') from None


def parameter(option: Option) -> Parameter:
    """The cyclopts parameter for an option."""
    default = option.shown_default or _shown(option.default)
    return Parameter(
        name=(option.flag, option.short) if option.short else None,
        help=option.help + (f"  [{default}]" if default else ""),
        group=_GROUPS[option.group],
        negative=None if option.can_negate else "",
        metavar=option.metavar or None,
        show_default=False,
        converter=whole if option.kind is int else None,
    )


def _shown(default: Any) -> str:
    """The default as the help shows it; empty if it is off or empty."""
    if isinstance(default, str):
        return default
    return number(default) if default else ""


def _flags(name: str, options: Iterable[Option]) -> type:
    """A record of these flags, for a command's parameter.

    It sets `__module__`, because in Python 3.11 make_dataclass would set it to a module of the
    standard library, and cyclopts treats classes from there as plain values.
    """
    return make_dataclass(
        name,
        [
            (each.key, Annotated[each.kind | None, parameter(each)], field(default=None))
            for each in options
        ],
        namespace={"__module__": __name__},
        frozen=True,
        kw_only=True,
    )


if TYPE_CHECKING:

    class Options:
        """The flags of a command line; its fields are the keys of OPTIONS, except `sources`."""

        def __init__(self, **flags: Any) -> None: ...

        def __getattr__(self, key: str) -> Any: ...

    class OnceOptions(Options):
        """Those of these flags that `framefan once` accepts."""

else:
    Options = _flags("Options", (each for each in OPTIONS.values() if each.key != "sources"))
    OnceOptions = _flags("OnceOptions", (each for each in OPTIONS.values() if each.in_once))


def given(options: Options) -> dict[str, Any]:
    """The values of the given flags, by the keys of OPTIONS."""
    return {key: value for key, value in vars(options).items() if value is not None}


def arguments(options: Options) -> list[str]:
    """The command line for these flags."""
    words = []
    for key, value in given(options).items():
        flag = OPTIONS[key].flag
        if value is True:
            words.append(flag)
        elif value is not False:
            words += [flag, str(value)]
    return words
