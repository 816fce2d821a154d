"""Mixture: an engine's choice of experts replayed in the learner, on a toy of a mixture.

The engine is `DisturbedEngine`: no engine that can be had here tells experts.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import torch
from disturbed_engine import PROMPT, SEQUENCES, VOCABULARY, DisturbedEngine
from model_families import make_family
from tiny_learner import TINY
from torch import Tensor

from rlwd.learner.chains import chains
from rlwd.learner.mixture import Mixture
from rlwd.learner.sealed import SealedBatch, SealedEpisode
from rlwd.learner.train.packing import pack
from rlwd.learner.train.selection import exclusion
from rlwd.learner.train.state import Learner
from rlwd.learner.train.update import apply_batch
from rlwd.streams.join import fate
from rlwd.streams.routed_experts import RoutedExperts


def hooked() -> Mixture:
    mixture = Mixture(layers=2, k=2, experts=4)
    mixture.routed_layers.add(1)
    return mixture


def untold(episode: SealedEpisode) -> SealedEpisode:
    return msgspec.structs.replace(episode, routed_experts=None)


def logp_of(learner: Learner, episodes: Sequence[SealedEpisode]) -> Tensor:
    """What the learner's decoder says of the answers' tokens, in the model's own precision."""
    packed = pack(episodes, tokens=40, device=torch.device("cpu"), together=learner.policy.packs)
    with torch.no_grad():
        logits = learner.hidden(packed) @ learner.policy.head_VD.T
    return logits.log_softmax(-1).gather(-1, packed.targets_M[:, None])[:, 0]


@pytest.fixture(scope="module", params=["qwen3_moe", "mixtral"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("mixture") / request.param
    make_family(request.param, made)
    return made


@pytest.fixture(scope="module")
def learner(folder: Path) -> Learner:
    return Learner(
        msgspec.structs.replace(
            TINY,
            model=str(folder),
            lora_rank=2,
            lora_alpha=2.0,
            passes=1,
            kl_weight=0.0,
            ess_floor=0.0,
        )
    )


def test_the_same_experts_give_the_same_log_probabilities(folder: Path) -> None:
    """To 1e-6 in float64, several answers in a row; where they are not replayed it is another function."""
    double = Learner(msgspec.structs.replace(TINY, model=str(folder), lora_rank=2, lora_alpha=2.0))
    double.policy.causal.set_experts_implementation("eager")
    double.policy.model.double()
    engine = DisturbedEngine(folder, torch.float64)
    episodes = [engine.answered(number, ids) for number, ids in enumerate(SEQUENCES)]
    wanted = torch.tensor([v for one in episodes for v in one.logprobs], dtype=torch.float64)
    replayed = logp_of(double, episodes)
    assert replayed.dtype == torch.float64
    torch.testing.assert_close(replayed, wanted, rtol=0.0, atol=1e-6)
    assert (logp_of(double, [untold(one) for one in episodes]) - wanted).abs().max() > 0.01
    # One whose experts nobody told chooses for itself, beside others in the same row.
    mixed = logp_of(double, [untold(episodes[0]), *episodes[1:]])
    first = len(episodes[0].completion_token_ids)
    torch.testing.assert_close(mixed[first:], wanted[first:], rtol=0.0, atol=1e-6)
    torch.testing.assert_close(mixed[:first], logp_of(double, [untold(episodes[0])]))


def test_an_update_replays_them(folder: Path, learner: Learner) -> None:
    """Engine and learner are one function in a whole update, and its steps move what learns."""
    engine = DisturbedEngine(folder, torch.float32)
    episodes = tuple(engine.answered(number, ids) for number, ids in enumerate(SEQUENCES))

    def measured(told: Sequence[SealedEpisode]) -> dict[str, float]:
        batch = SealedBatch(
            batch_id=1,
            policy="policy",
            parent_sequence=0,
            spec_version="",
            episodes=tuple(told),
            held_out=(),
            offsets={},
        )
        before = learner.snapshot()
        metrics = apply_batch(learner, batch).metrics
        learner.restore(before)
        return metrics

    replayed, free = measured(episodes), measured([untold(one) for one in episodes])
    assert replayed["mismatch/largest"] < 1e-4
    assert free["mismatch/largest"] > 0.01
    assert replayed["grad_norm"] > 0.0


def test_turns_are_one_sequence_only_where_experts_agree(folder: Path) -> None:
    """An engine that computed a prompt's tokens anew may have sent them elsewhere: nothing is mixed up."""
    engine = DisturbedEngine(folder, torch.float32)
    whole = engine.answered(1, SEQUENCES[1])
    routed = whole.routed_experts
    assert routed is not None
    ids = whole.prompt_token_ids + whole.completion_token_ids
    rows = PROMPT + 2 - 1
    earlier = msgspec.structs.replace(
        whole,
        completion_token_ids=whole.completion_token_ids[:2],
        logprobs=whole.logprobs[:2],
        routed_experts=msgspec.structs.replace(
            routed, experts=routed.experts[: rows * routed.row_bytes]
        ),
    )
    later = msgspec.structs.replace(
        whole,
        prompt_token_ids=ids[: PROMPT + 4],
        completion_token_ids=ids[PROMPT + 4 :],
        logprobs=whole.logprobs[4:],
    )
    assert chains([earlier, later]) == [[0, 1]]
    apart = bytes((3 - routed.experts[0],)) + routed.experts[1:]
    elsewhere = msgspec.structs.replace(routed, experts=apart)
    assert chains([earlier, msgspec.structs.replace(later, routed_experts=elsewhere)]) == [[0], [1]]
    assert chains([earlier, untold(later)]) == [[0], [1]]
    assert chains([untold(earlier), untold(later)]) == [[0, 1]]


MISFITS = [
    (RoutedExperts(layers=3, k=2, experts=bytes(6 * 6)), "3 layers of 2 experts a token"),
    (RoutedExperts(layers=2, k=1, experts=bytes(6 * 2)), "and the model has 2 of 2"),
    (RoutedExperts(layers=2, k=2, experts=bytes(5 * 4)), "5 rows for 7 tokens, which have 6"),
    (RoutedExperts(layers=2, k=2, experts=bytes((4,) * 24)), "expert 4, and the model has 4"),
    (RoutedExperts(layers=2, k=2, experts=bytes((0, 1, 2, 2) * 6)), "to one expert twice"),
]


@pytest.mark.parametrize(("routed", "problem"), MISFITS)
def test_experts_of_another_model(routed: RoutedExperts, problem: str) -> None:
    """Such an answer is left out by name, and so is one of a mixture where the model is none."""
    episode = SealedEpisode(
        generation_id="g",
        segment="all",
        version="v",
        age=0,
        prompt_token_ids=(1, 2, 3),
        completion_token_ids=(4, 5, 6, 7),
        logprobs=(-1.0,) * 4,
        temperature=1.0,
        reward=1.0,
        reward_revision=0,
        routed_experts=routed,
    )
    found = exclusion(episode, TINY, VOCABULARY, hooked())
    assert found is not None
    assert found[0] == fate.WRONG_EXPERTS
    assert problem in found[1]
    dense = exclusion(episode, TINY, VOCABULARY, Mixture(layers=0))
    assert dense == (fate.WRONG_EXPERTS, "routed_experts: the model has no experts")
    assert exclusion(episode, TINY, VOCABULARY) is None
    # What is told of a layer without experts says nothing.
    good = RoutedExperts(layers=2, k=2, experts=bytes((0, 0, 3, 1) * 6))
    fits = msgspec.structs.replace(episode, routed_experts=good)
    assert exclusion(fits, TINY, VOCABULARY, hooked()) is None
