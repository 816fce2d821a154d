"""Gateway settings: how the gateway runs, free of what serves it."""

from pathlib import Path

import msgspec

from ...streams.redaction.privacy import PrivacySettings
from ..callers.named_fields import check_references
from ..callers.settings import ClientSettings, check_origins
from ..callers.specialists import Specialists, SpecialistSettings
from ..spool.worker_folders import worker_spool

LEAST_SPOOL_BYTES = 1 << 16
MOST_WORKERS = 64
LEEWAY_SECONDS = 5.0
"""The engine's own time-out comes first; what is left is a client that does not read."""


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the gateway runs. Raises ValueError naming the field."""

    host: str = "127.0.0.1"
    """Address to listen on; beyond loopback `user_key`, and `token` or `[clients]`, are required."""
    port: int = 8080
    """0 takes a free one."""
    name: str = "gateway"
    """Names this gateway in its events' `source`; differs between gateways."""
    workers: int = 1
    """Processes that share the port, each with a spool and a name of its own; as many as cores that it
    may have. What is bounded here is so for all of them together (docs/gateways.md)."""
    policy: str = "policy"
    """Name of the policy whose flag decides."""
    model: str = "rlwd"
    """The one model name that clients know."""
    engines: tuple[str, ...] = ("http://127.0.0.1:8000",)
    """Base URLs of the replicas, all with the same versions loaded."""
    engine_token: str = ""
    """Bearer token for the engines; empty sends none."""
    flags: str = "state/flags.json"
    """The flag file; not read where there is a `flags_url`."""
    flags_url: str = ""
    """Where a daemon serves the flags, `https://daemon:8090/flags`: for a gateway on another host than
    the flag file. Empty: the file is read."""
    flags_token: str = ""
    """What is shown to `flags_url`, where something in front of the daemon asks for a token of its own.
    Empty: one made from `flags_key`, which opens the daemon's flags and nothing else."""
    flags_key: str = ""
    """The daemon's `http.flags_key`: flags that are not signed with it are not used."""
    flags_seconds: float = 1.0
    """Time between two questions to `flags_url`."""
    spool: str = "state/spool"
    """Folder of this process's spool; no two gateways share one. The second of several workers has the
    folder of this name with `-w2` behind it, and so on."""
    spool_max_bytes: int = 1 << 30
    """Beyond this the oldest unsent events are dropped, and counted; each of several workers has an equal
    part of it."""
    token: str = ""
    """Bearer token of the operator and of products that are trusted to name their tenant; empty asks
    for none, on loopback only."""
    clients: dict[str, ClientSettings] = {}
    """Who else may call; filled from the config's `[clients]`."""
    privacy: PrivacySettings | None = None
    """What is replaced in texts before they are spooled; filled from the config's `[privacy]`."""
    specialists: dict[str, SpecialistSettings] = {}
    """Policies that own some answers; filled from the config's `[specialists]`."""
    specialists_state: str = "state/specialists"
    """Folder of their states, each of its name; filled from the config's `state`."""
    allowed_origins: tuple[str, ...] = ()
    """Pages of the web that may call, `https://app.example.com`; none where empty."""
    show_variant: bool | None = None
    """Tell clients variant and version, in headers and by OFREP. Left out: only where there are no
    `[clients]`, for who knows the variant can vote against it; `token` may always ask."""
    user_key: str = ""
    """Key of the users' hashes and of signed generation ids; required with `[clients]`; the same on
    all gateways, kept as long as the data."""
    keep_seconds: float = 21_600.0
    """How long, from its first turn on a version, a session that returns `X-Rlwd-Version` stays on it
    though the flag says another by now; never on one that was rolled back. 0 keeps none."""
    generations_topic: str = "rlwd.generations"
    """Where generations go."""
    feedback_topic: str = "rlwd.feedback"
    """Where feedback goes."""
    base_digest: str = ""
    """Digest of the base model, into every generation."""
    tokenizer_digest: str = ""
    """Digest of the tokenizer, into every generation."""
    logprobs_mode: str = "processed"
    """What the engines' log-probabilities are: processed or raw."""
    harness: str = ""
    """Version of the product, where the client sends none."""
    references: tuple[str, ...] = ()
    """Keys of a request's `metadata` that name something of the product's: `ticket`, `commit`, `order`.
    They go into the record of the answer, and feedback may name one in place of an answer."""
    request_seconds: float = 600.0
    """Longest a generation may take."""
    stop_seconds: float = 150.0
    """Once it is told to stop: longest wait for the answers under way, which are cut then. A second
    signal cuts them at once."""
    hang_seconds: float = 120.0
    """Of several workers, one that serves and whose loop has not turned for so long is killed and started
    again. So is one that does not come to serve, within ten minutes at least."""
    empty_engine_seconds: float = 15.0
    """Longest wait for the daemon to fill an engine that came back without any version."""
    max_body_bytes: int = 4 << 20
    """Largest request."""
    max_feedback_bytes: int = 900_000
    """Largest feedback as an event; keep it below what the log takes as one record."""
    max_connections: int = 4096
    """Most connections at a time; one more is closed at once."""
    header_seconds: float = 15.0
    """Longest from connecting to the end of the first request's headers."""
    body_seconds: float = 60.0
    """Longest for a request's body to come."""
    idle_seconds: float = 75.0
    """Longest that a connection is kept between two requests."""
    oversize_days: float = 30.0
    """How long feedback that the log refused for its size is kept beside the spool."""
    shadow_concurrency: int = 2
    """Most mirrored requests at a time, where a rollout asks for some (`[rollout.shadow]`); one more is
    dropped and counted. 0 mirrors none."""
    shadow_beside: int = 8
    """Most requests of people that a replica may answer beside a mirrored one; where more run, or any
    waits, a mirrored request is not begun and one under way is given up. 0: only on an idle engine."""
    strip_seed: bool = True
    """Drop `seed` and say so in X-Rlwd-Ignored: it can end vLLM's CPU build (docs/vllm.md 5). Set it to
    false on a GPU."""

    def __post_init__(self) -> None:
        if not self.engines:
            raise ValueError("gateway.engines: at least one is needed")
        if self.logprobs_mode not in ("processed", "raw"):
            raise ValueError(f"gateway.logprobs_mode: {self.logprobs_mode!r}: processed or raw")
        if self.flags_url and not self.flags_key:
            raise ValueError("gateway.flags_key: required with flags_url: flags come signed")
        if not 1 <= self.workers <= MOST_WORKERS:
            raise ValueError(f"gateway.workers: {self.workers} is not between 1 and {MOST_WORKERS}")
        if self.spool_max_bytes < LEAST_SPOOL_BYTES * self.workers:
            each = " for each of gateway.workers" if self.workers > 1 else ""
            raise ValueError(f"gateway.spool_max_bytes: at least {LEAST_SPOOL_BYTES}{each}")
        check_references("gateway.references", self.references)
        check_origins("gateway.allowed_origins", self.allowed_origins)
        if self.specialists:
            self._check_specialists()
        if self.clients and not self.user_key:
            raise ValueError(
                "gateway.user_key: required with [clients]: it signs generation ids, so that one"
                " tenant's feedback cannot be about another's answers"
            )
        if self.on_loopback:
            return
        if not self.token and not self.clients:
            raise ValueError(
                "gateway.token: required where host is not loopback and there are no [clients]"
            )
        if not self.user_key:
            raise ValueError("gateway.user_key: required where host is not loopback")

    def of_worker(self, number: int) -> "GatewaySettings":
        """Return what one of several workers, from 1 on, has of this: a name and a spool of its own, and
        its part of what cannot be counted together.
        """
        if self.workers == 1:
            return self
        mirrored, more = divmod(self.shadow_concurrency, self.workers)
        return msgspec.structs.replace(
            self,
            workers=1,
            name=f"{self.name}-w{number}",
            spool=str(worker_spool(Path(self.spool), number)),
            spool_max_bytes=self.spool_max_bytes // self.workers,
            shadow_concurrency=mirrored + (number <= more),
        )

    def _check_specialists(self) -> None:
        Specialists(self.policy, self.specialists)
        if self.flags_url:
            raise ValueError("gateway.flags_url: flags of [specialists] are read from files alone")
        if not self.user_key:
            raise ValueError(
                "gateway.user_key: required with [specialists]: it signs generation ids, by which"
                " feedback reaches the policy that answered, and no other"
            )

    def flags_of(self, specialist: str) -> str:
        """Return where a specialist's flags are."""
        return f"{self.specialists_state}/{specialist}/flags.json"

    @property
    def on_loopback(self) -> bool:
        """True where only this machine can connect."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    @property
    def shows_variant(self) -> bool:
        """True where clients are told by what they are served."""
        return not self.clients if self.show_variant is None else self.show_variant

    @property
    def longest_seconds(self) -> float:
        """Longest from a request to its answer's end."""
        waits = self.body_seconds + self.empty_engine_seconds
        return waits + self.request_seconds + LEEWAY_SECONDS

    def redacts(self, tenant: str) -> bool:
        """Return whether a tenant's texts are redacted."""
        return (self.privacy or PrivacySettings()).redacts(tenant)

    def exempts(self, tenant: str) -> frozenset[str]:
        """Return what of a tenant's texts is nobody's secret."""
        return (self.privacy or PrivacySettings()).exempts(tenant)

    @property
    def id_key(self) -> bytes:
        """Key of signed generation ids; empty signs none."""
        return self.user_key.encode()
