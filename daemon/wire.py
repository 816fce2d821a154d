"""Wire: builds every object from the configuration, release apart (`wire_release.py`)."""

import re
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import structlog

from ..learner.checkpoint.epoch import write_epoch
from ..learner.ledger.lane_choice import LaneRules
from ..learner.ledger.token_credits import Credit, whole_answer
from ..learner.ledger.weighed import Trust
from ..learner.process.supervisor import LearnerSupervisor
from ..learner.settings import LearnerProcessSettings
from ..learner.spelt_tokens import SpeltTokens, load_spelt_tokens
from ..ops.rollout.release import Release
from ..ops.tool_errors.watch import ToolWatch
from ..ops.tracking.mirror import Mirror
from ..rewards.behaviours.behaviour import BEHAVIOURS, Measuring
from ..rewards.spec.scorer import Scorer
from ..rewards.spec.spec import reward_spec
from ..rewards.spec.token_credit import token_credit
from ..streams.join.ingest import Ingest
from ..streams.join.joiner import Joiner
from ..streams.rescore.rescore import Rescore
from ..streams.state.lease import LeasedStore, take_lease
from ..streams.state.store import Store
from .anchored import satisfaction_with_secrets
from .bounds import check_kafka_name
from .config import Config
from .control.beginning import beginning
from .control.control_loop import ControlLoop
from .control.gateway_watch import GatewayWatch
from .control.ingest_loop import INGEST_PERIODS, IngestLoop
from .control.lifecycle import SteadyClock
from .control.loop import Consumer
from .control.making_way import MakingWay
from .control.timers import Timers
from .control.training import Training
from .erasures.erasure_list import forget_listed
from .own_part import own_answers
from .places import check_checkpoints, check_control_places
from .site.page_server import build_flag_page, build_pages
from .status.spec_doubts import spec_doubts
from .store import state_store
from .telemetry.open_tracing import open_tracing
from .telemetry.tracing import Tracing
from .wire_log import event_sink, event_source
from .wire_reading import build_reading
from .wire_release import build_conductor, build_holdout, build_outlets, build_parent, build_release

log = structlog.get_logger()

CHAMPIONS_MEASURED = 3
"""One in so many of the champion's users has the behaviour of their answers measured."""


def joiner(config: Config) -> Joiner:
    """Build what joins and scores, on the config's reward spec and data folder."""
    spec = reward_spec(config.reward_spec)
    for doubt in spec_doubts(spec, config.satisfaction.rubrics):
        log.warning("reward_spec_doubt", problem=doubt)
    return Joiner(
        config.policy,
        Scorer(spec),
        spec.decision_seconds,
        data=config.data_path,
        settings=config.join,
        privacy=config.privacy,
        trace_share=config.mlflow.trace_share if config.mlflow.tracking_uri else 0.0,
        readings=satisfaction_with_secrets(config.satisfaction).scope(),
        measure=Measuring(_measured(config), CHAMPIONS_MEASURED),
        admitted=lane_rules(config).admitted,
        owns=own_answers(config),
    )


def lane_rules(config: Config, tokens: SpeltTokens | None = None) -> LaneRules:
    """Return which lanes are on, and whose own words they learn from."""
    asked = [config.privacy.own_words, *(one.own_words for one in config.privacy.tenants.values())]
    return LaneRules(
        settings=config.learner.lanes,
        own_words=config.privacy.allows_own_words if any(asked) else None,
        spell=None if tokens is None else tokens.spell,
        at_one=bool(config.learner.service.url),
    )


def _measured(config: Config) -> Iterator[str]:
    """Yield the behaviours that the drift watch or a metric of the rollout asks for."""
    yield from config.rollout.watch.measured
    for metric in config.rollout.metrics:
        asked = metric.definition
        yield from (name for name in (asked.value, asked.over) if name in BEHAVIOURS)


def build_control(config: Config, path: Path | None = None) -> ControlLoop:
    """Build the control loop; `path` is the config's file, for the commands that it runs.

    Raises LeaseHeld where another one is in charge, OSError where a folder cannot be written to.
    """
    fixed = config.comparison.horizon_seconds
    decision = reward_spec(config.reward_spec).decision_seconds
    config.rollout.check_horizon(decision("default") if fixed is None else fixed)
    check_control_places(config)
    opened, clock = state_store(config), SteadyClock()
    check_checkpoints(config, opened)
    held = take_lease(opened, config.policy, clock())
    forget_listed(config, opened, clock())
    store, checkpoints = LeasedStore(opened, held), config.state_path / "checkpoints"
    write_epoch(checkpoints, held.epoch)
    ingest = _ingest(config, store)
    mirror = Mirror(config.mlflow, config.policy, config.state_path, store, config.privacy)
    release = build_release(config, store, checkpoints, mirror)
    tracing = open_tracing(config.telemetry, "daemon", config.policy)
    waits = {"learner": "starting", "engine": "not asked yet"}
    flag_page = build_flag_page(config, store)
    pages = build_pages(config, store, waits, flags=flag_page)
    training = _training(config, store, checkpoints, held.epoch, release, tracing)
    making_way = MakingWay(training.child)
    return ControlLoop(
        _consumer(config, store, ingest, tracing),
        pages,
        Timers(),
        lease=held,
        training=training,
        rescore=Rescore(store, ingest.joiner.scoring),
        release=release,
        reading=build_reading(config, store, event_sink(config), clock),
        gateways=GatewayWatch(store, config.policy, config.flags_path, flag_page, making_way),
        parent=build_parent(config),
        holdout=build_holdout(config, store, mirror),
        tools=ToolWatch(store, config.policy, config.tool_errors),
        conductor=build_conductor(config, store, mirror),
        outlets=build_outlets(config, path, store, mirror, event_sink(config)),
        retention_days=config.retention_days,
        stop_seconds=config.stop_seconds,
        clock=clock,
    )


def build_ingest(config: Config, *, member: str = "", port: int | None = None) -> IngestLoop:
    """Build a daemon in the ingest role.

    `member` is its name in the consumer group and `port` that of its health page, where the config file,
    which all of them may share, names another's. Raises ValueError without PostgreSQL or Kafka.
    """
    if not isinstance(config.state_database, str):
        raise ValueError("database: the ingest role needs a server that several may write to")
    if config.stream.kind != "kafka":
        raise ValueError("stream.kind: the ingest role shares a consumer group, which needs kafka")
    port = config.http.port if port is None else port
    kafka = config.stream.kafka
    own = msgspec.structs.replace(
        kafka, group_instance_id=_member_name(kafka.group_instance_id, member, port)
    )
    config = msgspec.structs.replace(
        config, stream=msgspec.structs.replace(config.stream, kafka=own)
    )
    store = state_store(config)
    return IngestLoop(
        _consumer(
            config,
            store,
            _ingest(config, store),
            open_tracing(config.telemetry, "ingest", config.policy),
        ),
        build_pages(config, store, {"log": "not polled yet"}, port=port),
        Timers(INGEST_PERIODS),
        stop_seconds=config.stop_seconds,
        clock=SteadyClock(),
    )


def _member_name(configured: str, member: str, port: int) -> str:
    """Return an ingest member's name in its group, which has to be no other member's.

    Raises ValueError where brokers take it for none: put right quietly, two names may become one.
    """
    if member:
        check_kafka_name("--member", member)
        return member
    # Hosts may share a file, and members a host. The host's name alone is the control role's.
    own = (configured, socket.gethostname(), f"ingest-{port}")
    name = re.sub(r"[^A-Za-z0-9._-]", "-", "-".join(filter(None, own)))
    check_kafka_name("stream.kafka.group_instance_id, with host and port", name)
    return name


def _consumer(config: Config, store: Store, ingest: Ingest, tracing: Tracing) -> Consumer:
    return Consumer(
        policy=config.policy,
        store=store,
        ingest=ingest,
        poll_seconds=config.stream.poll_seconds,
        poll_records=config.stream.poll_records,
        tracing=tracing,
    )


def _ingest(config: Config, store: Store) -> Ingest:
    return Ingest(store, joiner(config), partial(event_source, config))


def _training(
    config: Config,
    store: Store,
    checkpoints: Path,
    epoch: int,
    release: Release,
    tracing: Tracing,
) -> Training:
    settings = LearnerProcessSettings(
        learner=config.learner,
        policy=config.policy,
        folder=str(checkpoints),
        lease_epoch=epoch,
    )
    spec = reward_spec(config.reward_spec)
    tokens = load_spelt_tokens(Path(config.learner.model))
    child = LearnerSupervisor(settings, config.state_path)
    return Training(
        store,
        config.policy,
        config.batch,
        Trust(settings=config.trust, verification=spec.verification, share=Scorer(spec).share),
        child,
        batches=config.state_path / "batches",
        checkpoints=checkpoints,
        register=release.register,
        kept=release.kept,
        keep_newest=config.keep_checkpoints,
        credit=token_credits(config, tokens),
        spec_version=reward_spec(config.reward_spec).version,
        lanes=lane_rules(config, tokens),
        sealed=tracing.sealed,
        begins=beginning(config, store, child),
    )


def token_credits(config: Config, tokens: SpeltTokens | None) -> Credit:
    """Return what gives an edited answer's tokens a credit each; the whole answer's where it cannot."""
    if tokens is not None:
        return partial(token_credit, reward_spec(config.reward_spec), spell=tokens.spell)
    log.info("credit_by_answer", reason="the model's tokens do not say which text they spell")
    return whole_answer
