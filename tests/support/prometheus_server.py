"""PrometheusServer: Debian's Prometheus and its promtool, from the cache or as they are installed."""

import functools
import subprocess
from pathlib import Path

import pytest

FETCH = Path(__file__).with_name("fetch_prometheus.sh")


@functools.cache
def prometheus_folder() -> Path:
    """Return the folder of prometheus and promtool; skips the test by name where they cannot be had."""
    found = subprocess.run(["bash", str(FETCH)], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"Prometheus cannot be had: {found.stderr.strip().splitlines()[-1]}")
    return Path(found.stdout.strip().splitlines()[-1])


def promtool(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run promtool; what it complains of is in its standard error and output."""
    return subprocess.run(
        [str(prometheus_folder() / "promtool"), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
