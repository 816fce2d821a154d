"""Chains: answers that continue one another token for token, which one forward pass serves together.

Where an answer's prompt begins with another one's prompt and completion, as the next turn of a session
does, a causal model sees of the other one's tokens what it saw when that stood alone: the longest
sequence of a chain holds all that any member is scored on. Free of torch.
"""

from array import array
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence

from .sealed import SealedEpisode


def chains(episodes: Sequence[SealedEpisode]) -> list[list[int]]:
    """Return the episodes' indices in chains, each from its first turn on; all of them, each once.

    A member's prompt begins with the prompt and completion of the one before it. Of several answers
    that continue the same one, that with most turns after it goes on with its chain, and the others
    begin chains of their own. So each chain's last is one that nothing continues. An engine's routed experts are of one
    sequence only where it sent the shared tokens to the same ones each time. Chains stand where
    the first of their members does: without any continuation they are (0), (1), (2) and so on.

    Prompt 5 6 completion 7, prompt 5 6 7 8 completion 9, prompt 5 6 7 4 completion 2: (0, 1) and (2).
    Time: that of sorting the episodes' bytes, and one comparison of bytes for each.
    """
    before = _continued(episodes)
    after = dict[int, int]()
    turns = dict[int, int]()
    for index in reversed(before):  # What continues an episode comes after it.
        turns[index] = 1 + turns.get(after.get(index, -1), 0)
        if (earlier := before[index]) is None:
            continue
        rival = after.get(earlier)
        if rival is None or (turns[index], -index) > (turns[rival], -rival):
            after[earlier] = index
    found = list[list[int]]()
    for index in set(before) - set(after.values()):
        chain = [index]
        while (follower := after.get(chain[-1])) is not None:
            chain.append(follower)
        found.append(chain)
    return sorted(found, key=min)


def dealt(
    units: Sequence[Sequence[int]], weights: Sequence[float], *, share: float
) -> dict[int, list[int]]:
    """Return which episodes go to which step, in the order given, each step of about weight `share`.

    An episode goes to the step that its weight begins in, a chain as a whole to that of its middle
    member: its steps' weights differ by a chain at most. One that weighs more than a step is split.
    Weights of 1, a share of 4, and (0, 1, 2), (3, 4), (5, 6, 7): the first two, and the third.
    """
    found, before = defaultdict[int, list[int]](list), 0.0
    for unit in units:
        begins, places = before, list[int]()
        for index in unit:
            places.append(int(before / share + 1e-9))
            before += weights[index]
        if before - begins <= share * (1 + 1e-9):
            places = [places[(len(unit) - 1) // 2]] * len(unit)
        for index, place in zip(unit, places, strict=True):
            found[place].append(index)
    return found


def _continued(episodes: Sequence[SealedEpisode]) -> dict[int, int | None]:
    """Return which episode each one continues, the longest there is, in the order of their tokens."""
    whole = [array("Q", (*e.prompt_token_ids, *e.completion_token_ids)) for e in episodes]
    raw = [each.tobytes() for each in whole]
    found = dict[int, int | None]()
    # In the order of their bytes all that begin with an episode stand behind it; `open_` are those
    # that the present one begins with, the shortest first.
    open_, lengths = list[int](), list[int]()
    for index in sorted(range(len(raw)), key=lambda i: (raw[i], i)):
        while open_ and not raw[index].startswith(raw[open_[-1]]):
            del open_[-1], lengths[-1]
        held = bisect_right(lengths, len(episodes[index].prompt_token_ids))
        earlier = open_[held - 1] if held else None
        alike = earlier is not None and _routed_alike(episodes[earlier], episodes[index])
        found[index] = earlier if alike else None
        open_.append(index)
        lengths.append(len(whole[index]))
    return found


def _routed_alike(earlier: SealedEpisode, later: SealedEpisode) -> bool:
    """Return whether an engine sent the tokens that two share to the same experts, or told of neither."""
    one, other = earlier.routed_experts, later.routed_experts
    if one is None or other is None:
        return one is other
    return one.row_bytes == other.row_bytes and other.experts.startswith(one.experts)
