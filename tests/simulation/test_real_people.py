"""The proof on real people in its short form: the tiny policy, and people whose taste is known."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from real_decisions import TELEMETRY, decisions, folds_of, recorded_events
from real_measures import Scored, area, area_gain, drawn_times, pair_table, rank_correlation
from real_people import SETTINGS, run
from real_report import draw, report, table

from rlwd.learner.concordance import JudgedAnswer, concordance

PEOPLE, EACH = 6, 12
BEGUN = datetime(2024, 5, 1, 9, tzinfo=UTC)


def recorded(folder: Path, *, people: int = PEOPLE) -> Path:
    """Write telemetry of people who all take what ends in `ok` and keep it, whatever comes before.

    The first of them decides twice as often.
    """
    draw, rows = random.Random(1), list[str]()
    for person in range(people):
        for number in range(EACH if person else 2 * EACH):
            taken = number % 2 == 0
            at = BEGUN + timedelta(minutes=number)
            shown = {
                "user": f"dev-{person:02d}",
                "task": "a",
                "prompt": f"x = {draw.randrange(100)}\n",
                "suggestion": f"y{draw.randrange(10)}{' ok' if taken else ' no'}",
                "measurements": {"numTokens": 2.0, "meanLogProb": -0.5},
            }
            state = "Accepted" if taken else "Rejected"
            stands = [0.0 if number % 4 else 0.5] * 5
            rows += [
                json.dumps({**shown, "state": "Shown", "time": at.isoformat()}),
                json.dumps(
                    {
                        **shown,
                        "state": state,
                        "time": (at + timedelta(seconds=5)).isoformat(),
                        "edit_distance_after": stands,
                    }
                ),
            ]
    folder.mkdir(exist_ok=True)
    (folder / TELEMETRY).write_text("\n".join(rows) + "\n")
    return folder


def test_a_known_taste_is_found_in_people_never_seen(tiny_policy: Path, tmp_path: Path) -> None:
    """Learned from half of the people, the version's log-ratio tells what the others take; the base
    model's does not, nor does the length; a second call learns nothing again."""
    settings = msgspec.structs.replace(
        SETTINGS,
        model=str(tiny_policy),
        dtype="float32",
        learning_rate=5e-3,
        minibatch_episodes=8,
        passes=3,
    )
    data = recorded(tmp_path / "data")
    told, results = run(data, tmp_path, settings, folds=2)
    assert len(told) == (PEOPLE + 1) * EACH
    # Of one person no more is learned than a batch takes; measured is all that people unseen decided.
    assert [len(one.likelihoods) for one in results] == [4 * EACH, 3 * EACH]
    assert all(one.taught == 3 * EACH for one in results)
    assert all(one.fates["waiting"] == 3 * EACH for one in results)
    found = report(told, results, draws=100)
    scores = found["accept"]["scores"]
    assert scores["learned"]["in_folds"].low > 0.9
    assert scores["learned"]["within_people"].value > 0.9
    assert scores["base"]["in_folds"].value < 0.8
    assert found["accept"]["learned_ahead_of"]["base"].low > 0.0
    assert found["keep"]["300"]["decisions"] == (PEOPLE + 1) * EACH // 2
    assert "KTO's reward" in table(found)
    draw(found, tmp_path / "picture.png")
    before = [(tmp_path / f"fold-{number}.json").read_bytes() for number in range(2)]
    run(data, tmp_path, settings, folds=2)
    assert before == [(tmp_path / f"fold-{number}.json").read_bytes() for number in range(2)]
    with pytest.raises(ValueError, match=r"fold-0\.json: of other people or settings"):
        run(data, tmp_path, msgspec.structs.replace(settings, passes=1), folds=2)
    other = tmp_path / "another-model"
    other.symlink_to(tiny_policy)
    with pytest.raises(ValueError, match=r"fold-0\.json: of other people or settings"):
        run(data, tmp_path, msgspec.structs.replace(settings, model=str(other)), folds=2)


def test_a_folder_without_decisions_is_named(tmp_path: Path) -> None:
    """Whoever names a folder without the file is told which file is missing."""
    with pytest.raises(ValueError, match=rf"{tmp_path}: it holds no {TELEMETRY}"):
        recorded_events(tmp_path, lambda prompt, suggestion: ((), ()))


def test_every_person_is_in_one_fold() -> None:
    """Folds are of like size in decisions, and nobody is dealt twice."""
    sizes = {"a": 9, "b": 7, "c": 4, "d": 4, "e": 2, "f": 2}
    folds = folds_of([name for name, size in sizes.items() for _ in range(size)], 3)
    assert sorted(name for fold in folds for name in fold) == sorted(sizes)
    assert [sum(sizes[name] for name in fold) for fold in folds] == [9, 9, 10]


def told_by(seed: int, lift: float) -> Scored:
    """Draw 8 people of 20 decisions whose scores are lifted where something was taken."""
    draw = np.random.default_rng(seed)
    people = np.repeat(np.arange(8), 20)
    good = draw.random(160) < 0.4
    return Scored(people, people % 2, good, draw.normal(size=160) + lift * good + people)


def test_areas_are_the_concordance_of_the_gate() -> None:
    """By person and by fold the area is the index that the gate's preference evidence has."""
    told = told_by(0, 1.0)
    for within in (True, False):
        strata = told.people if within else told.folds
        gate = concordance(
            [
                JudgedAnswer(str(stratum), int(person), float(good), float(score))
                for stratum, person, good, score in zip(
                    strata, told.people, told.good, told.scores, strict=True
                )
            ]
        )
        assert gate is not None
        share = pair_table(told, 8, within_people=within).share(np.ones(8))
        assert share == pytest.approx(gate.concordance, abs=1e-9)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of scores that tell nothing, 95 of 100 intervals hold 1/2 or nearly; of those that do, few."""
    times = drawn_times(8, draws=300)
    held = {
        lift: sum(
            area(told_by(seed, lift), times, within_people=True).low <= 0.5 for seed in range(60)
        )
        for lift in (0.0, 1.0)
    }
    assert held[0.0] >= 51
    assert held[1.0] <= 6


def test_a_gain_is_of_the_same_people(tmp_path: Path) -> None:
    """A score beside itself gains nothing in any draw, however wide its own interval."""
    told, times = told_by(0, 1.0), drawn_times(8, draws=50)
    assert area_gain(told, told.scores, times, within_people=False) == (0.0, 0.0, 0.0)
    assert area_gain(told, -told.scores, times, within_people=True).low > 0.0


def test_rank_correlation_is_within_folds() -> None:
    """What only differs between folds is no correlation; what rises within each is one."""
    told, times = told_by(0, 0.0), drawn_times(8, draws=20)
    assert rank_correlation(told, told.scores * 2.0, times).value == pytest.approx(1.0)
    by_fold = told._replace(scores=told.folds.astype(float))
    assert np.isnan(rank_correlation(by_fold, told.scores, times).value)


def test_what_is_scored_is_what_was_decided_on(tmp_path: Path) -> None:
    """Decisions have person, sign, length and what stood at each horizon; comments are told from code."""
    rows: list[dict[str, object]] = [
        {"state": "Shown", "prompt": "# the ", "suggestion": "mean"},
        {"state": "Accepted", "edit_distance_after": [0.0, 0.25, -1, None, 1.5]},
        {"state": "Shown", "prompt": "a = ", "suggestion": "b\nc"},
        {"state": "Rejected"},
        {"state": "Shown", "prompt": "", "suggestion": "never decided"},
    ]
    lines = [
        {"user": "ann", "time": (BEGUN + timedelta(seconds=at)).isoformat(), **row}
        for at, row in enumerate(rows)
    ]
    (tmp_path / TELEMETRY).write_text("\n".join(json.dumps(one) for one in lines))
    events = recorded_events(
        tmp_path, lambda prompt, text: (tuple(prompt.encode()) or (0,), tuple(text.encode()))
    )
    told = decisions(events, lambda one: bytes(one.prompt_token_ids or ()).decode())
    assert [(one.accepted, one.characters, one.lines, one.words) for one in told] == [
        (True, 4, 1, True),
        (False, 3, 2, False),
    ]
    assert told[0].kept == {"15": 1.0, "30": 0.75, "600": 0.0}
    assert told[0].person == told[1].person != "ann"
