"""Daemons on one state with their learners, and nobody else: no gateway, no engine, no people."""

import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson
from ledger_by_hand import feedback, generation
from waiting import until

from rlwd.daemon.commands.status import status_document
from rlwd.daemon.config import load_config
from rlwd.learner.candidate import Manifest
from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, Server, free_port
from rlwd.streams.events.signals import Accepted, Rejected
from rlwd.streams.log.embedded_log import EmbeddedSink

BATCH = 8

CONFIG = """\
policy = "policy"
state = "state"
stop_seconds = 6.0
look_seconds = 0.5
reward_spec = "{reward_spec}"
[stream]
poll_seconds = {poll}
[batch]
episodes = {batch}
held_out = {held_out}
max_lead = 100
user_share = {user_share}
users = {users}
[learner]
model = "{model}"
device = "cpu"
lora_rank = 4
lora_alpha = 4.0
passes = {passes}
minibatch_episodes = {step}
pack_tokens = 64
threads = 1
{learner}
[engine]
urls = ["{engine}"]
[http]
port = {port}
{more}
"""


class LoneDaemon(Server):
    """One `rlwd run`; it is never ready, since no engine answers."""

    def __init__(self, config: Path) -> None:
        self.port = load_config(config).http.port
        super().__init__(
            [sys.executable, "-m", "rlwd.daemon", "run", "--config", str(config)],
            name=config.stem,
            log=config.with_suffix(".log"),
            healthy=lambda: self.ask("livez").get("alive", False),
            environment={"OMP_NUM_THREADS": "1"},
        )

    def ask(self, page: str) -> dict[str, Any]:
        """Return one of its pages, or nothing while it does not answer."""
        try:
            url = f"http://{LOOPBACK}:{self.port}/{page}"
            found: dict[str, Any] = orjson.loads(
                httpx.get(url, timeout=5.0, trust_env=False, verify=NO_TLS).content
            )
        except (httpx.HTTPError, ValueError):
            return {}
        return found

    @property
    def live(self) -> dict[str, Any]:
        """Its facts of the moment; empty where it does not answer."""
        return dict(self.ask("statusz").get("live", {}))

    def told(self, problem: str) -> str:
        """What `/readyz` says of a problem; empty where it names none of that name."""
        return str(self.ask("readyz").get("problems", {}).get(problem, ""))

    @property
    def learning(self) -> bool:
        """True while its learner is in the middle of a batch."""
        return str(self.live.get("learner", "")).startswith("step")

    def kill_alone(self) -> None:
        """Kill the daemon, as the kernel would, and let its learner live."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Workshop:
    """One state folder, the daemons that were started on it, and what is said to them."""

    def __init__(
        self,
        folder: Path,
        model: Path,
        *,
        passes: int,
        poll_seconds: float,
        more: str = "",
        step: int = 2,
        user_share: float = 0.25,
        users: int = 1,
        reward_spec: str = "",
        batch: int = BATCH,
        held_out: float = 0.0,
        learner: str = "",
        engine: str = "",
    ) -> None:
        """`learner` are further lines of its section, `more` further sections; without `engine` nobody
        answers where one should."""
        self.folder, self.model, self.more = folder, model, more
        self.step, self.reward_spec = step, reward_spec
        self.user_share, self.users = user_share, users
        self.passes, self.poll_seconds = passes, poll_seconds
        self.batch, self.held_out, self.learner = batch, held_out, learner
        self.engine = engine
        self.daemons: list[LoneDaemon] = []
        self.said = 0

    def daemon(self, name: str) -> LoneDaemon:
        """Make a daemon of this state; the caller starts it."""
        path = self.folder / f"{name}.toml"
        path.write_text(
            CONFIG.format(
                model=self.model,
                passes=self.passes,
                poll=self.poll_seconds,
                step=self.step,
                user_share=self.user_share,
                users=self.users,
                reward_spec=self.reward_spec,
                batch=self.batch,
                held_out=self.held_out,
                learner=self.learner,
                engine=self.engine or f"http://{LOOPBACK}:{free_port()}",
                port=free_port(),
                more=self.more,
            )
        )
        self.config = load_config(path)
        self.daemons.append(LoneDaemon(path))
        return self.daemons[-1]

    def say(self, count: int = BATCH, temperatures: Sequence[float] = (1.0,)) -> None:
        """Write so many answers of v0 to the log, each with what somebody did with it.

        Two each are drawn at one of the temperatures, in turns.
        """
        ((version,),) = self.ask("SELECT version FROM champions")
        sink, now = EmbeddedSink(self.config.log_path), time.time()
        for number in range(self.said, self.said + count):
            name = f"s{number}.g"
            verdict = Accepted() if number % 2 else Rejected()
            drawn = {"temperature": temperatures[number // 2 % len(temperatures)]}
            record = generation(name, now, version=version, sampling=drawn)
            sink.send(self.config.stream.generations, name, record)
            sink.send(self.config.stream.feedback, name, feedback(f"f{number}", name, verdict, now))
        sink.flush(10.0)
        sink.close()
        self.said += count

    def ask(self, sql: str, *parameters: Any) -> list[Any]:
        """Return the rows of a query to the state database."""
        database = sqlite3.connect(self.config.state_path / "rlwd.db", isolation_level=None)
        try:
            return database.execute(sql, parameters).fetchall()
        finally:
            database.close()

    def change(self, sql: str) -> None:
        """Change what stands in the state database; OperationalError where another has a transaction."""
        database = sqlite3.connect(self.config.state_path / "rlwd.db", timeout=1.0)
        with database:
            database.execute(sql)
        database.close()

    def status(self) -> dict[str, Any]:
        """Return what the state database says."""
        return status_document(self.config, time.time())

    @property
    def manifests(self) -> list[Manifest]:
        """The checkpoints on disk that a batch made."""
        found = read_manifests(self.config.state_path / "checkpoints")
        return [one for one in found if one.batch_id is not None]

    def until(self, done: Callable[[], bool], seconds: float = 240.0) -> None:
        """Wait until something is the case; TimeoutError with the last lines of all if never."""
        until(
            done,
            seconds,
            told=lambda: "\n".join(f"{one.name} {one.live}\n{one.tail()}" for one in self.daemons),
        )

    def close(self) -> None:
        """Stop what runs, what was paused too."""
        for each in self.daemons:
            each.signal(signal.SIGCONT)
            each.stop(10.0)


def lives(pid: int) -> bool:
    """Return whether a process runs, or could."""
    return state_of(pid) not in ("", "Z")


def state_of(pid: int) -> str:
    """Return a process's state as the kernel writes it: R, S, T (stopped), Z; empty: it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
