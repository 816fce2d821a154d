"""Began with: the version of its parent's that a specialist's v0 has its weights from, and whether it still stands.

The parent goes on by itself, and may take that version back when nothing of it is left there; in the
specialist it stays, since every version there was made from it.
"""

from collections.abc import Collection
from pathlib import Path

import msgspec

from ..learner.candidate import sequence_of
from ..learner.checkpoint.folder import read_manifest, read_manifests, sequences
from ..learner.ledger.lineage import Lineage
from ..ops.rollout import champions_table
from ..ops.rollout.unfit import taken_back
from .config import Config, load_config
from .specialist_file import FOLDER
from .store import state_view


class Since(msgspec.Struct, frozen=True, kw_only=True):
    """What a specialist began with, and where its parent is now."""

    version: str
    """The parent's version that v0 has its weights from; all of its versions were made from that one."""
    parent_champion: str
    """The parent's champion now, of which it has nothing beyond what the two have in common."""
    say: str
    """Both, for people."""


class BeganWith:
    """What a specialist began with. Only reads, its own checkpoints and its parent's tables."""

    def __init__(self, config: Config) -> None:
        """Raise ValueError where the parent's config cannot be read."""
        self.policy, self.checkpoints = config.policy, config.state_path / "checkpoints"
        self.parent = load_config(Path(config.parent)) if config.parent else None
        self._version = ""

    @property
    def version(self) -> str:
        """The parent's version; empty without a parent, before v0, or where v0 is the base model.

        Raises ValueError where v0's manifest is damaged.
        """
        if self.parent is not None and not self._version:
            self._version = _started_from(self.checkpoints)
        return self._version

    def since(self) -> Since | None:
        """Return what it began with and the parent's champion now; None without one of them.

        Raises ValueError, ConnectionError or sqlite3.Error where the parent's tables cannot be read.
        """
        version, parent = self.version, self.parent
        if parent is None or not version:
            return None
        with state_view(parent.state_database) as view:
            found = champions_table.find_champion(view, parent.policy)
        if found is None:
            return None
        now = found.version
        gone_on = f"{parent.policy}'s champion is {now} now, and nothing here was made from that"
        still = f"it still is {parent.policy}'s champion"
        say = f"began with {version}: {still if now == version else gone_on}"
        return Since(version=version, parent_champion=now, say=say)

    def problem(self) -> str:
        """Return what is wrong with it, and what to do; empty where it stands.

        Raises ValueError, ConnectionError or sqlite3.Error where the parent's tables cannot be read.
        """
        version, parent = self.version, self.parent
        if parent is None or not version:
            return ""
        with state_view(parent.state_database) as view:
            found = taken_back(view, parent.policy, version)
        if found is None:
            return ""
        refused, reason = found
        through = "" if refused == version else f"made from {refused}, "
        return (
            f"{self.policy} began with {version}, {through}which {parent.policy} took back ({reason});"
            f" all of its versions were made from it. Give it another name in [specialists]: its people"
            f" get {parent.policy}'s champion, and the next one begins with that (docs/specialists.md,"
            " Beginning anew)"
        )


def began_with_any(config: Config, versions: Collection[str]) -> dict[str, str]:
    """Return a parent's specialists that began with one of these versions, or with what was made of one.

    By name, with what each began with.
    """
    folders = sorted((config.state_path / FOLDER).glob("*/checkpoints")) if versions else ()
    started = {folder.parent.name: _started_from(folder) for folder in folders}
    if not any(started.values()):
        return {}
    lineage = Lineage(read_manifests(config.state_path / "checkpoints"))
    return {
        name: version
        for name, version in started.items()
        if version
        and not {version, *(one.version for one in lineage.chain(sequence_of(version)))}.isdisjoint(
            versions
        )
    }


def _started_from(checkpoints: Path) -> str:
    known = sequences(checkpoints)
    return read_manifest(checkpoints, known[0]).started_from if known else ""
