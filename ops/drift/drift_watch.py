"""Drift watch: looks at what versions do, against their references, and files the alarms."""

from collections.abc import Callable, Collection, Sequence

import structlog

from ...rewards.behaviours.phrases import GrownPhrase, Said, grown_phrases
from ...streams.sessions.contents import load_contents
from ...streams.state.store import Store
from ...streams.state.transaction import Transaction
from ..stages.watch_settings import WatchSettings
from . import alarms_table
from .alarms_table import TOTAL, DriftAlarm
from .drift_answers import DriftAnswer, Side, answers_of
from .drift_look import BehaviourLook, DriftLook, compare
from .drift_pair import DriftPair
from .evidence import evidence, sayers
from .mean_rewards import mean_rewards

log = structlog.get_logger()

TEXTS = 500
"""Newest answers of each side in which phrases are looked for."""


class DriftWatch:
    """Watches one policy's versions. Not thread-safe: the loop's thread owns it."""

    def __init__(
        self,
        store: Store,
        policy: str,
        settings: WatchSettings,
        horizon: Callable[[str], float],
        looked: Callable[[DriftLook, Sequence[DriftAlarm]], None] = lambda look, alarms: None,
    ) -> None:
        """`horizon` is the age at which the answers of a segment have their reward.

        `looked` is told of each look, with all alarms of its version.
        """
        self.store, self.policy, self.settings, self.horizon = store, policy, settings, horizon
        self.looked = looked
        self._looked_at = float("-inf")

    def due(self, now: float) -> bool:
        """Return whether it is time for a look at all versions; the next time is counted from then on."""
        if now - self._looked_at < self.settings.seconds:
            return False
        self._looked_at = now
        return True

    def look(self, pairs: Sequence[DriftPair], now: float) -> list[DriftAlarm]:
        """Look at each pair; write down what was seen, and return the alarms that are new.

        A version is looked at as a candidate and as champion, each time against its predecessor and
        against what stays the same, so each takes its part of the alpha.
        """
        new, read = list[DriftAlarm](), dict[Side, list[DriftAnswer]]()
        for pair in pairs:
            with self.store.reading() as view:
                for side in (pair.ours, pair.theirs):
                    if side not in read:
                        read[side] = answers_of(view, self.policy, side)
                ours = read[pair.ours]
                look = self._compared(view, pair, ours, read[pair.theirs], now)
                passed = self._passed(look, self._champions(view, pair))
            found = [self._alarm(look, one, ours) for one in passed]
            with self.store.transaction() as tx:
                alarms_table.save_look(tx, self.policy, look)
                new += alarms_table.file_alarms(tx, self.policy, found)
                filed = alarms_table.alarms(tx, self.policy, [pair.version])
            self.looked(look, filed)
        for one in new:
            log.error("drift_alarm", version=one.version, problem=one.sentence)
        return new

    def _champions(self, view: Transaction, pair: DriftPair) -> set[str]:
        """Return by which habits the champion was shown to be beyond a bar against the same reference."""
        known = [pair.champion] if pair.champion else []
        filed = alarms_table.alarms(view, self.policy, known)
        return {one.habit for one in filed if one.is_total}

    def _compared(
        self,
        view: Transaction,
        pair: DriftPair,
        ours: Sequence[DriftAnswer],
        theirs: Sequence[DriftAnswer],
        now: float,
    ) -> DriftLook:
        alpha = self.settings.alpha / self.settings.comparisons
        settings = self.settings.in_total if pair.total else self.settings
        before = alarms_table.find_look(view, self.policy, pair.version)
        tried = before.phrase_looks if before is not None and before.against == pair.against else 0
        said, sayers = (before.phrases, before.phrase_answers) if before and tried else ((), ())
        if pair.concurrent and self._phrases_due(ours, theirs, tried):
            tried += 1
            part = alpha / len(self.settings.watched) / 2**tried
            grown, sayers = self._grown(view, ours, theirs, part)
            said = tuple(map(_in_words, grown))
        rewards = mean_rewards(
            self._matured(ours, now),
            self._matured(theirs, now),
            self.settings,
            alpha=alpha,
            concurrent=pair.concurrent,
        )
        return DriftLook(
            version=pair.version,
            against=pair.against,
            total=pair.total,
            at=now,
            answers=len(ours),
            reward=rewards.ours,
            reference_reward=rewards.theirs,
            reward_high=rewards.high,
            behaviours=compare(
                self._final(ours, now),
                self._final(theirs, now),
                settings,
                alpha=alpha,
                concurrent=pair.concurrent,
            ),
            phrases=said,
            phrase_answers=sayers,
            phrase_looks=tried,
        )

    def _matured(self, answers: Sequence[DriftAnswer], now: float) -> list[DriftAnswer]:
        return [one for one in answers if one.received + self.horizon(one.segment) <= now]

    def _final(self, answers: Sequence[DriftAnswer], now: float) -> list[DriftAnswer]:
        """Return the answers, without what people have not had the time for: an early edit is early."""
        return [
            one
            if one.received + self.horizon(one.segment) <= now
            else one._replace(kept=None, reward=None)
            for one in answers
        ]

    def _phrases_due(
        self, ours: Sequence[DriftAnswer], theirs: Sequence[DriftAnswer], tried: int
    ) -> bool:
        """Return whether the users have doubled since phrases were last looked for."""
        if "phrases" not in self.settings.watched:
            return False
        users = min(len({one.user for one in side if one.held}) for side in (ours, theirs))
        return users >= self.settings.users << tried

    def _grown(
        self,
        view: Transaction,
        ours: Sequence[DriftAnswer],
        theirs: Sequence[DriftAnswer],
        alpha: float,
    ) -> tuple[list[GrownPhrase], tuple[str, ...]]:
        """Return the phrases that grew, and the answers that say most of them."""
        said, before = (self._said(view, side) for side in (ours, theirs))
        bar = self.settings.watched["phrases"]
        found = grown_phrases(list(said.values()), list(before.values()), alpha=alpha)
        grown = [one for one in found if one.rate - one.anchor_rate >= bar]
        return grown, sayers(said, [one.phrase for one in grown])

    def _said(self, view: Transaction, answers: Sequence[DriftAnswer]) -> dict[str, Said]:
        ids = [one.generation_id for one in answers if one.held][-TEXTS:]
        held = load_contents(view, self.policy, ids)
        return {
            data.generation_id: Said(
                data.user_hash, data.text, "\n".join(one.text for one in data.input)
            )
            for data in (one.event.data for one in held.values())
            if data.may_keep
        }

    def _passed(self, look: DriftLook, champions: set[str]) -> list[BehaviourLook]:
        """Return what is an alarm: shown of this version, or of its champion and so of this one as well."""
        if not look.reward_stands:
            return []
        found = alarming(look.behaviours, champions, self.settings)
        if look.phrases:
            users = min((one.users for one in look.behaviours), default=0)
            found.append(
                BehaviourLook(
                    name="phrases",
                    rate=1.0,
                    reference=0.0,
                    low=None,
                    high=None,
                    users=users,
                    bar=self.settings.watched["phrases"],
                    passed=True,
                )
            )
        return found

    def _alarm(
        self, look: DriftLook, one: BehaviourLook, ours: Sequence[DriftAnswer]
    ) -> DriftAlarm:
        what = one.said if one.name != "phrases" else f"phrases grew: {', '.join(look.phrases)}"
        assert look.reward is not None
        assert look.reference_reward is not None
        return DriftAlarm(
            version=look.version,
            behaviour=f"{TOTAL}{one.name}" if look.total else one.name,
            at=look.at,
            said=f"{what}, reward {look.reward:.3f} against {look.reference_reward:.3f},"
            f" {look.against}",
            evidence=look.phrase_answers if one.name == "phrases" else evidence(one, ours),
        )


def alarming(
    behaviours: Sequence[BehaviourLook], champions: Collection[str], settings: WatchSettings
) -> list[BehaviourLook]:
    """Return what is shown to have passed its bar, and what `champions` were shown to have passed.

    What is shown of a champion holds for what was made from it as far as that does it, too.
    """
    return [
        one
        for one in behaviours
        if one.passed or (one.name in champions and one.beyond and one.users >= settings.users)
    ]


def _in_words(phrase: GrownPhrase) -> str:
    return f"{phrase.phrase!r} {phrase.rate:.0%} against {phrase.anchor_rate:.0%}"
