"""Lanes by hand: a learner in float64 whose policy is apart from its anchor, and gradients of it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rlwd.learner.lanes.dealt_part import DealtPart
from rlwd.learner.sealed import SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.state import Learner


def apart_from_anchor(settings: LearnerSettings) -> Learner:
    """Return a learner in float64 with an adapter of random weights."""
    learner = Learner(settings)
    learner.policy.model.double()
    learner.policy.head_VD = learner.policy.causal.get_output_embeddings().weight
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in learner.policy.trainable().values():
            noise = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
            parameter.copy_(0.1 * noise)
    return learner


def rows(learner: Learner, episode: SealedEpisode) -> Tensor:
    """Return the logarithms of all probabilities at each completion token, as plain PyTorch has them."""
    ids = torch.tensor([(*episode.prompt_token_ids, *episode.completion_token_ids)])
    places = torch.arange(ids.shape[1])[None]
    states = learner.policy.hidden(ids, places)[0, len(episode.prompt_token_ids) - 1 : -1]
    out: Tensor = (states @ learner.policy.head_VD.detach().T).log_softmax(-1)
    return out


def chosen(rows_TV: Tensor, episode: SealedEpisode) -> Tensor:
    """Return the log-probabilities of the episode's own tokens."""
    ids = torch.tensor(episode.completion_token_ids)
    return rows_TV.gather(1, ids[:, None])[:, 0]


def gradients_of_part(learner: Learner, part: DealtPart) -> list[Tensor]:
    """Return what a part adds in a pass of one step."""
    learner.optimizer.zero_grad()
    part.begin_pass()
    part.backward(0, 1)
    return _taken(learner)


def gradients_of(learner: Learner, loss: Tensor) -> list[Tensor]:
    """Return the gradients of a loss written a second time."""
    learner.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    return _taken(learner)


def assert_equal(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    """Hold gradients against each other to 1e-6 of the largest."""
    largest = max(float(one.abs().max()) for one in theirs)
    assert largest > 1e-6
    off = max(float((one - other).abs().max()) for one, other in zip(ours, theirs, strict=True))
    assert off < 1e-6 * largest, (off, largest)


def _taken(learner: Learner) -> list[Tensor]:
    found = []
    for parameter in learner.policy.trainable().values():
        assert parameter.grad is not None
        found.append(parameter.grad.clone())
    return found
