"""Gateway settings: how the gateway runs, free of what serves it."""

import msgspec


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the gateway runs. Raises ValueError naming the field."""

    host: str = "127.0.0.1"
    """Address to listen on; beyond loopback `token` and `user_key` are required."""
    port: int = 8080
    """0 takes a free one."""
    name: str = "gateway"
    """Names this gateway in its events' `source`; differs between gateways."""
    policy: str = "policy"
    """Name of the policy whose flag decides."""
    model: str = "rlwd"
    """The one model name that clients know."""
    engines: tuple[str, ...] = ("http://127.0.0.1:8000",)
    """Base URLs of the replicas, all with the same versions loaded."""
    engine_token: str = ""
    """Bearer token for the engines; empty sends none."""
    flags: str = "state/flags.json"
    """The flag file."""
    spool: str = "state/spool"
    """Folder of this process's spool; no two gateways share one."""
    spool_max_bytes: int = 1 << 30
    """Beyond this the oldest unsent events are dropped, and counted."""
    token: str = ""
    """Bearer token that clients must send; empty asks for none, on loopback only."""
    user_key: str = ""
    """Key of the users' hashes; the same on all gateways, kept as long as the data."""
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
    request_seconds: float = 600.0
    """Longest a generation may take."""
    empty_engine_seconds: float = 15.0
    """Longest wait for the daemon to fill an engine that came back without any version."""
    max_body_bytes: int = 4 << 20
    """Largest request."""
    strip_seed: bool = True
    """Drop `seed`: on a CPU it can end the vLLM server (docs/vllm.md 5)."""

    def __post_init__(self) -> None:
        if not self.engines:
            raise ValueError("gateway.engines: at least one is needed")
        if self.logprobs_mode not in ("processed", "raw"):
            raise ValueError(f"gateway.logprobs_mode: {self.logprobs_mode!r}: processed or raw")
        if self.spool_max_bytes < 1 << 16:
            raise ValueError("gateway.spool_max_bytes: at least 65536")
        for field in ("token", "user_key"):
            if not self.on_loopback and not getattr(self, field):
                raise ValueError(f"gateway.{field}: required where host is not loopback")

    @property
    def on_loopback(self) -> bool:
        """True where only this machine can connect."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")
