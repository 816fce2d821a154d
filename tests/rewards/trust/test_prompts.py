"""Clusters of prompts: alike together, others apart, whatever stands before all of them."""

import random

from rlwd.rewards.trust.prompts import prompt_clusters


def prompts(count: int, seed: int, length: int = 60) -> list[tuple[int, ...]]:
    draw = random.Random(seed)
    return [tuple(draw.randrange(50_000) for _ in range(length)) for _ in range(count)]


def test_the_same_is_one_and_others_are_others() -> None:
    """Forty prompts, one of them ten times: thirty-one clusters, however often it is asked."""
    many = prompts(30, 1) + prompts(1, 2) * 10
    found = prompt_clusters(many)
    assert len(set(found)) == 31
    assert len(set(found[30:])) == 1
    assert prompt_clusters(many) == found


def test_a_system_prompt_tells_none_apart() -> None:
    """A beginning that all share makes nobody alike."""
    system = prompts(1, 3, 150)[0]
    found = prompt_clusters([system + one for one in prompts(30, 1)])
    assert len(set(found)) == 30


def test_a_template_with_another_word_in_it_is_mostly_one() -> None:
    """One token of sixty changed leaves a likeness of 0.9: most of them meet."""
    template, draw = list(prompts(1, 4)[0]), random.Random(5)
    alike = []
    for _ in range(20):
        one = template.copy()
        one[draw.randrange(60)] = draw.randrange(50_000)
        alike.append(tuple(one))
    found = prompt_clusters(prompts(40, 1) + alike)[40:]
    assert max(found.count(one) for one in found) >= 10


def test_short_and_empty_prompts() -> None:
    """One of two tokens has a cluster too, and so has one of none."""
    assert prompt_clusters([]) == []
    found = prompt_clusters([(1, 2), (1, 2), (2, 1), ()])
    assert found[0] == found[1] != found[2]
