"""Rebuild: `rlwd rebuild VERSION`, a version made again from its manifest's chain, and held against it."""

import os
import shutil
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...learner.candidate import Manifest
from ...learner.checkpoint.folder import read_manifests
from ...learner.ledger.lineage import Lineage
from ...learner.ledger.ready import Age
from ...learner.ledger.remade import NotHeld, Remaking, held_episodes, kept_batch, remade_batch
from ...learner.sealed import SealedBatch
from ...learner.spelt_tokens import load_spelt_tokens
from ...streams.ending_signals import unwinding
from ...streams.events.episode import Episode
from ...streams.join import fate
from ...streams.join.erasure import erased_users
from ...streams.quick_imports import quick_imports
from ...streams.state.bulk import by_ids
from ...streams.state.transaction import Transaction
from ..config import Config
from ..store import state_view

if TYPE_CHECKING:
    from ...learner.rebuild.rebuild_plan import RebuildPlan
    from ...learner.rebuild.rebuilder import Rebuilt
    from .log_again import LogAgain

StateView = Callable[[], AbstractContextManager[Transaction]]
"""Opens a view of the state that writes nothing to it, not even a migration."""


@unwinding()  # The log read again, with what people wrote, must not stay behind.
def run_rebuild(config: Config, version: str, out: Path | None, begin_with: str = "") -> int:
    """Rebuild, and print a line a version; return 0 where all are equal, 1 where one differs.

    It reads the checkpoints, the state and the log, and writes into the new folder alone: a daemon may run
    beside it. Raises ValueError, and leaves no folder, where it cannot be made.
    """
    from ...learner.rebuild.rebuild_plan import plan_rebuild

    live, state = config.state_path / "checkpoints", partial(state_of_daemon, config)
    with state():
        pass  # Where there is none, or an older rlwd's, nothing is made.
    plan = plan_rebuild(live, config.policy, version, begin_with)
    place = _new_folder(config, out or config.state_path / "rebuilt" / version)
    os.nice(config.learner.nice)
    _say_plan(plan)
    try:
        with quick_imports():
            # Here: other commands do without torch, and so does whoever mistyped this one.
            from ...learner.rebuild.rebuilder import Rebuilder
            from .log_again import LogAgain
        with LogAgain(config, state, place.parent) as log:
            source = BatchSource(config, state, log)
            made = Rebuilder(live, place, config.policy, config.learner).run(plan, source.find)
            return _say_all(made, source)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


@contextmanager
def state_of_daemon(config: Config) -> Iterator[Transaction]:
    """Yield a view of the state; ValueError where there is none, or it lacks what this rlwd reads."""
    try:
        with state_view(config.state_database) as view:
            yield view
    except sqlite3.Error as problem:
        place = config.state_database
        raise ValueError(
            f"{place}: is not a state of this rlwd: {problem}; `rlwd run` migrates it"
        ) from problem


class BatchSource:
    """Where the batches of a chain come from: as sealed, sealed again from the state, or from the log."""

    def __init__(self, config: Config, state: StateView, log: "LogAgain") -> None:
        self.config, self.state, self.log = config, state, log
        self.found_in = ""
        """Where the last one came from, for people."""
        self._remaking: Remaking | None = None

    def find(self, manifest: Manifest) -> SealedBatch:
        """Return a checkpoint's batch; ValueError, naming it and why, where it cannot be had any more."""
        policy, self.found_in = self.config.policy, "as it was sealed"
        with self.state() as view:
            if (kept := kept_batch(view, policy, manifest)) is not None:
                return kept
        try:
            self.found_in = "sealed again from the state"
            try:
                return self._again(manifest, log=False)
            except NotHeld:
                self.found_in = "sealed again from the log"
                self.log.read()  # Before a view is opened, which a database keeps old rows for.
                return self._again(manifest, log=True)
        except NotHeld as problem:
            with self.state() as view:
                why = why_missing(view, self.config, problem.missing)
            total = len(manifest.episode_ids) + len(manifest.held_out_ids)
            raise ValueError(
                f"batch {manifest.batch_id}, which made {manifest.version}, cannot be had: what it was"
                f" sealed with is forgotten, and of its {total} answers {len(problem.missing)} are held"
                f" nowhere any more: {why}"
            ) from problem
        except ValueError as problem:
            raise ValueError(
                f"batch {manifest.batch_id}, which made {manifest.version}, cannot be had: what it was"
                f" sealed with is forgotten; {problem}"
            ) from problem

    def _again(self, manifest: Manifest, *, log: bool) -> SealedBatch:
        policy, remaking = self.config.policy, self._sealing()
        with self.state() as view:

            def held(
                ids: Sequence[str], before: Mapping[str, int] | None = None
            ) -> Mapping[str, Episode]:
                found = held_episodes(view, policy, ids, before)
                lacking = [name for name in ids if name not in found]
                return {**found, **self.log.episodes(lacking, before)} if log and lacking else found

            return remade_batch(view, policy, manifest, remaking, held)

    def _sealing(self) -> Remaking:
        from ..wire import lane_rules, token_credits

        if self._remaking is None:
            lineage = Lineage(read_manifests(self.config.state_path / "checkpoints"))

            def age(head: int) -> Age:
                return lambda version: lineage.age(version, head)

            tokens = load_spelt_tokens(Path(self.config.learner.model))
            self._remaking = Remaking(
                age=age,
                credit=token_credits(self.config, tokens),
                lanes=lane_rules(self.config, tokens),
            )
        return self._remaking


def why_missing(view: Transaction, config: Config, ids: Sequence[str]) -> str:
    """Say of answers that are held nowhere by what they were forgotten, with how many of each."""
    names, now = set(erased_users(view, config.policy).values()), time.time()
    told, first = Counter[str](), dict[str, str]()
    known = set[str]()
    for marks, chunk in by_ids(ids):
        rows = view.execute(
            "SELECT generation_id, user_hash, fate, received FROM episodes"
            f" WHERE policy = ? AND generation_id IN ({marks})",
            (config.policy, *chunk),
        )
        for name, user, ended, received in rows.fetchall():
            known.add(name)
            old = now - (received or 0.0) > config.retention_days * 86400.0
            if user in names or ended == fate.ERASED:
                why = "erased (`rlwd erase`)"
            elif old:
                why = f"forgotten by retention ({config.retention_days:g} days), and gone from the log"
            else:
                why = "erased with a conversation that they go on from, or not kept"
            told[why] += 1
            first.setdefault(why, name)
    for name in sorted(set(ids) - known):
        told["not in the state database"] += 1
        first.setdefault("not in the state database", name)
    return "; ".join(f"{count} {why}, such as {first[why]}" for why, count in told.most_common())


def _new_folder(config: Config, out: Path) -> Path:
    """Make the folder; ValueError where something is in it, or the learner's checkpoints are around it."""
    place = out.resolve()
    live = (config.state_path / "checkpoints").resolve()
    if place == live or live in place.parents or place in live.parents:
        raise ValueError(f"--out: {out} holds, or is in, the checkpoints of the learner, {live}")
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ValueError(f"--out: {out} is there and not an empty folder")
    place.mkdir(parents=True, exist_ok=True)
    return place


def _say_plan(plan: "RebuildPlan") -> None:
    for problem in plan.passed_over:
        print(f"passed over, damaged: {problem}")
    begin = "the base model" if plan.start is None else plan.start.version
    print(f"from {begin}: {len(plan.steps)} checkpoints to {plan.target.version}", flush=True)


def _say_all(made: "Iterator[Rebuilt]", source: BatchSource) -> int:
    first_unlike, last, before = "", None, tuple[str, ...]()
    for one in made:
        like, last = one.likeness, one
        told = f" (batch {one.batch_id}, {source.found_in})" if one.batch_id is not None else ""
        print(f"{like.version}: {'equal' if like.equal else f'differs, made {like.made}'}{told}")
        for line in like.differences:
            print(f"    {line}")
        if one.unlike != before:
            before = one.unlike
            for line in one.unlike:
                print(f"    made with {line}")
        sys.stdout.flush()
        if not like.equal and not first_unlike:
            first_unlike = like.version
    assert last is not None, "a plan has a step"
    print(f"{'not equal, first in ' + first_unlike if first_unlike else 'equal'}: {last.path}")
    return 1 if first_unlike else 0
