"""Weights check: versions of full weights, before any server is started with them; and whatever a version is.

What was read is remembered with the files' sizes and times: a gate asks each turn.
"""

from concurrent.futures import Future
from pathlib import Path

from ...learner.candidate import Candidate
from ...learner.checkpoint.folder import chain_problem
from ...learner.checkpoint.weight_link import LINK, TENSORS, WEIGHTS, chain, link_path
from .adapter_check import EXPONENTS, DamagedAdapter, check_adapter, finite, reading, tensors_in
from .threads import Submit, run_in_thread

Signature = tuple[tuple[str, int, int, int], ...]


def is_full(candidate: Candidate) -> bool:
    """Whether a version is full weights, and no adapter."""
    return candidate.path.name == WEIGHTS


def check_weights(candidate: Candidate) -> None:
    """Return where a version's links are all there, are those that were written, and are finite.

    Raises DamagedAdapter naming the file that is missing or changed, and otherwise ValueError naming the
    weight that is not finite. Of the links below only the digests are looked at: they were versions too.
    """
    with reading(candidate.path):
        _check_links(candidate)


def _check_links(candidate: Candidate) -> None:
    checkpoint = candidate.path.parent
    problem = chain_problem(checkpoint.parent, int(checkpoint.name), candidate.digest)
    if problem is not None:
        raise DamagedAdapter(problem)
    path = candidate.path / TENSORS
    if not path.is_file():
        return  # Nothing of its own: it has another version's.
    for name, kind, words in tensors_in(path):
        if kind in EXPONENTS and not finite(kind, words):
            raise ValueError(f"{path}: weight {name} is not finite")


class VersionCheck:
    """Checks versions, whatever they are; full weights on a thread of their own where it is not waited for."""

    def __init__(self, submit: Submit[None] | None = None) -> None:
        self._submit = submit or run_in_thread
        self._sound: dict[str, Signature] = {}
        self._under_way: dict[str, tuple[Signature, Future[None]]] = {}

    def now(self, candidate: Candidate) -> None:
        """Return where a version is sound; raises as `check_adapter` and `check_weights` do."""
        if not is_full(candidate):
            check_adapter(candidate.path, candidate.digest)
            return
        found = _signature(candidate)
        if self._sound.get(candidate.digest) != found:
            check_weights(candidate)
            self._sound = {candidate.digest: found, **dict(list(self._sound.items())[:7])}

    def begun(self, candidate: Candidate) -> bool:
        """Return True where a version is sound, False while its weights are read; raises as `now` does."""
        if not is_full(candidate):
            self.now(candidate)
            return True
        found = _signature(candidate)
        if self._sound.get(candidate.digest) == found:
            return True
        under_way = self._under_way.get(candidate.digest)
        if under_way is None or under_way[0] != found:
            under_way = found, self._submit(lambda: check_weights(candidate))
            self._under_way = {candidate.digest: under_way}
        if not under_way[1].done():
            return False
        del self._under_way[candidate.digest]
        under_way[1].result()
        self._sound = {candidate.digest: found}
        return True


def _signature(candidate: Candidate) -> Signature:
    """Return what changes where a file of a version changes; DamagedAdapter where a link is missing."""
    folder, sequence = candidate.path.parent.parent, int(candidate.path.parent.name)
    try:
        links = [link_path(folder / f"{one:06d}") for one in chain(folder, sequence)]
        return tuple(_stated(link / name) for link in links for name in (LINK, TENSORS))
    except (OSError, ValueError) as problem:
        raise DamagedAdapter(str(problem)) from problem


def _stated(path: Path) -> tuple[str, int, int, int]:
    if not path.exists():
        return str(path), 0, 0, 0
    found = path.stat()
    return str(path), found.st_size, found.st_mtime_ns, found.st_ino
