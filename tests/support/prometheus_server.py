"""PrometheusServer: Debian's Prometheus and its promtool, from the cache or as they are installed."""

import functools
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from rlwd.ops.servers.process import LOOPBACK, NO_TLS, Server, answers, free_port

FETCH = Path(__file__).with_name("fetch_prometheus.sh")


@functools.cache
def _fetched() -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", str(FETCH)], capture_output=True, text=True, check=False)


def prometheus_is_here() -> bool:
    """Return whether Prometheus is installed, or could be fetched."""
    return _fetched().returncode == 0


def prometheus_folder() -> Path:
    """Return the folder of prometheus and promtool; skips the test by name where they cannot be had."""
    if not prometheus_is_here():
        pytest.skip(f"Prometheus cannot be had: {_fetched().stderr.strip().splitlines()[-1]}")
    return Path(_fetched().stdout.strip().splitlines()[-1])


def promtool(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool; what it complains of is in its standard error and output."""
    return subprocess.run(
        [str(prometheus_folder() / "promtool"), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )


class PrometheusServer(Server):
    """A Prometheus that asks its targets every second, by the names of their jobs."""

    def __init__(self, folder: Path, targets: Mapping[str, Sequence[int]], rules: Path) -> None:
        """`targets` are ports on loopback, by job."""
        config = folder / "prometheus.yml"
        jobs = [
            {"job_name": job, "static_configs": [{"targets": [f"{LOOPBACK}:{p}" for p in ports]}]}
            for job, ports in targets.items()
        ]
        config.write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "5s"},
                    "rule_files": [str(rules)],
                    "scrape_configs": jobs,
                }
            )
        )
        self.url = f"http://{LOOPBACK}:{(port := free_port())}"
        super().__init__(
            [
                str(prometheus_folder() / "prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={LOOPBACK}:{port}",
            ],
            name="prometheus",
            log=folder / "prometheus.log",
            healthy=answers(f"{self.url}/-/ready"),
            environment={"GOMAXPROCS": "1"},
        )

    def over(self, expr: str, began: float, ended: float) -> list[float]:
        """Return every finite value that a query had in that time, once a second."""
        found = self._get("query_range", query=expr, start=began, end=ended, step="1s")
        values = [float(value) for series in found["result"] for _, value in series["values"]]
        return [value for value in values if abs(value) < float("inf")]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        alerts = self._get("alerts")["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def _get(self, what: str, **asked: Any) -> dict[str, Any]:
        answer = httpx.get(
            f"{self.url}/api/v1/{what}", params=asked, timeout=30.0, trust_env=False, verify=NO_TLS
        )
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()["data"]
        return found
