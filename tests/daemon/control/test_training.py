"""The learner's side of the loop: what it is told, in which order, after which death."""

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from daemon_by_hand import decide, fill, open_daemon_ledger
from ledger_by_hand import Ledger
from manifests_by_hand import manifest, rolled_back
from otlp_collector import collecting
from tiny_learner import TINY

from rlwd.daemon.control import checkpoint_reading
from rlwd.daemon.control import training as training_file
from rlwd.daemon.control.checkpoint_reading import CheckpointReading
from rlwd.daemon.control.training import Training
from rlwd.daemon.telemetry.open_tracing import open_tracing
from rlwd.daemon.telemetry.telemetry_settings import TelemetrySettings
from rlwd.learner.candidate import Manifest
from rlwd.learner.checkpoint.folder import candidate_of
from rlwd.learner.checkpoint.weight_link import WeightLink
from rlwd.learner.drift_settings import DriftSettings
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.weighed import Trust
from rlwd.learner.process.protocol import (
    Apply,
    Asking,
    Command,
    LearnerReady,
    Prune,
    Report,
    RollBackTo,
    Skip,
)
from rlwd.learner.settings import LearnerProcessSettings
from rlwd.ops.drift.drift_budget import day_problem
from rlwd.ops.rollout import candidates_table
from rlwd.ops.rollout.snapshot import LearnerStanding


class ScriptedChild:
    """A learner that says what the test tells it to, and remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Command] = []
        self.says: list[Report] = []
        self.refused: set[str] = set()
        self.starts, self.died, self.alive = 0, False, False
        self.no_room = False
        self.settings = LearnerProcessSettings(
            learner=TINY, policy="policy", folder="", lease_epoch=1
        )

    def reap(self, now: float) -> bool:
        died, self.died = self.died, False
        self.alive = self.alive and not died
        return died

    def blamed(self, batch_id: int | None) -> int | None:
        return None if self.no_room else batch_id

    def ensure(self, now: float) -> None:
        if not self.alive:
            self.alive = True
            self.starts += 1

    def refuse(self, digests: Iterable[str]) -> None:
        self.refused = set(digests)

    def send(self, command: Command) -> None:
        self.told.append(command)

    def reports(self) -> list[Report]:
        said, self.says = self.says, []
        return said


class Desk:
    """Training with a scripted child, a real ledger, and manifests that the test writes."""

    def __init__(self, folder: Path) -> None:
        self.ledger: Ledger = open_daemon_ledger(folder / "rlwd.db")
        self.child, self.manifests = ScriptedChild(), [manifest(0, None)]
        self.undecided: int | None = 0
        self.champion = ""
        self.back_to: int | None = None
        self.registered: list[int] = []
        self.whole: set[int] = set()
        self.training = Training(
            self.ledger.store,
            "policy",
            BatchSettings(episodes=4, held_out=0.0),
            Trust(),
            self.child,  # type: ignore[arg-type]
            batches=folder / "batches",
            checkpoints=folder / "checkpoints",
            register=lambda tx, made, now: self.registered.append(made.sequence),
            kept=lambda tx, now: {0},
            keep_newest=2,
        )

    def step(self, *says: Report) -> list[Command]:
        """Let the child say something, turn once, and return what it was told."""
        self.child.says.extend(says)
        before = len(self.child.told)
        self.training.step(
            100.0,
            lambda: LearnerStanding(
                undecided=self.undecided, champion=self.champion, back_to=self.back_to
            ),
        )
        return self.child.told[before:]

    def ask(self, sql: str) -> Any:
        return self.ledger.ask(sql)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk whose checkpoint folder is a list."""
    made = Desk(tmp_path)

    def read(folder: Path, *, after: int) -> list[Manifest]:
        return [one for one in made.manifests if one.sequence > after]

    monkeypatch.setattr(checkpoint_reading, "read_manifests", read)
    monkeypatch.setattr(training_file, "whole_checkpoints", lambda folder: sorted(made.whole))
    monkeypatch.setattr(checkpoint_reading, "newest_valid", lambda folder: made.manifests[-1])
    return made


def test_a_batch_is_sealed_only_when_the_learner_asks(desk: Desk) -> None:
    """Ready episodes wait until the learner is idle; then it gets one batch, and no second one."""
    fill(desk.ledger, 4)
    assert desk.step(LearnerReady(sequence=0, version="")) == []
    assert desk.ask("SELECT COUNT(*) FROM batches") == (0,)
    (command,) = desk.step(Asking(sequence=0))
    assert isinstance(command, Apply)
    assert Path(command.path).name == "000001.json"
    fill(desk.ledger, 4, prefix="more")
    assert desk.step() == []
    assert desk.registered == [0]


def test_the_learner_waits_for_a_decision(desk: Desk) -> None:
    """While a version waits for its decision nothing is sealed; once it has one, the loop goes on."""
    fill(desk.ledger, 4)
    desk.undecided = 1
    assert desk.step(Asking(sequence=0)) == []
    assert desk.training.state == "waiting for the rollout"
    desk.undecided = 0
    assert [type(one) for one in desk.step()] == [Apply]


def test_the_lead_counts_what_ran_out_of_time(desk: Desk) -> None:
    """A version out of time whose child is tried leaves the learner two ahead of the champion."""
    desk.training.settings = msgspec.structs.replace(desk.training.settings, max_lead=2)
    desk.manifests += [manifest(1, 0), manifest(2, 1)]
    desk.champion = manifest(0, None).version
    fill(desk.ledger, 4)
    desk.undecided = 1
    assert desk.step(Asking(sequence=2)) == []
    assert desk.training.state == "waiting for the rollout"
    desk.champion, desk.undecided = manifest(2, 1).version, 0
    (command,) = desk.step()
    assert isinstance(command, Apply)
    assert desk.ask("SELECT parent_sequence FROM batches") == (2,)


def test_a_day_of_drift_holds_the_learner(desk: Desk) -> None:
    """Once the day's versions have used their budget up no batch is given, sealed or not; a rollback is."""
    learner = msgspec.structs.replace(TINY, drift=DriftSettings(day_kl=0.1))
    desk.child.settings = msgspec.structs.replace(desk.child.settings, learner=learner)
    made = msgspec.structs.replace(manifest(1, 0), created_at=50.0, metrics={"drift/kl_added": 0.1})
    desk.manifests.append(made)
    fill(desk.ledger, 4)
    assert desk.step() == []
    with desk.ledger.store.transaction() as tx:
        candidates_table.add(tx, "policy", candidate_of(Path(), made), 50.0)
    assert desk.step(Asking(sequence=1)) == []
    assert desk.training.state == "waiting for the drift budget"
    assert "learner.drift.day_kl is 0.1: none is made for 86350 s" in desk.training.held
    with desk.ledger.store.reading() as view:
        assert day_problem(view, "policy", 0.1, 100.0) == desk.training.held
    desk.child.settings = msgspec.structs.replace(desk.child.settings, learner=TINY)
    assert [type(one) for one in desk.step()] == [Apply]
    assert desk.training.held == ""


def test_before_v0_nothing_is_sealed(desk: Desk) -> None:
    """Without a champion there is nothing to be ahead of."""
    fill(desk.ledger, 4)
    desk.undecided = None
    assert desk.step(Asking(sequence=0)) == []
    assert desk.training.state == "waiting for episodes"


def test_it_says_that_it_waits_for_other_people(desk: Desk) -> None:
    """Answers enough, to too few: none is sealed, and the state counts users; with more of them it learns."""
    three = BatchSettings(episodes=4, held_out=0.0, user_share=1.0, users=3)
    desk.training.settings = three
    for name, user in (("a", "ann"), ("b", "ann"), ("c", "ann"), ("d", "ben"), ("e", "ben")):
        decide(desk.ledger, name, 1000.0, user_hash=user)
    assert desk.step(Asking(sequence=0)) == []
    assert desk.training.state == "waiting for other people: answers to 2 of 3 users"
    decide(desk.ledger, "f", 1000.0, user_hash="cas")
    assert [type(one) for one in desk.step()] == [Apply]


def test_a_refusal_comes_before_any_batch(desk: Desk) -> None:
    """What was refused for cause is left first; the batch follows once the learner is back."""
    desk.manifests.append(manifest(1, 0))
    fill(desk.ledger, 4)
    desk.back_to = 0
    assert desk.step(Asking(sequence=1)) == [RollBackTo(to_sequence=0)]
    desk.manifests.append(rolled_back(2, 0, reverted=(1,)))
    desk.back_to = None
    assert [type(one) for one in desk.step(Asking(sequence=2))] == [Apply]
    assert desk.ask("SELECT parent_sequence FROM batches") == (2,)


def test_a_return_is_owed_whatever_the_disk_looks_like(desk: Desk) -> None:
    """Where the refused checkpoint is lost the learner may still hold it, and is sent all the same."""
    desk.back_to = 0
    assert desk.step(Asking(sequence=1)) == [RollBackTo(to_sequence=0)]
    desk.manifests.append(rolled_back(2, 0))
    desk.back_to = None
    assert desk.step(Asking(sequence=2)) == []


def test_what_nothing_names_is_given_up(desk: Desk) -> None:
    """The newest and the named stay whole; of the others weights, and the tokens of their batches, go."""
    fill(desk.ledger, 4)
    (command,) = desk.step(Asking(sequence=0))
    assert isinstance(command, Apply)
    desk.manifests.append(manifest(1, 0, batch_id=1))
    desk.whole = {0, 1, 2}
    assert desk.step(Asking(sequence=1)) == []
    assert desk.ask("SELECT LENGTH(content) > 0 FROM batches") == (1,)
    desk.manifests += [manifest(n, n - 1, applied=tuple(range(1, n + 1))) for n in (2, 3)]
    desk.whole = {0, 1, 2, 3}
    assert desk.step(Asking(sequence=3)) == [Prune(sequences=(1,))]
    assert desk.ask("SELECT state, LENGTH(content) FROM batches") == ("applied", 0)
    assert not Path(command.path).exists()
    desk.whole = {0, 2, 3}
    assert desk.step(Asking(sequence=3)) == []


def test_a_learner_that_starts_knows_what_was_refused_meanwhile(desk: Desk) -> None:
    """The list is read anew for each child: what was refused since the last one is on it."""
    desk.step(Asking(sequence=0))
    assert desk.child.refused == set()
    with desk.ledger.store.transaction() as tx:
        tx.execute("INSERT INTO quarantined VALUES ('policy', 'abc', 'v', 'bad', 1.0)")
    desk.step()
    assert desk.child.refused == set()
    desk.child.died = True
    desk.step()
    assert desk.child.refused == {"abc"}


def test_a_batch_survives_its_learner(desk: Desk) -> None:
    """After a death the same batch is given again, byte for byte, until it was three times fatal."""
    fill(desk.ledger, 4)
    commands = desk.step(Asking(sequence=0))
    contents = {Path(commands[0].path).read_bytes()}  # type: ignore[union-attr]
    for _ in range(3):
        desk.child.died = True
        commands += desk.step(Asking(sequence=0))
        contents.add(Path(commands[-1].path).read_bytes())  # type: ignore[union-attr]
    assert [type(one) for one in commands] == [Apply, Apply, Apply, Skip]
    assert isinstance(commands[-1], Skip)
    assert commands[-1].reason == "the learner died 3 times on it"
    assert len(contents) == 1
    assert desk.child.starts == 4


def test_a_disk_that_takes_no_checkpoint_is_no_batchs_fault(desk: Desk) -> None:
    """However often the learner ends for it, the batch is given again."""
    fill(desk.ledger, 4)
    desk.child.no_room = True
    commands = desk.step(Asking(sequence=0))
    for _ in range(4):
        desk.child.died = True
        commands += desk.step(Asking(sequence=0))
    assert [type(one) for one in commands] == [Apply] * 5
    assert desk.ask("SELECT deaths FROM batches") == (0,)


def test_a_death_while_idle_is_no_batchs_fault(desk: Desk) -> None:
    """Only the batch at work is blamed."""
    fill(desk.ledger, 4)
    desk.undecided = 1
    desk.step(Asking(sequence=0))
    desk.child.died = True
    desk.step()
    desk.undecided = 0
    desk.step(Asking(sequence=0))
    assert desk.ask("SELECT deaths FROM batches") == (0,)


def test_the_manifest_counts_and_not_the_message(desk: Desk) -> None:
    """A checkpoint whose message died with the learner is found when the next one says ready."""
    ids = tuple(fill(desk.ledger, 4))
    desk.step(Asking(sequence=0))
    desk.child.died = True
    made = msgspec.structs.replace(manifest(1, 0), episode_ids=ids)
    desk.manifests.append(made)
    assert desk.step(LearnerReady(sequence=1, version=made.version), Asking(sequence=1)) == []
    assert desk.ledger.fates() == {"trained": 4}
    assert desk.registered == [0, 1]
    assert desk.ask("SELECT state FROM batches") == ("applied",)


def test_the_loop_turns_while_full_weights_are_read(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their digests take minutes: the learner waits for its next command meanwhile, and nobody else does."""
    reading, over = threading.Event(), threading.Event()

    def newest_valid(folder: Path) -> Manifest:
        reading.set()
        assert over.wait(60.0)
        return desk.manifests[-1]

    monkeypatch.setattr(checkpoint_reading, "newest_valid", newest_valid)
    full = msgspec.structs.replace(TINY, weights="full")
    desk.training.reading = CheckpointReading(tmp_path / "checkpoints", full)
    fill(desk.ledger, 4)
    assert desk.step(Asking(sequence=0)) == []
    assert reading.wait(60.0)
    assert desk.step() == []
    assert (desk.training.head, desk.registered) == (None, [])
    assert desk.training.state == "reading the newest checkpoint"
    over.set()
    deadline = time.monotonic() + 60.0
    while not (told := desk.step()):
        assert time.monotonic() < deadline
    assert [type(one) for one in told] == [Apply]
    assert desk.registered == [0]


def test_what_did_not_change_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of full weights: a file that changed is, and so is one of what the newest is built on."""
    links = [tmp_path / f"{number:06d}" / "weights" for number in range(2)]
    for number, link in enumerate(links):
        link.mkdir(parents=True)
        base = number - 1 if number else None
        told = WeightLink(
            kind="changes" if number else "whole",
            base=base,
            base_digest="",
            depth=number,
            digest="",
            tensors={},
        )
        (link / "link.json").write_bytes(msgspec.json.encode(told))
    looks = list[int]()

    def newest_valid(folder: Path) -> Manifest:
        looks.append(1)
        return manifest(1, 0)

    monkeypatch.setattr(checkpoint_reading, "newest_valid", newest_valid)
    reading = CheckpointReading(tmp_path, msgspec.structs.replace(TINY, weights="full"))
    for changed, wanted in ((None, 1), (None, 1), (links[0], 2), (links[1], 3), (None, 3)):
        if changed is not None:
            (changed / "weights.safetensors").write_bytes(b"x")
        reading.look_again()
        while (found := reading.finished()) is None:
            assert not reading.settled
        assert found.newest == manifest(1, 0)
        reading.taken()
        assert (reading.settled, len(looks)) == (True, wanted)


def test_a_traced_answer_is_traced_into_its_batch(desk: Desk) -> None:
    """Its trace goes with its record: sealing it is a span of that trace; of the others there is none."""
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    fill(desk.ledger, 2)
    decide(desk.ledger, "s.traced", 1010.0, traceparent=f"00-{trace}-{span}-01")
    decide(desk.ledger, "s.damaged", 1011.0, traceparent="of another kind")
    with collecting() as collector:
        settings = TelemetrySettings(otlp_endpoint=collector.url)
        tracing = open_tracing(settings, "daemon", "policy")
        desk.training.sealed = tracing.sealed
        assert [type(one) for one in desk.step(Asking(sequence=0))] == [Apply]
        tracing.close(10.0)
        (told,) = collector.spans
    assert (told.name, told.trace, told.parent) == ("batch", trace, span)
    assert told.attributes["rlwd.generation_id"] == "s.traced"
    assert told.attributes["rlwd.batch_id"] == 1
    assert told.attributes["rlwd.held_out"] is False
