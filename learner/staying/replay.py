"""Replay: an operator's texts in each step, on which the policy is held to the base model.

    L = weight / N sum_t KL(pi_t || base_t)

N are the replayed tokens of the step, so that neither side's count dilutes the other. KL is exact over
the vocabulary: what the base model says of a text is kept, right or wrong, and nothing of it is learned.
Legend: M completion tokens of a pack, D hidden width.
"""

import random
from collections.abc import Sequence
from pathlib import Path

import torch

from ..sealed import SealedEpisode
from ..train.state import Learner
from ..train.steps import BatchGivenUp, LaneParts, Lanes
from .sequences import read_sequences


class ReplayPart:
    """A share of a batch's tokens, dealt to its steps out of the texts in an order of its own."""

    def __init__(
        self,
        learner: Learner,
        sequences: Sequence[SealedEpisode],
        *,
        tokens: int,
        batch_id: int,
    ) -> None:
        self.learner, self._sequences, self._tokens = learner, sequences, tokens
        self._draw = random.Random(f"{learner.settings.seed}/{batch_id}/replay")
        self._order = list[int]()
        self._kl, self._seen = 0.0, 0
        self.taught: Sequence[SealedEpisode] = ()
        """None of the batch's: it makes no step by itself."""
        self.units = 0

    def begin_pass(self) -> None:
        """Begin to count anew; the texts go on from where they are."""
        self._kl, self._seen = 0.0, 0

    def backward(self, step: int, of: int) -> None:
        """Add the gradients of the next texts, until they have a step's share of tokens."""
        dealt = self._next(self._tokens / of)
        count = sum(len(one.completion_token_ids) for one in dealt)
        ranks = self.learner.ranks
        kl = ranks.begun({"kl": self._kl})
        for _, packed, counts in self.learner.packs(dealt):
            with self.learner.policy.as_anchor():
                anchor_MD = self.learner.hidden(packed)
            kl_M = self.learner.head(packed, anchor_MD=anchor_MD).kl
            loss = self.learner.settings.replay.weight * kl_M.sum() / count
            if not ranks.all(bool(torch.isfinite(loss))):
                raise BatchGivenUp("the loss of the replay is not finite")
            (loss * counts).backward()  # type: ignore[no-untyped-call]
            kl["kl"] += float(kl_M.detach().sum()) * counts
        self._kl = ranks.summed(kl)["kl"]
        self._seen += count

    def metrics(self) -> dict[str, float]:
        """Return how many tokens a pass replays, and their mean KL in the last pass."""
        return {"replay/tokens": float(self._seen), "replay/kl": self._kl / max(self._seen, 1)}

    def _next(self, tokens: float) -> list[SealedEpisode]:
        dealt, left = list[SealedEpisode](), tokens
        while left > 0:
            if not self._order:
                self._order = list(range(len(self._sequences)))
                self._draw.shuffle(self._order)
            dealt.append(self._sequences[self._order.pop()])
            left -= len(dealt[-1].completion_token_ids)
        return dealt


def replayed_texts(learner: Learner) -> list[SealedEpisode]:
    """Return what `learner.replay.texts` holds; none where it is empty.

    ValueError with the path and the line where one is not usable.
    """
    settings = learner.settings
    if not settings.replay.texts:
        return []
    return read_sequences(
        Path(settings.replay.texts),
        Path(settings.model),
        key="learner.replay.texts",
        vocabulary=learner.policy.vocabulary,
        longest=settings.max_episode_tokens,
    )


def with_replay(lanes: Lanes, sequences: Sequence[SealedEpisode]) -> Lanes:
    """Return `lanes` with the replay beside them; without texts, or a share of 0, as they are."""

    def parts(learner: Learner, episodes: Sequence[SealedEpisode], batch_id: int) -> LaneParts:
        found = lanes(learner, episodes, batch_id)
        lengths = {one.generation_id: len(one.completion_token_ids) for one in episodes}
        for one in (one for part in found.parts for one in part.taught):
            # Answers that came as texts have their tokens from the lanes.
            lengths[one.generation_id] = lengths[one.generation_id] or len(one.completion_token_ids)
        tokens = int(learner.settings.replay.share * sum(lengths.values()))
        if not sequences or not tokens:
            return found
        replayed = ReplayPart(learner, sequences, tokens=tokens, batch_id=batch_id)
        return found._replace(parts=[*found.parts, replayed])

    return parts
