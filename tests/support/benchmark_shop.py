"""BenchmarkShop: people ask through the gateway, a benchmark is built by its command, versions go through the gate.

Only the model is not real: what it says is a function of the request, in production and on a replay alike,
where a test does not say otherwise.
"""

import random
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import orjson
from rollout_rig import RolloutRig
from typer.testing import CliRunner
from waiting import until

from rlwd.daemon.cli import app
from rlwd.daemon.config import Config, load_config
from rlwd.daemon.control.control_loop import ControlLoop
from rlwd.daemon.control.lifecycle import Deadline
from rlwd.daemon.wire import build_control
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.seal import seal
from rlwd.learner.sealed import SealedBatch
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.servers.process import LOOPBACK, NO_TLS, free_port

Behaves = Callable[[dict[str, Any]], tuple[str, str | None]]
CONFIG = """\
state = "."
look_seconds = 0.1
stop_seconds = 5.0
[stream]
poll_seconds = 0.01
[learner]
model = "base"
[engine]
urls = ["{engine}"]
[gate]
probe_rounds = 0
[comparison]
horizon_seconds = 0.1
[gateway]
user_key = "key"
[http]
port = {port}
{rollout}
[benchmark]
name = "shop"
size = {size}
least = {least}
people_share = {share}
"""
WORDS = [
    "parcel",
    "invoice",
    "login",
    "basket",
    "refund",
    "voucher",
    "address",
    "delivery",
    "colour",
    "size",
    "return",
    "button",
]
TOOL = {
    "type": "function",
    "function": {"name": "read_file", "parameters": {"type": "object"}},
}


def question(number: int) -> str:
    """Return what nobody else asks, in more words than a run has."""
    return " ".join(random.Random(number).choices(WORDS, k=12)) + f" {number}"


def helpful(body: dict[str, Any]) -> tuple[str, str | None]:
    """Answer what was asked, and call the tool where there is one."""
    asked = body["messages"][-1]["content"]
    if asked.startswith("file"):
        return "", '{"path": "README.md"}'
    return f"In short: {' '.join(asked.split()[-6:])}.", None


def broken(body: dict[str, Any]) -> tuple[str, str | None]:
    """Answer as `helpful`, but break every call."""
    text, arguments = helpful(body)
    return text, None if arguments is None else '{"path": '


def asking(body: dict[str, Any]) -> tuple[str, str | None]:
    """Ask back, whatever was asked."""
    return "Which one do you mean?", None


def is_replay(body: dict[str, Any]) -> bool:
    """Return whether a request comes from the gate: a product sends messages, and a replay tokens."""
    return "prompt" in body


class BenchmarkShop:
    """One rollout rig with a config file that the commands read."""

    def __init__(
        self,
        rig: RolloutRig,
        folder: Path,
        *,
        size: int = 30,
        least: int = 10,
        share: float = 0.5,
        rollout: str = "",
    ) -> None:
        """`rollout` are sections of the config, `[rollout]` and below."""
        self.rig, self.path = rig, folder / "rlwd.toml"
        self.path.write_text(
            CONFIG.format(
                engine=rig.engine.url,
                port=free_port(),
                rollout=rollout,
                size=size,
                least=least,
                share=share,
            )
        )
        self.control: ControlLoop | None = None
        rig.engine.spells = True
        for one in rig.versions:
            rig.engine.behaves[one.version] = helpful
        self.said = 0
        """Answers and decisions so far."""
        self.answers = 0

    @property
    def config(self) -> Config:
        """The config file."""
        return load_config(self.path)

    def ask(self, user: str, text: str, *, taken: bool = True, **more: Any) -> str:
        """Let somebody ask, and take the answer; return its id."""
        known: dict[str, Any] = {"messages": [{"role": "user", "content": text}], **more}
        if text.startswith("file"):
            known["tools"] = [TOOL]
        _, _, name = self.rig.ask(user, temperature=0.7, **known)
        assert name
        self.answers += 1
        self.rig.say(name, "accepted" if taken else "rejected")
        self.said += 1
        return name

    def crowd(self, people: range, *, files: bool = False) -> list[str]:
        """Let so many people ask, each a thing of their own; return the ids once all is joined."""
        lead = "file " if files else ""
        names = [self.ask(f"user{number}", lead + question(number)) for number in people]
        self.rig.settle(self.answers, self.said)
        return names

    def learn(self, episodes: int) -> SealedBatch:
        """Seal what is ready, as the learner asks for it."""
        with self.rig.store.transaction() as tx:
            batch = seal(
                tx,
                "policy",
                BatchSettings(episodes=episodes, at_most=1000, held_out=0.0, user_share=1.0),
                parent_sequence=0,
                max_policy_age=8,
                age=lambda version: 0,
                now=0.0,
            )
        assert batch is not None
        return batch

    def run(self, *arguments: str, expect: int = 0) -> dict[str, Any]:
        """Run a command of `rlwd benchmark`; return the JSON that it prints, with what it says on stderr."""
        done = CliRunner().invoke(app, ["benchmark", *arguments, "--config", str(self.path)])
        assert done.exit_code == expect, (done.output, done.exception)
        told: dict[str, Any] = orjson.loads(done.stdout) if done.stdout.startswith("{") else {}
        return {**told, "stderr": done.stderr, "stdout": done.stdout}

    def fate(self, name: str) -> str:
        """Return how an answer ended."""
        with self.rig.store.reading() as view:
            row = view.execute(
                "SELECT fate FROM episodes WHERE generation_id = ?", (name,)
            ).fetchone()
        return str(row[0])

    def govern(self, stack: ExitStack) -> ControlLoop:
        """Let a daemon take over from the rig, all of it as `rlwd run` builds it, but for the learner.

        Versions are written by hand: what a learner would make of these answers is not what is asked.
        """
        control = build_control(self.config, self.path)
        control.training.step = lambda now, standing: []  # type: ignore[method-assign]
        control.server.start()
        for engine in control.release.fleet.engines:
            assert isinstance(engine, HttpEngine)
            stack.callback(engine.close)
        stack.callback(lambda: control.shutdown(Deadline.after(5.0)))
        self.control = self.rig.daemon = control
        return control

    def problems(self) -> dict[str, str]:
        """Return what /readyz says is not as it should be."""
        url = f"http://{LOOPBACK}:{self.config.http.port}/readyz"
        found: dict[str, str] = httpx.get(url, trust_env=False, verify=NO_TLS).json()["problems"]
        return found

    def judged(self, number: int, done: Callable[[], bool] | None = None) -> str:
        """Offer a version; return the gate's reasons once it has said something."""
        rig, version = self.rig, self.rig.versions[number].version
        rig.offer(number)

        def is_judged() -> bool:
            rig.turn()
            judged = rig.rollout.version == version and rig.rollout.gate is not None
            return judged and (done is None or done())

        until(is_judged, told=lambda: f"the gate said {rig.rollout.gate}")
        assert rig.rollout.gate is not None
        return rig.rollout.gate.reason
