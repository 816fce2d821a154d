"""Tables of a spec: clips, segments, horizons of their own, costs, ranges, the undecided."""

from pathlib import Path
from typing import Any

import pytest
from episodes_by_hand import did, episode
from extension_by_hand import install_extension

from rlwd.rewards.spec.reward import Cost
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec, load_spec
from rlwd.streams.events.signals import Accepted, Escalated, Kept, Outcome, Rated, Rejected

LENGTH = """
def length(episode, *, over: float = 0.0):
    text = episode.generation.text
    return None if not text else max(0.0, len(text) - over)

def negative(episode):
    return -1.0
"""
DAY = 86400.0


@pytest.fixture(autouse=True)
def length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs of an installed distribution: an answer's characters, and one that is wrong."""
    points = {"length": "costly:length", "negative": "costly:negative"}
    install_extension(tmp_path / "costly", monkeypatch, "rlwd.reward_costs", points, LENGTH)


@pytest.fixture
def spec_of(tmp_path: Path) -> Any:
    """Return what reads a spec of some TOML."""

    def read(text: str) -> Spec:
        path = tmp_path / "spec.toml"
        path.write_text(f'name = "x"\n{text}\n')
        return load_spec(path)

    return read


def value_of(spec: Spec, *feedback: Any, **more: Any) -> float | None:
    reward = spec.reward(episode(*feedback, **more))
    return None if reward is None else reward.value


def test_a_weight_is_a_table_with_a_weight(spec_of: Any) -> None:
    """Both forms mean the same, stand beside each other, and have one version."""
    old, new = (
        spec_of("[parts]\naccepted = 1\nkept = 2.0"),
        spec_of("[parts.accepted]\nweight = 1.0\n[parts]\nkept = 2"),
    )
    assert old.version == new.version
    assert value_of(new, did(Rejected(), 1.0), did(Kept(fraction=0.9, horizon_seconds=1.0), 2.0))


def test_every_key_of_a_table_is_part_of_the_version(spec_of: Any) -> None:
    """What a table, a cost, the range or the undecided say changes the version; each another way."""
    base = "[parts.accepted]\nweight = 1.0\n"
    texts = [
        base,
        *(base + key for key in ("clip = [0, 0.5]", 'segments = ["a"]', "horizon = 60")),
        base + '[parts.other]\nof = "accepted"\nweight = 1.0',
        base + '[parts.other]\nof = "kept"\noptions = {horizon_seconds = 30.0}\nweight = 1.0',
        "range = [-1, 1]\n" + base,
        base + "[undecided]\ndefault = 0.5",
        base + "[undecided]\ndefault = 0.0",
        *(
            base + "[costs.length]\nweight = 0.1\n" + key
            for key in ("", "scale = 2.0", "clip = [0, 9]", "options = {over = 3.0}")
        ),
    ]
    assert len({spec_of(text).version for text in texts}) == len(texts)


def test_costs_come_off_and_a_range_maps_what_is_left(spec_of: Any) -> None:
    """Each is clipped in its own unit, divided by its scale, weighed and subtracted."""
    text = "[parts]\naccepted = 1\n[costs.length]\nweight = 0.5\nscale = 10.0\nclip = [2, 8]"
    spec = spec_of(text)
    taken = did(Accepted(), 1.0)
    assert value_of(spec, taken, text="abcd") == pytest.approx(1 - 0.5 * 0.4)
    assert value_of(spec, taken, text="a") == pytest.approx(1 - 0.5 * 0.2)
    assert value_of(spec, taken, text="a" * 99) == pytest.approx(1 - 0.5 * 0.8)
    assert value_of(spec, did(Rejected(), 1.0), text="abcd") == 0.0, "never below 0"
    ranged = spec_of("range = [-0.4, 1.0]\n" + text)
    assert value_of(ranged, taken, text="abcd") == pytest.approx((0.8 + 0.4) / 1.4)
    assert value_of(ranged, did(Rejected(), 1.0), text="abcd") == pytest.approx(0.2 / 1.4)


def test_a_cost_that_is_not_known_takes_nothing_off_and_says_so(spec_of: Any) -> None:
    """It is open, as a part is, and the row that is stored has it with null and its weight below 0."""
    spec = spec_of("[parts]\naccepted = 1\n[costs.length]\nweight = 0.5")
    found = spec.reward(episode(did(Accepted(), 1.0), text=""))
    assert (found.value, found.costs) == (1.0, (Cost(name="length", value=None, weight=0.5),))
    scored = Scorer(spec)(episode(did(Accepted(), 1.0), text="ab"))
    assert scored is not None
    assert scored.parts == b'{"accepted":[1.0,1.0],"length":[2.0,-0.5]}'


def test_segments_choose_what_counts(spec_of: Any) -> None:
    """A part or cost counts where it is named; the same function may weigh otherwise elsewhere."""
    spec = spec_of(
        '[parts]\nrated = 1\n[parts.accepted]\nweight = 1\nsegments = ["a"]\n'
        '[parts.taken]\nof = "accepted"\nweight = 3\nsegments = ["b", "c"]\n'
        '[costs.length]\nweight = 0.1\nsegments = ["c"]'
    )
    said = did(Accepted(), 1.0), did(Rated(value=0.0), 2.0)
    assert [value_of(spec, *said, segment=one) for one in ("a", "b", "c", "d")] == [
        0.5,
        0.75,
        pytest.approx(0.35),
        0.0,
    ]


def test_a_part_with_a_horizon_of_its_own_counts_by_that_one(spec_of: Any) -> None:
    """Longer or shorter than `[horizons]` has it, and for it alone."""
    spec = spec_of(
        "[horizons]\naccepted = 60\n[parts]\naccepted = 1\n"
        f'[parts."outcome@merged"]\nweight = 1\nhorizon = {7 * DAY}\n'
        '[parts.soon]\nof = "accepted"\nweight = 2\nhorizon = 5'
    )
    merged = did(Outcome(name="merged", value=0.0), 6 * DAY)
    assert value_of(spec, did(Rejected(), 1.0), did(Accepted(), 30.0), merged) == 0.25
    assert value_of(spec, did(Accepted(), 30.0), merged) == 0.5
    late = did(Outcome(name="merged", value=0.0), 8 * DAY)
    assert value_of(spec, did(Accepted(), 30.0), late) == 1.0


def test_a_clip_bounds_a_part(spec_of: Any) -> None:
    """Beyond it a value counts as its bound."""
    spec = spec_of("[parts.rated]\nweight = 1\nclip = [0.25, 0.75]")
    values = [value_of(spec, did(Rated(value=one), 1.0)) for one in (0.0, 0.5, 1.0)]
    assert values == [0.25, 0.5, 0.75]


def test_the_undecided_are_worth_what_the_spec_says(spec_of: Any) -> None:
    """By segment, less costs and mapped as any other; nothing where no value is given."""
    spec = spec_of(
        "range = [-0.5, 1.0]\n[undecided]\ntitle = 0.4\n[parts]\naccepted = 1\nkept = 1\n"
        "[costs.length]\nweight = 0.1"
    )
    open_one = episode(did(Kept(fraction=0.0, horizon_seconds=1.0), 2.0), segment="title")
    assert spec.reward(open_one) is None, "not before its time"
    found = spec.undecided_reward(open_one)
    assert found is not None
    assert found.value == pytest.approx((0.4 - 0.1 * 4 + 0.5) / 1.5)
    assert spec.undecided_reward(episode(segment="reply")) is None
    taken = spec.undecided_reward(episode(did(Accepted(), 1.0), segment="title", text=""))
    assert (taken.value, taken.undecided) == (1.0, None), "a decision is not overruled"
    scored = Scorer(spec).undecided(open_one)
    assert scored is not None
    assert b'"undecided":[0.4,1.0]' in scored.parts


def test_the_pages_example_is_worth_what_it_says(tmp_path: Path) -> None:
    """The numbers of docs/rewards.md are those of the code."""
    page = (Path(__file__).parents[3] / "docs" / "rewards.md").read_text()
    (tmp_path / "spec.toml").write_text(page.split("```toml\n")[1].split("```")[0])
    spec = load_spec(tmp_path / "spec.toml")
    early = did(Accepted(), 60.0), did(Kept(fraction=1.0, horizon_seconds=300.0), 301.0)
    assert value_of(spec, *early, segment="support") == 1.0
    back = value_of(spec, *early, did(Escalated(), DAY), segment="support")
    assert back == pytest.approx(0.524, abs=5e-4)
    title = spec.undecided_reward(episode(segment="title"))
    assert title is not None
    assert title.value == pytest.approx(0.5)
    assert value_of(spec, did(Rejected(), 1.0), segment="title") == pytest.approx(0.167, abs=5e-4)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[parts]\naccepted = nan", r">= 1e-09 - at `\$\.parts\.accepted`"),
        ("[parts]\naccepted = inf", r"<= 1000000000\.0 - at `\$\.parts\.accepted`"),
        ("[parts.kept]\nclip = [0, 1]", r"missing required field `weight` - at `\$\.parts\.kept`"),
        ("[parts.kept]\nweight = -1", r"Expected `float` >= 1e-09 - at `\$\.parts\.kept\.weight`"),
        ("[parts.kept]\nweight = 1\nclips = 1", r"unknown field `clips` - at `\$\.parts\.kept`"),
        ("[parts.kept]\nweight = 1\nscale = 1", r"unknown field `scale` - at `\$\.parts\.kept`"),
        ("[parts.kept]\nweight = 1\nclip = [1, 0]", r"\$\.parts\.kept\.clip: \[1, 0\] does not"),
        (
            "[parts.kept]\nweight = 1\nclip = [0, 2]",
            r"\$\.parts\.kept\.clip: .* is not in \[0, 1\]",
        ),
        ("[parts.kept]\nweight = 1\nsegments = []", r"\$\.parts\.kept\.segments: is empty"),
        (
            '[parts.mine]\nweight = 1\nof = "keept"',
            r"\$\.parts\.mine\.of: no such part; known: acc",
        ),
        ("[parts.kept]\nweight = 1\noptions = {after = 1}", r"\$\.parts\.kept\.options\.after: no"),
        (
            '[parts.kept]\nweight = 1\noptions = {horizon_seconds = "1"}',
            r"\$\.parts\.kept\.options\.horizon_seconds: Expected `float",
        ),
        (
            '[parts.stands]\nof = "kept"\nweight = 1\noptions = {after = 1}',
            r"\$\.parts\.stands\.options\.after: no",
        ),
        (
            '[parts."kept@3"]\nweight = 1\noptions = {horizon_seconds = 1.0}',
            r"\$\.parts\.kept@3\.options\.horizon_seconds: is given behind the @",
        ),
        ("[parts]\nkept = 1\n[costs]\nlength = 1", r"Expected `object`.*\$\.costs\.length`"),
        (
            "[parts]\nkept = 1\n[costs.lenght]\nweight = 1",
            r"\$\.costs\.lenght: no such cost; .*len",
        ),
        ("[parts]\nkept = 1\n[costs.length]\nweight = 1\nscale = 0", r"\$\.costs\.length\.scale`"),
        (
            '[parts]\nkept = 1\n[costs.kept]\nweight = 1\nof = "length"',
            r"\$\.costs\.kept: a cost n",
        ),
        ("[parts]\nkept = 1\n[undecided]\na = 1.5", r"<= 1\.0 - at `\$\.undecided\.a`"),
        ("range = [1, 1]\n[parts]\nkept = 1", r"\$\.range: \[1, 1\] does not go from a lower"),
        ("range = [0]\n[parts]\nkept = 1", r"Expected `array` of length 2.*\$\.range"),
        ("[ready]\ndefault = 2e9\n[parts]\nkept = 1", r"\$\.ready\.default: is 2e\+09 s; the most"),
        ("[parts.kept]\nweight = 1\nhorizon = 2e9", r"\$\.parts\.kept\.horizon: is 2e\+09 s"),
        ("[ready]\ndefault = inf\n[parts]\nkept = 1", r"\$\.ready\.default: must be a finite"),
        ('[parts.undecided]\nof = "kept"\nweight = 1', r"\$\.parts\.undecided: the name is taken"),
        ('[parts."a\\nb"]\nof = "kept"\nweight = 1', r"\$\.parts: 'a\\nb' cannot be read"),
        ('[parts.kept]\nweight = 1\n[costs." "]\nof = "asking"\nweight = 1', r"\$\.costs: ' '"),
        ("[parts]\nkept = " + "[" * 5000, "recursion"),
        ("[parts]\nkept = ", r"Invalid value \(at line 3"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(
    spec_of: Any, tmp_path: Path, text: str, says: str
) -> None:
    """File and path of the key are named."""
    with pytest.raises(ValueError, match=says) as refused:
        spec_of(text)
    assert str(refused.value).startswith(f"{tmp_path}/spec.toml: ")


def test_a_cost_below_zero_names_its_distribution(spec_of: Any) -> None:
    """What an installed cost may not return counts for nothing, and key and distribution are named."""
    spec = spec_of("[parts]\naccepted = 1\n[costs.negative]\nweight = 1")
    reward = spec.reward(episode(did(Accepted(), 1.0)))
    assert reward is not None
    assert reward.value == 1.0
    assert "$.costs.negative: acme-costly 1.2 returned -1.0" in (Scorer(spec).problem or "")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """It is named, as any other that is no spec."""
    path = tmp_path / "spec.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"spec\.toml: "):
        load_spec(path)


def test_a_file_of_an_editor_on_windows_is_read(tmp_path: Path) -> None:
    """A byte order mark, and other ends of lines, are no part of the spec."""
    path, text = tmp_path / "spec.toml", 'name = "x"\n[parts]\naccepted = 1.0\n'
    path.write_text(text)
    version = load_spec(path).version
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert load_spec(path).version == version
