"""MLflow client: what we ask of MLflow, each call such that doing it twice equals doing it once.

Only `MlflowClient` is used: the fluent interface keeps an active run per thread. One experiment per
policy, one parent run per daemon life, one nested run per candidate; the registered model is the
policy, and aliases say who serves. Runs are found by tag, so nothing needs to be remembered here.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException, RestException
from requests.exceptions import RequestException

from ...streams.exception_text import exception_said
from .outbox import PARENT, AliasEntry, CandidateEntry, Entry, EvidenceEntry, OutcomeEntry

METRICS_PER_CALL = 1000
"""The server's limit."""
PARAMS_PER_CALL = 100
"""Likewise."""
LONGEST_VALUE = 5000
"""Characters of a tag or parameter; the server takes 6,000 of a parameter."""

_FINAL = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "INVALID_STATE", "RESOURCE_ALREADY_EXISTS"}

Point = tuple[str, float, int, int]
"""Metric name, value, epoch milliseconds, step."""


class UnknownVersion(ValueError):
    """An alias or outcome names a version that was never mirrored."""


MLFLOW_ERRORS = (MlflowException, RequestException, UnknownVersion)
"""All that a call of `ModelRegistry` raises where MLflow is away or says no."""


def refused(error: Exception) -> bool:
    """Return whether asking again cannot help: the server understood, and said no."""
    if isinstance(error, UnknownVersion):
        return True
    if isinstance(error, MlflowException):
        missing = isinstance(error, RestException) and error.error_code == "RESOURCE_DOES_NOT_EXIST"
        return missing or error.error_code in _FINAL
    status = getattr(getattr(error, "response", None), "status_code", 0)
    return status in (400, 404, 405, 409, 413, 422)


def said_by(error: Exception) -> str:
    """Return an error for the log: of what the server answered the code, for it quotes what it was sent."""
    if isinstance(error, RestException):
        return f"{type(error).__name__}: {error.error_code}"
    return str(error) if isinstance(error, UnknownVersion) else exception_said(error)[:300]


class ModelRegistry:
    """One policy's experiment and registered model. Used by one thread; blocks while it asks."""

    def __init__(self, tracking_uri: str, policy: str, experiment: str) -> None:
        self.policy, self.experiment = policy, experiment
        self.tracking_uri = tracking_uri
        self.client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        self._experiment_id = ""
        self._runs: dict[tuple[str, str], str] = {}

    def forget(self) -> None:
        """Look everything up again; the server may have been reset."""
        self._experiment_id = ""
        self._runs.clear()

    def apply(self, entry: Entry) -> None:
        """Do one registry operation."""
        if isinstance(entry, CandidateEntry):
            self._candidate(entry)
        elif isinstance(entry, AliasEntry):
            self._alias(entry)
        elif isinstance(entry, EvidenceEntry):
            self._evidence(entry)
        else:
            self._outcome(entry)

    def log(self, key: str, life: str, points: Sequence[Point], at: float) -> None:
        """Add at most 1,000 points to a version's run, or to the parent run where `key` is PARENT."""
        run = self._nested(key, life, at) if key != PARENT else self._parent(life, at)
        metrics = [Metric(name, value, stamp, step) for name, value, stamp, step in points]
        self.client.log_batch(run, metrics=metrics)

    def open(self, life: str, at: float) -> None:
        """Make sure that the daemon life's parent run exists."""
        self._parent(life, at)

    def finish(self, life: str) -> None:
        """End the parent run."""
        self.client.set_terminated(self._parent(life, time.time()))

    def _candidate(self, entry: CandidateEntry) -> None:
        run = self._nested(entry.version, entry.life, entry.at)
        tags = [RunTag(f"rlwd.{name}", cut(value)) for name, value in entry.tags.items()]
        params = [Param(name, cut(value)) for name, value in entry.params.items()]
        stamp = int(entry.at * 1000)
        metrics = [Metric(name, value, stamp, 0) for name, value in entry.metrics.items()]
        for start in range(0, max(len(tags), len(params), 1), PARAMS_PER_CALL):
            part = slice(start, start + PARAMS_PER_CALL)
            self.client.log_batch(run, params=params[part], tags=tags[part])
        for start in range(0, len(metrics), METRICS_PER_CALL):
            self.client.log_batch(run, metrics=metrics[start : start + METRICS_PER_CALL])
        if not Path(entry.adapter_path).is_dir():
            self.client.set_tag(run, "rlwd.adapter", "gone before it could be uploaded")
            return
        self.client.log_artifacts(run, entry.adapter_path, artifact_path="adapter")
        self._model_version(entry, run)

    def _model_version(self, entry: CandidateEntry, run: str) -> None:
        if self._find_model_version(entry.version) is not None:
            return
        try:
            self.client.create_registered_model(self.policy)
        except RestException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        tags = {f"rlwd.{name}": cut(value) for name, value in entry.tags.items()}
        self.client.create_model_version(
            self.policy,
            source=f"runs:/{run}/adapter",
            run_id=run,
            tags={**tags, "rlwd.version": entry.version},
            await_creation_for=0,
        )

    def _alias(self, entry: AliasEntry) -> None:
        for alias, version in entry.aliases.items():
            if version is None:
                self._remove_alias(alias)
                continue
            number = self._find_model_version(version)
            if number is None:
                raise UnknownVersion(f"alias {alias}: {version} was never registered")
            self.client.set_registered_model_alias(self.policy, alias, number)

    def _remove_alias(self, alias: str) -> None:
        try:
            self.client.delete_registered_model_alias(self.policy, alias)
        except RestException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise

    def _evidence(self, entry: EvidenceEntry) -> None:
        said = entry.verdict
        document = {"version": entry.version, "at": entry.at, **msgspec.to_builtins(said)}
        run = self._nested(entry.version, entry.life, entry.at)
        self.client.log_dict(run, document, "gate.json")
        tags = {"rlwd.gate": str(said.outcome), "rlwd.gate_reason": cut(said.reason)}
        self._tag(run, entry.version, tags)

    def _outcome(self, entry: OutcomeEntry) -> None:
        run = self._nested(entry.version, entry.life, entry.at)
        tags = {"rlwd.outcome": entry.outcome, "rlwd.reason": cut(entry.reason)}
        self._tag(run, entry.version, tags)
        self.client.set_terminated(run, end_time=int(entry.at * 1000))

    def _tag(self, run: str, version: str, tags: dict[str, str]) -> None:
        """Set tags on a version's run, and on its model version where there is one."""
        number = self._find_model_version(version)
        for name, value in tags.items():
            self.client.set_tag(run, name, value)
            if number is not None:
                self.client.set_model_version_tag(self.policy, number, name, value)

    def _find_model_version(self, version: str) -> str | None:
        found = self.client.search_model_versions(
            f"name = '{self.policy}' and tags.`rlwd.version` = '{version}'", max_results=1
        )
        return str(found[0].version) if found else None

    def _parent(self, life: str, at: float) -> str:
        return self._run("life", life, at, {"mlflow.runName": f"daemon {life}"})

    def _nested(self, version: str, life: str, at: float) -> str:
        if ("version", version) in self._runs:
            return self._runs["version", version]
        parent = self._parent(life, at)
        names = {"mlflow.runName": version, "mlflow.parentRunId": parent}
        return self._run("version", version, at, names)

    def _run(self, kind: str, key: str, at: float, tags: dict[str, str]) -> str:
        """Return the run with this tag; make it where there is none."""
        if (kind, key) not in self._runs:
            experiment = self.experiment_id()
            found = self.client.search_runs([experiment], f"tags.`rlwd.{kind}` = '{key}'")
            run = (
                found[0]
                if found
                else self.client.create_run(
                    experiment,
                    start_time=int(at * 1000),
                    tags={
                        **tags,
                        f"rlwd.{kind}": key,
                        "mlflow.user": os.environ.get("USER", "rlwd"),
                    },
                )
            )
            self._runs[kind, key] = run.info.run_id
        return self._runs[kind, key]

    def experiment_id(self) -> str:
        """Return the experiment's id; make it where there is none."""
        if not self._experiment_id:
            known = self.client.get_experiment_by_name(self.experiment)
            self._experiment_id = (
                self.client.create_experiment(self.experiment)
                if known is None
                else known.experiment_id
            )
        return self._experiment_id


def cut(value: str) -> str:
    """Return a text as long as the server takes it."""
    return value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 1] + "…"
