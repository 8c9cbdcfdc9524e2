"""The log of all processes: one format, on stderr, without any known secret.

Writing a line does not block, or in a command only briefly: see output.py.

It uses the standard library's logging. structlog would add 110 ms to the start and every restart of
each process.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

from framefan.base.output import Direct, Queued
from framefan.settings.secret import Redaction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from framefan.base.output import Sink
    from framefan.settings.run import Settings

_PATIENCE_S = 10.0
"""How long a command waits for a slow reader of its output; it has nothing else to do."""
_LAST_S = 0.5
"""How long writing the last lines of a run may take."""

_redaction = Redaction()
_MARKS = ("event", "camera", "state")
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class _Formatter(logging.Formatter):
    def __init__(self, process: str, as_json: bool) -> None:
        super().__init__()
        self._process = process
        self._as_json = as_json

    def of_another(self, line: str, process: str) -> str:
        """A line that `process` wrote, as this log has it: in a JSON log each line is an object."""
        if not self._as_json or _is_object(line):
            return line
        record = logging.LogRecord("framefan", logging.INFO, "", 0, line, (), None)
        record.facts = {"event": "output"}
        return _Formatter(process, as_json=True).format(record)

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] = getattr(record, "facts", {})
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        if self._as_json:
            head = {
                "ts": round(record.created, 3),
                "time": _iso(record.created),
                "level": record.levelname.lower(),
            }
            whole = head | {"process": self._process, "message": message} | facts
            # Mask before escaping: an escaped secret would not be recognised.
            told = {
                key: clean(each) if isinstance(each, str) else each for key, each in whole.items()
            }
            return clean(json.dumps(told, default=lambda each: clean(str(each))))
        if "event" in facts:  # facts for programs, which the message already contains
            facts = {key: value for key, value in facts.items() if key not in _MARKS}
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        tail = "".join(f"  {key}={value}" for key, value in facts.items())
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return clean(
            f"{clock}.{int(record.msecs):03d}  {self._process:<10}  {level}{message}{tail}"
        )


def _is_object(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _iso(seconds: float) -> str:
    """`2026-11-28T15:57:10.123Z`."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _sink.put(self.format(record))


_formatter = _Formatter("", as_json=False)


def _dropped(lines: int) -> str:
    """The line that reports how many lines were dropped."""
    message = f"{lines} lines of the log were dropped: nobody took them"
    return _formatter.format(_log.makeRecord(_log.name, logging.WARNING, "", 0, message, (), None))


_sink: Sink = Direct(_dropped, _PATIENCE_S)


def never_wait() -> None:
    """Never block on stderr. For a child, whose stderr is a pipe that the supervisor reads."""
    global _sink  # noqa: PLW0603
    _sink = Direct(_dropped)


@contextlib.contextmanager
def queued() -> Iterator[None]:
    """Within this context a thread writes the output of this process and its children."""
    global _sink  # noqa: PLW0603
    queue = _sink = Queued(_dropped)
    try:
        yield
    finally:
        queue.close(_LAST_S)
        _sink = Direct(_dropped, _LAST_S)


def say(text: str) -> None:
    """Print text that is not a log line and contains no secrets."""
    _sink.put(text)


def pass_on(line: str, process: str) -> None:
    """Print a line that a child wrote, without its secrets. In a JSON log, what is no JSON object
    becomes the message of one, with `event` "output".
    """
    _sink.put(_formatter.of_another(line, process))


def configure(settings: Settings, process: str) -> None:
    """Set up this process's log; `process` is its name in each line."""
    # A process has one log and one set of secrets.
    global _redaction, _formatter  # noqa: PLW0603
    sources = (camera.source for camera in settings.cameras)
    _redaction = Redaction(settings.token, settings.publish_keys.secret, *sources)
    _formatter = _Formatter(process, settings.log_format == "json")
    handler = _Handler()
    handler.setFormatter(_formatter)
    root = logging.getLogger("framefan")
    root.handlers = [handler]
    root.propagate = False
    root.setLevel(_LEVELS[settings.log_level])


def clean(text: str) -> str:
    """The text without any secret that this process knows."""
    return _redaction.clean(text)


_log = logging.getLogger("framefan")


def debug(message: str, /, **facts: Any) -> None:
    _log.debug(message, extra={"facts": facts})


def info(message: str, /, **facts: Any) -> None:
    _log.info(message, extra={"facts": facts})


def warning(message: str, /, **facts: Any) -> None:
    _log.warning(message, extra={"facts": facts})


def error(message: str, /, **facts: Any) -> None:
    _log.error(message, extra={"facts": facts})


def exception(message: str, /, **facts: Any) -> None:
    """Log the current exception, with its traceback at debug level only, for developers."""
    error = sys.exception()
    facts = {"why": f"{type(error).__name__}: {error}", "at": _place(error)} | facts
    _log.error(message, exc_info=_log.isEnabledFor(logging.DEBUG), extra={"facts": facts})


def _place(error: BaseException | None) -> str:
    """The innermost line that raised it."""
    frames = traceback.extract_tb(error.__traceback__) if error else []
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
