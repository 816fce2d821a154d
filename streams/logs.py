"""Logs: one shape for every process, on standard error; JSON lines, or plain ones on a terminal.

A line has `time` (ISO 8601, UTC), `level`, `process` (daemon, ingest, gateway, learner, engine),
`message`, and what the message adds: `generation` where it is about one answer, `request` where the
caller gave its request an id; `exception` is a stack trace as text. Nothing that a person or a model
wrote is in it (`exception_text`). Modules write with `structlog.get_logger()`; what libraries write with
`logging` gets the same shape, from warnings on.
"""

import contextlib
import logging
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from .exception_text import exception_trace

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
FORMATS = ("auto", "json", "text")
"""`auto` is text on a terminal and JSON anywhere else."""
LINES: Counter[str] = Counter()
"""Lines that this process wrote, by level; a warning that a library wrote is one too."""
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Levels as syslog numbers them, and so `journalctl -p`."""
LEVEL_VARIABLE = "RLWD_LOG_LEVEL"
"""Environment variable that names the level; it wins over the config file."""
FORMAT_VARIABLE = "RLWD_LOG_FORMAT"
"""Environment variable that names the format; it wins over the config file."""


_RENAMED = structlog.processors.EventRenamer("message")


def log_to_stderr(
    process: str, level: str = "info", form: str = "auto", *, stream: TextIO | None = None
) -> None:
    """Write every log line of this process, its libraries' and its last error too.

    Processes that it starts use the same level and format. Raises ValueError for one that is none.
    """
    level = _chosen(LEVEL_VARIABLE, level, tuple(LEVELS))
    form = _chosen(FORMAT_VARIABLE, form, FORMATS)
    stream = sys.stderr if stream is None else stream

    def name_process(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        return {"process": process, **line}

    def count(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        LINES[line["level"]] += 1
        return line

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        name_process,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.add_log_level,
        count,
    ]
    marks = {one: journal_mark(one, stream) for one in PRIORITIES}
    renderer = _renderer(stream.isatty() if form == "auto" else form == "text", marks)
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        # One write for a line: two threads never share one.
        logger_factory=structlog.WriteLoggerFactory(_Lines(stream)),  # type: ignore[arg-type]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        )
    )
    # Libraries tell too much at debug and info: Kafka's client writes several lines for a record.
    library_level = logging.INFO if level == "debug" else max(LEVELS[level], logging.WARNING)
    logging.basicConfig(level=library_level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _log_last_error
    threading.excepthook = _log_thread_error


class _Lines:
    """Takes lines for a stream; what it does not take, on a full disk or a terminal that was closed, is left out.

    Whoever logs is in the middle of something: an answer, or the thread that carries records.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, line: str) -> None:
        """Write, or leave it out."""
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(line)

    def flush(self) -> None:
        """Likewise."""
        with contextlib.suppress(OSError, ValueError):
            self.stream.flush()


def journal_mark(level: str, stream: TextIO | None = None) -> str:
    """Return what goes before a line of this level where a stream leads into systemd's journal; else nothing.

    The journal takes it off, and files the line by it (sd-daemon(3)); without one every line is `info`,
    and whoever asks for errors sees none.
    """
    try:
        at = os.fstat((sys.stderr if stream is None else stream).fileno())
    except (OSError, ValueError):
        return ""
    leads = os.environ.get("JOURNAL_STREAM") == f"{at.st_dev}:{at.st_ino}"
    return f"<{PRIORITIES[level]}>" if leads else ""


def _chosen(variable: str, configured: str, known: tuple[str, ...]) -> str:
    """Return what the environment says, or else the configuration; processes started here inherit it."""
    said = (os.environ.get(variable) or configured).lower()
    if said not in known:
        raise ValueError(f"{variable}: {said!r} is none of {', '.join(known)}")
    os.environ[variable] = said
    return said


def _renderer(text: bool, marks: Mapping[str, str]) -> list[Processor]:
    """Return what makes a line of what is logged; `marks` go before it, by level."""
    said: Callable[..., Any]
    if text:
        said, renamed = structlog.dev.ConsoleRenderer(timestamp_key="time"), []
    else:
        said, renamed = structlog.processors.JSONRenderer(), [_RENAMED]

    def marked(logger: WrappedLogger, method: str, line: EventDict) -> str:
        mark = marks[line["level"]]
        return mark + str(said(logger, method, line))

    return [_tell_exception, *renamed, marked]


def _tell_exception(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Put an exception's trace into the line as text, without what it quotes."""
    told = line.pop("exc_info", None)
    if told is True:
        told = sys.exc_info()
    error = told[1] if isinstance(told, tuple) else told
    if isinstance(error, BaseException):
        line["exception"] = exception_trace(error)
    return line


def _log_last_error(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    structlog.get_logger().critical("process_ends", exc_info=(kind, error, trace))


def _log_thread_error(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_type is SystemExit:
        return
    told: Any = (ended.exc_type, ended.exc_value, ended.exc_traceback)
    name = "" if ended.thread is None else ended.thread.name
    structlog.get_logger().error("thread_ends", thread=name, exc_info=told)
