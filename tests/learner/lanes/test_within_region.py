"""Within region: which tokens of a lane pull no more, by each preset that masks single tokens."""

import math

import pytest
import torch

from rlwd.learner.lanes.within_region import within_region
from rlwd.learner.trust_region import PRESETS, Name, TrustRegion, trust_region


def pulls(region: TrustRegion, before: float, now: float, *, raised: bool) -> bool:
    """Whether a token still has a gradient."""
    logp_M = torch.tensor([math.log(now)], dtype=torch.float64, requires_grad=True)
    before_M = torch.tensor([math.log(before)], dtype=torch.float64)
    held_M, masked = within_region(logp_M, before_M, torch.tensor([raised]), region)
    assert held_M.detach().equal(logp_M.detach())
    assert masked in (0.0, 1.0)
    return masked == 0.0


@pytest.mark.parametrize(
    ("name", "up", "down"),
    [
        ("clipped", 0.13, 0.07),
        ("decoupled", 0.13, 0.07),
        ("stale", 0.13, 0.07),
        ("total_variation", 0.31, None),
        ("icepop", 0.51, 0.04),
        ("masked", 0.21, None),
    ],
)
def test_a_token_that_left_a_presets_mask_pulls_no_more(
    name: Name, up: float, down: float | None
) -> None:
    """On the side that it is pulled to, as the ratio lane's; pulled back it goes on."""
    region = trust_region(name)
    assert not pulls(region, 0.1, up, raised=True)
    assert pulls(region, 0.1, up - 0.02, raised=True)
    assert pulls(region, 0.1, up, raised=False)
    if down is not None:
        assert not pulls(region, 0.1, down, raised=False)
        assert pulls(region, 0.1, down + 0.02, raised=False)
        assert pulls(region, 0.1, down, raised=True)


def test_a_common_token_may_fall_by_no_more_than_its_probability_mask() -> None:
    """Of a token that was written in nine answers of ten a fifth is a long way."""
    region = trust_region("total_variation")
    assert pulls(region, 0.9, 0.75, raised=False)
    assert not pulls(region, 0.9, 0.65, raised=False)


def test_presets_without_a_mask_hold_nothing() -> None:
    """`truncated` and `cispo` cut ratios, which these lanes have not; whole answers' masks hold no token."""
    for name in ("truncated", "cispo", "gspo", "geometric", "k3"):
        assert pulls(PRESETS[name], 0.01, 0.99, raised=True)
        assert pulls(PRESETS[name], 0.99, 0.01, raised=False)
