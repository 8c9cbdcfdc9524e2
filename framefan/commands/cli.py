"""The command line: parses it, runs the command, and shows any error in at most three lines.

Each command imports its modules inside its function, so that `--help` is fast.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import (
    App,
    CycloptsError,
    Group,
    Parameter,
)

from framefan.base import output
from framefan.commands import misuse, standard_output
from framefan.config.options import OnceOptions, Options, parameter, whole
from framefan.errors import EXIT_FAILED, EXIT_FORCED, FramefanError, RunError
from framefan.settings.options import OPTIONS, PREDICTOR_FORMS

if TYPE_CHECKING:
    from collections.abc import Sequence

_SOURCES = parameter(OPTIONS["sources"])
_OPTIONS = Parameter(name="*")
_UNSAID = Options()
_ONCE_UNSAID = OnceOptions()
_URL = Parameter(help="ws://, http:// or HOST:PORT.  [address of the run]", show_default=False)
_TOKEN_FILE = Parameter(
    help="File with the token of the run.", metavar="FILE", env_var="FRAMEFAN_TOKEN_FILE"
)
_TLS_CA = Parameter(help="Certificate to trust, if it is self-signed.", metavar="FILE")
_DURATION = Parameter(help="Stop after this many seconds.", metavar="SECONDS")
_JSON = Parameter(help="Print JSON for programs.", negative="", show_default=False)
_PREDICTOR = Parameter(
    name="--predictor",
    help="Name of the predictor, if the run has several.",
    metavar="NAME",
    negative="",
    show_default=False,
)
_NAME = Parameter(
    help="Name of the run.  [default, or the only one]", show_default=False, negative=""
)


def _version() -> str:
    from importlib.metadata import version

    return f"framefan {version('framefan')}"


app = App(
    name="framefan",
    help="Cameras and a predict(image) function in, a live feed for any number of clients out.",
    usage="Usage: framefan [run] [SOURCE ...] [OPTIONS]\n       framefan COMMAND",
    version=_version,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
    group_commands=Group("Commands", sort_key=9),
)


@app.default
def run(
    *sources: Annotated[str, _SOURCES],
    options: Annotated[Options, _OPTIONS] = _UNSAID,
) -> int:
    """Start the cameras, the predictors and the gateway; stop with Ctrl-C."""
    from framefan.config.configure import Invocation, configure
    from framefan.supervisor.startup import supervise

    invocation = Invocation(sources, options, dict(os.environ))
    settings, browse = configure(sources, options, os.environ)
    return supervise(settings, _browse if browse else _stay, invocation)


app.command(
    run,
    help="Start framefan; stop with Ctrl-C. run is the default command.",
    usage="Usage: framefan run [SOURCE ...] [OPTIONS]",
)


@app.command(usage="Usage: framefan doctor [SOURCE ...] [OPTIONS]")
def doctor(
    *sources: Annotated[str, _SOURCES],
    options: Annotated[Options, _OPTIONS] = _UNSAID,
) -> int:
    """Check whether a run with these arguments would work."""
    from framefan.commands.doctor.examine import examine

    return examine(sources, options)


@app.command(usage="Usage: framefan once [SOURCE] [OPTIONS]")
def once(
    source: Annotated[str | None, _SOURCES] = None,
    *,
    options: Annotated[OnceOptions, _OPTIONS] = _ONCE_UNSAID,
    name: Annotated[
        str, Parameter(help="Name of the temporary run.", negative="", show_default=False)
    ] = "",
    timeout: Annotated[
        float, Parameter(help="Give up after this many seconds.", metavar="SECONDS", negative="")
    ] = 30.0,
    json: Annotated[bool, _JSON] = False,
) -> int:
    """Print the first result of one source as a client receives it, and stop."""
    from framefan.commands.once import first_result

    return first_result(source, options, name, timeout, json)


@app.command(usage="Usage: framefan status [OPTIONS]")
def status(
    *, name: Annotated[str | None, _NAME] = None, json: Annotated[bool, _JSON] = False
) -> int:
    """Show the cameras, workers and clients of a run."""
    from framefan.commands.status import show

    return show(name, json)


@app.command(usage="Usage: framefan reload [OPTIONS]")
def reload(
    *, name: Annotated[str | None, _NAME] = None, json: Annotated[bool, _JSON] = False
) -> int:
    """Read the configuration file of a run again, and apply what has changed."""
    from framefan.supervisor.reload import show

    return show(name, json)


@app.command(usage="Usage: framefan scale [WORKERS] [OPTIONS]")
def scale(
    workers: Annotated[
        int | None,
        Parameter(help="New number of workers.", metavar="N", converter=whole),
    ] = None,
    /,
    *,
    gateways: Annotated[
        int | None,
        Parameter(
            help="New number of gateways; leave out WORKERS then.",
            metavar="N",
            converter=whole,
            negative="",
        ),
    ] = None,
    of: Annotated[str, _PREDICTOR] = "",
    name: Annotated[str | None, _NAME] = None,
    json: Annotated[bool, _JSON] = False,
) -> int:
    """Change the number of workers or gateways of a run; no result is lost."""
    from framefan.supervisor.scale_swap import scale as change

    return change(name, workers, gateways, of, json)


@app.command(usage="Usage: framefan swap PREDICTOR [OPTIONS]")
def swap(
    predictor: Annotated[
        str, Parameter(help=OPTIONS["predictor"].help, metavar="REF", negative="")
    ],
    /,
    *,
    of: Annotated[str, _PREDICTOR] = "",
    name: Annotated[str | None, _NAME] = None,
    json: Annotated[bool, _JSON] = False,
) -> int:
    """Change the predictor of a run, after a test on a live frame; no result is lost."""
    from framefan.supervisor.scale_swap import swap as change

    return change(name, predictor, of, json)


@app.command(usage="Usage: framefan watch [URL] [OPTIONS]")
def watch(
    url: Annotated[str | None, _URL] = None,
    *,
    name: Annotated[str | None, _NAME] = None,
    camera: Annotated[
        tuple[str, ...],
        Parameter(
            help="Camera to show, or several: a,b; can be repeated.",
            metavar="NAME",
            negative="",
            show_default=False,
        ),
    ] = (),
    max_fps: Annotated[
        float | None,
        Parameter(help="Maximum results per second, for each camera.", metavar="N"),
    ] = None,
    token_file: Annotated[str | None, _TOKEN_FILE] = None,
    tls_ca: Annotated[str | None, _TLS_CA] = None,
    duration: Annotated[float | None, _DURATION] = None,
    json: Annotated[bool, _JSON] = False,
) -> int:
    """Show the live results of a run as a client receives them; stop with Ctrl-C."""
    try:
        from framefan.commands.terminal.watch import Wanted
        from framefan.commands.terminal.watch import watch as view

        return view(Wanted(url, name, camera, max_fps, token_file, tls_ca, duration, json))
    except KeyboardInterrupt:  # before anything was shown
        return 0


@app.command(usage="Usage: framefan top [URL] [OPTIONS]")
def top(
    url: Annotated[str | None, _URL] = None,
    *,
    name: Annotated[str | None, _NAME] = None,
    token_file: Annotated[str | None, _TOKEN_FILE] = None,
    tls_ca: Annotated[str | None, _TLS_CA] = None,
    duration: Annotated[float | None, _DURATION] = None,
    json: Annotated[bool, _JSON] = False,
) -> int:
    """Show cameras, workers and the latency of each step; stop with Ctrl-C."""
    try:
        from framefan.commands.terminal.top import top as show
        from framefan.commands.terminal.watch import Wanted

        return show(Wanted(url, name, (), None, token_file, tls_ca, duration, json))
    except KeyboardInterrupt:  # before anything was shown
        return 0


@app.command
def predictors() -> int:
    """List the built-in predictors and the forms of a reference."""
    from framefan.settings.predictor_ref import BUILTIN, EXAMPLES

    rows = [f"  {name:<12}{description}\n" for name, description in BUILTIN.items()]
    lines = [f"  {line}\n" for line in EXAMPLES]
    forms = f"\nA REF is {PREDICTOR_FORMS}.\n"
    sys.stdout.write("".join(["Built in:\n", *rows, forms, "\nFor example:\n", *lines]))
    return 0


@app.command(usage="Usage: framefan examples [FOLDER]")
def examples(
    folder: Annotated[
        str, Parameter(help="A folder that is not there yet.", metavar="FOLDER", negative="")
    ] = "framefan-examples",
    /,
) -> int:
    """Copy the examples, and a model that finds the demo's shapes, into a new folder."""
    from framefan.commands.examples import copy

    return copy(folder)


@app.command(usage="Usage: framefan completion [SHELL] [OPTIONS]")
def completion(
    shell: Annotated[
        Literal["bash", "zsh", "fish"] | None,
        Parameter(help="Shell to complete in.  [the shell that runs this]", metavar="SHELL"),
    ] = None,
    /,
    *,
    install: Annotated[
        bool, Parameter(help="Install it for this user.", negative="", show_default=False)
    ] = False,
) -> int:
    """Print the script with which a shell completes commands and flags."""
    from framefan.commands.completion import show

    return show(app, shell, install)


def _stay(_url: str) -> None:
    """Open nothing."""


def _browse(url: str) -> None:
    """Open the page in a thread, because some browsers return only when they are closed."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def execute(tokens: Sequence[str]) -> int:
    """Run one command line. Returns the exit code; errors are printed on stderr."""
    try:
        code = app(
            list(tokens), exit_on_error=False, print_error=False, result_action="return_value"
        )
        sys.stdout.flush()  # here, where a full disk can still be reported
    except CycloptsError as error:
        return _fail(misuse.explain(error, list(tokens)), tokens)
    except FramefanError as error:
        return _fail(error, tokens)
    except KeyboardInterrupt:
        return EXIT_FORCED
    except BrokenPipeError:  # `framefan status | head`: the reader has closed the pipe
        standard_output.give_up(sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - the process border: print the error, then exit
        return _fail(
            RunError(
                f"internal error: {type(error).__name__}: {error}",
                "",
                "run it again with --log-level debug and report what it prints",
            ),
            tokens,
        )
    return int(code or 0)


def _fail(error: FramefanError, tokens: Sequence[str]) -> int:
    from framefan.base import logs

    if _debugs(tokens):
        logs.say(logs.clean(traceback.format_exc().rstrip()))
    logs.say(logs.clean("\n".join(error.lines())))
    return error.exit_code


def _debugs(tokens: Sequence[str]) -> bool:
    flags = " ".join(tokens).replace("=", " ")
    return "--log-level debug" in flags or os.environ.get("FRAMEFAN_LOG_LEVEL") == "debug"


def _hide_addresses() -> None:
    """Hide argv before anything else: it may contain a password, and every user can read it."""
    if any("://" in each for each in sys.argv):
        import setproctitle

        setproctitle.setproctitle("framefan")


def _open_missing() -> None:
    """Open standard streams that were closed at the start, so that printing does not fail.

    Otherwise the next file or socket would get the number of the closed stream.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for fd, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            stream = open(fd, "w" if fd else "r", closefd=False)  # noqa: SIM115 - open until exit
            setattr(sys, name, stream)


def main() -> None:
    _open_missing()
    standard_output.prepare()
    _hide_addresses()
    output.end_at_once(execute(sys.argv[1:]))
