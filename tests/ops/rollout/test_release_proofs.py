"""Nothing is routed to before it is proven, engines are asked patiently, and lost flags come back."""

from pathlib import Path

import pytest
from releases_by_hand import register
from scripted_release import House
from structlog.testing import capture_logs

from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.rollout import candidates_table, rollouts_table
from rlwd.ops.stages.record import Stage


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house."""
    return House(tmp_path)


def test_v0_is_proven_before_any_flag_names_it(house: House) -> None:
    """An engine with another base model gets no traffic, by name; nothing is learned meanwhile."""
    house.engines[1].off = 2.88
    house.release.step(1.0)
    assert house.flags is None
    problem = house.release.fleet.problem
    assert problem is not None
    assert "two does not serve the base model that was trained on" in problem
    assert "off by 2.9" in problem
    assert house.release.standing().undecided is None
    house.engines[1].off, house.now = 0.0, 100.0
    house.release.step(2.0)
    assert house.flags is not None
    assert house.release.fleet.problem is None
    assert house.release.standing().undecided == 0


def test_no_candidate_is_blamed_for_an_engine_that_changed_its_base(house: House) -> None:
    """Found while one is on offer, the mismatch is the engine's, and the candidate waits."""
    house.release.step(1.0)
    for engine in house.engines:
        engine.off = 0.5
    register(house.ledger.store, house.controller, house.v1)
    for number in range(3):
        house.release.step(2.0 + number)
    with house.ledger.store.reading() as view:
        rollout = rollouts_table.current(view, "policy")
        assert candidates_table.quarantined(view, "policy") == {}
    assert rollout is not None
    assert rollout.stage is Stage.OFFERED
    assert "does not serve the base model" in (house.release.fleet.problem or "")
    for engine in house.engines:
        engine.off = 0.0
    house.now = 100.0
    house.release.step(5.0)
    house.release.step(6.0)
    house.release.step(7.0)
    assert house.flags is not None
    assert house.flags.candidate is not None


def test_an_engine_that_came_back_empty_proves_what_it_serves_again(house: House) -> None:
    """It may have come back with another base model: what it was seen to serve no longer counts."""
    house.release.step(1.0)
    house.engines[0].held, house.engines[0].off = {}, 1.0
    house.release.reconcile(2.0)
    assert "one does not serve the base model" in (house.release.fleet.problem or "")


def test_what_an_engine_holds_from_another_folder_is_loaded_anew(house: House) -> None:
    """A state folder that was moved is no other base model."""
    house.engines[0].held = {house.v0.version: "/where/it/was/before"}
    house.release.step(1.0)
    assert house.release.fleet.problem is None
    assert house.engines[0].held == {house.v0.version: str(house.v0.path)}
    assert house.flags is not None


def test_an_engine_that_refuses_a_version_is_asked_with_growing_pauses(house: House) -> None:
    """Its own words are in the log and in the problem, and a minute brings a handful of loads."""
    words = "400 LoRA rank 64 is greater than max_lora_rank 16."
    house.engines[0].refuses = words
    with capture_logs() as logged:
        for turn in range(1200):
            house.now = turn / 20
            house.release.step(house.now)
    assert 4 <= house.engines[0].loads <= 8
    assert words in (house.release.fleet.problem or "")
    refused = [line for line in logged if line["event"] == "engine_refused_version"]
    assert len(refused) == house.engines[0].loads
    assert all(words in line["problem"] for line in refused)
    assert house.engines[1].held.keys() == {house.v0.version}, "the others are filled all the same"
    assert house.flags is None


@pytest.mark.parametrize("damage", ["removed", "truncated", "emptied", "another file"])
@pytest.mark.parametrize("running", [True, False])
def test_a_lost_flag_file_is_written_again(tmp_path: Path, damage: str, running: bool) -> None:
    """While the daemon runs and at its start: the tables say what it says, under a new generation."""
    house = House(tmp_path)
    house.release.step(1.0)
    house.let_out()
    before, path = house.flags, tmp_path / "flags.json"
    assert before is not None
    assert before.candidate is not None
    whole = path.read_bytes()
    if damage == "removed":
        path.unlink()
    else:
        content = {"truncated": whole[: len(whole) // 2], "emptied": b"", "another file": b"{}"}
        path.write_bytes(content[damage])
    if not running:
        house.restart()
    house.release.step(3.0)
    after = read_flags(path)
    assert after is not None
    assert after.generation > before.generation
    assert after.candidate == before.candidate
    written = path.read_bytes()
    house.release.step(4.0)
    assert path.read_bytes() == written, "once is enough"
