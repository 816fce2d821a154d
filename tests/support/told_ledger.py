"""A state in which answers ended in every way that a page tells of, with words that no page may show."""

from pathlib import Path
from typing import NamedTuple

import msgspec
from daemon_by_hand import FEEDBACK, decide, fill, open_daemon_ledger
from ledger_by_hand import Ledger, feedback, generation
from manifests_by_hand import manifest
from places_by_hand import Place
from releases_by_hand import let_out, promote, register, version

from rlwd.learner.candidate import Candidate
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.checkpoints_table import record_checkpoints
from rlwd.learner.ledger.seal import seal
from rlwd.ops.rollout.controller import RolloutController
from rlwd.ops.stages.settings import RolloutSettings
from rlwd.streams.events.generation import Sampling
from rlwd.streams.events.signals import Copied, Edited, Rated, Signal

SECRET = "the moon is my aunt"
"""Stands in texts of people and of the model alone."""
EVIL = "<script>alert(1)</script>"
"""Stands where others choose a name: segments, variants, kinds, reasons."""
WELL = {"mismatch/k3": 0.002, "before/ratio/ess": 0.8, "after/kl/anchor": 0.01}
UNWELL = {**WELL, "before/ratio/ess": 0.12, "after/kl/anchor": 0.2}
GREEDY = Sampling(temperature=0.0)


class ToldLedger(NamedTuple):
    """The state."""

    ledger: Ledger
    """Its tables."""
    versions: tuple[Candidate, ...]
    """v0 and what was learned, oldest first; the last one's update is beyond two bars."""
    trained: tuple[str, ...]
    """Answers of batch 1."""
    greedy: tuple[str, ...]
    """Answers that were left out, `excluded:greedy`."""
    edited: str
    """An answer that somebody changed, with a text in it."""


def told_ledger(folder: Path, place: Place | None = None) -> ToldLedger:
    """Fill a state, a file in the folder unless another place is given: one batch applied and one that waits, exclusions, refusals, two releases."""
    ledger = open_daemon_ledger(place or folder / "rlwd.db")
    made = _versions(ledger, folder)
    trained = fill(ledger, 8, prefix="s1.g")
    _seal(ledger, made[1], 1)
    greedy = [f"s2.g{number:03d}" for number in range(6)]
    for number, name in enumerate(greedy):
        decide(ledger, name, 1500.0 + number, sampling=GREEDY, segment=EVIL, text=SECRET)
    ledger.close(9000.0)
    ledger.take(generation("s3.g0", 9100.0, consent=False, text=SECRET, segment=EVIL))
    edited = "s4.g0"
    ledger.take(
        generation(edited, 9200.0, text=SECRET, version=made[1].version, salt=made[2].version)
    )
    said: tuple[Signal, ...] = (
        Edited(final_text=f"{SECRET}, and more"),
        Copied(text=SECRET),
        Rated(value=0.25),
    )
    for number, signal in enumerate(said):
        told = feedback(f"{edited}.f{number}", edited, signal, 9201.0 + number)
        ledger.take(told, partition=FEEDBACK)
    ledger.take(b"junk", now=9300.0)
    for number in range(4):
        decide(ledger, f"s5.g{number}", 9400.0 + number, taken=number % 2 == 0)
    _seal(ledger, None, 2)
    return ToldLedger(ledger, made, tuple(trained), tuple(greedy), edited)


def _versions(ledger: Ledger, folder: Path) -> tuple[Candidate, ...]:
    controller = RolloutController("policy", RolloutSettings())
    plain = [version(number, folder) for number in range(3)]
    made = tuple(
        msgspec.structs.replace(one, metrics=metrics)
        for one, metrics in zip(plain, ({}, WELL, UNWELL), strict=True)
    )
    register(ledger.store, controller, made[0])
    promote(ledger.store, controller, made[1])
    let_out(ledger.store, controller, made[2])
    return made


def _seal(ledger: Ledger, made: Candidate | None, number: int) -> None:
    """Seal all that is ready; with a version, write down that it was applied and made that one."""
    with ledger.store.transaction() as tx:
        batch = seal(
            tx,
            "policy",
            BatchSettings(episodes=2, held_out=0.0, user_share=1.0),
            parent_sequence=number - 1,
            max_policy_age=8,
            age=lambda _: 0,
            now=1400.0 * number,
        )
        assert batch is not None
        if made is not None:
            names = tuple(one.generation_id for one in batch.episodes)
            applied = manifest(number, number - 1, episode_ids=names, version=made.version)
            record_checkpoints(tx, "policy", [applied])
