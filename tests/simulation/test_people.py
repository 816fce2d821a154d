"""Lives with people, in short: a table of styles in the place of the tiny policy (`python -m people_report`)."""

from pathlib import Path

import pytest
import torch
from lagged_life import Table
from people_cases import PATIENT
from people_life import PeopleLife, Terms
from people_told import Told, told

from rlwd.daemon.worlds.habits import SCENARIOS
from rlwd.daemon.worlds.people import People
from rlwd.daemon.worlds.tastes import StylesTastes

SEED = 1


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    """Two threads that wait for each other on busy cores are far slower."""
    torch.set_num_threads(1)


def lived(name: str, folder: Path, answers: int, terms: Terms | None = None) -> Told:
    """Live one scenario for so many answers to people."""
    terms = terms or Terms()
    policy = Table(SEED, trust_region="decoupled")
    people = People(StylesTastes(SEED), SCENARIOS[name], seed=SEED, users=terms.users)
    life = PeopleLife(policy, people, terms, folder, SEED)
    while len(life.peoples()) < answers:
        life.turn()
    found = told(life)
    life.ledger.store.close()
    return found


def test_an_hour_is_too_short_for_people_who_take_it_and_is_named(tmp_path: Path) -> None:
    """With the built-in spec four of ten answers are given up, and `late` says how long people take; with a
    day none is, and nothing is said."""
    (tmp_path / "hour").mkdir()
    (tmp_path / "day").mkdir()
    hour = lived("late", tmp_path / "hour", 1400)
    assert hour.fates["censored:no_decision"] > 0.25
    assert "end before people decide" in hour.problems["late"]
    day = lived("late", tmp_path / "day", 1400, Terms(spec=PATIENT))
    assert "censored:no_decision" not in day.fates
    assert "late" not in day.problems
    assert day.fates["trained"] > 1.2 * hour.fates["trained"]


def test_an_attack_leaves_what_people_want_alone(tmp_path: Path) -> None:
    """Who asks for a third of all answers and wants what nobody wants weighs less than a half of others."""
    found = lived("attack", tmp_path, 1100)
    assert found.final > 0.6
    assert found.weight["attackers"] < 0.5 * found.weight["others"]
