"""Flag file: what the store decided of one policy, as a file for gateways (CONTRACTS 22)."""

from pathlib import Path
from typing import Any

import orjson
import structlog

from ...streams.state.durable import replace_file
from .flag_state import FlagState, to_document, to_state

log = structlog.get_logger()


def read_flags(path: Path) -> FlagState | None:
    """Return what the file says; None where there is no file.

    Raises ValueError, naming the file, where it is not a flag file of ours.
    """
    try:
        return to_state(orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from problem


def write_flags(path: Path, document: dict[str, Any]) -> FlagState:
    """Replace the flag file atomically and durably, read it back, and return what it says now.

    Always a new file with the present time: flagd's file mode never sees one whose time goes back
    (measured), so an old file is never restored. Raises ValueError, and writes nothing, for a
    document that `to_state` refuses or a generation that does not grow; RuntimeError where what is
    read back is not what was written (two writers). A damaged file is replaced.
    """
    state = to_state(document)
    present = generation_of(path)
    if state.generation <= present:
        raise ValueError(
            f"{path}: generation {state.generation} would not grow: the file is at {present}"
        )
    raw = render_flags(document)
    replace_file(path, raw, mode=0o644)
    if path.read_bytes() != raw:
        raise RuntimeError(f"{path}: another writer replaced it; a flag file has one writer")
    return state


def generation_of(path: Path) -> int:
    """Return the file's generation; 0 where there is no file, or none that can be read."""
    try:
        present = read_flags(path)
    except ValueError as problem:
        log.warning("flag_file_damaged", problem=str(problem))
        return 0
    return 0 if present is None else present.generation


def file_says(path: Path, state: FlagState) -> bool:
    """Return whether the file is, byte for byte, the one that is written of this state."""
    try:
        return path.read_bytes() == render_flags(to_document(state))
    except FileNotFoundError:
        return False


def render_flags(document: dict[str, Any]) -> bytes:
    """Return a document as the flag file has it."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2)


def named_in(flags: FlagState | None) -> set[str]:
    """Return the versions that a flag file sends requests to."""
    if flags is None:
        return set()
    served = (flags.champion, flags.anchor, flags.candidate, flags.control, flags.shadow)
    tried = () if flags.experiment is None else (flags.experiment.served,)
    return {one.version for one in (*served, *tried) if one is not None}
