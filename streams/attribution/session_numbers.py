"""Session numbers: which answers of a batch hang together, so that none is evidence for another's baseline."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence

from ..events.episode import Episode


def session_numbers(episodes: Sequence[Episode]) -> dict[str, int]:
    """Return by generation id, of those that are not alone, the number of what they hang together with.

    From 1 in the order of ids, so that sealing a batch again numbers as before. Together are those of one
    session of a tenant, those that go on from one another (a subagent's), and those that one act decided:
    feedback on a session or reference reaches several.
    """
    place = list(range(len(episodes)))

    def root(index: int) -> int:
        while place[index] != index:
            place[index] = index = place[place[index]]
        return index

    first = dict[Hashable, int]()
    for index, episode in enumerate(episodes):
        for key in _keys(episode):
            ours, theirs = root(index), root(first.setdefault(key, index))
            place[max(ours, theirs)] = min(ours, theirs)
    together = defaultdict[int, list[str]](list)
    for index, episode in enumerate(episodes):
        together[root(index)].append(episode.id)
    shared = sorted(sorted(ids) for ids in together.values() if len(ids) > 1)
    return {name: number for number, ids in enumerate(shared, 1) for name in ids}


def _keys(episode: Episode) -> Iterator[Hashable]:
    """Yield what an episode shares with those that it hangs together with."""
    one = episode.generation
    if one.session_found != "chance":
        yield "session", one.tenant, one.session_id
    yield "generation", one.generation_id
    if one.parent_id:
        yield "generation", one.parent_id
    for said in episode.feedback:
        if said.attribution is not None:
            yield "said", one.tenant, said.feedback.feedback_id
