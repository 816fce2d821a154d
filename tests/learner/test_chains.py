"""Chains: what continues what, found by token ids alone."""

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rlwd.learner.chains import chains, dealt
from rlwd.learner.sealed import SealedEpisode

WORDS = st.lists(st.integers(0, 1), min_size=1, max_size=4)


def said(prompt: tuple[int, ...], completion: tuple[int, ...]) -> SealedEpisode:
    return SealedEpisode(
        generation_id="g",
        segment="",
        version="",
        age=0,
        prompt_token_ids=prompt,
        completion_token_ids=completion,
        logprobs=(0.0,) * len(completion),
        temperature=1.0,
        reward=0.0,
        reward_revision=0,
    )


def whole(one: SealedEpisode) -> tuple[int, ...]:
    return one.prompt_token_ids + one.completion_token_ids


def continues(later: SealedEpisode, earlier: SealedEpisode) -> bool:
    ids = whole(earlier)
    return later.prompt_token_ids[: len(ids)] == ids


def test_worked_example() -> None:
    """The example in the docstring: of two answers that continue a third one goes alone."""
    assert chains([said((5, 6), (7,)), said((5, 6, 7, 8), (9,)), said((5, 6, 7, 4), (2,))]) == [
        [0, 1],
        [2],
    ]


def test_a_session_is_one_chain_in_any_order() -> None:
    """Twenty turns of one session, shuffled among those of another: two chains, turn by turn."""
    turns = list[tuple[int, int, SealedEpisode]]()
    for session in (1, 2):
        prompt: tuple[int, ...] = (session,)
        for turn in range(20):
            turns.append((session, turn, said((*prompt, 3), (4, turn))))
            prompt = (*prompt, 3, 4, turn)
    random.Random(0).shuffle(turns)
    found = chains([one for _, _, one in turns])
    assert len(found) == 2
    for chain in found:
        assert len({turns[index][0] for index in chain}) == 1
        assert [turns[index][1] for index in chain] == list(range(20))


def test_the_branch_that_goes_on_keeps_the_chain() -> None:
    """A first answer was asked twice more: the question that led further has it."""
    first = said((1,), (2,))
    left, right = said((1, 2, 3), (4,)), said((1, 2, 5), (6,))
    further = said((1, 2, 5, 6, 7), (8,))
    assert chains([left, first, right, further]) == [[0], [1, 2, 3]]


def test_what_was_answered_alike_is_no_chain() -> None:
    """Neither the same answer twice nor one that another answer begins with continues anything."""
    assert chains([said((1,), (2,)), said((1,), (2,)), said((1,), (2, 3))]) == [[0], [1], [2]]


@given(st.lists(st.tuples(WORDS, WORDS, st.integers(0, 30)), min_size=1, max_size=30))
def test_any_episodes(drawn: list[tuple[list[int], list[int], int]]) -> None:
    """Each is in one chain, each member continues the one before, and nothing continues a last one."""
    episodes = list[SealedEpisode]()
    for asked, answered, before in drawn:
        start = whole(episodes[before]) if before < len(episodes) else ()
        episodes.append(said((*start, *asked), tuple(answered)))
    found = chains(episodes)
    assert sorted(index for chain in found for index in chain) == list(range(len(episodes)))
    for chain in found:
        for earlier, later in pairwise(chain):
            assert continues(episodes[later], episodes[earlier])
    lasts = [episodes[chain[-1]] for chain in found]
    kept = {whole(one) for one in episodes if not any(continues(e, one) for e in episodes)}
    assert kept <= {whole(one) for one in lasts}
    # One of equals that another continues is with it; the others stand alone.
    assert [min(chain) for chain in found] == sorted(min(chain) for chain in found)


def test_a_chain_goes_into_one_step() -> None:
    """The example in the docstring, and a chain that weighs more than a step is cut where steps end."""
    assert dealt([[0, 1, 2], [3, 4], [5, 6, 7]], [1.0] * 8, share=4.0) == {
        0: [0, 1, 2, 3, 4],
        1: [5, 6, 7],
    }
    assert dealt([[0], [1, 2, 3, 4, 5], [6]], [1.0] * 7, share=3.5) == {
        0: [0, 1, 2, 3],
        1: [4, 5, 6],
    }
