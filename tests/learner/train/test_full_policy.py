"""Full weights: all of the model learns, by its own gradients, and what it began as stays what it is held to."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from rlwd.learner.lanes.reference import score_reference
from rlwd.learner.sealed import SealedBatch, as_scored
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.full_policy import FullPolicy
from rlwd.learner.train.packing import pack
from rlwd.learner.train.state import Learner
from rlwd.learner.train.update import apply_batch

MakeBatch = Callable[..., SealedBatch]
IDS = (5, 6, 7, 8, 9, 3)


@pytest.fixture
def full(settings: LearnerSettings) -> LearnerSettings:
    return msgspec.structs.replace(settings, weights="full", learning_rate=1e-4)


@pytest.fixture
def tied(tiny_policy: Path, tmp_path: Path) -> Path:
    """The tiny policy with its embedding as its head."""
    model = AutoModelForCausalLM.from_pretrained(tiny_policy, tie_word_embeddings=True)
    model.save_pretrained(tmp_path / "tied")
    return tmp_path / "tied"


def plain_loss(causal: torch.nn.Module, anchor: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Log-probabilities of all tokens but the first, and KL to an anchor's, as plain PyTorch has them."""
    rows = causal(input_ids=torch.tensor([IDS])).logits[0, :-1].log_softmax(-1)
    chosen = rows.gather(1, torch.tensor(IDS[1:])[:, None])[:, 0]
    theirs = rows.detach() if anchor is None else anchor
    return chosen, (rows.exp() * (rows - theirs)).sum(-1)


@pytest.mark.parametrize("shared", [False, True], ids=["untied", "tied"])
def test_gradients_are_the_models_own(
    shared: bool, full: LearnerSettings, tiny_policy: Path, tied: Path
) -> None:
    """Through head and body, with a KL to an anchor that has a head of its own, they are plain autograd's."""
    folder = tied if shared else tiny_policy
    learner = Learner(msgspec.structs.replace(full, model=str(folder)))
    theirs = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        base = theirs(input_ids=torch.tensor([IDS])).logits[0, :-1].log_softmax(-1)
        draw = torch.Generator().manual_seed(0)
        other = dict(theirs.named_parameters())
        for name, weight in learner.policy.trainable().items():
            weight.add_(0.02 * torch.randn(weight.shape, generator=draw))
            other[name].copy_(weight)
    assert learner.policy.trainable().keys() == other.keys()
    packed = pack([as_scored("one", IDS)], tokens=len(IDS), device=learner.policy.device)
    with learner.policy.as_anchor():
        anchor_MD = learner.hidden(packed)
    head = learner.head(packed, anchor_MD=anchor_MD)
    logp, kl = plain_loss(theirs, base)
    torch.testing.assert_close(head.logp, logp, rtol=0, atol=1e-5)
    torch.testing.assert_close(head.kl, kl, rtol=1e-4, atol=1e-6)
    assert kl.min() > 1e-3
    scale = torch.linspace(-1.0, 2.0, len(logp))
    (head.logp @ scale + 0.5 * head.kl.sum()).backward()  # type: ignore[no-untyped-call]
    (logp @ scale + 0.5 * kl.sum()).backward()  # type: ignore[no-untyped-call]
    for name, weight in learner.policy.trainable().items():
        torch.testing.assert_close(weight.grad, other[name].grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_all_of_it_learns(dtype: str, full: LearnerSettings, make_batch: MakeBatch) -> None:
    """A batch moves every weight that it reaches, a batch that is given up none, and the anchor never moves."""
    given = msgspec.structs.replace(full, dtype=dtype)
    learner = Learner(given)
    policy = learner.policy
    assert isinstance(policy, FullPolicy)
    assert {weight.dtype for weight in policy.trainable().values()} == {torch.float32}
    began = policy.weights()
    learnt = {name: weight.clone() for name, weight in policy.trainable().items()}
    assert {str(weight.dtype) for weight in began.values()} == {f"torch.{dtype}"}
    probed = score_reference(learner, [as_scored("one", IDS)])
    assert probed.kl == pytest.approx([0.0], abs=1e-6)
    update = apply_batch(learner, make_batch())
    moved = policy.weights()
    assert [n for n, weight in policy.trainable().items() if torch.equal(weight, learnt[n])] == []
    # A norm's weights, which are 1, are rounded back to it.
    still = {name for name, weight in moved.items() if torch.equal(weight, began[name])}
    assert {name for name in still if "norm" not in name} == set()
    assert update.metrics["after/kl/anchor"] > 0.0
    now = score_reference(learner, [as_scored("one", IDS)])
    assert torch.equal(now.logp[0], probed.logp[0])
    assert now.kl[0] > 0.0

    kept = {name: weight.clone() for name, weight in policy.trainable().items()}
    before = learner.snapshot()
    learner.take_weights({name: torch.zeros_like(weight) for name, weight in kept.items()})
    learner.restore(before)
    again = policy.weights()
    assert all(torch.equal(again[name], weight) for name, weight in moved.items())
    assert all(torch.equal(policy.trainable()[name], weight) for name, weight in kept.items())


def test_small_steps_add_up_in_bfloat16(full: LearnerSettings) -> None:
    """Steps far below the spacing of bfloat16 are not lost: what learns is finer than what is computed with."""
    learner = Learner(msgspec.structs.replace(full, dtype="bfloat16"))
    assert isinstance(learner.policy, FullPolicy)
    began = learner.policy.weights()["lm_head.weight"]
    for step in range(64):
        weights = learner.policy.trainable()
        learner.take_weights({name: weight * (1 + 2**-12) for name, weight in weights.items()})
        if not step:
            assert torch.equal(learner.policy.weights()["lm_head.weight"], began)
    grown = learner.policy.weights()["lm_head.weight"].float() / began.float()
    assert 1.01 < float(grown.nanmedian()) < 1.02


def test_foreign_weights_are_refused(full: LearnerSettings) -> None:
    """Of another type, of another shape, or with one missing: by name, and nothing is taken up."""
    learner = Learner(full)
    policy = learner.policy
    assert isinstance(policy, FullPolicy)
    weights = policy.weights()
    name = "lm_head.weight"
    for other, told in (
        ({name: weights[name].bfloat16()}, r"lm_head.weight is torch.bfloat16"),
        ({name: weights[name][1:]}, r"lm_head.weight is torch.float32 \(259, "),
        ({"more": weights[name]}, r"\['more'\] do not match"),
    ):
        with pytest.raises(ValueError, match=told):
            policy.load_weights({**weights, **other})
    assert all(torch.equal(policy.weights()[n], weight) for n, weight in weights.items())
