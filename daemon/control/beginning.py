"""Beginning: when a specialist makes its v0, and from which weights."""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from ...learner.candidate import Manifest, sequence_of
from ...learner.checkpoint.folder import START, read_manifest, sequences, weights_path
from ...learner.digests import adapter_digest
from ...learner.process.supervisor import LearnerSupervisor
from ...ops.flags.flag_file import read_flags
from ...streams.events.stage import EpisodeStage
from ...streams.state.durable import fsync
from ...streams.state.store import Store
from ..callers.specialists import SpecialistSettings
from ..config import Config, load_config

LOOK_SECONDS = 1.0


def beginning(config: Config, store: Store, child: LearnerSupervisor) -> Callable[[float], str]:
    """Return what says why a policy's learner is not started yet; of one without a parent it always is.

    Raises ValueError where the parent's config cannot be read, or has adapters of another shape.
    """
    own = config.specialist
    if own is None:
        return lambda now: ""
    parent = load_config(Path(config.parent))
    ours, theirs = config.learner, parent.learner
    if own.start == "parent" and (
        (ours.lora_rank, ours.lora_alpha) != (theirs.lora_rank, theirs.lora_alpha)
    ):
        raise ValueError(
            "learner.lora_rank: with lora_alpha, has to be the parent's, whose weights it starts from"
            ' (or specialists.NAME.start = "base")'
        )
    return Beginning(config, own, parent, store, child).waits


class Beginning:
    """A specialist before its v0: it gathers answers, and then takes its parent's champion's weights.

    They are copied into its own state before its learner is started, so that it starts from the same ones
    whenever it dies, and needs the parent no more.
    """

    def __init__(
        self,
        config: Config,
        settings: SpecialistSettings,
        parent: Config,
        store: Store,
        child: LearnerSupervisor,
    ) -> None:
        self.policy, self.settings, self.store, self.child = config.policy, settings, store, child
        self.checkpoints, self.start = config.state_path / "checkpoints", config.state_path / START
        self.flags, self.theirs = parent.flags_path, parent.state_path / "checkpoints"
        self._said, self._next = "", float("-inf")

    def waits(self, now: float) -> str:
        """Return why the learner is not to be started yet; empty where it is. Looks once a second."""
        if self._next <= now or not self._said:
            self._said, self._next = self._look(), now + LOOK_SECONDS
        return self._said

    def _look(self) -> str:
        if sequences(self.checkpoints):
            return ""
        if missing := self._missing():
            return missing
        if self.settings.start == "base":
            return ""
        try:
            adapter, base = self._brought()
        except (OSError, ValueError) as problem:
            return f"waiting for the parent's champion: {problem}"
        self.child.settings = msgspec.structs.replace(
            self.child.settings, start=str(adapter), start_base=base
        )
        return ""

    def _missing(self) -> str:
        """Return which answers are missing; empty where there are enough."""
        with self.store.reading() as view:
            answers, users = view.execute(
                "SELECT COUNT(*), COUNT(DISTINCT CASE WHEN user_named = 1 THEN user_hash ELSE '' END)"
                f" FROM episodes WHERE policy = ? AND stage = '{EpisodeStage.READY}'",
                (self.policy,),
            ).fetchone()
        least = self.settings
        if answers >= least.least_answers and users >= least.least_users:
            return ""
        return (
            f"gathering its first answers: {answers} of {least.least_answers},"
            f" of {users} of {least.least_users} users"
        )

    def _brought(self) -> tuple[Path, str]:
        """Return the adapter to start from, copied here, and its base model's digest.

        Raises OSError or ValueError, saying so, where the parent has none that is whole.
        """
        for manifest in self._here():
            return self.start / manifest.version, manifest.base_digest
        flags = read_flags(self.flags)
        if flags is None:
            raise ValueError(f"{self.flags}: is not there yet")
        manifest = read_manifest(self.theirs, sequence_of(flags.champion.version))
        aside = self.start.with_name(f".{START}")
        shutil.rmtree(aside, ignore_errors=True)
        copy = aside / manifest.version
        shutil.copytree(weights_path(self.theirs, manifest), copy)
        if adapter_digest(copy) != flags.champion.digest:
            raise ValueError(f"{copy}: is not the adapter that {self.flags} names")
        (aside / "manifest.json").write_bytes(msgspec.json.encode(manifest))
        for path in (*copy.iterdir(), copy, aside / "manifest.json", aside):
            fsync(path)
        shutil.rmtree(self.start, ignore_errors=True)
        aside.rename(self.start)
        fsync(self.start.parent)
        return self.start / manifest.version, manifest.base_digest

    def _here(self) -> list[Manifest]:
        """Return the manifest of what was copied before; none where that is not whole."""
        with contextlib.suppress(OSError, ValueError):
            raw = (self.start / "manifest.json").read_bytes()
            found = msgspec.json.decode(raw, type=Manifest)
            if adapter_digest(self.start / found.version) == found.digest:
                return [found]
        return []
