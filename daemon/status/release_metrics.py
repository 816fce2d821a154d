"""Release metrics: what learns, what serves, how far the newest version is, and what it was told."""

from collections import Counter
from urllib.parse import urlsplit

import msgspec

from ...learner.process.supervisor import LearnerSupervisor
from ...ops.engine.fleet import Fleet
from ...ops.engine.replica import OUTCOMES
from ...ops.flags.flag_reach import FlagReach
from ...ops.rollout import champions_table, rollouts_table
from ...ops.stages.record import ENDED, Stage
from ...ops.statistics.verdict import VerdictKind
from ...ops.tracking.mirror import Mirror
from ...streams.state.transaction import Transaction
from .series import Series, Shown

RELEASE = (
    Series("rlwd_learner_up", "1 while the learner process lives."),
    Series("rlwd_learner_deaths_total", "Times that the learner died under this daemon."),
    Series("rlwd_learner_yielding", "1 while the learner pauses for people's requests."),
    Series(
        "rlwd_learner_yielded_seconds_total",
        "How long learners of this daemon paused for people's requests.",
    ),
    Series(
        "rlwd_traffic_latency_seconds",
        "Highest 95th percentile that a gateway told of its requests, to the last byte; none without"
        " requests, and while learner.yielding.above_seconds is 0 only of gateways on other hosts.",
    ),
    Series("rlwd_batches", "Sealed batches, by what became of them.", ("state",)),
    Series("rlwd_last_batch_timestamp_seconds", "When the last batch was sealed."),
    Series("rlwd_last_update_timestamp_seconds", "When the last version was made."),
    Series("rlwd_learner_sequence", "Number of the newest checkpoint."),
    Series("rlwd_champion_sequence", "Number of the version that serves everybody."),
    Series("rlwd_champion_info", "1 for the version that serves everybody.", ("version",)),
    Series("rlwd_last_promotion_timestamp_seconds", "When the champion became one."),
    Series(
        "rlwd_rollout_stage",
        "1 for the stage of the rollout under way, 0 for the others; all 0 where none is.",
        ("stage",),
    ),
    Series("rlwd_rollout_step", "Step of the canary, from 1; 0 outside of it."),
    Series(
        "rlwd_rollout_entered_timestamp_seconds",
        "When the rollout under way entered its stage and step; none where none is.",
    ),
    Series(
        "rlwd_rollout_deadline_timestamp_seconds",
        "When its stage ends by itself; none where no rollout is under way.",
    ),
    Series(
        "rlwd_rollout_verdict",
        "1 for what gate, shadow and the look at people said last of the rollout under way.",
        ("by", "verdict"),
    ),
    Series("rlwd_rollouts_ended_total", "Rollouts that ended, by how.", ("end",)),
    Series(
        "rlwd_gate_verdicts_total", "Versions that the gate judged, by its verdict.", ("verdict",)
    ),
    Series("rlwd_rollouts_held", "1 while a person pauses rollouts or pins the champion."),
    Series("rlwd_flag_generation", "Generation of the flags that was decided last."),
    Series(
        "rlwd_gateways",
        "Gateways heard of in the last minute, by whether they act on that generation yet.",
        ("acting_on",),
    ),
    Series(
        "rlwd_engine_proofs_total",
        "Proofs asked of an engine by this daemon, by whether it served the right weights.",
        ("engine", "outcome"),
    ),
    Series("rlwd_engine_versions", "Versions that an engine proved and still holds.", ("engine",)),
    Series("rlwd_mlflow_waiting", "What waits for MLflow, by what it is.", ("what",)),
    Series("rlwd_mlflow_dropped_total", "Messages to MLflow that this daemon dropped."),
    Series(
        "rlwd_mlflow_traces_total",
        "Answers as traces in MLflow, by what this daemon did with them.",
        ("outcome",),
    ),
)
"""What is shown of learning and release."""

_UNDER_WAY = tuple(stage for stage in Stage if stage not in ENDED)


class _Verdict(msgspec.Struct, frozen=True):
    outcome: VerdictKind


class _Told(msgspec.Struct, frozen=True):
    """What is read here of a rollout's record, which holds much more."""

    stage: Stage
    gate: _Verdict | None = None


def release_values(view: Transaction, policy: str) -> Shown:
    """Return what the tables say of batches, versions and rollouts."""
    batches = dict(
        view.execute(
            "SELECT state, COUNT(*) FROM batches WHERE policy = ? GROUP BY state", (policy,)
        ).fetchall()
    )
    sealed = _newest(view, policy, "SELECT MAX(sealed_at) FROM batches WHERE policy = ?")
    made = _newest(view, policy, "SELECT MAX(created_at) FROM checkpoints WHERE policy = ?")
    head = _newest(view, policy, "SELECT MAX(sequence) FROM checkpoints WHERE policy = ?")
    champion = champions_table.find_champion(view, policy)
    since = next((at for _, at, _ in champions_table.history(view, policy, limit=1)), None)
    return {
        "rlwd_batches": batches,
        "rlwd_last_batch_timestamp_seconds": {} if sealed is None else sealed,
        "rlwd_last_update_timestamp_seconds": {} if made is None else made,
        "rlwd_learner_sequence": {} if head is None else head,
        "rlwd_champion_sequence": {} if champion is None else champion.sequence,
        "rlwd_champion_info": {} if champion is None else {champion.version: 1},
        "rlwd_last_promotion_timestamp_seconds": {} if since is None else since,
        "rlwd_rollouts_held": int(rollouts_table.hold(view, policy) is not None),
        **_ended(view, policy),
        **_under_way(view, policy),
    }


def working_values(
    child: LearnerSupervisor, fleet: Fleet, reach: FlagReach, mirror: Mirror
) -> Shown:
    """Return what this daemon knows of learner, engines, gateways and MLflow."""
    behind, traces = len(reach.behind), mirror.traces
    return {
        "rlwd_learner_up": int(child.alive),
        "rlwd_learner_deaths_total": child.deaths_in_all,
        "rlwd_flag_generation": reach.generation,
        "rlwd_gateways": {"newest": len(reach.gateways) - behind, "older": behind},
        "rlwd_engine_proofs_total": {
            (shown_url(one.engine.url), outcome): one.proofs[outcome]
            for one in fleet.replicas
            for outcome in OUTCOMES
        },
        "rlwd_engine_versions": {
            shown_url(one.engine.url): len(one.proven) for one in fleet.replicas
        },
        "rlwd_mlflow_waiting": {
            "messages": mirror.pending,
            **({} if traces is None else {"traces": traces.waiting}),
        },
        "rlwd_mlflow_dropped_total": mirror.dropped,
        "rlwd_mlflow_traces_total": (
            {}
            if traces is None
            else {
                "written": traces.written,
                "deleted": traces.deleted,
                "dropped": traces.dropped,
            }
        ),
    }


def traffic_values(child: LearnerSupervisor, p95: float | None) -> Shown:
    """Return how long requests take, and how the learner makes way for them."""
    return {
        "rlwd_learner_yielding": int(bool(child.yields)),
        "rlwd_learner_yielded_seconds_total": child.yielded_seconds,
        "rlwd_traffic_latency_seconds": {} if p95 is None else p95,
    }


def shown_url(url: str) -> str:
    """Return an engine's address without what nobody may read.

    >>> shown_url("http://me:secret@engine:8000/x")
    'http://engine:8000/x'
    """
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _newest(view: Transaction, policy: str, sql: str) -> float | None:
    value: float | None = view.execute(sql, (policy,)).fetchone()[0]
    return value


def _ended(view: Transaction, policy: str) -> Shown:
    rows = view.execute("SELECT record FROM rollouts WHERE policy = ?", (policy,)).fetchall()
    told = [msgspec.json.decode(record, type=_Told) for (record,) in rows]
    ends = Counter(one.stage for one in told if one.stage in ENDED)
    gated = Counter(one.gate.outcome for one in told if one.gate is not None)
    return {
        "rlwd_rollouts_ended_total": {
            stage.value: ends[stage] for stage in Stage if stage in ENDED
        },
        "rlwd_gate_verdicts_total": {kind.lower(): gated[kind] for kind in VerdictKind},
    }


def _under_way(view: Transaction, policy: str) -> Shown:
    rollout = rollouts_table.current(view, policy)
    stage = None if rollout is None else rollout.stage
    said = {
        "gate": None if rollout is None else rollout.gate,
        "shadow": None if rollout is None else rollout.shadow,
        "people": None if rollout is None else rollout.verdict,
    }
    return {
        "rlwd_rollout_stage": {one.value: int(one is stage) for one in _UNDER_WAY},
        "rlwd_rollout_step": 0
        if rollout is None or stage is not Stage.CANARY
        else rollout.step + 1,
        "rlwd_rollout_entered_timestamp_seconds": {} if rollout is None else rollout.entered_at,
        "rlwd_rollout_deadline_timestamp_seconds": {} if rollout is None else rollout.deadline,
        "rlwd_rollout_verdict": {
            (by, kind.lower()): int(verdict is not None and verdict.outcome is kind)
            for by, verdict in said.items()
            for kind in VerdictKind
        },
    }
