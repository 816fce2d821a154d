"""Config: one TOML file, checked whole at start; every section stands with what uses it."""

from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Literal

import msgspec

from ..learner.ledger.batch_settings import BatchSettings
from ..learner.settings import LearnerSettings
from ..ops.benchmark.settings import BenchmarkSettings
from ..ops.reading.settings import SatisfactionSettings
from ..ops.router.settings import RouterSettings
from ..ops.stages.settings import RolloutSettings
from ..ops.statistics.answers import ComparisonSettings
from ..ops.statistics.gate import GateSettings
from ..ops.tool_errors.settings import ToolErrorSettings
from ..ops.tracking.mirror_settings import MirrorSettings
from ..ops.triage.settings import TriageSettings
from ..ops.workload.settings import ProfileSettings
from ..rewards.spec.shipped_specs import spec_path
from ..rewards.trust.settings import TrustSettings
from ..streams.join.fate import JoinSettings
from ..streams.open import POSTGRES
from ..streams.redaction.privacy import PrivacySettings
from ..streams.secret_values import FILE, anchored, read_secret
from .anchored import (
    anchored_gate,
    anchored_gateway,
    anchored_learner,
    anchored_router,
    anchored_satisfaction,
    anchored_secrets,
    anchored_stream,
    anchored_triage,
    with_longest,
    with_secrets,
)
from .bounds import check_once
from .callers.settings import ClientSettings, with_clients
from .callers.specialists import SpecialistSettings, check_specialists
from .config_hint import hint
from .gateway.settings import GatewaySettings
from .sections import EngineSettings, HttpSettings, StreamSettings, check_router, check_topics
from .specialist_file import read_written
from .spool.worker_folders import all_spools
from .telemetry.telemetry_settings import TelemetrySettings


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of a deployment. Relative paths are relative to the config file's folder."""

    policy: str = "policy"
    """Name of the policy; versions are named after it."""
    parent: str = ""
    """For a specialist: the config file in this folder with its `[specialists.NAME]`. What stands there
    holds here too, unless it stands here; topics, state and flags follow from the name."""
    state: str = "state"
    """Folder of all durable state."""
    database: str = ""
    """`postgresql://…` of the state database, `$NAME` of the variable or `file:PATH` of the file that
    holds it; empty is SQLite in the state folder. The ingest role needs a server."""
    erasures: str = ""
    """File that keeps, by keyed hash, who was erased: a state that is put back from an older backup
    forgets them again by it. Empty: `erased.jsonl` in the state folder; better on another disk."""
    reward_spec: str = ""
    """File of the reward spec, or a shipped one by name (`coding-agent`); the default where empty."""
    stop_seconds: float = 30.0
    """SIGTERM finishes in order within this."""
    retention_days: float = 30.0
    """How long the content of an episode is kept; set it above the log's own retention."""
    keep_checkpoints: int = 8
    """Newest checkpoints that keep their weights, besides what is named; of others the manifests stay."""
    look_seconds: float = 10.0
    """Time between two looks at a rollout."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level that is logged; the environment variable RLWD_LOG_LEVEL wins over it."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """Shape of a line; auto is text on a terminal, else JSON; the variable RLWD_LOG_FORMAT wins over it."""
    stream: StreamSettings = StreamSettings()
    """Where events come from."""
    join: JoinSettings = JoinSettings()
    """Which answers may be trained on, and how much feedback counts."""
    privacy: PrivacySettings = PrivacySettings()
    """What is replaced in texts before anything is written, by tenant."""
    satisfaction: SatisfactionSettings = SatisfactionSettings()
    """Who reads what people write next, and what answers are marked by."""
    batch: BatchSettings = BatchSettings()
    """When a batch is sealed."""
    trust: TrustSettings = TrustSettings()
    """How far what people say of answers is believed."""
    learner: LearnerSettings = LearnerSettings()
    """How much a batch may move the policy."""
    engine: EngineSettings = EngineSettings()
    """The inference engines."""
    router: RouterSettings = RouterSettings()
    """Servers of versions of full weights."""
    gate: GateSettings = GateSettings()
    """What a candidate must show before it meets anybody."""
    benchmark: BenchmarkSettings = BenchmarkSettings()
    """Requests of real sessions that a candidate answers beside the champion and v0."""
    rollout: RolloutSettings = RolloutSettings()
    """How a candidate meets people."""
    comparison: ComparisonSettings = ComparisonSettings()
    """Which answers of candidate and control are compared."""
    tool_errors: ToolErrorSettings = ToolErrorSettings()
    """When failures of a tool are an anomaly."""
    profile: ProfileSettings = ProfileSettings()
    """What answers are worth and what learning costs."""
    triage: TriageSettings = TriageSettings()
    """Problems of a week, grouped and told."""
    gateway: GatewaySettings = GatewaySettings()
    """The gateway, where it is ours."""
    clients: dict[str, ClientSettings] = {}
    """`[clients.NAME]`: who may call the gateway, each with a token of its own (`rlwd client`)."""
    specialists: dict[str, SpecialistSettings] = {}
    """`[specialists.NAME]`: policies of their own for some tenants or kinds of work."""
    mlflow: MirrorSettings = MirrorSettings()
    """Where to mirror what happens."""
    telemetry: TelemetrySettings = TelemetrySettings()
    """Traces for OpenTelemetry."""
    http: HttpSettings = HttpSettings()
    """The daemon's own pages."""

    def __post_init__(self) -> None:
        if self.http.host not in ("127.0.0.1", "localhost", "::1") and not self.http.token:
            raise ValueError(f"http.token: required, because http.host is {self.http.host}")
        if self.rollout.shadow.share and not self.gateway.shadow_concurrency:
            raise ValueError(
                "gateway.shadow_concurrency: 0 mirrors none; rollout.shadow waits for some"
            )
        if not self.learner.model:
            raise ValueError("learner.model: names no folder of a Hugging Face model")
        if self.database and not self.database.startswith(("$", FILE, *POSTGRES)):
            raise ValueError("database: must be empty, postgresql://…, $NAME or file:PATH")
        if (most := self.batch.at_most) < max(self.batch.episodes, self.batch.users):
            raise ValueError(f"batch.at_most: {most} is below batch.episodes or batch.users")
        check_once("engine.urls", self.engine.urls)
        check_once("gateway.engines", self.gateway.engines)
        check_topics(self.stream)
        check_router(self.router, self.learner, self.engine.token, bool(self.specialists))
        if not self.parent:
            topics = (self.stream.generations, self.stream.feedback, self.stream.dead_letters)
            check_specialists(self.policy, self.specialists, self.engine.adapters, topics)

    @property
    def specialist(self) -> SpecialistSettings | None:
        """Which policy this is a config of, where that is a specialist."""
        return self.specialists[self.policy] if self.parent else None

    @property
    def state_path(self) -> Path:
        """Folder of all durable state."""
        return Path(self.state)

    @property
    def state_database(self) -> Path | str:
        """The state database: SQLite's file, or a server's URL. Raises ValueError where there is none."""
        url = read_secret("database", self.database)
        if url and not url.startswith(POSTGRES):
            raise ValueError(f"database: {self.database} holds no postgresql:// URL")
        return url or self.state_path / "rlwd.db"

    def with_secrets(self, *sections: str) -> "Config":
        """Return the config with these sections' secrets in place of what names them.

        Not done at load: each process reads its own, and may not reach those of the others.
        Raises ValueError with the key whose secret is not there.
        """
        read = {section: with_secrets(getattr(self, section), section) for section in sections}
        return msgspec.structs.replace(self, **read)

    @property
    def erasures_path(self) -> Path:
        """The list of who was erased."""
        return Path(self.erasures) if self.erasures else self.state_path / "erased.jsonl"

    @property
    def log_path(self) -> Path:
        """The embedded log."""
        return Path(self.stream.file) if self.stream.file else self.state_path / "log.db"

    @property
    def data_path(self) -> Path | None:
        """Folder of what is too large for the log; None where there is none."""
        return Path(self.stream.data_folder) if self.stream.data_folder else None

    @property
    def flags_path(self) -> Path:
        """The flag file."""
        return Path(self.gateway.flags)

    def gateway_as(self, port: int | None, workers: int | None) -> GatewaySettings:
        """Settings of the gateway that a command line asks for: on a port of its own it has a name and
        a spool after it. Raises ValueError naming the field.
        """
        asked: dict[str, Any] = {} if workers is None else {"workers": workers}
        if port is not None:
            if not 1 <= port <= 65535:
                raise ValueError(f"gateway.port: {port} is not between 1 and 65535")
            asked |= {"port": port, "name": f"{self.gateway.name}-{port}"}
            asked["spool"] = f"{self.gateway.spool}-{port}"
        return msgspec.structs.replace(self.gateway, **asked)

    @property
    def spools(self) -> list[Path]:
        """Every gateway's spool here, of ports and workers of their own too."""
        return all_spools(Path(self.gateway.spool))


def load_config(path: Path) -> Config:
    """Read and check a config file.

    Raises ValueError with the file, the path of the key, and for a misspelt key the nearest one.
    """
    try:
        written = read_written(path)
        given = set(written.get("gateway", ()))
        config = msgspec.convert(with_clients(written), Config)
        return _anchored(config, path.absolute().parent, given)
    except OSError as problem:
        raise ValueError(f"{path}: {problem.strerror}") from problem
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"{path}: {hint(str(problem), Config)}") from problem


def _anchored(config: Config, folder: Path, written: AbstractSet[str]) -> Config:
    """Return the config with its paths made absolute, so that no working directory matters.

    `written` are the gateway's keys that stand in the file: what does not is derived from the rest.
    """
    state, stream = folder / config.state, config.stream
    known: dict[str, Any] = {
        "policy": config.policy,
        "generations_topic": stream.generations,
        "feedback_topic": stream.feedback,
        "clients": config.clients,
        "privacy": config.privacy,
        "specialists": {} if config.parent else config.specialists,
        "specialists_state": str(state / "specialists"),
    }
    engine = anchored_secrets(config.engine, "engine", folder)
    return msgspec.structs.replace(
        config,
        parent=str(folder / config.parent) if config.parent else "",
        database=anchored(config.database, folder),
        erasures=str(folder / config.erasures) if config.erasures else "",
        http=msgspec.structs.replace(config.http, **anchored_secrets(config.http, "http", folder)),
        engine=msgspec.structs.replace(config.engine, **engine),
        state=str(state),
        stream=anchored_stream(stream, folder),
        reward_spec=str(spec_path(config.reward_spec, folder)) if config.reward_spec else "",
        gate=anchored_gate(config.gate, folder),
        satisfaction=anchored_satisfaction(config.satisfaction, folder),
        learner=anchored_learner(config.learner, folder),
        triage=anchored_triage(config.triage, folder),
        router=anchored_router(config.router, folder, state),
        gateway=anchored_gateway(config.gateway, stream, folder, state, known, written),
        comparison=with_longest(config.comparison, config.gateway),
    )
