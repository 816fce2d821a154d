"""Mirror settings: `[mlflow]` of the configuration."""

import math
import os

import msgspec


class MirrorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where MLflow is, and how much may wait for it. Times in seconds."""

    tracking_uri: str = ""
    """Such as http://127.0.0.1:5000; empty switches the mirror off."""
    experiment: str = ""
    """Name of the experiment; empty takes `rlwd/` and the policy's name."""
    flush_seconds: float = 2.0
    """Pause between writes."""
    waiting_points: int = 50_000
    """Metric points that may wait; beyond, the oldest are dropped and counted."""
    retry_seconds: float = 60.0
    """Longest pause between attempts while the server is away; it doubles up to this."""
    request_seconds: float = 10.0
    """Time limit of one request."""
    request_retries: int = 2
    """Retries within one request: 5 s against a server that is down (measured)."""
    trace_share: float = 0.0
    """Share of the sessions whose answers are mirrored as traces, with what was said and done, of those
    that people agreed to share (`privacy.purposes`); 0 mirrors none. Above it, answers that are worth less than a half are mirrored from all sessions."""
    traces_per_second: float = 5.0
    """Most traces written in a second, negatives first; a server on SQLite takes about 10."""
    waiting_traces: int = 10_000
    """Answers that may wait to be mirrored; beyond, those that waited longest are dropped and counted."""

    def experiment_of(self, policy: str) -> str:
        """Return the name of a policy's experiment."""
        return self.experiment or f"rlwd/{policy}"

    def __post_init__(self) -> None:
        if self.flush_seconds <= 0 or self.waiting_points < 1 or self.request_retries < 0:
            raise ValueError("flush_seconds and waiting_points must be above 0, retries not below")


def limit_requests(settings: MirrorSettings) -> None:
    """Tell MLflow's client, before it is imported, how long it may try, and to be silent.

    It reads the environment alone; what an operator set there stays.
    """
    known = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(settings.request_retries),
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(math.ceil(settings.request_seconds)),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # It prints a line for every run that ends; standard output is not ours to litter.
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    }
    for name, value in known.items():
        os.environ.setdefault(name, value)
