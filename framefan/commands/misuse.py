"""What is wrong with a command line, in the form of our other errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cyclopts import UnknownOptionError, UnusedCliTokensError

from framefan.errors import UsageError

if TYPE_CHECKING:
    from cyclopts import CycloptsError


def explain(error: CycloptsError, tokens: list[str]) -> UsageError:
    """The error with the command's own help; surplus words have a message of their own."""
    command = " ".join(("framefan", *(error.command_chain or ())))
    why = f"`{command} --help` lists the options and their values"
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        words = " ".join(error.unused_tokens)
        return UsageError(f"`{command}` takes no argument: {words}", why, "leave it out")
    if isinstance(error, UnknownOptionError):
        word = error.token.keyword or error.token.value
        return _no_option(word, command, tokens) or UsageError(_sentence(error), why)
    return UsageError(_sentence(error), why)


def _no_option(word: str, command: str, tokens: list[str]) -> UsageError | None:
    """The error for a word that starts with a dash but is no misspelt option."""
    from framefan.settings import source_spec  # it loads msgspec, and `--help` has to be fast

    if word == "-":
        return source_spec.not_read(word)
    _, separator, others = " ".join(tokens).partition(" -- ")
    if separator and word in others.split():
        return UsageError(
            f"`{command}` takes no argument: {word}",
            "after `--` every word is a source",
            "put options before `--`",
        )
    if source_spec.is_file(word):
        return UsageError(
            f"there is no option {word}",
            "a word that starts with a dash is an option",
            f"there is a file with that name: write ./{word}",
        )
    return None


def _sentence(error: CycloptsError) -> str:
    """Cyclopts' message in our format: one line, lower-case start, no full stop."""
    text = " ".join(str(error).split()).rstrip(".")
    return text[:1].lower() + text[1:]
