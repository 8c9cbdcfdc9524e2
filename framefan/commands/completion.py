"""`framefan completion`: the script with which a shell completes commands and flags."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

from cyclopts.completion.detect import ShellDetectionError, detect_shell

from framefan.errors import EXIT_OK, StartError, UsageError

if TYPE_CHECKING:
    from cyclopts import App

Shell = Literal["bash", "zsh", "fish"]
_SHELLS: tuple[Shell, ...] = ("bash", "zsh", "fish")


def show(app: App, shell: Shell | None, install: bool) -> int:
    """Print the script, or install it for this user and print where.

    `shell`: None: the shell that runs this command. Raises UsageError, or StartError if the script
    cannot be written.
    """
    shell = shell or _detect()
    if not install:
        sys.stdout.write(app.generate_completion(shell=shell))
        return EXIT_OK
    try:
        path = app.install_completion(shell=shell)
    except OSError as error:
        raise StartError(
            f"the completion script cannot be written to {error.filename or shell}",
            error.strerror or str(error),
            f"write it yourself: framefan completion {shell} > FILE",
        ) from error
    sys.stdout.write(f"{path} is installed; new shells complete framefan\n")
    return EXIT_OK


def _detect() -> Shell:
    try:
        found = detect_shell()
    except ShellDetectionError:
        found = None
    for shell in _SHELLS:
        if shell == found:
            return shell
    raise UsageError(
        "this shell is not known",
        f"completion works in {', '.join(_SHELLS)}",
        "name one of them: framefan completion bash",
    )
