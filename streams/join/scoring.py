"""Scoring: rewards, asked of the reward spec and written into the episodes' rows."""

from collections.abc import Callable, Mapping, Sequence

from ..events.episode import Episode, Timed
from ..events.event import GenerationEvent
from ..events.stage import EpisodeStage
from ..state.transaction import Transaction
from . import episodes_table, exposure, fate
from .episodes_table import NewRow, Scored
from .intake import Arrival, NewArrivals, write_generations

Score = Callable[[Episode], Scored | None]
"""Returns an episode's reward, or None while nothing decisive is known."""
Horizon = Callable[[str], float]
"""Seconds until an episode of a segment is given up without a decision."""


class Scoring:
    """Scores one policy's episodes and writes their rewards."""

    def __init__(self, policy: str, score: Score, horizon: Horizon) -> None:
        self.policy, self.score, self.horizon = policy, score, horizon

    def write_new(
        self,
        tx: Transaction,
        taken: NewArrivals,
        feedback: Mapping[str, tuple[Timed, ...]],
        now: float,
    ) -> None:
        """Write new generations, with the rewards of those that have feedback."""
        rows: list[tuple[Arrival, NewRow | None]] = []
        for name, arrival in taken.generations.items():
            said = feedback.get(name) if name in taken.known else taken.alone(name)
            worth = None
            if said is not None and arrival.fate == fate.WAITING:
                assert isinstance(arrival.event, GenerationEvent)
                found = Episode(
                    generation=arrival.event.data, received_at=arrival.received, feedback=said
                )
                scored = self.score(found)
                if scored is not None:
                    stage, ends = _outcome(found, scored)
                    worth = NewRow(
                        *(stage, ends, scored.ready_at, scored.value, scored.parts),
                        *(scored.spec_version, 1, now),
                    )
            rows.append((arrival, worth))
        write_generations(tx, self.policy, rows)

    def write(
        self, tx: Transaction, found: Sequence[Episode], now: float, *, due: bool = False
    ) -> None:
        """Write the rewards of these episodes; with `due` they are ready now."""
        scores: list[tuple[Episode, Scored, EpisodeStage, str]] = []
        undecided: list[Episode] = []
        for episode in found:
            scored = self.score(episode)
            if scored is None:
                undecided.append(episode)
                continue
            scores.append((episode, scored, *_outcome(episode, scored, due=due)))
        episodes_table.put_scores(tx, self.policy, scores, now)
        # The decisive signal was taken back: the episode waits again, until its horizon closes.
        self._reopen(tx, undecided)

    def revise(self, tx: Transaction, found: Sequence[Episode]) -> None:
        """Write what answers are worth now whose reward is frozen; no batch and no fate moves."""
        scored = [(episode.id, self.score(episode)) for episode in found]
        exposure.put_late_rewards(
            tx, self.policy, [(name, None if one is None else one.value) for name, one in scored]
        )

    def _reopen(self, tx: Transaction, undecided: Sequence[Episode]) -> None:
        tx.executemany(
            f"UPDATE episodes SET stage = '{EpisodeStage.OPEN}', fate = ?, reward = NULL,"
            " parts = NULL, due = ?"
            " WHERE policy = ? AND generation_id = ? AND reward IS NOT NULL AND batch_id IS NULL",
            [
                (
                    fate.WAITING,
                    episode.received_at + self.horizon(episode.generation.segment),
                    self.policy,
                    episode.id,
                )
                for episode in undecided
            ],
        )


def _outcome(episode: Episode, scored: Scored, *, due: bool = False) -> tuple[EpisodeStage, str]:
    """Return stage and fate of an episode that has a reward."""
    excluded = fate.exclusion_from_training(episode.generation)
    if excluded is not None:
        return EpisodeStage.CLOSED, excluded
    ready = due or not scored.ready_at
    return EpisodeStage.READY if ready else EpisodeStage.SCORED, fate.WAITING
