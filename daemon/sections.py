"""Sections of the config that belong to no other folder: the log, the engines, the pages."""

from typing import Literal

import msgspec

from ..learner.settings import LearnerSettings
from ..ops.router.settings import RouterSettings
from ..streams.log.kafka_settings import KafkaSettings


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where events come from."""

    kind: Literal["embedded", "kafka"] = "embedded"
    """The embedded log is for one machine."""
    file: str = ""
    """File of the embedded log; empty: `log.db` in the state folder. A specialist has its parent's."""
    generations: str = "rlwd.generations"
    """Topic of generations."""
    feedback: str = "rlwd.feedback"
    """Topic of feedback."""
    dead_letters: str = "rlwd.deadletter"
    """Topic of what was refused."""
    poll_seconds: float = 0.2
    """Longest wait for records in one turn of the loop."""
    poll_records: int = 2000
    """Most records in one turn."""
    data_folder: str = ""
    """Shared by all gateways and daemons: events over the broker's limit go here, and references to
    them onto the log. Empty: such a generation is kept without its tokens."""
    kafka: KafkaSettings = KafkaSettings()
    """Used where `kind` is kafka."""


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The inference engines."""

    urls: tuple[str, ...] = ("http://127.0.0.1:8000",)
    """Every replica; each is loaded and proven on its own."""
    token: str = ""
    """API key of the engines."""
    adapters: int = 0
    """How many adapters each engine can hold (vLLM: the smaller of --max-loras and --max-cpu-loras), which
    the policies of `[specialists]` divide; needed with them. 0: nobody counts."""
    request_seconds: float = 60.0
    """Longest wait for one call; a load waits for the engine's step in progress."""


class HttpSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The daemon's own pages: / /rollouts /tools /livez /readyz /metrics /statusz /flags."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8090
    """Port to listen on."""
    token: str = ""
    """Asked of callers; required unless the host is loopback."""
    user_header: str = ""
    """Header in which a proxy names the user whom it let in, such as X-Forwarded-User. Empty: none is
    believed. With it, who comes without that header needs the token, on loopback too."""
    proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    """Addresses of the proxies that `user_header` is believed from. Whatever else runs there is believed, too."""
    names: tuple[str, ...] = ()
    """Names under which people open these pages through that proxy, such as rlwd.example.com. Asked under
    another one, but for this machine's own, `user_header` is not believed: the browser of somebody beside
    the proxy can be led here under any name."""
    flags_key: str = ""
    """Key that signs the flags at /flags, for gateways on other hosts (`gateway.flags_url`): 16
    characters or more, the same there. Empty: none are served."""

    def __post_init__(self) -> None:
        if self.user_header and not self.proxies and not self.token:
            raise ValueError(
                "proxies: names no address, and there is no token: nobody could get in"
            )


def check_topics(stream: StreamSettings) -> None:
    """Raise ValueError where two kinds of records have one topic."""
    topics = (stream.generations, stream.feedback, stream.dead_letters)
    if len(set(topics)) < len(topics):
        raise ValueError(f"stream: the topics {', '.join(topics)} are not three")


def check_router(
    router: RouterSettings, learner: LearnerSettings, token: str, specialists: bool
) -> None:
    """Raise ValueError where full weights do not go with the rest of a config."""
    if learner.weights == "adapter":
        return
    if specialists:
        raise ValueError(
            'learner.weights: is "full", and specialists are adapters beside one base model: use "adapter"'
        )
    if router.host not in ("127.0.0.1", "localhost", "::1") and not token:
        raise ValueError(f"engine.token: required, because router.host is {router.host}")
