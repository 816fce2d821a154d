"""What a release does while an engine is away: nobody new is let out, and a rollback is."""

from pathlib import Path

import pytest
from releases_by_hand import promote, register, spoil, version
from scripted_release import House

from rlwd.ops.rollout import candidates_table, rollouts_table
from rlwd.ops.rollout.desired_state import should_be_loaded
from rlwd.ops.stages.record import Stage


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house."""
    return House(tmp_path)


def test_flags_wait_for_every_engine(house: House) -> None:
    """Nothing is named before each replica has it; then the file appears, and no problem is left."""
    house.engines[1].away = True
    house.release.step(1.0)
    assert house.flags is None
    assert house.release.fleet.problem == "two: away"
    house.engines[1].away = False
    house.release.step(2.0)
    assert house.flags is not None
    assert house.flags.champion.version == house.v0.version
    assert house.release.fleet.problem is None


def test_a_new_version_waits_for_every_engine(house: House) -> None:
    """While a replica is away nobody is sent to what it never had."""
    house.release.step(0.0)
    house.engines[1].away = True
    house.let_out()
    assert house.flags is not None
    assert house.flags.candidate is None
    house.engines[1].away = False
    house.release.step(3.0)
    assert house.flags is not None
    assert house.flags.candidate is not None


def test_a_rollback_waits_for_nobody(house: House) -> None:
    """A version that is taken back loses its users at once, even while a replica is away."""
    house.release.step(0.0)
    house.let_out()
    assert house.flags is not None
    assert house.flags.candidate is not None
    house.engines[1].away = True
    with house.ledger.store.transaction() as tx:
        house.controller.refuse(tx, "a person said so", 3.0)
    house.release.step(4.0)
    assert house.flags is not None
    assert house.flags.candidate is None
    assert house.release.standing().back_to == 0


def test_a_flag_file_that_cannot_be_written_is_a_problem_and_no_end(house: House) -> None:
    """The release goes on and says why; what was taken back meanwhile is in the file once it can be."""
    house.release.step(0.0)
    house.let_out()
    path = house.release.flags
    path.unlink()
    (path / "in-the-way").mkdir(parents=True)
    with house.ledger.store.transaction() as tx:
        house.controller.refuse(tx, "a person said so", 3.0)
    for now in (4.0, 5.0):
        house.release.step(now)
        assert str(house.release.publisher.problem).startswith(f"{path} cannot be written to: ")
    assert house.release.standing().back_to == 0
    (path / "in-the-way").rmdir()
    path.rmdir()
    house.release.step(6.0)
    assert house.release.publisher.problem is None
    assert house.flags is not None
    assert house.flags.candidate is None


def test_what_an_operator_takes_back_is_told(house: House) -> None:
    """MLflow hears of a move that another process made, once."""
    told: list[str] = []
    house.release.moves.moved = lambda rollout: told.append(f"{rollout.version} {rollout.stage}")
    house.release.step(0.0)
    house.let_out()
    with house.ledger.store.transaction() as tx:
        house.controller.refuse(tx, "a person said so", 3.0)
    house.release.step(4.0)
    house.release.step(5.0)
    assert told == [f"{house.v1.version} canary", f"{house.v1.version} rolled_back"]


def test_every_look_at_people_on_trial_is_told(house: House) -> None:
    """MLflow gets a point of the curve for each look, and none while nobody is on the candidate."""
    looks: list[tuple[int, float]] = []
    house.release.looked = lambda rollout, now: looks.append((rollout.looks, now))
    house.release.step(0.0)
    house.let_out()
    house.release.step(3.0)
    with house.ledger.store.transaction() as tx:
        house.controller.refuse(tx, "a person said so", 3.5)
    house.release.step(4.0)
    assert looks == [(1, 2.0), (2, 3.0)]


def test_damaged_files_are_no_fault_of_the_weights(house: House) -> None:
    """A version whose files were spoilt is never loaded, and its digest may be offered again."""
    house.release.step(0.0)
    register(house.ledger.store, house.controller, house.v1)
    spoil(house.v1.path)
    house.release.step(1.0)
    with house.ledger.store.reading() as view:
        (rollout,) = rollouts_table.history(view, house.controller.policy)
        assert candidates_table.quarantined(view, house.controller.policy) == {}
        assert rollouts_table.must_return(view, house.controller.policy) is None
    assert rollout.stage is Stage.SUPERSEDED
    assert "its files are damaged" in rollout.trail[-1].reason
    assert house.v1.version not in house.engines[0].held
    register(house.ledger.store, house.controller, version(2, house.folder, bits=1))
    assert house.release.standing().undecided == 1


def test_rolling_the_champion_back_waits_for_nobody_either(house: House) -> None:
    """Nor for the version further back, which no engine holds any more while one is away."""
    house.release.step(0.0)
    store, folder = house.ledger.store, house.folder
    for number, made in enumerate((house.v1, version(2, folder), version(3, folder)), start=1):
        promote(store, house.controller, made)
        house.release.step(100.0 * number)
    house.release.step(900.0)
    held = set(house.engines[0].held)
    assert len(held) == 3
    house.engines[1].away = True
    with store.transaction() as tx:
        back = house.controller.rollback(tx, "it shouts", 901.0)
        wanted = should_be_loaded(tx, house.controller.policy, house.controller.settings, 901.0)
    assert not wanted.keys() <= held
    house.release.step(902.0)
    assert house.flags is not None
    assert house.flags.champion.version == back.version


def test_an_engine_that_comes_back_empty_is_filled_with_sound_files_alone(house: House) -> None:
    """Files that were spoilt since are not loaded again and are named; the others are."""
    house.release.step(0.0)
    house.let_out()
    spoil(house.v1.path)
    house.engines[0].held = {}
    house.release.reconcile(5.0)
    assert set(house.engines[0].held) == {house.v0.version}
    assert house.release.fleet.problem is not None
    assert house.v1.version in house.release.fleet.problem


def test_an_engine_that_comes_back_empty_is_filled(house: House) -> None:
    """What should be loaded is loaded again, and what nobody names any more is let go."""
    house.release.step(0.0)
    house.let_out()
    house.engines[0].held = {"policy@v000009-99999999": "old", "other": "not ours"}
    house.release.reconcile(5.0)
    assert set(house.engines[0].held) == {house.v0.version, house.v1.version, "other"}


def test_an_engine_that_dies_under_the_probe_is_no_fault_of_the_version(
    house: House,
) -> None:
    """The daemon lives on, and the version goes on waiting until its time is over."""
    house.release.step(0.0)
    house.engines[1].dies_under_probe = True
    register(house.ledger.store, house.controller, house.v1)
    house.release.step(1.0)
    assert house.release.standing().undecided == 1
    with house.ledger.store.reading() as view:
        rollout = rollouts_table.current(view, house.controller.policy)
    assert rollout is not None
    assert rollout.stage is Stage.OFFERED
