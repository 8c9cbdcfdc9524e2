"""Log lines of all processes: one format, to stderr, with every known secret taken out.

The standard library's logging does it: structlog, which we would otherwise take, costs each of
our processes 110 ms of start, and a restart is counted in those.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from framefan.secret import Redaction

if TYPE_CHECKING:
    from framefan.settings import Settings

_redaction = Redaction()
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class _Formatter(logging.Formatter):
    def __init__(self, process: str, as_json: bool) -> None:
        super().__init__()
        self._process = process
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] = getattr(record, "facts", {})
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        if self._as_json:
            head = {"ts": round(record.created, 3), "level": record.levelname.lower()}
            whole = head | {"process": self._process, "message": message} | facts
            # Before it is escaped: a secret in another spelling would not be known.
            told = {
                key: clean(each) if isinstance(each, str) else each for key, each in whole.items()
            }
            return clean(json.dumps(told, default=lambda each: clean(str(each))))
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        tail = "".join(f"  {key}={value}" for key, value in facts.items())
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return clean(
            f"{clock}.{int(record.msecs):03d}  {self._process:<10}  {level}{message}{tail}"
        )


_formatter = _Formatter("", as_json=False)


def configure(settings: Settings, process: str) -> None:
    """Set up this process's log; `process` is the name its lines begin with."""
    # The log is the process's own, and so are its secrets.
    global _redaction, _formatter  # noqa: PLW0603
    sources = (camera.source for camera in settings.cameras)
    _redaction = Redaction(settings.token, settings.publish_keys.secret, *sources)
    _formatter = _Formatter(process, settings.log_format == "json")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter)
    root = logging.getLogger("framefan")
    root.handlers = [handler]
    root.propagate = False
    root.setLevel(_LEVELS[settings.log_level])


def clean(text: str) -> str:
    """Text for people, without any secret that this process knows."""
    return _redaction.clean(text)


_log = logging.getLogger("framefan")


def debug(message: str, /, **facts: Any) -> None:
    _log.debug(message, extra={"facts": facts})


def info(message: str, /, **facts: Any) -> None:
    _log.info(message, extra={"facts": facts})


def warning(message: str, /, **facts: Any) -> None:
    _log.warning(message, extra={"facts": facts})


def warning_text(message: str) -> str:
    """The line that `warning` would write, for those who must not wait until it is written."""
    level = logging.WARNING
    return _formatter.format(_log.makeRecord(_log.name, level, "", 0, message, (), None))


def error(message: str, /, **facts: Any) -> None:
    _log.error(message, extra={"facts": facts})


def exception(message: str, /, **facts: Any) -> None:
    """With the traceback at debug level only: people get the line, developers the rest."""
    _log.error(message, exc_info=_log.isEnabledFor(logging.DEBUG), extra={"facts": facts})
