"""Trust regions: each preset's pull, by hand, and against its paper's formula written a second time.

The pull of a token is minus the loss's derivative to its log-probability, times N.
"""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import msgspec
import pytest
import torch
from torch import Tensor

from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.loss import Loss, swept_loss
from rlwd.learner.train.packing import Pack
from rlwd.learner.trust_region import PRESETS, Name, trust_region

PLAIN = LearnerSettings(kl_weight=0.0)
HEAD = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
TOKENS = (3, 1, 6, 2)
"""Lengths of four answers."""


def of_preset(name: Name, **changes: object) -> LearnerSettings:
    return msgspec.structs.replace(PLAIN, trust_region=name, **changes)


def loss_of(
    settings: LearnerSettings,
    logp: Sequence[float],
    behaviour: Sequence[float],
    advantages: Sequence[float],
    *,
    lengths: Sequence[int] = (1,),
    proximal: Sequence[float] | None = None,
    weights: Sequence[float] | None = None,
    anchor: float | None = None,
) -> tuple[Loss, list[float]]:
    """Loss of tokens with these log-probabilities, and their pulls."""
    p = torch.tensor(logp, dtype=torch.float64).exp()
    hidden_MD = torch.log(p / (1.0 - p))[:, None].requires_grad_()
    segments_M = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    zeros = torch.zeros_like(segments_M)

    def numbers(given: Sequence[float] | None) -> Tensor | None:
        return None if given is None else torch.tensor(given, dtype=torch.float64)

    theirs, advantages_M = numbers(behaviour), numbers(advantages)
    assert theirs is not None
    assert advantages_M is not None
    loss = swept_loss(
        hidden_MD,
        None if anchor is None else torch.full_like(hidden_MD, anchor).detach(),
        HEAD,
        Pack(
            ids_BT=zeros[None],
            positions_BT=zeros[None],
            rows_M=zeros,
            columns_M=zeros,
            targets_M=zeros,
            segments_M=segments_M,
            behaviour_M=theirs,
            temperature_M=torch.ones_like(theirs),
        ),
        advantages_M,
        normaliser=7.0,
        settings=settings,
        weights_M=numbers(weights),
        proximal_M=numbers(proximal),
    )
    (grad_MD,) = torch.autograd.grad(loss.total, hidden_MD)
    return loss, (-7.0 * grad_MD[:, 0] / (1.0 - p)).tolist()  # d logp / dx = 1 - p


def pull(name: Name, ratio: float, advantage: float, *, p: float = 0.5, **changes: object) -> float:
    """The pull of an answer of one token that the policy gives probability p."""
    logp = math.log(p)
    _, (got,) = loss_of(of_preset(name, **changes), [logp], [logp - math.log(ratio)], [advantage])
    return got


@pytest.mark.parametrize(
    ("name", "ratio", "advantage", "wanted"),
    [
        # min(rho, 2) A, out above 1.2 with A > 0 and below 0.8 with A < 0.
        ("clipped", 1.1, 1.0, 1.1),
        ("clipped", 1.3, 1.0, 0.0),
        ("clipped", 0.7, -1.0, 0.0),
        ("clipped", 3.0, -1.0, -2.0),
        # min(rho, 2) A.
        ("truncated", 1.3, 1.0, 1.3),
        ("truncated", 3.0, -1.5, -3.0),
        # rho A up to 2, then nothing.
        ("masked", 1.9, 2.0, 3.8),
        ("masked", 2.1, 2.0, 0.0),
        ("masked", 2.1, -2.0, 0.0),
        # rho A within [0.5, 5].
        ("icepop", 0.49, 1.0, 0.0),
        ("icepop", 0.51, 1.0, 0.51),
        ("icepop", 4.9, -1.0, -4.9),
        ("icepop", 5.1, -1.0, 0.0),
        # min(rho, 5) A.
        ("cispo", 4.0, 1.0, 4.0),
        ("cispo", 8.0, -1.0, -5.0),
        # The answer's one token: s = rho, within [0.9997, 1.0004] one-sidedly.
        ("gspo", 1.0003, 1.0, 1.0003),
        ("gspo", 1.0005, 1.0, 0.0),
        ("gspo", 0.9996, -1.0, 0.0),
        ("gspo", 1.2, -1.0, -1.2),
        # min(rho, 2) A where |rho - 1| <= 0.001, and where rho - ln rho - 1 <= 0.01 (0.1 away: 0.005).
        ("geometric", 1.0009, 1.0, 1.0009),
        ("geometric", 1.0011, 1.0, 0.0),
        ("geometric", 0.998, -1.0, 0.0),
        ("k3", 1.1, 1.0, 1.1),
        ("k3", 1.2, 1.0, 0.0),
        ("k3", 0.8, -1.0, 0.0),
        # Out where A < 0 and -ln rho > 0.5 (rho < 0.607); the ratio mask of 0.2 is off here.
        ("stale", 0.62, -1.0, -0.62),
        ("stale", 0.60, -1.0, 0.0),
        ("stale", 0.60, 1.0, 0.6),
    ],
)
def test_by_hand(name: Name, ratio: float, advantage: float, wanted: float) -> None:
    """A token of this ratio and advantage pulls with so much."""
    changes = {"ratio_mask": 0.0} if name == "stale" else {}
    assert pull(name, ratio, advantage, **changes) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("p", "mu", "advantage", "wanted"),
    [
        (0.5, 0.31, 1.0, 0.5 / 0.31),
        (0.5, 0.29, 1.0, 0.0),
        (0.5, 0.29, -1.0, -0.5 / 0.29),
        (0.5, 0.71, -1.0, 0.0),
        # Twenty times as likely, and still rare: a ratio's mask would have it out, this one has not.
        (0.02, 0.001, 1.0, 20.0),
    ],
)
def test_total_variation_by_hand(p: float, mu: float, advantage: float, wanted: float) -> None:
    """A probability that moved by more than 0.2 towards where the step pushes it pulls no more."""
    got = pull("total_variation", p / mu, advantage, p=p)
    assert got == pytest.approx(wanted, abs=1e-12)


def test_decoupled_by_hand() -> None:
    """pi_old / mu = 3 is cut at 2 and weighs; pi / pi_old = 1.1 is within the mask and 1.3 is not."""
    at = math.log(0.5)
    for ratio, wanted in ((1.1, 2.2), (1.3, 0.0)):
        old = at - math.log(ratio)
        settings = of_preset("decoupled")
        _, (got,) = loss_of(settings, [at], [old - math.log(3.0)], [1.0], proximal=[old])
        assert got == pytest.approx(wanted, abs=1e-12)


def test_what_is_cut_is_counted() -> None:
    """`ratio/capped` counts what the region cuts: pi_old / mu where that is its weight, else pi / mu."""
    at = math.log(0.5)
    old = at - math.log(1.1)
    for over, cut in ((1.9, 0.0), (2.1, 1.0)):  # pi / mu is beyond 2 both times.
        mu = old - math.log(over)
        loss, _ = loss_of(of_preset("decoupled"), [at], [mu], [1.0], proximal=[old])
        assert loss.sums["ratio/capped"] == cut
        loss, _ = loss_of(of_preset("truncated"), [at], [mu], [1.0], proximal=[old])
        assert loss.sums["ratio/capped"] == 1.0


def test_a_sequence_ratio_by_hand() -> None:
    """Ratios 2 and 1/2 of one answer are 1 together: neither token is left out, each pulls with 1."""
    settings, at = of_preset("gspo"), math.log(0.5)
    behaviour = [at - math.log(2.0), at + math.log(2.0)]
    _, got = loss_of(settings, [at, at], behaviour, [1.0, 1.0], lengths=(2,))
    assert got == pytest.approx([1.0, 1.0])


Drawn = tuple[list[float], list[float], list[float], list[float]]


def drawn(seed: int, spread: float) -> Drawn:
    """Log-probabilities now, when served and before the batch, and advantages, of `TOKENS`."""
    source, count = torch.Generator().manual_seed(seed), sum(TOKENS)
    noise = torch.randn(4, count, generator=source, dtype=torch.float64)
    behaviour = -noise[0].abs() - 0.05
    shift = torch.repeat_interleave(torch.tensor([0.0, 0.3, -1.2, 2.0]), torch.tensor(TOKENS))
    old = (behaviour + spread * (noise[1] * 0.5 + shift)).clamp(max=-0.01)
    logp = (old + spread * noise[2] * 0.5).clamp(max=-0.01)
    return logp.tolist(), behaviour.tolist(), old.tolist(), noise[3].tolist()


def over_answers(values: Sequence[float], of: Callable[[list[float]], float]) -> list[float]:
    """A value of each answer, for each of its tokens."""
    told, start = [], 0
    for length in TOKENS:
        told += [of(list(values[start : start + length]))] * length
        start += length
    return told


def by_paper(name: Name, given: Drawn) -> list[float]:
    """The pulls as the papers have them, token by token."""
    logp, behaviour, old, advantages = given
    rho = [math.exp(a - b) for a, b in zip(logp, behaviour, strict=True)]
    d = [a - b for a, b in zip(logp, behaviour, strict=True)]
    mean = over_answers(d, lambda own: sum(own) / len(own))
    k3 = over_answers(d, lambda own: sum(math.exp(x) - x - 1 for x in own) / len(own))

    def clip(r: float, a: float, low: float, high: float) -> float:
        """The derivative of min(r A, clip(r) A) to log r."""
        clipped = min(max(r, 1 - low), 1 + high)
        return r * a if r * a <= clipped * a else 0.0

    told = []
    for t, a in enumerate(advantages):
        p, mu, r = math.exp(logp[t]), math.exp(behaviour[t]), rho[t]
        stale = a < 0 and -mean[t] > 0.5
        formulas: dict[Name, float] = {
            "clipped": 0.0 if clip(r, a, 0.2, 0.2) == 0.0 else min(r, 2.0) * a,
            "truncated": min(r, 2.0) * a,
            "masked": r * a * (r <= 2.0),
            "icepop": r * a * (0.5 <= r <= 5.0),
            "cispo": min(r, 5.0) * a,
            "total_variation": r
            * a
            * (not ((a > 0 and p - mu > 0.2) or (a < 0 and p - mu < -0.2))),
            "decoupled": min(math.exp(old[t]) / mu, 2.0) * clip(p / math.exp(old[t]), a, 0.2, 0.2),
            "gspo": clip(math.exp(mean[t]), a, 3e-4, 4e-4),
            "geometric": min(r, 2.0) * a * (0.999 <= math.exp(mean[t]) <= 1.001),
            "k3": min(r, 2.0) * a * (k3[t] <= 0.01),
            "stale": 0.0 if stale or clip(r, a, 0.2, 0.2) == 0.0 else min(r, 2.0) * a,
        }
        told.append(formulas[name])
    return told


@pytest.mark.parametrize("name", get_args(Name))
@pytest.mark.parametrize("spread", [1.0, 0.1, 0.001])
def test_against_a_second_writing(name: Name, spread: float) -> None:
    """Value and pulls of answers far from their policy and near it are the paper's to 1e-12."""
    given = drawn(len(name), spread)
    logp, behaviour, old, advantages = given
    loss, got = loss_of(of_preset(name), logp, behaviour, advantages, lengths=TOKENS, proximal=old)
    wanted = by_paper(name, given)
    assert got == pytest.approx(wanted, rel=1e-12, abs=1e-12)
    value = -sum(w * one for w, one in zip(wanted, logp, strict=True)) / 7.0
    assert loss.total.item() == pytest.approx(value, rel=1e-12, abs=1e-12)
    share = sum(w == 0.0 for w in wanted)
    assert loss.sums["ratio/masked"] == share


def test_the_second_writing_sees_both_sides() -> None:
    """What is drawn lies inside each bound and outside, so that no preset agrees by chance."""
    for name in get_args(Name):
        pulls = [by_paper(name, drawn(len(name), spread)) for spread in (1.0, 0.1, 0.001)]
        out = [sum(value == 0.0 for value in each) for each in pulls]
        assert max(out) > 0 or name in ("truncated", "cispo"), name
        assert min(out) < sum(TOKENS), name


@pytest.mark.parametrize("name", get_args(Name))
def test_weights_and_anchor(name: Name) -> None:
    """An episode's weight multiplies its pull and its KL alike, whichever sums the preset takes."""
    given = drawn(3, 0.1)
    logp, behaviour, old, advantages = given
    weights = [w for w, n in zip((1.0, 2.0, 0.5, 3.0), TOKENS, strict=True) for _ in range(n)]
    settings = of_preset(name, kl_weight=0.1)
    loss, _ = loss_of(
        settings,
        logp,
        behaviour,
        advantages,
        lengths=TOKENS,
        proximal=old,
        weights=weights,
        anchor=0.0,
    )
    wanted = 0.0
    for weight, pulled, one in zip(weights, by_paper(name, given), logp, strict=True):
        p = math.exp(one)
        kl = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
        wanted += weight * (-pulled * one + 0.1 * kl) / 7.0
    assert loss.total.item() == pytest.approx(wanted, rel=1e-12)


def test_a_single_number_replaces_the_presets_own() -> None:
    """A cap, a mask and a limit that the settings name stand in for the preset's; 0 is no bound."""
    assert pull("truncated", 3.0, 1.0, ratio_cap=2.5) == pytest.approx(2.5)
    assert pull("truncated", 3.0, 1.0, ratio_cap=0.0) == pytest.approx(3.0)
    assert pull("clipped", 1.3, 1.0, ratio_mask=0.4) == pytest.approx(1.3)
    assert pull("k3", 1.2, 1.0, sequence_limit=0.1) == pytest.approx(1.2)
    assert pull("total_variation", 2.0, 1.0, probability_mask=0.3) == pytest.approx(2.0)


def test_a_limit_without_a_filter_is_refused() -> None:
    """A number that no preset would read is an error that names it."""
    with pytest.raises(ValueError, match=r"learner\.sequence_limit: trust_region 'decoupled'"):
        LearnerSettings(sequence_limit=0.1)
    assert trust_region("k3", sequence_limit=0.1).limit == 0.1


def test_only_whole_answers_leave_the_sweep() -> None:
    """What a token decides by itself stays in the head's sweep."""
    by_answer = {name for name, region in PRESETS.items() if region.by_answer}
    assert by_answer == {"gspo", "geometric", "k3", "stale"}


def test_the_page_has_every_preset_and_its_numbers() -> None:
    """docs/regions.md has a row for each preset, in order, with its numbers in the formula."""
    page = (Path(__file__).parents[3] / "docs" / "regions.md").read_text()
    page = page.partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", page, re.MULTILINE)
    assert [name for name, _ in rows] == ["trust_region", *PRESETS]
    told = {
        name: {float(number) for number in re.findall(r"\d+(?:\.\d+)?", formula)}
        for name, formula in rows
    }
    told["stale"] |= told["clipped"]  # whose formula its row refers to
    for name, region in PRESETS.items():
        bounds = {region.limit, region.ratio_cap, region.mask_below, region.mask_above}
        bounds |= {region.band_low, region.band_high, region.probability_mask}
        assert bounds - {0.0} <= told[name], name
