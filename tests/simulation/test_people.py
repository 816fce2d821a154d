"""Lives with people, in short: a table of styles in the place of the tiny policy (`python -m people_report`)."""

from pathlib import Path

import msgspec
import pytest
from lagged_life import Table
from people_cases import CASES, PATIENT
from people_life import PeopleLife, Terms
from people_report import main as people_report
from people_told import Told, told

from rlwd.daemon.worlds.habits import SCENARIOS
from rlwd.daemon.worlds.people import People
from rlwd.daemon.worlds.tastes import StylesTastes

SEED = 1


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


def test_a_kept_life_of_other_settings_is_none_of_todays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named and counted nowhere, and so is a case that there is not."""
    case, file = CASES[0], tmp_path / "table" / f"{CASES[0].name}, 1.json"
    nothing: dict[str, object] = dict.fromkeys(
        ("answers", "promoted", "refused", "late", "hours", "memory"), 0
    )
    for name in ("fates", "weight", "weighed_down", "problems"):
        nothing[name] = {}
    nothing |= {"until": 700, "said": 700, "again": None, "said_again": None, "final": 0.9}
    nothing |= {"first_kind": (0.0, 0.0), "curve": [], "answers": 700}
    asked = ["people_report", "--folder", str(tmp_path), "--seeds", "1", "--print-only", "--only"]
    file.parent.mkdir()
    # For everybody's log in this process.
    monkeypatch.setattr("structlog.configure", lambda **_: None)
    for settings, counts in ((case.settings, True), ("others", False)):
        kept = msgspec.convert({**nothing, "settings": settings}, Told)
        file.write_bytes(msgspec.json.encode(kept))
        monkeypatch.setattr("sys.argv", [*asked, case.name])
        if counts:
            people_report()
            assert "| calm | default | 700 | 700 |" in capsys.readouterr().out
        else:
            with pytest.raises(SystemExit):
                people_report()
            assert f"{file}: was lived by other settings" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", [*asked, "clam"])
    with pytest.raises(SystemExit):
        people_report()
    assert "no case's name begins so" in capsys.readouterr().err
