"""Scoring: rewards, asked of the reward spec and written into the episodes' rows."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ..answers import exposure, own_numbers
from ..attribution.said_of_answers import results_told
from ..attribution.spent import with_chains
from ..derived.overruled import without_overruled
from ..events.episode import Episode, Timed, join_feedback
from ..events.event import GenerationEvent
from ..events.scored import Score, Scored
from ..events.stage import EpisodeStage
from ..sessions.linking import UNLINKED
from ..state.transaction import Transaction
from . import episodes_table, fate
from .arrival import Arrival, Measure, NewArrivals, write_generations
from .episodes_table import NewRow
from .fate import JoinSettings

Horizon = Callable[[str], float]
"""Seconds until an episode of a segment is given up without a decision."""


class Scoring:
    """Scores one policy's episodes and writes their rewards."""

    def __init__(
        self,
        policy: str,
        score: Score,
        horizon: Horizon,
        settings: JoinSettings,
        measure: Measure | None = None,
        admitted: fate.Admitted = fate.RATIO_ALONE,
    ) -> None:
        self.policy, self.score, self.horizon = policy, score, horizon
        self.settings, self.measure, self.admitted = settings, measure, admitted

    def write_new(
        self,
        tx: Transaction,
        taken: NewArrivals,
        feedback: Mapping[str, tuple[Timed, ...]],
        now: float,
    ) -> None:
        """Write new generations, with the rewards of those that have feedback.

        `feedback` is on some of them and on answers from before: the product's own numbers in it
        are written too.
        """
        rows: list[tuple[Arrival, NewRow | None]] = []
        told = dict(feedback)
        for name, arrival in taken.kept().items():
            met = name in taken.known or name in taken.spread.changed
            said = feedback.get(name) if met else taken.alone(name)
            worth = None
            if said and arrival.fate == fate.WAITING and not self.score.over_chain:
                assert isinstance(arrival.event, GenerationEvent)
                data = arrival.event.data
                history = taken.links.get(name, UNLINKED).history
                said_all = without_overruled(data, said)
                found = join_feedback(data, arrival.received, said_all, history)
                scored = self.score(found)
                if scored is not None:
                    stage, ends = self._outcome(tx, found, scored)
                    worth = NewRow(
                        stage=stage,
                        fate=ends,
                        due=max(scored.ready_at, arrival.read_until),
                        reward=scored.value,
                        parts=scored.parts,
                        spec_version=scored.spec_version,
                        revision=1,
                        scored_at=now,
                    )
            rows.append((arrival, worth))
            if said is not None:
                told[name] = said if arrival.fate == fate.WAITING else ()
        write_generations(tx, self.policy, rows, taken.links, self.measure)
        own_numbers.put_later_numbers(tx, self.policy, told)
        if self.score.over_chain:
            # What a chain took is known once all rows of it are there.
            ids = [name for name, said in told.items() if said and name in taken.generations]
            self.write(tx, episodes_table.load_episodes(tx, self.policy, ids), now)

    def whole(self, tx: Transaction, found: Sequence[Episode]) -> Sequence[Episode]:
        """Return episodes with what their chains took, where the spec asks for that."""
        if not self.score.over_chain:
            return found
        return with_chains(tx, self.policy, found, self.score.amounts)

    def write(
        self,
        tx: Transaction,
        found: Sequence[Episode],
        now: float,
        *,
        due: bool = False,
        read_past: float = 0.0,
    ) -> set[str]:
        """Write the rewards of these episodes, ready now with `due`; return the ids of those without.

        Where the log was read past the end of an episode's decision, silence is an answer, too.
        """
        scores: list[tuple[Episode, Scored, EpisodeStage, str]] = []
        undecided: list[Episode] = []
        for episode in self.whole(tx, found):
            over = read_past > episode.received_at + self.horizon(episode.generation.segment)
            scored = self.score.undecided(episode) if over else self.score(episode)
            if scored is None:
                undecided.append(episode)
                continue
            scores.append((episode, scored, *self._outcome(tx, episode, scored, due=due)))
        episodes_table.put_scores(tx, self.policy, scores, now)
        # The decisive signal was taken back: the episode waits again, until its horizon closes.
        self._reopen(tx, undecided)
        return {episode.id for episode in undecided}

    def revise(self, tx: Transaction, found: Sequence[Episode]) -> None:
        """Write what answers are worth now whose reward is frozen; no batch and no fate moves."""
        scored = [(episode.id, self.score(episode)) for episode in self.whole(tx, found)]
        exposure.put_late_rewards(
            tx,
            self.policy,
            [(name, None if one is None else one.value) for name, one in scored],
            self.score.version,
        )

    def _reopen(self, tx: Transaction, undecided: Sequence[Episode]) -> None:
        tx.executemany(
            f"UPDATE episodes SET stage = '{EpisodeStage.OPEN}', fate = ?, reward = NULL,"
            " parts = NULL, undecided = 0, due = CASE WHEN read_until > ? THEN read_until ELSE ? END"
            " WHERE policy = ? AND generation_id = ? AND reward IS NOT NULL AND batch_id IS NULL",
            [
                (fate.WAITING, due, due, self.policy, episode.id)
                for episode in undecided
                for due in (episode.received_at + self.horizon(episode.generation.segment),)
            ],
        )

    def _outcome(
        self, tx: Transaction, episode: Episode, scored: Scored, *, due: bool = False
    ) -> tuple[EpisodeStage, str]:
        """Return stage and fate of an episode that has a reward."""
        told = partial(results_told, tx, self.policy, episode.generation)
        excluded = fate.exclusion_from_training(
            episode.generation,
            cut_answers=self.settings.cut_answers,
            admitted=self.admitted,
        )
        if excluded is None and episode.history and not self.settings.switched_answers:
            excluded = fate.SWITCHED
        if (
            excluded is None
            and not self.settings.outage_answers
            and fate.in_tool_outage(episode, told)
        ):
            excluded = fate.TOOL_OUTAGE
        if excluded is not None:
            return EpisodeStage.CLOSED, excluded
        ready = due or not scored.ready_at
        return EpisodeStage.READY if ready else EpisodeStage.SCORED, fate.WAITING
