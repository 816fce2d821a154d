"""MlflowServer: a real MLflow tracking server on loopback, all of its data in one folder."""

import sys
from pathlib import Path

from .process import LOOPBACK, Server, answers, free_port


class MlflowServer(Server):
    """`mlflow server` on SQLite with one worker.

    The first start migrates the database, about 9 s. The job runner, 228 MB that nothing here
    uses, stays off.
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(
            [
                *(sys.executable, "-m", "mlflow", "server"),
                *("--backend-store-uri", f"sqlite:///{folder.resolve()}/mlflow.db"),
                *("--artifacts-destination", str(folder.resolve() / "artifacts")),
                *("--host", LOOPBACK, "--port", str(self.port), "--workers", "1"),
            ],
            name="mlflow",
            log=folder / "mlflow.log",
            healthy=answers(f"{self.url}/health"),
            environment={
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "DO_NOT_TRACK": "true",
            },
        )
