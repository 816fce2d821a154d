"""Keep watch: one work tree, looked at again and again, and what it says posted at the horizons."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import structlog

from ...rewards.parts.kept import kept
from ...rewards.spec.spec import DAY, Spec
from ...streams.state.sqlite import SqliteStore
from .commit_trailers import take_trailers
from .git_repository import GitIsSlow, GitRepository
from .keep_state import open_state
from .look import SETTLED, TreeLook
from .measure import HORIZONS, measure_due, place_name
from .posting import FeedbackPoster
from .work_tree import WorkTree
from .written_edit import WrittenEdit, record_edit

log = structlog.get_logger()


def spec_horizons(spec: Spec) -> tuple[float, ...]:
    """Return the horizons of a reward spec's `kept@SECONDS` parts, and that of the one that decides.

    The usual ones where it has no such part. Those beyond which a part counts no `kept` are left out.
    """
    longest = spec.horizons.get("kept", DAY)
    named = [
        (float(term.value.keywords["horizon_seconds"]), term.horizon or longest)
        for term in spec.terms[0]
        if isinstance(term.value, partial) and term.value.func is kept
    ]
    asked = named or [(one, longest) for one in HORIZONS]
    if spec.decides.kept_seconds is not None:
        asked.append((spec.decides.kept_seconds, longest))
    return tuple(sorted({one for one, until in asked if 0.0 < one < until}))


@dataclass(slots=True, kw_only=True)
class KeepWatch:
    """Watches one work tree."""

    repository: GitRepository
    """Whose files are looked at."""
    store: SqliteStore
    """What is remembered."""
    horizons: Sequence[float]
    """Seconds after an edit at which it is measured."""
    poster: FeedbackPoster | None = None
    """Where feedback goes; None only measures."""
    settled: float = SETTLED
    """Seconds for which a file that was just written is left alone."""
    _place: str = field(init=False)

    def __post_init__(self) -> None:
        self._place = place_name(str(self.repository.git_dir))

    def record(self, edits: Sequence[WrittenEdit], folder: Path, now: float) -> list[str]:
        """Watch what edits wrote; return what is to be said of each, in order."""
        said = []
        with self.store.transaction() as tx:
            tree = WorkTree.of(self.repository, now)
            for edit in edits:
                try:
                    count = record_edit(tree, tx, edit, folder)
                except ValueError as problem:
                    said.append(f"not watched: {problem}")
                else:
                    said.append(f"{edit.file}: {count} lines of {edit.generation_id} are watched")
        return said

    def turn(self, now: float) -> int:
        """Look, measure what is due and post it; return how much feedback waits for the gateway."""
        if not self.repository.is_busy():
            with self.store.transaction() as tx:
                tree = WorkTree.of(self.repository, now)
                take_trailers(tree, tx)
                TreeLook(tree, tx).take(self.settled)
                measure_due(tx, self._place, self.horizons, now)
        return 0 if self.poster is None else self.poster.post(now)

    def watch(self, seconds: float, stop: threading.Event) -> None:
        """Take turns until told to stop, or until the work tree is gone."""
        while not stop.is_set():
            if not self.repository.git_dir.exists():
                log.info("work_tree_gone", folder=str(self.repository.top))
                return
            try:
                self.turn(time.time())
            except GitIsSlow as problem:
                log.warning("git_is_slow", why=str(problem))
            stop.wait(seconds)


def open_watch(
    folder: Path, horizons: Sequence[float], client: httpx.Client | None = None
) -> KeepWatch:
    """Open the watch of the work tree around a folder; its caller closes the store.

    Raises ValueError where there is none.
    """
    repository = GitRepository.at(folder)
    store = open_state(repository.git_dir)
    poster = None if client is None else FeedbackPoster(store=store, client=client)
    return KeepWatch(repository=repository, store=store, horizons=horizons, poster=poster)
