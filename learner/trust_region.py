"""TrustRegion: how far a batch's tokens may pull the policy from what drew them; the named presets.

rho is a token's pi / mu, against its log-probability when it was served, and d its logarithm; mean d is
over an answer's tokens. A bound of 0 is absent. Free of torch: the config names a preset, and
`train/loss.py` turns it into the kernels' constants.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

Name = Literal[
    "clipped",
    "truncated",
    "masked",
    "icepop",
    "cispo",
    "total_variation",
    "decoupled",
    "gspo",
    "geometric",
    "k3",
    "stale",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRegion:
    """The numbers of a preset."""

    ratio_cap: float = 0.0
    """C: a ratio counts as at most this. With `proximal` it cuts pi_old / mu alone."""
    mask_below: float = 0.0
    """A token with A < 0 is left out once its ratio is below 1 - this."""
    mask_above: float = 0.0
    """A token with A > 0 is left out once its ratio is above 1 + this."""
    band_low: float = 0.0
    """A token is left out below this ratio, whichever its advantage."""
    band_high: float = 0.0
    """A token is left out above this ratio, whichever its advantage."""
    probability_mask: float = 0.0
    """A token is left out once its probability has moved so far from mu towards where A pushes it."""
    proximal: bool = False
    """The masks hold pi / pi_old, against the policy before the batch; pi_old / mu is a weight."""
    sequence_ratio: bool = False
    """The ratio of every token is its answer's, exp(mean d)."""
    filter: Literal["none", "geometric", "k3", "stale"] = "none"
    """What of a whole answer must not exceed `limit`: how far exp(mean d) is from 1, the mean of
    exp(d) - 1 - d, or -mean d."""
    limit: float = 0.0
    """Bound of `filter`."""
    negatives_only: bool = False
    """`filter` leaves out only tokens with A < 0."""

    @property
    def by_answer(self) -> bool:
        """Whether an answer's last token decides on its first, so that the head's sweep cannot."""
        return self.sequence_ratio or self.filter != "none"


# Numbers as published, for two policies: pi_old is mu where the paper has three. docs/regions.md has
# each one's formula, source and use; a test holds that page and this table together.
PRESETS: dict[Name, TrustRegion] = {
    "clipped": TrustRegion(ratio_cap=2.0, mask_below=0.2, mask_above=0.2),
    "truncated": TrustRegion(ratio_cap=2.0),
    "masked": TrustRegion(band_high=2.0),
    "icepop": TrustRegion(band_low=0.5, band_high=5.0),
    "cispo": TrustRegion(ratio_cap=5.0),
    "total_variation": TrustRegion(probability_mask=0.2),
    "decoupled": TrustRegion(ratio_cap=2.0, mask_below=0.2, mask_above=0.2, proximal=True),
    "gspo": TrustRegion(sequence_ratio=True, mask_below=3e-4, mask_above=4e-4),
    "geometric": TrustRegion(ratio_cap=2.0, filter="geometric", limit=1e-3),
    "k3": TrustRegion(ratio_cap=2.0, filter="k3", limit=0.01),
    "stale": TrustRegion(
        ratio_cap=2.0,
        mask_below=0.2,
        mask_above=0.2,
        filter="stale",
        limit=0.5,
        negatives_only=True,
    ),
}
assert set(PRESETS) == set(get_args(Name))


def trust_region(
    name: Name,
    *,
    ratio_cap: float | None = None,
    ratio_mask: float | None = None,
    probability_mask: float | None = None,
    sequence_limit: float | None = None,
) -> TrustRegion:
    """Return the preset with what is given in place of its own numbers.

    `ratio_mask` is both `mask_below` and `mask_above`; `sequence_limit` is the filter's.
    ValueError where a limit is given to a preset without a filter.
    """
    region = PRESETS[name]
    if ratio_cap is not None:
        region = replace(region, ratio_cap=ratio_cap)
    if ratio_mask is not None:
        region = replace(region, mask_below=ratio_mask, mask_above=ratio_mask)
    if probability_mask is not None:
        region = replace(region, probability_mask=probability_mask)
    if sequence_limit is not None:
        if region.filter == "none":
            raise ValueError(f"learner.sequence_limit: trust_region {name!r} has no filter")
        region = replace(region, limit=sequence_limit)
    return region
