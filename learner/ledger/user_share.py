"""User share: how much of what one batch learns from is one person's, and how many persons it is from."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TypeVar

from .batch_settings import BatchSettings

One = TypeVar("One")


def beyond_share(users: Sequence[Hashable | None], share: float) -> list[bool]:
    """Say of each answer, the most wanted first, whether it is beyond its user's share.

    What is left holds at most `share` of any one user, or an equal part each where fewer users
    than that are there. An answer of nobody in particular (None) is never beyond: it can be told
    from no other's.

    >>> beyond_share(["ann", "ann", "ann", "ben", "cas", "ann"], 0.5)
    [False, False, True, False, False, True]
    >>> beyond_share(["ann", "ann", None], 0.1)
    [False, False, False]
    """
    counts = Counter(user for user in users if user is not None)
    most = _largest_count(counts, users.count(None), share)
    seen = Counter[Hashable]()
    beyond = []
    for user in users:
        if user is not None:
            seen[user] += 1
        beyond.append(user is not None and seen[user] > most)
    return beyond


def in_turn(users: Sequence[Hashable | None], share: float, most: int) -> list[int]:
    """Return the places, in their order, of the answers that a batch of the first `most` may hold.

    `users` is what `beyond_share` has left, so that each has at most `share` of all of them. Of more than a batch
    takes the first may be one user's all the same: there each has at most `share` of `most`, to the next whole
    answer, and the rest waits for another batch. What is left fills a batch: `share` of a part, rounded up, is
    no less than a part of what each has.

    >>> in_turn(["ann", "ann", "ann", "ben", "cas", "dan"], 0.5, 4)
    [0, 1, 3, 4, 5]
    """
    named = {user for user in users if user is not None}
    if len(users) <= most or not named:
        return list(range(len(users)))
    # The product is a float, as in `_largest_count`.
    each = max(1, math.ceil(max(share, 1.0 / len(named)) * most - 1e-9))
    seen, found = Counter[Hashable](), list[int]()
    for place, user in enumerate(users):
        if user is not None:
            seen[user] += 1
        if user is None or seen[user] <= each:
            found.append(place)
    return found


def users_among(users: Sequence[Hashable | None]) -> int:
    """Return how many persons these answers are to for sure: all to nobody in particular may be one's.

    >>> users_among(["ann", "ann", None, None])
    2
    """
    return len(set(users))


def too_few(users: Sequence[Hashable | None], settings: BatchSettings) -> bool:
    """Return whether these are too few answers for a batch, or answers to too few persons."""
    return len(users) < settings.episodes or users_among(users) < settings.users


def of_users(
    answers: Sequence[One], users: Sequence[Hashable | None], least: int, most: int
) -> Sequence[One]:
    """Return the first `most` answers, in their order, of `least` persons at least where there are so many.

    Where the first would be of fewer, each of the first `least` persons has one answer before anybody has two.

    >>> of_users("abcdef", ["ann", "ann", "ann", "ben", "ann", "cas"], least=3, most=4)
    ['a', 'b', 'd', 'f']
    """
    if users_among(users[:most]) >= min(least, most):
        return answers[:most]
    seen = set[Hashable | None]()
    first, others = list[int](), list[int]()
    for place, user in enumerate(users):
        new = len(first) < least and user not in seen
        (first if new else others).append(place)
        seen.add(user)
    return [answers[place] for place in sorted([*first, *others][:most])]


def _largest_count(counts: Counter[Hashable], unnamed: int, share: float) -> int:
    """Return how many answers of one user may stay, so that they are at most `share` of all."""
    most = max(counts.values(), default=0)
    if not counts:
        return most
    share = max(share, 1.0 / len(counts))
    while True:
        kept = unnamed + sum(min(count, most) for count in counts.values())
        # The sum is a float: an equal part of three must not fall short of a whole number.
        within = max(1, int(share * kept + 1e-9))
        if within >= most:
            return most
        most = within
