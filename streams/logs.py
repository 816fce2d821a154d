"""Logs: one shape for every process, on standard error; JSON lines, or plain ones on a terminal.

A line has `level`, `timestamp` (ISO 8601, UTC), `process` (daemon, ingest, gateway, learner, engine),
`event`, and what the event adds; `exception` is a stack trace as text. Modules write with
`structlog.get_logger()`; what libraries write with `logging` gets the same shape, from warnings on.
"""

import logging
import os
import sys
import threading
from collections import Counter
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
LINES: Counter[str] = Counter()
"""Lines that this process wrote, by level; a warning that a library wrote is one too."""
LEVEL_VARIABLE = "RLWD_LOG_LEVEL"
"""Environment variable that names the level; it wins over the config file."""


def log_to_stderr(process: str, level: str = "info", *, stream: TextIO | None = None) -> None:
    """Write every log line of this process, its libraries' and its last error too.

    Processes that it starts use the same level. Raises ValueError for a level that is none.
    """
    level = os.environ.get(LEVEL_VARIABLE) or level
    if level.lower() not in LEVELS:
        raise ValueError(f"{LEVEL_VARIABLE}: {level!r} is none of {', '.join(LEVELS)}")
    os.environ[LEVEL_VARIABLE] = level = level.lower()
    stream = sys.stderr if stream is None else stream

    def name_process(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        return {"process": process, **line}

    def count(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        LINES[line["level"]] += 1
        return line

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        name_process,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.add_log_level,
        count,
    ]
    renderer = _renderer(stream.isatty())
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        # One write for a line: two threads never share one.
        logger_factory=structlog.WriteLoggerFactory(stream),
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


def _renderer(terminal: bool) -> list[Processor]:
    if terminal:
        plain = structlog.dev.plain_traceback
        return [structlog.dev.ConsoleRenderer(exception_formatter=plain)]
    # Not repr of the exception: its address says nothing.
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


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
