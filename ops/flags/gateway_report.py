"""GatewayReport: what a gateway says of the flags that it acts on, and of how its requests are.

On one machine it is a small file beside the flag file, renewed every few seconds; from other hosts it
comes with each question for the flags.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

HEARD_SECONDS = 60.0
"""A gateway that was silent for so long is gone."""
GATEWAY, ACTS_ON = "X-Rlwd-Gateway", "X-Rlwd-Flag-Generation"
"""Headers of a question for the flags: who asks, and on which generation they act."""
LATENCY = "X-Rlwd-Latency-P95"
"""And how long their requests take; left out where nobody asks them anything."""
MOST_GENERATION = 2**52
"""Largest that is believed: what comes after it fits into every database and every JSON reader."""


class GatewayReport(msgspec.Struct, frozen=True, kw_only=True):
    """One gateway's last word."""

    gateway: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    """Name, host and port."""
    generation: Annotated[int, msgspec.Meta(ge=1, le=MOST_GENERATION)]
    """Generation of the flags that every new request of it is assigned by."""
    at: float
    """Epoch seconds when it was said, or heard."""
    p95_seconds: Annotated[float, msgspec.Meta(ge=0.0, le=1e6)] | None = None
    """95th percentile of its requests of the last 10 seconds, to the last byte; None without any,
    and of older gateways."""


_DECODE = msgspec.json.Decoder(GatewayReport).decode


def reports_folder(flags: Path) -> Path:
    """Return the folder beside a flag file where its gateways report."""
    return flags.with_name(f"{flags.name}.gateways")


def write_report(flags: Path, report: GatewayReport) -> None:
    """Write a report beside the flag file, whole or not at all; raises OSError.

    Not forced to the disk: a host that crashes takes the gateway with it.
    """
    path = _path(flags, report.gateway)
    path.parent.mkdir(exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(msgspec.json.encode(report))
    aside.replace(path)


def withdraw_report(flags: Path, gateway: str) -> None:
    """Take a gateway's report away: it ends in order and is waited for no more."""
    with contextlib.suppress(OSError):
        _path(flags, gateway).unlink()


def read_reports(flags: Path) -> Iterator[GatewayReport]:
    """Yield the reports beside a flag file, however old; what is no report is left out."""
    for path in sorted(reports_folder(flags).glob("*.json")):
        with contextlib.suppress(OSError, ValueError):
            yield _DECODE(path.read_bytes())


def _path(flags: Path, gateway: str) -> Path:
    name = hashlib.sha256(gateway.encode()).hexdigest()[:16]
    return reports_folder(flags) / f"{name}.json"
