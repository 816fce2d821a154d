"""The decoder: a shared batch changes nobody's numbers.

1. Rows that join late, leave early or have other adapters get what they would have got alone.
2. Log-probabilities are those of one plain forward pass.
3. Greedy is greedy, a seed is a seed, and cuts renormalise.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from rlwd.learner.candidate import Candidate
from rlwd.ops.embedded.decoder import Decoder
from rlwd.ops.embedded.request import Emission, PromptLogprob, Request
from rlwd.ops.embedded.sampling import SamplingParams, Token
from tests.ops.conftest import PROBE, Truth

Versions = tuple[Candidate, Candidate]


@pytest.fixture(scope="module")
def decoder(tiny_policy: Path, versions: Versions) -> Decoder:
    """A decoder with two adapters, stepped by hand."""
    decoder = Decoder(tiny_policy, max_rows=8, prefill_tokens=200)
    for candidate in versions:
        decoder.causal.load(candidate.version, candidate.path)
    return decoder


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    """As in the decoder's own thread."""
    with torch.inference_mode():
        yield


class Heard:
    """One request, and all that was emitted for it."""

    def __init__(
        self, prompt: tuple[int, ...], adapter: str | None = None, **sampling: object
    ) -> None:
        self.emissions: list[Emission] = []
        self.request = Request(
            prompt=prompt,
            sampling=SamplingParams(**{"max_tokens": 10, **sampling}),  # type: ignore[arg-type]
            adapter=adapter,
            emit=self.emissions.append,
        )

    @property
    def tokens(self) -> list[Token]:
        return [token for one in self.emissions for token in one.tokens]

    @property
    def ids(self) -> list[int]:
        return [token.id for token in self.tokens]

    @property
    def logprobs(self) -> list[float]:
        return [token.logprob for token in self.tokens]

    @property
    def prompt(self) -> tuple[PromptLogprob, ...]:
        return self.emissions[0].prompt

    @property
    def finish(self) -> str | None:
        return self.emissions[-1].finish if self.emissions else None


def step(decoder: Decoder, times: int = 1) -> None:
    """What the decoder's thread does, by hand."""
    for _ in range(times):
        decoder._receive(block=False)
        decoder.step()


def finish(decoder: Decoder, *heard: Heard) -> None:
    """Step until all of these have ended."""
    for _ in range(400):
        if all(one.finish for one in heard):
            return
        step(decoder)
    raise AssertionError("some request never ended")


def run(decoder: Decoder, *heard: Heard, apart: int = 0) -> None:
    """Submit requests, `apart` steps from one to the next, and step until all have ended."""
    for one in heard:
        decoder.submit(one.request)
        step(decoder, apart)
    finish(decoder, *heard)


def mixed(versions: Versions, **sampling: object) -> list[Heard]:
    """Twelve requests of different lengths and adapters: more than fit at once."""
    names = (None, versions[0].version, versions[1].version)
    return [
        Heard(PROBE[: 3 + 5 * (i % 7)], names[i % 3], max_tokens=3 + i, seed=i, **sampling)
        for i in range(12)
    ]


@pytest.mark.parametrize("apart", [0, 1, 3])
def test_company_changes_nothing(decoder: Decoder, versions: Versions, apart: int) -> None:
    """Requests that come together or one by one get the tokens that they get alone."""
    alone, together = mixed(versions), mixed(versions)
    for one in alone:
        run(decoder, one)
    run(decoder, *together, apart=apart)
    for one, other in zip(alone, together, strict=True):
        assert other.ids == one.ids
        assert other.logprobs == pytest.approx(one.logprobs, abs=2e-5)
        assert other.finish == "length"
    assert decoder.running == decoder.waiting == 0


def test_logprobs_are_those_of_a_plain_forward_pass(
    decoder: Decoder, versions: Versions, tiny_policy: Path
) -> None:
    """Cache, padding and stacked adapters leave float32's own error at most."""
    truths: dict[str | None, Truth] = {
        None: Truth(tiny_policy, None),
        **{one.version: Truth(tiny_policy, one.path) for one in versions},
    }
    heard = mixed(versions, score_prompt=True, temperature=1.0)
    run(decoder, *heard, apart=1)
    for one in heard:
        prompt = one.request.prompt
        told = truths[one.request.adapter].logprobs([*prompt, *one.ids])
        scored = [token.logprob for token in one.prompt]
        assert [*scored, *one.logprobs] == pytest.approx(told, abs=2e-5)
        assert [token.id for token in one.prompt] == list(prompt[1:])


def test_temperature_zero_takes_the_likeliest(
    decoder: Decoder, versions: Versions, tiny_policy: Path
) -> None:
    """Greedy decoding equals one forward pass a token, beside rows that are not greedy."""
    greedy = Heard(PROBE, versions[0].version, temperature=0, max_tokens=12)
    run(decoder, greedy, *mixed(versions))
    assert greedy.ids == Truth(tiny_policy, versions[0].path).greedy(PROBE, 12)


def test_a_seed_repeats_and_no_seed_does_not(decoder: Decoder) -> None:
    """Equal seeds give equal answers; requests without one differ."""
    seeded = [Heard(PROBE, seed=7, max_tokens=30) for _ in range(2)]
    free = [Heard(PROBE, max_tokens=30) for _ in range(2)]
    run(decoder, *seeded, *free)
    assert seeded[0].ids == seeded[1].ids
    assert free[0].ids != free[1].ids != seeded[0].ids


def test_draws_follow_the_distribution(decoder: Decoder, tiny_policy: Path) -> None:
    """Over 2,000 first tokens the shares are the probabilities, within five standard errors."""
    heard = [Heard(PROBE[:5], max_tokens=1, temperature=0.5, seed=i) for i in range(2000)]
    run(decoder, *heard)
    model = Truth(tiny_policy, None).model
    probability_V = (model(torch.tensor([PROBE[:5]])).logits[0, -1] / 0.5).softmax(-1)
    counted_V = torch.bincount(
        torch.tensor([one.ids[0] for one in heard]), minlength=len(probability_V)
    )
    error_V = (probability_V * (1 - probability_V) / 2000).sqrt()
    assert ((counted_V / 2000 - probability_V).abs() <= 5 * error_V + 1e-3).all()


@pytest.mark.parametrize("cut", [{"top_k": 5}, {"top_p": 0.1}])
def test_cuts_keep_the_likeliest_and_renormalise(
    decoder: Decoder, tiny_policy: Path, cut: dict[str, Any]
) -> None:
    """Only the kept tokens are drawn, with log-probabilities over them alone."""
    heard = [Heard(PROBE[:5], max_tokens=1, seed=i, **cut) for i in range(100)]
    run(decoder, *heard)
    logits_V = Truth(tiny_policy, None).model(torch.tensor([PROBE[:5]])).logits[0, -1]
    sorted_V, order_V = logits_V.softmax(-1).sort(descending=True)
    before_V = sorted_V.cumsum(-1) - sorted_V
    kept_V = order_V[:5] if "top_k" in cut else order_V[before_V < 0.1]
    among_V = logits_V[kept_V].log_softmax(-1)
    told = dict(zip(kept_V.tolist(), among_V.tolist(), strict=True))
    assert len({one.ids[0] for one in heard}) > 1
    for one in heard:
        assert one.logprobs[0] == pytest.approx(told[one.ids[0]], abs=1e-4)


def test_a_stop_token_ends_the_answer_and_is_part_of_it(
    decoder: Decoder, versions: Versions
) -> None:
    """The learner needs the end's own log-probability."""
    free = Heard(PROBE, versions[0].version, temperature=0)
    run(decoder, free)
    stop = free.ids[4]
    stopped = Heard(PROBE, versions[0].version, temperature=0, stop_ids=frozenset({stop}))
    run(decoder, stopped)
    assert stopped.ids == free.ids[: free.ids.index(stop) + 1]
    assert stopped.finish == "stop"


def test_the_likeliest_tokens_are_told_to_those_who_ask(decoder: Decoder) -> None:
    """Likeliest first, as many as asked, to that row alone."""
    asking, plain = Heard(PROBE, top_logprobs=3, temperature=0), Heard(PROBE)
    run(decoder, asking, plain)
    for token in asking.tokens:
        values = [value for _, value in token.top]
        assert len(values) == 3
        assert values == sorted(values, reverse=True)
        assert token.top[0] == (token.id, token.logprob)
    assert all(token.top == () for token in plain.tokens)


def test_a_cancelled_request_leaves_the_batch(decoder: Decoder) -> None:
    """Under way or still waiting, it ends as aborted and the others go on."""
    heard = [Heard(PROBE, max_tokens=50, seed=i) for i in range(10)]
    for one in heard:
        decoder.submit(one.request)
    step(decoder, 3)
    assert (decoder.running, decoder.waiting) == (8, 2)
    heard[0].request.cancelled = heard[9].request.cancelled = True
    finish(decoder, *heard)
    assert [heard[i].finish for i in (0, 1, 9)] == ["abort", "length", "abort"]


def test_an_answer_keeps_the_weights_it_began_with(
    decoder: Decoder, versions: Versions, tiny_policy: Path
) -> None:
    """Unloading the name in mid-answer changes nothing; who comes later is told it is missing."""
    name, path = versions[0].version, versions[0].path
    early, late = Heard(PROBE, name, max_tokens=20, temperature=0), Heard(PROBE, name)
    decoder.submit(early.request)
    step(decoder, 5)
    decoder.bank.unload(name)
    run(decoder, late)
    finish(decoder, early)
    decoder.causal.load(name, path)
    assert early.ids == Truth(tiny_policy, path).greedy(PROBE, 20)
    assert late.finish == "missing"


def test_an_overflow_stays_in_its_row(decoder: Decoder, versions: Versions) -> None:
    """Finite weights that overflow end their own row as not finite, and no other."""
    adapter = decoder.bank.adapters[versions[0].version]
    saved = {key: (A.clone(), B.clone()) for key, (A, B) in adapter.weights.items()}
    sound = Heard(PROBE, versions[1].version, seed=3)
    run(decoder, sound)
    decoder.bank._stacks.clear()
    for A_RD, B_DR in adapter.weights.values():
        A_RD.fill_(3e38)
        B_DR.fill_(3e38)
    broken, beside = Heard(PROBE, adapter.name), Heard(PROBE, versions[1].version, seed=3)
    run(decoder, broken, beside)
    decoder.bank._stacks.clear()
    for key, (A_RD, B_DR) in saved.items():
        adapter.weights[key] = (A_RD, B_DR)
    assert broken.finish == "nonfinite"
    assert broken.tokens == []
    assert beside.ids == sound.ids
