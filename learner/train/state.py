"""Learner state: the policy, and the optimizer and baselines that an exact resume needs with it."""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...kernels.dispatch import HeadOutputs, logp_head
from ..candidate import Probe
from ..chains import chains
from ..estimators.side_by_side import Estimators
from ..made_with import MadeWith
from ..ranks.group import ALONE, Ranks
from ..ranks.shards import number, part_of
from ..sealed import SealedEpisode, as_scored
from ..settings import LearnerSettings
from .load import load_policy
from .packing import Pack, Share, pack
from .policy import Policy

Between = Callable[[Callable[[bool], bool]], None]
"""Called before each forward pass of a batch; is given what says whether something holds on all ranks."""

MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerSnapshot:
    """Everything that an update changes, copied."""

    weights: dict[str, Tensor]
    """What learns, by name."""
    moments: dict[str, Tensor]
    """As `Learner.moments`."""
    estimators: tuple[bytes, dict[str, Tensor]]
    """As `Estimators.state`."""
    average: dict[str, Tensor] | None
    """As `Learner.average`."""


class Learner:
    """Policy, optimizer and tracked baselines, which change together or not at all."""

    def __init__(
        self,
        settings: LearnerSettings,
        ranks: Ranks = ALONE,
        between: Between = lambda together: None,
    ) -> None:
        self.settings, self.ranks, self.between = settings, ranks, between
        self.policy: Policy = load_policy(settings)
        device = self.policy.device.type
        if ranks.size > 1:
            self.policy.shard(ranks)
        self.policy.begin()
        self.made_with = MadeWith.measured(settings, device, processes=ranks.size)
        """What its updates' bits depend on, as it stood when this process began."""
        self.average: dict[str, Tensor] | None = None
        """Moving average of the weights, by parameter, where that is what is offered."""
        self.estimators = Estimators.new(settings)
        self.optimizer = torch.optim.AdamW(
            self.policy.trainable().values(),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            eps=settings.eps,
            weight_decay=0.0,
        )

    def head(self, packed: Pack, *, anchor_MD: Tensor | None = None) -> HeadOutputs:
        """Score a pack's completion tokens, a few rows at a time; gradients flow if enabled."""
        return logp_head(
            self.hidden(packed),
            anchor_MD,
            self.policy.head_VD,
            packed.targets_M,
            packed.temperature_M,
            train_head=self.policy.head_VD.requires_grad,
            anchor_weight_VD=self.policy.anchor_head_VD,
        )

    def hidden(self, packed: Pack) -> Tensor:
        """Return the hidden states [M, D] that predict a pack's completion tokens."""
        return self.states(packed)[packed.rows_M, packed.columns_M]

    def states(self, packed: Pack) -> Tensor:
        """Return the hidden states [B, T, D] of all of a pack's tokens: one forward pass, once it may be."""
        self.between(self.ranks.all)
        return self.policy.hidden(packed.ids_BT, packed.positions_BT, packed.experts_BTLK)

    def packs(self, episodes: Sequence[SealedEpisode]) -> list[Share]:
        """Split episodes into packs that fit one forward pass; returns this rank's.

        What continues one another is one sequence, and stays together. One longer than a row is a pack
        of its own: beside it every row would be as long. Where the model does not pack, a row is a
        sequence, and those of one pass are of like length.
        """
        settings, device = self.settings, self.policy.device
        joined = chains(episodes)
        last = [episodes[chain[-1]] for chain in joined]
        lengths = [len(e.prompt_token_ids) + len(e.completion_token_ids) for e in last]
        most = settings.pack_tokens * settings.rows_per_forward
        room = self.ranks.room(sum(lengths), most)
        if self.policy.packs:
            places = _groups(lengths, row=settings.pack_tokens, room=room)
        else:
            places = _groups_of_rows(lengths, room=room)
        groups = [[index for place in group for index in joined[place]] for group in places]
        return [
            Share(
                group,
                pack(
                    [episodes[i] for i in group],
                    tokens=settings.pack_tokens,
                    device=device,
                    together=self.policy.packs,
                ),
                float(counts),
            )
            for group, counts in self.ranks.dealt(groups)
        ]

    def probe(self) -> Probe:
        """Return a short sequence and what the weights say of it at temperature 1.

        It is a fixed walk over the vocabulary: a manifest outlives the prompts that people wrote.
        """
        length, vocabulary = self.settings.probe_tokens, self.policy.vocabulary
        ids = tuple((7 * i + 1) % vocabulary for i in range(length))
        asked = as_scored("probe", ids)
        with torch.no_grad():
            head = self.head(pack([asked], tokens=length, device=self.policy.device))
        return Probe(token_ids=ids, logprobs=tuple(head.logp.tolist()))

    def moments(self) -> dict[str, Tensor]:
        """Return the optimizer's state, `name/exp_avg` and so on; empty before the first step."""
        named = self.policy.trainable().items()
        state: Any = self.optimizer.state
        return {
            f"{name}/{key}": state[parameter][key]
            for name, parameter in named
            if parameter in state
            for key in MOMENTS
        }

    def load_moments(self, moments: dict[str, Tensor]) -> None:
        """Take up an optimizer's state; none at all is the state before the first step."""
        state: Any = self.optimizer.state
        state.clear()
        for name, parameter in self.policy.trainable().items():
            if f"{name}/step" in moments:
                state[parameter] = {key: moments[f"{name}/{key}"].clone() for key in MOMENTS}
                for key in MOMENTS[:2]:
                    part = part_of(state[parameter][key], parameter)
                    state[parameter][key] = part.to(parameter.device)

    def follow(self, before: Mapping[str, Tensor]) -> float:
        """Move the average to the weights, one version on; it begins at those `before`.

        Returns how far it is from them, beside their length (L2). Without `average` there is none
        from here on: what is trained is what is offered.
        """
        decay, weights = self.settings.average, self.policy.trainable()
        if not decay:
            self.average = None
            return 0.0
        was = self.average or before
        self.average = {
            name: torch.lerp(weight.detach(), was[name], decay) for name, weight in weights.items()
        }
        apart = sum(
            number((w.detach() - self.average[n]).square().sum()) for n, w in weights.items()
        )
        return math.sqrt(apart / sum(number(w.detach().square().sum()) for w in weights.values()))

    @contextlib.contextmanager
    def offered(self) -> Iterator[None]:
        """Within, the weights are those that are offered: the average, where there is one."""
        if self.average is None:
            yield
            return
        trained = {name: p.detach().clone() for name, p in self.policy.trainable().items()}
        self.take_weights(self.average)
        try:
            yield
        finally:
            self.take_weights(trained)

    def stand_on_offered(self) -> None:
        """Go on training from what is offered, without an average that remembers more."""
        if self.average is not None:
            self.take_weights(self.average)
            self.average = None

    def take_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Copy weights, by parameter, into what learns."""
        with torch.no_grad():
            for name, parameter in self.policy.trainable().items():
                parameter.copy_(part_of(weights[name], parameter))
        self.policy.settle()

    def snapshot(self) -> LearnerSnapshot:
        """Copy all that an update changes."""
        return LearnerSnapshot(
            weights={name: p.detach().clone() for name, p in self.policy.trainable().items()},
            moments={name: tensor.clone() for name, tensor in self.moments().items()},
            estimators=self.estimators.state(),
            average=self.average,  # is replaced, and never changed in place
        )

    def restore(self, snapshot: LearnerSnapshot) -> None:
        """Undo everything since the snapshot."""
        self.take_weights(snapshot.weights)
        self.average = snapshot.average
        self.load_moments(snapshot.moments)
        self.estimators = Estimators.from_state(*snapshot.estimators, self.settings)


def _groups(lengths: Sequence[int], *, row: int, room: int) -> list[list[int]]:
    """Indices in order, as many to a group as its tokens have room; longer than a row, alone."""
    groups, left = list[list[int]](), 0
    for index, length in enumerate(lengths):
        if length > row:
            groups.append([index])
            left = 0
            continue
        if length > left:
            groups.append([])
            left = room
        groups[-1].append(index)
        left -= length
    return groups


def _groups_of_rows(lengths: Sequence[int], *, room: int) -> list[list[int]]:
    """Indices, longest first, as many to a group as its rows of the longest have room."""
    groups = list[list[int]]()
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not groups or (len(groups[-1]) + 1) * lengths[groups[-1][0]] > room:
            groups.append([])
        groups[-1].append(index)
    return groups
