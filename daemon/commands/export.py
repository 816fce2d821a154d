"""Export: `rlwd export`, sessions of the state as traces that other tools read."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from ...streams.ending_signals import unwinding
from ...streams.redaction.privacy import PrivacySettings
from ...streams.state.store import Store
from ...streams.writers.atif_writer import trajectories
from ...streams.writers.export_check import ExportRefused, check_answer
from ...streams.writers.exported import ExportedSession, exported_sessions
from ...streams.writers.otel_writer import otlp_documents
from ..config import Config
from ..shown_json import escaped
from ..store import existing_store

Writer = Callable[[ExportedSession], Iterable[dict[str, Any]]]

REFUSED = 2
"""Status of an export that would have held what redaction replaces."""

WRITERS: dict[str, Writer] = {"atif": trajectories, "otel-genai": otlp_documents}
"""By the name of the format; each yields the documents of a session."""


def run_export(config: Config, format: str, to: Path | None, session: str | None = None) -> int:
    """Write the sessions, and say on standard error how many; return 1 where there is none, 2 where refused."""
    store = existing_store(config)
    try:
        with _opened(to) as file:
            sessions, answers = export(
                store, config.policy, WRITERS[format], file, session, config.privacy
            )
    except ExportRefused as problem:
        print(f"nothing is written: {problem}", file=sys.stderr)
        return REFUSED
    finally:
        store.close()
    print(f"{answers} answers of {sessions} sessions", file=sys.stderr)
    return 0 if answers else 1


def export(
    store: Store,
    policy: str,
    write: Writer,
    file: BinaryIO,
    session: str | None = None,
    privacy: PrivacySettings | None = None,
) -> tuple[int, int]:
    """Write the sessions of a state to a file, a document a line; return sessions and answers.

    Raises ExportRefused, with nothing written, where one holds what redaction would replace.
    """
    sessions, answers, line = 0, 0, _shown_line if file.isatty() else _line
    privacy = privacy or PrivacySettings()
    with store.reading() as view:
        for one in exported_sessions(view, policy, session, privacy):
            for answer in one.answers:
                check_answer(answer, privacy.exempts(answer.event.data.tenant))
        for one in exported_sessions(view, policy, session, privacy):
            file.writelines(line(document) for document in write(one))
            sessions += 1
            answers += len(one.answers)
    return sessions, answers


def _line(document: Any) -> bytes:
    return orjson.dumps(document) + b"\n"


def _shown_line(document: Any) -> bytes:
    return escaped(_line(document).decode()).encode()


@contextlib.contextmanager
def _opened(to: Path | None) -> Iterator[BinaryIO]:
    """Open a file that is there whole, readable by its owner alone, or not at all.

    What stands there and is no file, as a pipe or /dev/null, is written to and never replaced. Raises
    IsADirectoryError, before anything is read, for a folder.
    """
    if to is None:
        yield sys.stdout.buffer
        return
    # A link goes on leading where it led.
    to = to.resolve()
    if to.exists() and not to.is_file():
        with to.open("wb") as file:
            yield file
        return
    with unwinding():
        handle, part = tempfile.mkstemp(prefix=f"{to.name}.", suffix=".part", dir=to.parent)
        try:
            with open(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, to)
        finally:
            Path(part).unlink(missing_ok=True)
