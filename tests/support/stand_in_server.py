"""StandInServer: the stand-in of a training service in a process of its own."""

import sys
from pathlib import Path

import httpx
import msgspec

from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.service_settings import ServiceSettings
from rlwd.learner.settings import LearnerSettings
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, Server, answers, free_port

PROGRAM = Path(__file__).with_name("stand_in_service.py")
BASE = "stand-in/tiny"
NO_LANES = LaneSettings(kto=0.0, dpo=0.0)


class StandInServer(Server):
    """One on loopback; what it saved lies in its folder, and outlives it."""

    def __init__(self, model: Path, folder: Path, *, rank: int = 8) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        port = free_port()
        self.url = f"http://{LOOPBACK}:{port}"
        given = ["--model", str(model), "--folder", str(folder / "kept"), "--port", str(port)]
        given += ["--rank", str(rank)]
        super().__init__(
            [sys.executable, str(PROGRAM), *given],
            name="stand-in",
            log=folder / "stand-in.log",
            healthy=answers(f"{self.url}/health"),
            environment={"OMP_NUM_THREADS": "1"},
            start_seconds=400.0,
        )

    def key(self, key: str = "tml-stand-in") -> str:
        """Return what names a file that holds a key: the right one, or another."""
        path = self.folder / f"{key}.key"
        path.write_text(key)
        return f"file:{path}"

    def order(self, *faults: tuple[str, str, int]) -> None:
        """Order what happens to the next requests: the path's last part, the kind, how many."""
        told = [{"path": path, "kind": kind, "times": times} for path, kind, times in faults]
        httpx.post(f"{self.url}/stand-in/faults", json=told, verify=NO_TLS).raise_for_status()

    def well(self) -> None:
        """Take all orders back."""
        httpx.delete(f"{self.url}/stand-in/faults", verify=NO_TLS).raise_for_status()

    @property
    def counts(self) -> dict[str, int]:
        """What it did so far."""
        found: dict[str, int] = httpx.get(f"{self.url}/stand-in/counts", verify=NO_TLS).json()
        return found


def at_service(
    settings: LearnerSettings, server: StandInServer, **service: object
) -> LearnerSettings:
    """Return a learner's settings with its tensors at a service."""
    named = {"url": server.url, "model": BASE, "key": server.key(), "timeout_seconds": 60.0}
    return msgspec.structs.replace(
        settings,
        kl_weight=0.0,
        lanes=NO_LANES,
        service=msgspec.convert(named | service, ServiceSettings),
    )
