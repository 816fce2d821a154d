"""Reward parts of installed distributions, by the entry point group `rlwd.reward_parts`."""

from pathlib import Path

import pytest
from episodes_by_hand import did, episode
from extension_by_hand import install_extension

from rlwd.rewards.spec.spec import load_spec
from rlwd.streams.events.signals import Accepted

SPEC = """
name = "acme"
[parts]
accepted = 1.0
{part} = 1.0
"""
SOURCE = """
def brief(episode):
    return 0.5 if len(episode.generation.text) < 10 else None

def wrong(episode):
    return 7.0

number = 7
"""


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


def test_a_value_that_is_no_share_of_one_names_part_and_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that returns 7 is refused, whatever it was meant to say."""
    install_extension(
        tmp_path / "m", monkeypatch, "rlwd.reward_parts", {"wrong": "m:wrong"}, SOURCE
    )
    spec = load_spec(spec_file(tmp_path, "wrong"))
    with pytest.raises(ValueError, match=r"\$\.parts\.wrong: acme-m 1\.2 returned 7\.0"):
        spec.reward(episode(did(Accepted(), 1.0)))
