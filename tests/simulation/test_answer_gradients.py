"""What is said of answers' gradients: each one's own, and what they share."""

from pathlib import Path

import pytest
import torch
from answer_gradients import agreement_of_halves, cosine, norm_squared, products

from rlwd.learner.sealed import SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.state import Learner


def sealed(prompt: tuple[int, ...], completion: tuple[int, ...]) -> SealedEpisode:
    return SealedEpisode(
        generation_id="g",
        segment="",
        version="",
        age=0,
        prompt_token_ids=prompt,
        completion_token_ids=completion,
        logprobs=(-1.0,) * len(completion),
        temperature=1.0,
        reward=1.0,
        reward_revision=0,
    )


def test_a_product_with_itself_is_the_square(tiny_policy: Path) -> None:
    """Of real gradients; answers to one prompt that are the same have the same gradient."""
    torch.manual_seed(0)
    learner = Learner(LearnerSettings(model=str(tiny_policy), device="cpu", lora_rank=2))
    answers = [*[sealed((1, 2), (3, 4))] * 2, sealed((5, 6), (7, 8, 9))]
    shared_NN = products(learner, answers)
    squares = torch.tensor([norm_squared(learner, one) for one in answers], dtype=torch.float64)
    torch.testing.assert_close(shared_NN.diagonal(), squares, rtol=0.01, atol=0.0)
    first, last = torch.eye(3, dtype=torch.float64)[[0, 2]]
    assert cosine(shared_NN, first, torch.eye(3, dtype=torch.float64)[1]) == pytest.approx(1.0)
    assert cosine(shared_NN, first, last) < 1.0


def test_halves_agree_where_all_say_the_same_and_not_where_each_says_its_own() -> None:
    """Of twenty gradients: all equal, and all at right angles."""
    ones_N = torch.ones(20, dtype=torch.float64)
    assert agreement_of_halves(torch.ones(20, 20, dtype=torch.float64), ones_N) == pytest.approx(
        1.0
    )
    assert agreement_of_halves(torch.eye(20, dtype=torch.float64), ones_N) == pytest.approx(0.0)
