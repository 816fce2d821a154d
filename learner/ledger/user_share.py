"""User share: no person's answers are more than a stated share of what one batch learns from."""

from collections import Counter
from collections.abc import Hashable, Sequence


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
