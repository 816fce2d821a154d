"""Reward parts of installed distributions, by the entry point group `rlwd.reward_parts`."""

import itertools
import re
from pathlib import Path

import pytest
from episodes_by_hand import did, episode
from extension_by_hand import install_extension
from ledger_by_hand import FEEDBACK, feedback, generation, open_ledger

from rlwd.rewards.spec.installed_value import CALLS, TOLD_SECONDS, InstalledValue
from rlwd.rewards.spec.reward import Cost, Part
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec, load_spec
from rlwd.streams.events.episode import Episode
from rlwd.streams.events.signals import Accepted
from rlwd.streams.extensions import Extension

NUMBERS = itertools.count()
"""Of modules: one that was imported is not imported again."""
SPEC = """
name = "acme"
[parts]
accepted = 1.0
{part} = 1.0
"""
SOURCE = """
def brief(episode):
    return 0.5 if len(episode.generation.text) < 10 else None

number = 7
"""


def problem(spec: Spec) -> str:
    """Return what is wrong with a spec's installed parts; empty where nothing is."""
    return Scorer(spec).problem or ""


def spec_file(folder: Path, part: str) -> Path:
    path = folder / "spec.toml"
    path.write_text(SPEC.format(part=part))
    return path


def test_an_installed_part_counts_beside_the_built_in_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for each episode, and its distribution's version is part of the spec's."""
    points = {"brief": "brevity:brief"}
    install_extension(tmp_path / "brevity", monkeypatch, "rlwd.reward_parts", points, SOURCE)
    spec = load_spec(spec_file(tmp_path, "brief"))
    reward = spec.reward(episode(did(Accepted(), 1.0)))
    assert reward is not None
    assert (reward.value, [part.value for part in reward.parts]) == (0.75, [1.0, 0.5])
    before = spec.version
    described = tmp_path / "brevity" / "acme_brevity-1.2.dist-info"
    described.rename(described.with_name("acme_brevity-1.3.dist-info"))
    metadata = described.with_name("acme_brevity-1.3.dist-info") / "METADATA"
    metadata.write_text(metadata.read_text().replace("1.2", "1.3"))
    assert load_spec(spec_file(tmp_path, "brief")).version != before


@pytest.mark.parametrize(
    ("points", "part", "said"),
    [
        ({"kept": "m:brief"}, "kept", r"acme-m 1\.2 offers 'kept', which is built in"),
        ({"gone": "m:never"}, "gone", r"'gone' of distribution acme-m 1\.2 cannot be loaded"),
        ({"number": "m:number"}, "number", r"'number' of distribution acme-m 1\.2 is 7, which"),
        ({"brief": "m:brief"}, "unheard", r"\$\.parts\.unheard: no such part; known: .*brief"),
    ],
)
def test_a_part_that_cannot_be_used_names_its_distribution(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    points: dict[str, str],
    part: str,
    said: str,
) -> None:
    """A built-in name, a broken import, or nothing that can be called is an error at start-up."""
    install_extension(tmp_path / "m", monkeypatch, "rlwd.reward_parts", points, SOURCE)
    with pytest.raises(ValueError, match=said):
        load_spec(spec_file(tmp_path, part))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return float('nan')", r"returned nan, which is not "),
        ("return float('inf')", r"returned inf, which is not "),
        ("return -0.1", r"returned -0\.1, which is not "),
        ("return '0.5'", r"returned '0\.5', which is not "),
        ("return [0.5]", r"returned \[0\.5\], which is not "),
        ("raise KeyError('tokens')", r"raised KeyError \(its words may be somebody's\) on g"),
        # The loop takes these of its own accord to mean that the database is away.
        ("raise TimeoutError('slow')", r"raised TimeoutError\('slow'\) on g"),
        ("raise ConnectionError('gone')", r"raised ConnectionError\('gone'\) on g"),
        ("return wrong(episode)", r"raised RecursionError\("),
    ],
)
@pytest.mark.parametrize("place", ["parts", "costs"])
def test_a_part_that_fails_is_open_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, said: str, place: str
) -> None:
    """Whatever it does, the other parts count, and what is wrong is said beside the answer's id."""
    source = f"def wrong(episode):\n    {body}\n"
    name = f"failing{next(NUMBERS)}"
    points = {"wrong": f"{name}:wrong"}
    install_extension(tmp_path / name, monkeypatch, f"rlwd.reward_{place}", points, source)
    path = tmp_path / "spec.toml"
    named = "wrong = 1.0" if place == "parts" else "[costs]\nwrong = { weight = 0.1 }"
    path.write_text(f'name = "acme"\n[parts]\naccepted = 1.0\n{named}\n')
    spec = load_spec(path)
    assert problem(spec) == ""
    reward = spec.reward(episode(did(Accepted(), 1.0)))
    assert reward is not None
    assert reward.value == 1.0
    asked: list[Part | Cost] = [*reward.parts, *reward.costs]
    assert [one.value for one in asked if one.name == "wrong"] == [None]
    assert re.search(said, problem(spec)), problem(spec)
    assert problem(spec).startswith(f"$.{place}.wrong: acme-{name} 1.2 ")


def test_a_part_above_one_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven is no share of one, whatever it was meant to say."""
    source = "def wrong(episode):\n    return 7.0\n"
    points = {"wrong": "seven:wrong"}
    install_extension(tmp_path / "seven", monkeypatch, "rlwd.reward_parts", points, source)
    spec = load_spec(spec_file(tmp_path, "wrong"))
    spec.reward(episode(did(Accepted(), 1.0)))
    assert "$.parts.wrong: acme-seven 1.2 returned 7.0, which is not in [0, 1]" in (
        problem(spec) or ""
    )


def test_an_answer_that_a_part_cannot_take_is_taken_in_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the join and its transaction, as the daemon does; the loop is told what to name."""
    source = "def wrong(episode):\n    raise ConnectionError('no service')\n"
    points = {"wrong": "away:wrong"}
    install_extension(tmp_path / "away", monkeypatch, "rlwd.reward_parts", points, source)
    ledger = open_ledger(tmp_path / "rlwd.db", load_spec(spec_file(tmp_path, "wrong")))
    ledger.take(generation("g1", 1.0))
    ledger.take(feedback("f1", "g1", Accepted(), 2.0), partition=FEEDBACK)
    assert ledger.ask("SELECT reward, stage FROM episodes") == (1.0, "ready")
    told = ledger.joiner.scoring.score.problem
    assert told is not None
    assert "acme-away 1.2 raised ConnectionError('no service') on g1" in told
    ledger.store.close()


def test_a_slow_part_is_named_and_an_old_failure_forgotten() -> None:
    """Taking in waits for it; once it is quick again, or has not failed for an hour, nothing is said."""
    now, takes = [0.0], [0.5]

    def brief(answer: Episode) -> float | None:
        now[0] += takes[0]
        return 2.0 if takes[0] < 0 else 0.5

    asked = InstalledValue(
        "$.parts.brief", Extension(brief, "acme 1.2"), brief, 1.0, lambda: now[0]
    )
    answer = episode()
    for _ in range(CALLS - 1):
        assert asked(answer) == 0.5
    assert asked.problem is None
    asked(answer)
    assert asked.problem == (
        "$.parts.brief: acme 1.2 takes 500 ms an answer, and taking in waits for it"
    )
    takes[0] = 0.0
    for _ in range(10 * CALLS):
        asked(answer)
    assert asked.problem is None
    takes[0] = -0.1
    assert asked(answer) is None
    takes[0] = 0.0
    assert "of 1 answers since the start it says nothing" in (asked.problem or "")
    now[0] += TOLD_SECONDS + 1.0
    assert asked.problem is None
