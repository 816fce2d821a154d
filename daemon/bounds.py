"""Bounds: what each value of the config may be; one that is out of them is named by its path."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ..ops.reading.settings import SATISFACTION_BOUNDS

DAY = 86400.0
YEAR = 366 * DAY
GIB = float(1 << 30)
SHARE = (0.0, 1.0)
PORT = (1, 65535)
WHOSE = ("user", "unnamed", "tenant", "prompt")

NUMBERS: dict[str, tuple[float, float]] = {
    "stop_seconds": (0.1, 3600.0),
    "retention_days": (1e-4, 36600.0),
    "keep_checkpoints": (2, 100_000),
    "look_seconds": (0.01, DAY),
    "stream.poll_seconds": (0.001, 60.0),
    "stream.poll_records": (1, 1_000_000),
    "stream.kafka.session_timeout_seconds": (1.0, 3600.0),
    "stream.kafka.max_poll_interval_seconds": (1.0, DAY),
    "stream.kafka.fetch_max_wait_seconds": (0.0, 60.0),
    "stream.kafka.fetch_max_bytes": (1024, 2 * GIB - 1),
    "stream.kafka.max_partition_fetch_bytes": (1024, 2 * GIB - 1),
    "stream.kafka.max_record_bytes": (1024, 2 * GIB - 1),
    "stream.kafka.max_queued_bytes": (1024, 64 * GIB),
    "stream.kafka.connect_seconds": (0.1, 3600.0),
    "join.feedback_per_kind": (1, 10_000),
    "batch.episodes": (1, 1_000_000),
    "batch.at_most": (1, 1_000_000),
    "batch.held_out": (0.0, 0.9),
    "batch.user_share": (0.001, 1.0),
    "batch.max_lead": (0, 1000),
    **dict.fromkeys((f"trust.{one}_share" for one in WHOSE), (0.001, 1.0)),
    "trust.response_floor": (0.001, 1.0),
    "trust.user_times": (0.0, 1e6),
    "trust.reading_speed": (0.0, 1e6),
    **dict.fromkeys(("trust.pace_seconds", "trust.burst_seconds"), (0.001, DAY)),
    "trust.burst_answers": (1, 1_000_000),
    "trust.one_sided": (0.0, 0.5),
    "trust.machine_spread": (0.0, 1.0),
    "trust.memory_batches": (1, 1000),
    "learner.lora_rank": (1, 1024),
    "learner.lora_alpha": (1e-6, 1e6),
    "learner.learning_rate": (1e-12, 10.0),
    "learner.warmup_steps": (0, 1_000_000),
    "learner.beta1": SHARE,
    "learner.beta2": SHARE,
    "learner.eps": (1e-30, 1.0),
    "learner.clip_norm": (1e-9, 1e9),
    "learner.passes": (1, 1000),
    "learner.minibatch_episodes": (1, 1_000_000),
    "learner.ratio_cap": (1e-6, 1e6),
    "learner.ratio_mask": (0.0, 1e6),
    "learner.negative_weight": (0.0, 1000.0),
    "learner.token_credit": (0.0, 1000.0),
    "learner.kl_weight": (0.0, 1000.0),
    "learner.max_policy_age": (0, 1_000_000),
    "learner.pack_tokens": (8, 10_000_000),
    "learner.rows_per_forward": (1, 100_000),
    "learner.max_episode_tokens": (2, 10_000_000),
    "learner.half_life": (1e-6, 1e6),
    "learner.rho_min": (1e-9, 1.0),
    "learner.rho_max": (1e-9, 1.0),
    "learner.prior_count": (1e-6, 1e9),
    "learner.advantage_floor": (1e-9, 1.0),
    "learner.probe_tokens": (2, 100_000),
    "learner.threads": (0, 4096),
    "learner.nice": (0, 19),
    "learner.seed": (0, 2**63 - 1),
    "engine.request_seconds": (0.1, 3600.0),
    "gate.margin": SHARE,
    "gate.z": (0.0, 10.0),
    "gate.min_effective": (0.0, 1e9),
    "gate.weak_first_step": (1e-6, 1.0),
    "gate.probe_tolerance": (0.0, 100.0),
    "gate.replicas": (1, 10_000),
    "gate.max_drift": (0.0, 1e6),
    "gate.max_exposure": (3.0, 14.0),
    "tool_errors.unknown_bar": (1e-6, 0.999),
    "tool_errors.least_calls": (1, 1_000_000_000),
    "tool_errors.window_seconds": (600.0, DAY),
    "tool_errors.baseline_days": (1.0, 366.0),
    "rollout.steps": (1e-9, 1.0),
    "rollout.anchor_share": (0.0, 0.5),
    "rollout.step_users": (0, 1_000_000_000),
    "rollout.step_seconds": (0.0, YEAR),
    "rollout.min_users": (1, 1_000_000_000),
    "rollout.min_days": (0, 366),
    "rollout.margin": SHARE,
    "rollout.alpha_promote": (1e-9, 0.5),
    "rollout.planned_users": (1, 1_000_000_000),
    "rollout.gate_seconds": (0.1, YEAR),
    "rollout.deadline_seconds": (0.1, YEAR),
    "rollout.bake_seconds": (0.0, YEAR),
    "rollout.bake_share": (0.0, 0.5),
    "rollout.linger_seconds": (0.0, YEAR),
    "rollout.shadow.share": SHARE,
    "rollout.shadow.answers": (2, 1_000_000_000),
    "rollout.shadow.seconds": (0.1, YEAR),
    "rollout.shadow.longer": (0.0, 1000.0),
    "rollout.guardrail.alpha_harm": (1e-9, 0.5),
    "rollout.guardrail.harm_users": (1, 1_000_000_000),
    "rollout.guardrail.harm_planned_users": (2, 1_000_000_000),
    "rollout.guardrail.harm_tolerance": SHARE,
    "rollout.guardrail.srm_alpha": (1e-12, 0.5),
    "rollout.guardrail.max_error_share": SHARE,
    "rollout.guardrail.max_empty_share": SHARE,
    "rollout.guardrail.min_bad": (1, 1_000_000_000),
    "comparison.user_weight": (1.0, 1e9),
    "comparison.stratum_users": (2, 1_000_000_000),
    "gateway.port": (0, 65535),
    "gateway.keep_seconds": (0.0, DAY),
    "gateway.flags_seconds": (0.05, 60.0),
    "gateway.spool_max_bytes": (1 << 16, 1024 * GIB),
    "gateway.request_seconds": (0.1, DAY),
    "gateway.empty_engine_seconds": (0.0, 3600.0),
    "gateway.max_body_bytes": (1024, GIB),
    "gateway.max_feedback_bytes": (1024, GIB),
    "gateway.shadow_concurrency": (0, 10_000),
    "gateway.shadow_beside": (0, 1_000_000),
    "gateway.max_connections": (1, 1_000_000),
    "gateway.header_seconds": (0.1, 3600.0),
    "gateway.body_seconds": (0.1, 3600.0),
    "gateway.idle_seconds": (0.1, 3600.0),
    "gateway.oversize_days": (0.0, 36600.0),
    "mlflow.flush_seconds": (0.001, 3600.0),
    "mlflow.waiting_points": (1, 100_000_000),
    "mlflow.retry_seconds": (0.1, DAY),
    "mlflow.request_seconds": (0.1, 3600.0),
    "mlflow.request_retries": (0, 100),
    "mlflow.trace_share": SHARE,
    "mlflow.traces_per_second": (0.01, 1000.0),
    "mlflow.waiting_traces": (1, 100_000_000),
    "http.port": PORT,
    **{f"satisfaction.{key}": value for key, value in SATISFACTION_BOUNDS.items()},
}
"""Least and most; both are allowed."""

PATHS = {
    *("state", "reward_spec"),
    "gate.planted",
    "stream.data_folder",
    "learner.model",
    "gateway.flags",
    "gateway.spool",
}
OPTIONAL_URLS = {"gateway.flags_url", "mlflow.tracking_uri", "satisfaction.judge.url"}
URLS = {"engine.urls", "gateway.engines", *OPTIONAL_URLS}
TOPICS = {
    "stream.generations",
    "stream.feedback",
    "stream.dead_letters",
    "gateway.generations_topic",
    "gateway.feedback_topic",
}
NAMES = {"policy", "gateway.policy", "gateway.name"}
HOSTS = {"http.host", "gateway.host"}
REQUIRED = {"state", "gateway.flags", "gateway.spool"}


def check_values(written: Mapping[str, Any]) -> None:
    """Raise ValueError with the path of the first value in a config file that is out of bounds.

    What has a wrong type or an unknown key is left to whoever reads the file's structure.
    """
    for path, value in values(written):
        key = re.sub(r"\[\d+\]$", "", path)
        if isinstance(value, int | float) and not isinstance(value, bool) and key in NUMBERS:
            _check_number(key, path, value)
        if isinstance(value, str):
            for keys, check in _TEXTS:
                if key in keys:
                    check(path, value)


def values(written: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value with its path; those of a list one by one, as `engine.urls[0]`."""
    for key, value in written.items():
        if isinstance(value, Mapping):
            yield from values(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield from ((f"{prefix}{key}[{number}]", one) for number, one in enumerate(value))
        else:
            yield f"{prefix}{key}", value


def _check_number(key: str, path: str, value: float) -> None:
    least, most = NUMBERS[key]
    # A comparison with nan is false.
    if not least <= value <= most:
        raise ValueError(f"{path}: {value} is not between {least:g} and {most:g}")


def _check_path(path: str, value: str) -> None:
    if any(ord(letter) < 32 for letter in value):
        raise ValueError(f"{path}: {value!r} holds a control character, which no path may")
    if not value and path in REQUIRED:
        raise ValueError(f"{path}: is empty")


def _check_url(path: str, value: str) -> None:
    if not value and path in OPTIONAL_URLS:
        return
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError as problem:
        raise ValueError(f"{path}: {value!r}: {problem}") from None
    if url.username is not None or url.query or url.fragment or re.search(r"[\s\x00-\x1f]", value):
        raise ValueError(f"{path}: only scheme, host, port and path go here; a key goes into token")
    if url.scheme not in ("http", "https") or not url.hostname or port == 0:
        raise ValueError(f"{path}: {value!r} is not http://HOST:PORT")


def _check_topic(path: str, value: str) -> None:
    # As Kafka's brokers have it.
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", value) or value in (".", ".."):
        raise ValueError(f"{path}: {value!r} is no topic: letters, digits, . _ and -, 249 at most")


def _check_name(path: str, value: str) -> None:
    # It is part of file names, flag keys and the versions that clients see.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
        raise ValueError(
            f"{path}: {value!r} is no name: a letter or digit, then those, . _ and -, 100 at most"
        )


def _check_host(path: str, value: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9.:%_-]{1,255}", value):
        raise ValueError(f"{path}: {value!r} is no host name or address")


def _check_header(path: str, value: str) -> None:
    if value and not re.fullmatch(r"[A-Za-z0-9-]{1,100}", value):
        raise ValueError(f"{path}: {value!r} is no name of a header")


def _check_address(path: str, value: str) -> None:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        raise ValueError(f"{path}: {value!r} is no IP address") from None


_TEXTS: tuple[tuple[set[str], Callable[[str, str], None]], ...] = (
    (PATHS, _check_path),
    (URLS, _check_url),
    (TOPICS, _check_topic),
    (NAMES, _check_name),
    (HOSTS, _check_host),
    ({"http.user_header"}, _check_header),
    ({"http.proxies"}, _check_address),
)
