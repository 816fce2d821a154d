"""Scoring: rewards, asked of the reward spec and written into the episodes' rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..answers import exposure, own_numbers
from ..answers.session_turns import note_turns
from ..attribution.said_of_answers import results_told
from ..derived.overruled import without_overruled
from ..events.answer_outcome import counts_of, outcome_of, variant_counted
from ..events.episode import Episode, Timed, join_feedback
from ..events.event import GenerationEvent
from ..events.generation import SHADOW, Generation
from ..events.scored import Score, Scored
from ..events.signals import ErrorClass
from ..events.stage import EpisodeStage
from ..sessions.contents import Content, put_contents, without_shared
from ..sessions.linking import UNLINKED, LinkedTurn
from ..state.transaction import Transaction
from . import episodes_table, fate
from .arrival import Arrival, NewArrivals
from .episodes_table import UNSCORED, NewRow, put_generations
from .fate import WAITING, JoinSettings

Measure = Callable[[Generation], str | None]
"""What an answer does, as JSON of numbers by name; None where its record does not hold it."""
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
    ) -> None:
        self.policy, self.score, self.horizon = policy, score, horizon
        self.settings, self.measure = settings, measure

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
            said = feedback.get(name) if name in taken.known else taken.alone(name)
            worth = None
            if said is not None and arrival.fate == fate.WAITING:
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
        _write_generations(tx, self.policy, rows, taken.links, self.measure)
        own_numbers.put_later_numbers(tx, self.policy, told)

    def write(
        self,
        tx: Transaction,
        found: Sequence[Episode],
        now: float,
        *,
        due: bool = False,
        read_past: float = 0.0,
    ) -> None:
        """Write the rewards of these episodes; with `due` they are ready now.

        Where the log was read past the end of an episode's decision, silence is an answer, too.
        """
        scores: list[tuple[Episode, Scored, EpisodeStage, str]] = []
        undecided: list[Episode] = []
        for episode in found:
            over = read_past > episode.received_at + self.horizon(episode.generation.segment)
            scored = self.score.undecided(episode) if over else self.score(episode)
            if scored is None:
                undecided.append(episode)
                continue
            scores.append((episode, scored, *self._outcome(tx, episode, scored, due=due)))
        episodes_table.put_scores(tx, self.policy, scores, now)
        # The decisive signal was taken back: the episode waits again, until its horizon closes.
        self._reopen(tx, undecided)

    def revise(self, tx: Transaction, found: Sequence[Episode]) -> None:
        """Write what answers are worth now whose reward is frozen; no batch and no fate moves."""
        scored = [(episode.id, self.score(episode)) for episode in found]
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

        def told() -> Mapping[str, ErrorClass | None]:
            return results_told(tx, self.policy, episode.generation)

        excluded = fate.exclusion_from_training(
            episode.generation, cut_answers=self.settings.cut_answers
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


def _write_generations(
    tx: Transaction,
    policy: str,
    new: Iterable[tuple[Arrival, NewRow | None]],
    links: Mapping[str, LinkedTurn],
    measure: Measure | None,
) -> None:
    """Write new generations, with their rewards where these are known already.

    A generation with a fate other than waiting is closed at once and holds no content: what may not
    be trained on is counted, not kept.
    """
    arrivals = list(new)
    contents = put_contents(
        tx,
        policy,
        [_content(arrival, links) for arrival, _ in arrivals if arrival.fate == WAITING],
    )
    moved = note_turns(
        tx,
        policy,
        [
            (arrival.event.data, arrival.received)
            for arrival, _ in arrivals
            if isinstance(arrival.event, GenerationEvent)
        ],
    )
    put_generations(
        tx,
        [
            _generation_row(
                *(policy, arrival, worth, contents.get(name)),
                *(links.get(name, UNLINKED), name in moved, measure),
            )
            for arrival, worth in arrivals
            for name in (arrival.event.data.generation_id,)
        ],
    )
    own_numbers.put_served_numbers(
        tx,
        policy,
        [
            (arrival.event.data.generation_id, arrival.event.data.numbers)
            for arrival, _ in arrivals
            if isinstance(arrival.event, GenerationEvent) and arrival.event.data.numbers
        ],
    )


def _content(arrival: Arrival, links: Mapping[str, LinkedTurn]) -> Content:
    """Return what is kept of a record: of its prompt what its base does not have."""
    name = arrival.event.data.generation_id
    base = links.get(name, UNLINKED).base
    if base is None:
        return Content(name, arrival.record.value)
    assert isinstance(arrival.event, GenerationEvent)
    payload = without_shared(arrival.event, base.shared)
    return Content(name, payload, base.generation_id, base.shared)


def _generation_row(
    policy: str,
    arrival: Arrival,
    worth: NewRow | None,
    content: int | None,
    linked: LinkedTurn,
    moved: bool,
    measure: Measure | None,
) -> tuple[Any, ...]:
    event, record, received, due, read_until, fate, *_ = arrival
    assert isinstance(event, GenerationEvent)
    data, partition, outcome = event.data, record.partition, outcome_of(event.data)
    written, *counted = counts_of(data, outcome)
    if worth is None:
        stage = EpisodeStage.OPEN if fate == WAITING else EpisodeStage.CLOSED
        worth = UNSCORED._replace(stage=stage, fate=fate, due=due)
    return (
        *(policy, data.generation_id, received, int(received // 86400)),
        *(data.segment, data.user_hash, data.salt),
        variant_counted(data),
        data.version,
        int(outcome.empty),
        int(outcome.failed),
        int(outcome.cut),
        int(data.user_named),
        data.harness,
        data.latency_seconds if data.latency_seconds > 0 and not outcome.failed else None,
        written,
        int(not data.parent_id and not data.earlier_answers and not linked.history),
        *(partition.topic, partition.index),
        *counted,
        int(moved),
        min(event.time.timestamp(), received),  # No clock makes a request later than its answer.
        # Of a mirrored answer nothing is kept but how it ended.
        None if measure is None or data.variant == SHADOW else measure(data),
        *(record.offset, content, data.tenant, data.session_id),
        *linked.columns,
        read_until,
        worth.stage.value,
        *worth[1:],
    )
