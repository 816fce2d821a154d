"""A learner of a mixture on a machine that it shares with an engine: it sends tokens where the engine sent
them, and makes way for people's requests.

Daemon and learner are processes. The gateway is served in this one, before a fake engine that answers as
slowly as it is told to.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import msgspec
import pytest
import torch
from disturbed_engine import SEQUENCES, DisturbedEngine
from gateway_rig import CHAT, HELLO, GatewayRig, LoopThread
from ledger_by_hand import feedback, generation
from lone_daemon import BATCH, Workshop
from model_families import make_family

from rlwd.ops.servers.process import LOOPBACK, NO_TLS
from rlwd.streams.events.signals import Accepted, Rejected
from rlwd.streams.log.embedded_log import EmbeddedSink
from rlwd.streams.routed_experts import RoutedExperts

pytestmark = pytest.mark.timeout(600)

ABOVE, LONGEST = 2.0, 30.0
"""Above what a request takes on the busiest machine; longer than the window of requests looked at, twice."""
SHORT = 2.0
"""A longest pause within which a busy machine, too, hardly comes to say that nobody asks anything."""
ATTEMPTS = 4
"""Batches of which one must be paused to the end: on a busy machine a report may come too late for one."""


class SharedMachine:
    """A daemon with its learner, and one person who asks the gateway beside them again and again."""

    def __init__(self, folder: Path, loop: LoopThread, stack: ExitStack) -> None:
        model = folder / "mixture"
        make_family("qwen3_moe", model)
        self.engine = DisturbedEngine(model, torch.float32)
        self.shop = Workshop(folder, model, passes=1, poll_seconds=0.2)
        stack.callback(self.shop.close)
        self.said = 0
        self.start("daemon", longest=LONGEST)
        self.rig = GatewayRig(folder, loop, stack)
        self.rig.flags = self.shop.config.flags_path
        self.rig.set_flags()
        self.client = self.rig.open(flags=str(self.rig.flags))
        self._over = threading.Event()
        asking = threading.Thread(target=self._ask)
        stack.callback(asking.join)
        stack.callback(self._over.set)
        asking.start()

    def start(self, name: str, *, longest: float) -> None:
        """Start a daemon that pauses a batch so many seconds at most, in the place of the one before."""
        for before in self.shop.daemons:
            before.stop(10.0)
        self.shop.more = f"[learner.yielding]\nabove_seconds = {ABOVE}\nbatch_seconds = {longest}\n"
        self.daemon = self.shop.daemon(name)
        self.daemon.start()
        self.shop.until(lambda: self.daemon.live.get("learner") == "waiting for episodes")

    def _ask(self) -> None:
        while not self._over.wait(0.3):
            self.client.post(CHAT, json=HELLO)

    def say(self, *wrong: RoutedExperts) -> None:
        """Write a batch of the engine's answers to the log; the first ones tell these experts instead."""
        ((version,),) = self.shop.ask("SELECT version FROM champions")
        stream = self.shop.config.stream
        sink, now = EmbeddedSink(self.shop.config.log_path), time.time()
        for number in range(BATCH):
            name = f"s{self.said + number}.g"
            answer = self.engine.answered(number, SEQUENCES[number % len(SEQUENCES)])
            routed = wrong[number] if number < len(wrong) else answer.routed_experts
            record = generation(
                name,
                now,
                version=version,
                prompt_token_ids=answer.prompt_token_ids,
                completion_token_ids=answer.completion_token_ids,
                logprobs=answer.logprobs,
                routed_experts=routed,
            )
            verdict = Accepted() if number % 2 else Rejected()
            sink.send(stream.generations, name, record)
            sink.send(stream.feedback, name, feedback(f"f{name}", name, verdict, now))
        sink.flush(10.0)
        sink.close()
        self.said += BATCH

    def paused(self) -> float:
        """Say one more batch; return how long it was paused by the time that it was learned, seconds."""
        before = self.learned()
        self.say()
        self.shop.until(lambda: self.learned() == before + 1)
        return self.shop.manifests[-1].metrics["yield/seconds"]

    def learned(self) -> int:
        """Return how many batches the tables have as applied."""
        ((count,),) = self.shop.ask("SELECT COUNT(*) FROM batches WHERE state = 'applied'")
        return int(count)

    def p95(self) -> float:
        """Return what the daemon has heard of people's requests, seconds."""
        return float(self.daemon.live.get("traffic_p95_seconds") or 0.0)

    def yields(self) -> bool:
        """Whether the daemon says that its learner waits."""
        return str(self.daemon.live.get("learner")).startswith("yielding to traffic for ")

    def page(self, name: str) -> str:
        """Return one of the daemon's pages."""
        url = f"http://{LOOPBACK}:{self.daemon.port}/{name}"
        return httpx.get(url, trust_env=False, verify=NO_TLS).text

    def metric(self, name: str) -> float:
        """Return a metric of the daemon's without labels."""
        lines = self.page("metrics").splitlines()
        return next(float(one.split()[1]) for one in lines if one.startswith(f"{name} "))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, loop: LoopThread) -> Iterator[SharedMachine]:
    """One machine; each test goes on where the last one ended."""
    with ExitStack() as stack:
        yield SharedMachine(tmp_path_factory.mktemp("shared"), loop, stack)


def test_experts_of_the_topic_are_replayed_or_refused_by_name(shared: SharedMachine) -> None:
    """A record's experts reach the learner's routers: without them it would be another function.

    Of another model's, or for another number of tokens, their answers are excluded by that name.
    """
    good = shared.engine.answered(0, SEQUENCES[0]).routed_experts
    assert good is not None
    misfits = (
        msgspec.structs.replace(good, k=1),
        msgspec.structs.replace(good, experts=good.experts[good.row_bytes :]),
    )
    shared.say(*misfits)
    shared.shop.until(lambda: shared.learned() == 1)
    assert shared.shop.ask(
        "SELECT generation_id, fate FROM episodes ORDER BY fate, generation_id"
    ) == [
        *((f"s{number}.g", "excluded:wrong_experts") for number in range(2)),
        *((f"s{number}.g", "trained") for number in range(2, BATCH)),
    ]
    (made,) = shared.shop.manifests
    assert made.metrics["mismatch/largest"] < 1e-4
    assert made.metrics["grad_norm"] > 0.0


def test_it_makes_way_and_goes_on(shared: SharedMachine) -> None:
    """It yields while requests are slow, and goes on once they are fast."""
    shop, before = shared.shop, shared.learned()
    shared.rig.engine.pause = 1.5 * ABOVE
    shop.until(lambda: shared.p95() > ABOVE)
    shared.say()
    shop.until(shared.yields)
    shop.until(lambda: shared.metric("rlwd_learner_yielding") == 1.0)
    assert shared.learned() == before
    shared.rig.engine.pause = 0.0
    shop.until(lambda: shared.learned() == before + 1)
    assert 0.0 < shop.manifests[-1].metrics["yield/seconds"] < LONGEST
    assert "yielding to traffic" in shared.page(f"batches/{before + 1}")
    assert shared.metric("rlwd_learner_yielded_seconds_total") > 0.0


def test_a_batch_goes_on_after_its_longest_pause(shared: SharedMachine) -> None:
    """However slow requests stay: a machine that is always busy would learn nothing."""
    shared.start("impatient", longest=SHORT)
    shared.rig.engine.pause = 1.5 * ABOVE
    shared.shop.until(lambda: shared.p95() > ABOVE)
    pauses = list[float]()
    while max(pauses, default=0.0) < SHORT and len(pauses) < ATTEMPTS:
        pauses.append(shared.paused())
    assert SHORT <= pauses[-1] < LONGEST, pauses
    assert shared.p95() > ABOVE
