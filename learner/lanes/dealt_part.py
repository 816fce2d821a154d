"""Dealt part: what the lanes' parts share: units that are dealt to a pass's steps, and one scale.

A lane's loss is a mean over its own tokens, times its weight, on the scale of an advantage of 1. A lane
with fewer units in a batch than a step has episodes pulls that much less: three edits do not say as
much as a step of answers. Legend: M completion tokens of a pack, D hidden width, S episodes.
"""

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor

from ...kernels.dispatch import HeadOutputs
from ..chains import chains, dealt
from ..sealed import SealedEpisode
from ..train.packing import Pack
from ..train.steps import BatchGivenUp
from .tensors import LaneTensors


class BesideAnswers(NamedTuple):
    """Episodes of a lane that reads something beside the answer."""

    units: list[tuple[SealedEpisode, SealedEpisode]]
    """As the lane takes them."""
    too_long: list[str]
    """Generation ids of those that are longer with it than an episode may be."""


class DealtPart:
    """Units of one lane, each of one or more episodes, in an order drawn anew for each pass."""

    def __init__(
        self,
        tensors: LaneTensors,
        name: str,
        units: Sequence[tuple[SealedEpisode, ...]],
        *,
        weight: float,
        batch_id: int,
    ) -> None:
        assert units, "a lane without units has no part"
        self.tensors, self.name, self._units = tensors, name, units
        whole = min(1.0, len(units) / tensors.settings.minibatch_episodes)
        tokens = math.fsum(
            one.weight * len(one.completion_token_ids) for each in units for one in each
        )
        self.pull = weight * whole / tokens
        """What a token of weight 1 pulls with in a pass of one step."""
        self.tokens = sum(len(one.completion_token_ids) for each in units for one in each)
        self._draw = random.Random(f"{tensors.settings.seed}/{batch_id}/{name}")
        self._order = (
            chains([unit[0] for unit in units])
            if all(len(unit) == 1 for unit in units)
            else [[index] for index in range(len(units))]
        )
        """Units that continue one another are dealt to the same step."""
        self.sums: dict[str, float] = defaultdict(float)
        self.laid: dict[str, float] = defaultdict(float)
        """Tokens of a pass that went through the model (`forward`), and that chains saved of them (`shared`)."""

    @property
    def taught(self) -> Sequence[SealedEpisode]:
        """As `LanePart.taught`: of a pair the first alone."""
        return [unit[0] for unit in self._units]

    @property
    def units(self) -> int:
        """As `LanePart.units`."""
        return len(self._units)

    def begin_pass(self) -> None:
        """Deal the units anew."""
        self._draw.shuffle(self._order)
        self.sums.clear()
        self.laid.clear()

    def backward(self, step: int, of: int) -> None:
        """Add the gradients of the units dealt to a step."""
        ours = self._dealt(step, of)
        episodes = [one for index in ours for one in self._units[index]]
        size = len(self._units[0])
        ranks = self.tensors.ranks
        self.sums, self.laid = ranks.begun(self.sums), ranks.begun(self.laid)
        for share in self.tensors.packs(episodes, size):
            places = [ours[unit] * size + at for unit in share.indices for at in range(size)]
            self.laid["forward"] += share.packed.forward_tokens * share.counts
            self.laid["shared"] += share.packed.shared_tokens * share.counts
            before = dict(self.sums)
            loss = self.loss(places, share.packed) * (self.pull * of)
            if not share.counts:
                kept = {name: before.get(name, 0.0) for name in self.sums}
                self.sums = defaultdict(float, kept)
            if not ranks.all(bool(torch.isfinite(loss))):
                raise BatchGivenUp(f"the loss of the lane {self.name} is not finite")
            (loss * share.counts).backward()  # type: ignore[no-untyped-call]
        self.sums, self.laid = ranks.summed(self.sums), ranks.summed(self.laid)

    def _dealt(self, step: int, of: int) -> list[int]:
        """Return the units of a step: every so many-eth, or with chains as the ratio lane's are dealt."""
        if all(len(chain) == 1 for chain in self._order):
            return [index for (index,) in self._order[step::of]]
        count = len(self._units)
        return dealt(self._order, [1.0] * count, share=count / of).get(step, [])

    def loss(self, places: Sequence[int], packed: Pack) -> Tensor:
        """Return the loss of a pack, undivided; `places` are its episodes' among all, unit by unit."""
        raise NotImplementedError

    def head(
        self, places: Sequence[int], packed: Pack, anchor_MD: Tensor | None = None
    ) -> HeadOutputs:
        """Score a pack, with gradients."""
        return self.tensors.head(self.episodes(places), packed, anchor_MD)

    def episodes(self, places: Sequence[int]) -> list[SealedEpisode]:
        """Return the episodes at these places."""
        size = len(self._units[0])
        return [self._units[place // size][place % size] for place in places]

    def metrics(self) -> dict[str, float]:
        """Return units, tokens, what passed the model for them, and mean reward, and the means over units of `sums`."""
        return {
            f"lane/{self.name}/units": float(self.units),
            f"lane/{self.name}/tokens": float(self.tokens),
            f"lane/{self.name}/forward": self.laid["forward"],
            f"lane/{self.name}/shared": self.laid["shared"],
            f"lane/{self.name}/reward": math.fsum(one.reward for one in self.taught) / self.units,
            **{f"lane/{self.name}/{key}": v / self.units for key, v in sorted(self.sums.items())},
        }


def without_ratio(
    episode: SealedEpisode,
    prompt: tuple[int, ...] | None = None,
    completion: tuple[int, ...] | None = None,
) -> SealedEpisode:
    """Return an episode as a lane without ratios scores it: at temperature 1, as if drawn for certain."""
    ids = episode.completion_token_ids if completion is None else completion
    own = prompt is None and completion is None
    return msgspec.structs.replace(
        episode,
        # Of other tokens no engine told which experts they went to.
        routed_experts=episode.routed_experts if own else None,
        prompt_token_ids=episode.prompt_token_ids if prompt is None else prompt,
        completion_token_ids=ids,
        logprobs=(0.0,) * len(ids),
        temperature=1.0,
        credit=(),
    )


def bounds_of(packed: Pack) -> Tensor:
    """Return where each episode of a pack begins among its completion tokens [S + 1]."""
    counts_S = torch.bincount(packed.segments_M)
    return torch.cat([counts_S.new_zeros(1), counts_S.cumsum(0)])
