"""One batch: all of it or nothing, the same twice, and bounded as the settings say."""

from collections.abc import Callable, Sequence

import msgspec
import pytest
import torch

from rlwd.learner.candidate import HeldOut
from rlwd.learner.health import readings
from rlwd.learner.lanes.lane_parts import lane_parts
from rlwd.learner.sealed import PassedOver, SealedBatch
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train import evidence
from rlwd.learner.train.evidence import held_out_estimate
from rlwd.learner.train.packing import Pack
from rlwd.learner.train.score import score
from rlwd.learner.train.state import Learner
from rlwd.learner.train.steps import BatchGivenUp
from rlwd.learner.train.update import apply_batch
from rlwd.learner.trust_region import Name

MakeBatch = Callable[..., SealedBatch]


def state_of(
    learner: Learner,
) -> tuple[dict[str, bytes], dict[str, bytes], dict[str, bytes], bytes]:
    """Every bit that an update may change."""
    weights, moments = learner.policy.trainable(), learner.moments()
    return (
        {name: tensor.detach().numpy().tobytes() for name, tensor in weights.items()},
        {name: tensor.numpy().tobytes() for name, tensor in moments.items()},
        {name: tensor.numpy().tobytes() for name, tensor in learner.estimators.state()[1].items()},
        learner.estimators.state()[0],
    )


def test_same_batch_same_bits(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """Two learners from one seed are bitwise equal after two batches, and unlike before."""
    one, other = Learner(settings), Learner(settings)
    fresh = state_of(one)
    for batch_id in (1, 2):
        updates = [apply_batch(learner, make_batch(batch_id)) for learner in (one, other)]
        assert updates[0] == updates[1]
    assert state_of(one) == state_of(other)
    assert all(was != now for was, now in zip(fresh, state_of(one), strict=True))


def test_good_answers_gain(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """Answers above the baseline become likelier, answers below it do not, each on average."""
    learner, batch = Learner(settings), make_batch(episodes=16)
    was = score(learner, batch.episodes).logp
    apply_batch(learner, batch)
    now = score(learner, batch.episodes).logp
    gain = [float((n - w).mean()) for n, w in zip(now, was, strict=True)]
    good = [g for g, e in zip(gain, batch.episodes, strict=True) if e.reward == 1.0]
    bad = [g for g, e in zip(gain, batch.episodes, strict=True) if e.reward == 0.0]
    assert good
    assert bad
    assert sum(good) / len(good) > max(0.01, sum(bad) / len(bad))


def test_not_finite_changes_nothing(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """A step that blows the weights up is found, and the whole batch is taken back."""
    learner = Learner(settings)
    apply_batch(learner, make_batch(1))
    before = state_of(learner)
    learner.settings = msgspec.structs.replace(settings, learning_rate=1e36)
    with pytest.raises(BatchGivenUp, match="the loss is not finite"):
        apply_batch(learner, make_batch(2))
    assert state_of(learner) == before
    learner.settings = settings
    again = Learner(settings)
    apply_batch(again, make_batch(1))
    for one in (learner, again):
        apply_batch(one, make_batch(3))
    assert state_of(learner) == state_of(again)


def test_not_finite_in_the_last_step(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """Where only the last step is bad no later loss shows it, so the new weights are looked at."""
    single = msgspec.structs.replace(
        settings, passes=1, minibatch_episodes=64, learning_rate=1e36, kl_weight=0.0
    )
    learner = Learner(single)
    before = state_of(learner)
    with pytest.raises(BatchGivenUp, match="not finite"):
        apply_batch(learner, make_batch())
    assert state_of(learner) == before


def test_not_finite_in_the_evidence(
    settings: LearnerSettings, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held-out evidence that JSON cannot hold gives the batch up: the gate could not read it again."""

    def overflowing(
        log_ratios: Sequence[float], rewards: Sequence[float], weights: Sequence[float]
    ) -> HeldOut | None:
        return held_out_estimate([float("nan") for _ in log_ratios], rewards, weights)

    monkeypatch.setattr(evidence, "held_out_estimate", overflowing)
    learner = Learner(settings)
    before = state_of(learner)
    with pytest.raises(BatchGivenUp, match="not finite: held_out/"):
        apply_batch(learner, make_batch())
    assert state_of(learner) == before


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"age": 9}, "too_old"),
        ({"temperature": 0.01}, "low_temperature"),
        ({"logprobs": (-1.0,)}, "no_logprobs"),
    ],
)
def test_an_unfit_episode_is_left_out_alone(
    changes: dict[str, object], rule: str, settings: LearnerSettings, make_batch: MakeBatch
) -> None:
    """An unfit episode changes nothing but its count, and a batch of such ones is given up."""
    one, other = Learner(settings), Learner(settings)
    batch = make_batch(**changes)
    got = apply_batch(one, batch)
    without = msgspec.structs.replace(batch, episodes=batch.episodes[1:])
    apply_batch(other, without)
    assert state_of(one) == state_of(other)
    assert got.left_out == {"s1.g0": f"excluded:{rule}"}
    assert (got.metrics[f"episodes/{rule}"], got.metrics["episodes/trained"]) == (1.0, 11.0)
    before = state_of(one)
    unfit = tuple(msgspec.structs.replace(e, **changes) for e in batch.episodes)
    message = f"no episode of 12 can be learned from: 12 excluded:{rule}"
    with pytest.raises(BatchGivenUp, match=message) as given_up:
        apply_batch(one, msgspec.structs.replace(batch, episodes=unfit))
    assert set(given_up.value.left_out.values()) == {f"excluded:{rule}"}
    assert state_of(one) == before


def test_equal_rewards_move_nothing(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """A segment without spread gets no update: of all equal rewards there is no step at all."""
    # None borrows from another: what the rest expects does not depend on the segment's rewards.
    settings = msgspec.structs.replace(settings, parent_count=0.0)
    learner, batch = Learner(settings), make_batch(episodes=16)
    apply_batch(learner, batch)
    before = state_of(learner)
    for reward in (0.0, 0.25, 1.0):
        equal = tuple(msgspec.structs.replace(e, reward=reward) for e in batch.episodes)
        with pytest.raises(BatchGivenUp, match="16 excluded:no_spread"):
            apply_batch(learner, msgspec.structs.replace(batch, episodes=equal))
    assert state_of(learner) == before
    new = tuple(
        msgspec.structs.replace(e, generation_id=f"new{i}", segment="new", reward=0.0)
        for i, e in enumerate(batch.episodes)
    )
    other = Learner(settings)
    apply_batch(other, batch)
    got = apply_batch(learner, msgspec.structs.replace(batch, episodes=batch.episodes + new))
    apply_batch(other, batch)
    # Not to the bit: all are scored, so that estimators know their prompts, and rows are packed otherwise.
    theirs = other.policy.trainable()
    for name, tensor in learner.policy.trainable().items():
        torch.testing.assert_close(tensor, theirs[name], rtol=1e-3, atol=1e-5)
    assert set(got.left_out.values()) == {"excluded:no_spread"}
    assert got.left_out.keys() == {e.generation_id for e in new}


def test_split_forward_passes(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """One optimizer step is the same whether its rows go through at once or one by one."""
    whole = msgspec.structs.replace(settings, passes=1, minibatch_episodes=64, learning_rate=1e-4)
    split = msgspec.structs.replace(whole, pack_tokens=16, rows_per_forward=1)
    one, other = Learner(whole), Learner(split)
    assert len(other.packs(make_batch().episodes)) > 4
    first, second = apply_batch(one, make_batch()).metrics, apply_batch(other, make_batch()).metrics
    assert first["grad_norm"] == pytest.approx(second["grad_norm"], rel=1e-4)
    assert first["loss/policy"] == pytest.approx(second["loss/policy"], rel=1e-4, abs=1e-7)
    for name, moment in one.moments().items():
        torch.testing.assert_close(moment, other.moments()[name], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("region", ["truncated", "gspo", "decoupled"])
def test_the_only_step_is_the_scoring(
    region: Name, settings: LearnerSettings, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one step takes the batch, scoring it apart before gives the same bits and metrics."""
    single = msgspec.structs.replace(
        settings, passes=2, minibatch_episodes=64, trust_region=region, ess_floor=0.0
    )
    rows = list[int]()

    class Counting(Learner):
        def hidden(self, packed: Pack) -> torch.Tensor:
            rows.append(int(torch.is_grad_enabled()))
            return super().hidden(packed)

    one, other = Counting(single), Counting(single)
    ours = apply_batch(one, make_batch())
    counted = len(rows)
    monkeypatch.setattr("rlwd.learner.train.valued.only_step", lambda *_: None)
    theirs = apply_batch(other, make_batch())
    assert len(rows) - counted == counted + (region != "decoupled")
    assert state_of(one)[:2] == state_of(other)[:2]
    assert ours.metrics.keys() == theirs.metrics.keys()
    assert ours.metrics == pytest.approx(theirs.metrics, rel=1e-4, abs=1e-6)


def test_a_first_step_that_is_not_finite(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """A batch whose only step cannot be made is given up, also where other lanes have some of it."""
    single = msgspec.structs.replace(
        settings, minibatch_episodes=64, trust_region="truncated", estimator="tracker"
    )
    learner = Learner(single)
    before = state_of(learner)
    with torch.no_grad():
        learner.policy.head_VD[7] = float("nan")
    batch = make_batch()
    decided = tuple(
        msgspec.structs.replace(e, lane="kto", reward=float(i % 2)) if i < 4 else e
        for i, e in enumerate(batch.episodes)
    )
    with pytest.raises(BatchGivenUp, match="the loss is not finite"):
        apply_batch(learner, msgspec.structs.replace(batch, episodes=decided), lanes=lane_parts)
    assert state_of(learner) == before


def test_first_step_warms_up(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """With nineteen steps of warm-up the first one is a twentieth as long."""
    cold = msgspec.structs.replace(settings, passes=1, minibatch_episodes=64)
    warm = msgspec.structs.replace(cold, warmup_steps=19)
    moved = []
    for given in (cold, warm):
        learner = Learner(given)
        was = learner.snapshot().weights
        apply_batch(learner, make_batch())
        now = learner.policy.trainable()
        moved.append(max(float((now[n].detach() - was[n]).abs().max()) for n in was))
    assert moved[0] == pytest.approx(20 * moved[1], rel=1e-3)


def test_held_out_and_probe(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """Held-out episodes are estimated and never trained on; the probe is the new weights' word."""
    one, other = Learner(settings), Learner(settings)
    batch = make_batch(held_out=6)
    update = apply_batch(one, batch)
    apply_batch(other, msgspec.structs.replace(batch, held_out=()))
    assert state_of(one) == state_of(other)
    assert update.held_out is not None
    assert update.held_out.count == 6
    assert update.held_out.behaviour == sum(e.reward for e in batch.held_out) / 6
    assert 0 < update.held_out.effective_sample_size <= 6
    tokens = update.probe.token_ids
    assert len(tokens) == settings.probe_tokens
    # The same for every batch: nobody's words get into a manifest.
    assert tokens == Learner(settings).probe().token_ids
    with torch.no_grad():
        logits = one.policy.causal(torch.tensor([tokens]), use_cache=False).logits[0]
    wanted = logits.log_softmax(-1)[torch.arange(len(tokens) - 1), torch.tensor(tokens[1:])]
    assert update.probe.logprobs == pytest.approx(wanted.tolist(), abs=1e-5)


def test_what_was_too_old_is_among_the_metrics(
    settings: LearnerSettings, make_batch: MakeBatch
) -> None:
    """A batch that knows what it passed over says so in its metrics; one of before says nothing."""
    seen = PassedOver(
        taken=30,
        too_old=10,
        reward=0.5,
        too_old_reward=0.3,
        standard_error=0.1,
        delay=1.0,
        too_old_delay=5.0,
        segments_apart=0.25,
    )
    batch = make_batch()
    assert "too_old/share" not in apply_batch(Learner(settings), batch).metrics
    told = msgspec.structs.replace(batch, passed_over=seen)
    metrics = apply_batch(Learner(settings), told).metrics
    found = {k: round(v, 6) for k, v in metrics.items() if k.startswith("too_old/")}
    assert found == {
        "too_old/share": 0.25,
        "too_old/reward": -0.2,
        "too_old/reward_error": 0.1,
        "too_old/delay_seconds": 4.0,
        "too_old/segments_apart": 0.25,
    }


def test_without_an_anchor(settings: LearnerSettings, make_batch: MakeBatch) -> None:
    """With no weight on the KL the loss does without it; the gate's drift is measured all the same, on the
    sample of all kinds of work and not on the answers that stand first."""
    learner = Learner(msgspec.structs.replace(settings, kl_weight=0.0))
    batch = make_batch(episodes=48)
    metrics = apply_batch(learner, batch).metrics
    assert metrics["kl/anchor"] == metrics["before/kl/anchor"] == 0.0
    found = score(learner, batch.episodes, anchor=True).metrics["kl/anchor"]
    assert metrics["after/kl/anchor"] == pytest.approx(found)
    assert metrics["after/kl/anchor"] > 0.0
    assert "kl/pull" not in metrics
    assert apply_batch(Learner(settings), make_batch()).metrics["after/kl/anchor"] > 0.0


def test_how_hard_the_base_pulls_is_told_beside_the_rewards(
    settings: LearnerSettings, make_batch: MakeBatch
) -> None:
    """A policy that left its base is pulled by the weight of the KL, and the page says when that is too much."""
    pulls = []
    for kl_weight in (0.05, 50.0):
        learner = Learner(msgspec.structs.replace(settings, kl_weight=kl_weight))
        metrics = apply_batch(learner, make_batch()).metrics
        told = {one.signal.metric: one for one in readings(metrics)}["kl/pull"]
        pulls.append(told.beyond)
        assert told.value == kl_weight * metrics["kl/anchor"] / metrics["advantage/spread"]
    assert pulls == [False, True]
