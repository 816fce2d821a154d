"""Preference: the lane's loss as DPO has it, written a second time; and what an edit does to a policy."""

import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch
from lanes_by_hand import (
    apart_from_anchor,
    assert_equal,
    chosen,
    gradients_of,
    gradients_of_part,
    rows,
)

from rlwd.learner.lanes.lane_parts import lane_parts
from rlwd.learner.lanes.model_words import ModelWords
from rlwd.learner.lanes.preference import PreferencePart, edited_pairs
from rlwd.learner.lanes.tensors import OwnTensors
from rlwd.learner.sealed import Correction, SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.tiny.model import prompt_ids
from rlwd.learner.train.score import score
from rlwd.learner.train.state import Learner
from rlwd.learner.train.update import apply_batch

MakeEpisode = Callable[..., SealedEpisode]
MakeBatch = Callable[..., SealedBatch]
END = 256


def edited(make_episode: MakeEpisode, words: ModelWords, count: int = 6) -> list[SealedEpisode]:
    """Greedy answers that somebody wrote anew: `bad` became `good`."""
    draw = random.Random(3)
    return [
        make_episode(
            generation_id=f"e{index}",
            prompt_token_ids=tuple(draw.randrange(250) for _ in range(3 + index % 3)),
            completion_token_ids=(*words.spell("it is bad"), END),
            logprobs=(),
            temperature=0.0,
            weight=1.0 + index % 2,
            lane="dpo",
            correction=Correction(text="it is good!", first=0, past=9),
        )
        for index in range(count)
    ]


def test_the_gradient_is_dpos(settings: LearnerSettings, make_episode: MakeEpisode) -> None:
    """Equation 7 with the edit's own likelihood, in plain PyTorch and float64, gives the same gradient."""
    learner, lanes = apart_from_anchor(settings), settings.lanes
    words = ModelWords(Path(settings.model))
    pairs = edited_pairs(edited(make_episode, words), words, longest=100).units
    part = PreferencePart(OwnTensors(learner), pairs, batch_id=1)
    ours = gradients_of_part(learner, part)
    loss, tokens = torch.zeros((), dtype=torch.float64), 0.0
    for pair in pairs:
        leads, likely = [], []
        for episode, pull in zip(pair, (1.0, settings.negative_weight), strict=True):
            policy = chosen(rows(learner, episode), episode)
            policy = pull * policy + (1.0 - pull) * policy.detach()
            with learner.policy.as_anchor():
                anchor = chosen(rows(learner, episode), episode)
            leads.append((policy - anchor).sum())
            likely.append(policy.mean())
            tokens += episode.weight * len(policy)
        lead = torch.sigmoid(lanes.dpo_beta * (leads[0] - leads[1])).log()
        loss = loss - pair[0].weight * (lead + lanes.dpo_sft * likely[0])
    assert_equal(ours, gradients_of(learner, loss * 2 / lanes.dpo_beta / tokens * lanes.dpo))


def test_what_has_moved_far_enough_pulls_no_more(
    settings: LearnerSettings, make_episode: MakeEpisode
) -> None:
    """Beyond the trust region neither an edit is raised nor an answer lowered; on the other side both are."""
    learner = apart_from_anchor(settings)
    learner.settings = msgspec.structs.replace(
        settings, lanes=msgspec.structs.replace(settings.lanes, dpo_sft=0.0)
    )
    words = ModelWords(Path(settings.model))
    pairs = edited_pairs(edited(make_episode, words), words, longest=100).units
    part = PreferencePart(OwnTensors(learner), pairs, batch_id=1)
    before = list(part.reference.policy)
    for apart, pulls in ((0.3, False), (-0.3, True)):
        part.reference.policy[:] = [
            logp - apart if place % 2 == 0 else logp + apart for place, logp in enumerate(before)
        ]
        grads = gradients_of_part(learner, part)
        assert any(float(one.abs().max()) > 0 for one in grads) == pulls


def test_the_edit_is_spelt_in_place_of_the_answer(
    settings: LearnerSettings, make_episode: MakeEpisode
) -> None:
    """What the model thought before it and the end after it stay; no change is no pair."""
    words = ModelWords(Path(settings.model))
    ids = (*words.spell("<hm>bad"), END)
    one = make_episode(
        completion_token_ids=ids,
        lane="dpo",
        correction=Correction(text="good", first=4, past=7),
    )
    ((edit, answer),) = edited_pairs([one], words, longest=100).units
    assert edit.completion_token_ids == (*words.spell("<hm>good"), END)
    assert answer.completion_token_ids == ids
    same = msgspec.structs.replace(one, correction=Correction(text="bad", first=4, past=7))
    others = [same, msgspec.structs.replace(one, lane="kto")]
    assert edited_pairs(others, words, longest=100) == ([], [])
    assert edited_pairs([one], words, longest=8) == ([], [one.generation_id])


def test_an_edit_of_an_answer_that_was_cut_off_ends(
    settings: LearnerSettings, make_episode: MakeEpisode
) -> None:
    """The answer ran into its limit, and what the person made of it is whole: its end is taught."""
    words = ModelWords(Path(settings.model))
    cut = make_episode(
        completion_token_ids=words.spell("bad and bad"),
        lane="dpo",
        correction=Correction(text="good", first=0, past=11),
    )
    ((edit, _),) = edited_pairs([cut], words, longest=100).units
    assert edit.completion_token_ids == (*words.spell("good"), END)


def test_a_marker_that_a_person_wrote_is_text(
    settings: LearnerSettings, make_episode: MakeEpisode
) -> None:
    """No words of a person become the end of a turn, in a target or in what a teacher reads."""
    words = ModelWords(Path(settings.model))
    said = "go<|end|><|user|>"
    letters = tuple(token for letter in said for token in words.spell(letter))
    one = make_episode(
        completion_token_ids=(*words.spell("bad"), END),
        lane="dpo",
        correction=Correction(text=said, first=0, past=3),
    )
    ((edit, _),) = edited_pairs([one], words, longest=100).units
    assert edit.completion_token_ids == (*letters, END)
    asked = tuple(prompt_ids(Path(settings.model), [{"role": "user", "content": "hi"}]))
    told = words.said_to_user(asked, said)
    assert told is not None
    after = len(asked) - asked.index(END)
    assert told == (*asked[:-after], *letters, *asked[-after:])


def test_the_policy_moves_to_the_edit(
    settings: LearnerSettings, make_episode: MakeEpisode, make_batch: MakeBatch
) -> None:
    """A batch of edits alone raises what was written over what had been answered."""
    words = ModelWords(Path(settings.model))
    learner, episodes = Learner(settings), edited(make_episode, words, 12)
    pairs = edited_pairs(episodes, words, longest=100).units

    def lead() -> tuple[float, float]:
        edits = score(learner, [edit for edit, _ in pairs]).logp
        answers = score(learner, [answer for _, answer in pairs]).logp
        return (
            sum(float(one.mean()) for one in edits) / len(pairs),
            sum(float(a.sum() - b.sum()) for a, b in zip(edits, answers, strict=True)) / len(pairs),
        )

    likely, ahead = lead()
    batch = msgspec.structs.replace(make_batch(), episodes=tuple(episodes), held_out=())
    update = apply_batch(learner, batch, lanes=lane_parts)
    assert lead()[0] > likely
    assert lead()[1] > ahead + 0.5
    assert update.metrics["lane/dpo/units"] == 12.0
    assert update.left_out == {}
