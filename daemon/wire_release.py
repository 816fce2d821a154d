"""Wire release: builds what lets versions out, and what watches over them, from the configuration."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from ..ops.benchmark.benchmark_file import FOLDER
from ..ops.benchmark.benchmark_suite import BenchmarkPlace, BenchmarkSuite
from ..ops.benchmark.production_gap import GapWatch
from ..ops.drift.drift_watch import DriftWatch
from ..ops.engine.fleet import Fleet
from ..ops.engine.http_engine import HttpEngine
from ..ops.engine.port import Engine
from ..ops.experiments.conductor import Conductor
from ..ops.flags import intents_table
from ..ops.flags.flag_file import named_in
from ..ops.gate.exploits import QUESTIONS, ProbeQuestion, load_questions
from ..ops.gate.gate_run import GateRun
from ..ops.gate.planted import Planted, load_planted
from ..ops.gate.recitation import most_alternatives
from ..ops.gate.suites import load_suites
from ..ops.holdout.watch import HoldoutWatch
from ..ops.looks.look_keeper import LookKeeper
from ..ops.looks.watched_versions import watch_drift, watch_gap
from ..ops.rollout import rollouts_table
from ..ops.rollout.controller import RolloutController
from ..ops.rollout.move_log import MoveLog
from ..ops.rollout.observe import Comparing
from ..ops.rollout.release import KeepLook, Release
from ..ops.stages.record import Rollout
from ..ops.statistics.guardrail import Observation
from ..ops.tracking.mirror import Mirror
from ..ops.tracking.reports import (
    drift_reporter,
    experiment_reporter,
    holdout_reporter,
    look_reporter,
    rollout_reporter,
)
from ..rewards.spec.spec import reward_spec
from ..streams.log.ports import EventSink
from ..streams.state.store import Store
from .began_with import BeganWith
from .config import Config
from .control.control_loop import Outlets
from .control.own_command import OwnCommand
from .control.parent_watch import ParentWatch
from .control.triage_timer import TriageTimer
from .own_part import own_adapters


def engines(config: Config) -> list[Engine]:
    """Return a client for each replica."""
    return [
        HttpEngine(url, token=config.engine.token, timeout_seconds=config.engine.request_seconds)
        for url in config.engine.urls
    ]


def build_release(config: Config, store: Store, checkpoints: Path, mirror: Mirror) -> Release:
    """Build a policy's way from a checkpoint to people."""
    controller = RolloutController(config.policy, config.rollout, own_adapters(config))
    with store.reading() as view:
        # After a restart a rollback waits for no engine that is away: what was named was loaded.
        confirmed = intents_table.confirmed(view, controller.policy)
    fleet = Fleet(
        engines(config),
        config.policy,
        tolerance=config.gate.probe_tolerance,
        held=named_in(confirmed),
    )
    horizon = reward_spec(config.reward_spec).decision_seconds
    keeper = LookKeeper(
        store,
        config.policy,
        Comparing.of(config.rollout, config.comparison, horizon),
        srm_alpha=config.rollout.guardrail.srm_alpha,
    )
    return Release(
        store,
        config.policy,
        controller,
        fleet,
        GateRun(
            fleet,
            config.gate,
            load_suites(config.gate.suites),
            _planted(config),
            _questions(config),
            lambda version: gate_numbers(store, config.policy, version),
            partial(BenchmarkSuite, benchmark_place(config)) if config.benchmark.name else None,
        ),
        flags=config.flags_path,
        checkpoints=checkpoints,
        look_seconds=config.look_seconds,
        comparison=config.comparison,
        horizon=horizon,
        moves=MoveLog(rollout_reporter(mirror, store, config.policy)),
        looked=look_reporter(mirror),
        keep=_keeping(keeper, config, store, horizon, mirror),
    )


def benchmark_place(config: Config) -> BenchmarkPlace:
    """Return where benchmarks are, and how they are replayed."""
    return BenchmarkPlace(
        folder=config.state_path / FOLDER,
        policy=config.policy,
        settings=config.benchmark,
        spec=reward_spec(config.reward_spec),
        measured=config.rollout.watch.measured,
    )


def gate_numbers(store: Store, policy: str, version: str) -> Mapping[str, float]:
    """Return what the gate found of a version; nothing of v0, which never went through it."""
    with store.reading() as view:
        found = rollouts_table.find(view, policy, version)
    return {} if found is None or found.gate is None else found.gate.numbers


def _keeping(
    keeper: LookKeeper,
    config: Config,
    store: Store,
    horizon: Callable[[str], float],
    mirror: Mirror,
) -> KeepLook:
    """Return what keeps a look at a rollout, and then looks at how versions behave."""
    fixed = config.comparison.horizon_seconds
    drift = DriftWatch(
        store,
        config.policy,
        config.rollout.watch,
        horizon if fixed is None else lambda segment: fixed,
        drift_reporter(mirror),
    )
    replays = benchmark_place(config).replays
    gap = GapWatch(store, config.policy, config.rollout.watch, replays)

    def keep(
        watched: Rollout | None,
        after: Rollout | None,
        seen: Observation | None,
        since_promotion: Observation | None,
        now: float,
    ) -> None:
        keeper.keep(watched, after, seen, since_promotion, now)
        watch_drift(drift, config.rollout.anchor_share, now)
        watch_gap(gap, config.rollout.anchor_share, now)

    return keep


def build_holdout(config: Config, store: Store, mirror: Mirror) -> HoldoutWatch:
    """Build what compares the champion with the holdout."""
    fixed = config.comparison.horizon_seconds
    spec = reward_spec(config.reward_spec)
    return HoldoutWatch(
        store,
        config.policy,
        share=config.rollout.anchor_share,
        comparison=config.comparison,
        longest_horizon=max(spec.decision.values()) if fixed is None else fixed,
        looked=holdout_reporter(mirror),
    )


def build_conductor(config: Config, store: Store, mirror: Mirror) -> Conductor:
    """Build what looks at experiments, by the metrics of rollouts."""
    horizon = reward_spec(config.reward_spec).decision_seconds
    return Conductor(
        store,
        config.policy,
        Comparing.of(config.rollout, config.comparison, horizon),
        srm_alpha=config.rollout.guardrail.srm_alpha,
        look_seconds=config.look_seconds,
        looked=experiment_reporter(mirror),
    )


def build_parent(config: Config) -> ParentWatch:
    """Build what looks at whether a specialist's parent took back what it began with."""
    return ParentWatch(BeganWith(config).problem)


def _questions(config: Config) -> tuple[ProbeQuestion, ...]:
    return load_questions(Path(config.gate.probes)) if config.gate.probes else QUESTIONS


def _planted(config: Config) -> tuple[Planted, ...]:
    gate = config.gate
    if not gate.planted:
        return ()
    return load_planted(Path(gate.planted), most_alternatives(gate.max_exposure))


def build_outlets(
    config: Config, path: Path | None, store: Store, mirror: Mirror, dead_letters: EventSink
) -> Outlets:
    """Build what the control loop writes to; `path` is the config's file, for commands of their own."""
    draw = ("benchmark", "build", "--if-due")
    group = OwnCommand(path, "triage", "--if-due", done="triaged", failed="triage_failed")
    return Outlets(
        dead_letters=dead_letters,
        dead_letter_topic=config.stream.dead_letters,
        mirror=mirror,
        benchmarks=config.state_path / FOLDER,
        refresh=OwnCommand(
            path if config.benchmark.draws else None,
            *draw,
            done="benchmark_drawn",
            failed="benchmark_not_drawn",
        ),
        triage=TriageTimer(store, config.policy, config.triage, group),
    )
