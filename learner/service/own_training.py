"""Own training: the learner of this process behind the port.

Its daemon does not take this way: `train/update.py` scores by its first step's own forward pass, and has
the whole vocabulary's KL and the prompts' states of that pass, which no port of log-probabilities has.
It is what the contract is held against, and what stands behind a stand-in of a service.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from ..sealed import SealedEpisode
from ..settings import LearnerSettings
from ..train.score import score
from ..train.state import Learner, LearnerSnapshot
from .port import AdamStep, ContentsRefused, Datum, Logprobs, ServiceClosed


class OwnTraining:
    """A Learner as a TrainingService; what is saved lives as long as `saved` does."""

    def __init__(self, settings: LearnerSettings) -> None:
        self.learner = Learner(settings)
        self._first = self.learner.snapshot()
        self.saved: dict[str, LearnerSnapshot] = {}

    def begin(self, state: str | None) -> None:
        """As TrainingService says."""
        if state is not None and state not in self.saved:
            raise ServiceClosed(f"{state}: no such state was saved, or it was forgotten")
        self.learner.restore(self._first if state is None else self.saved[state])
        self.learner.optimizer.zero_grad()

    def logprobs(self, data: Sequence[Datum]) -> Logprobs:
        """As TrainingService says."""
        self._check(data)
        return [each.tolist() for each in score(self.learner, _episodes(data)).logp]

    def base_logprobs(self, data: Sequence[Datum]) -> Logprobs:
        """As TrainingService says."""
        with self.learner.policy.as_anchor():
            return self.logprobs(data)

    def forward_backward(self, data: Sequence[Datum]) -> Logprobs:
        """As TrainingService says."""
        self._check(data)
        if bare := [index for index, one in enumerate(data) if not one.weights]:
            raise ValueError(f"$.data[{bare[0]}].weights: empty")
        found = [torch.empty(0)] * len(data)
        for share in self.learner.packs(_episodes(data)):
            head = self.learner.head(share.packed)
            weights = torch.tensor([w for i in share.indices for w in data[i].weights])
            loss = -(weights.to(head.logp.device) * head.logp).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            for place, index in enumerate(share.indices):
                found[index] = share.of(head.logp.detach(), place)
        return [each.tolist() for each in found]

    def step(self, adam: AdamStep) -> None:
        """As TrainingService says."""
        parameters = list(self.learner.policy.trainable().values())
        norm: Tensor = torch.nn.utils.clip_grad_norm_(parameters, adam.clip_norm)
        if not bool(torch.isfinite(norm)):
            raise ContentsRefused("the gradient is not finite")
        for group in self.learner.optimizer.param_groups:
            group["lr"], group["eps"] = adam.learning_rate, adam.eps
            group["betas"] = (adam.beta1, adam.beta2)
        self.learner.optimizer.step()
        self.learner.optimizer.zero_grad()

    def save(self, name: str) -> str:
        """As TrainingService says."""
        self.saved[name] = self.learner.snapshot()
        return name

    def export(self, name: str, folder: Path) -> None:
        """As TrainingService says."""
        self.learner.policy.save_adapter(folder)

    def forget(self, states: Sequence[str]) -> None:
        """As TrainingService says."""
        for state in states:
            self.saved.pop(state, None)

    def _check(self, data: Sequence[Datum]) -> None:
        if not data:
            raise ValueError("$.data: empty")
        known = self.learner.policy.vocabulary
        largest = max(max(*one.prompt_token_ids, *one.token_ids) for one in data)
        if largest >= known:
            raise ContentsRefused(f"token id {largest}: the model knows {known}")


_NOTHING = SealedEpisode(
    generation_id="",
    segment="",
    version="",
    age=0,
    prompt_token_ids=(),
    completion_token_ids=(),
    logprobs=(),
    temperature=1.0,
    reward=0.0,
    reward_revision=0,
)


def _episodes(data: Sequence[Datum]) -> list[SealedEpisode]:
    """Return the data as what the learner packs: at temperature 1."""
    return [
        msgspec.structs.replace(
            _NOTHING,
            generation_id=str(index),
            prompt_token_ids=one.prompt_token_ids,
            completion_token_ids=one.token_ids,
            logprobs=(0.0,) * len(one.token_ids),
        )
        for index, one in enumerate(data)
    ]
