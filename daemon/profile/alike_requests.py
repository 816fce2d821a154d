"""Alike requests: what different people decided on requests that are alike; the requests are compared, and not kept."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from zlib import crc32

import msgspec

from ...ops.workload.tally import SegmentTally
from ...ops.workload.verification import AlikeFacts
from ...rewards.trust.prompts import prompt_clusters
from ...streams.state.bulk import by_ids
from ..rewards.held_answers import readable

AT_ONCE = 1000
"""Records read in one view."""
TAIL = 256
"""Tokens, or words, at a request's end that are looked at."""
MOST_ALIKE = 200
"""People of one cluster whose decisions are compared."""


class _Message(msgspec.Struct, gc=False):
    role: str = ""
    text: str = ""


class _Asked(msgspec.Struct, gc=False):
    """What of a record says what was asked."""

    prompt_token_ids: list[int] | None = None
    input: tuple[_Message, ...] = ()


class _Record(msgspec.Struct, gc=False):
    data: _Asked


_RECORD = msgspec.json.Decoder(_Record)


def alike_requests(place: Path | str, tally: SegmentTally, most: int) -> AlikeFacts:
    """Return what people decided on alike requests, of the newest `most` decided answers of a segment.

    Requests are alike by their tokens (rewards/trust/prompts.py), or by their words where nobody
    captured tokens. Each person has one vote in a cluster, the last.
    """
    decided = sorted(tally.newest, reverse=True)[:most]
    asked = _requests(place, [one.content for one in decided])
    known = [(one, asked[one.content]) for one in decided if asked.get(one.content)]
    clusters = defaultdict[tuple[int, ...], dict[str, bool]](dict)
    found = prompt_clusters([request for _, request in known])
    for (one, _), cluster in zip(known, found, strict=True):
        # What nothing sets apart from the others is not known to be alike.
        if cluster:
            clusters[cluster].setdefault(one.user, one.taken)
    return _agreement(len(known), clusters.values())


def _agreement(looked_at: int, clusters: Iterable[dict[str, bool]]) -> AlikeFacts:
    pairs = agree = 0
    votes = list[bool]()
    for cluster in clusters:
        told = list(cluster.values())[:MOST_ALIKE]
        if len(told) < 2:
            continue
        yes, count = sum(told), len(told)
        pairs += count * (count - 1) // 2
        agree += (yes * (yes - 1) + (count - yes) * (count - yes - 1)) // 2
        votes += told
    if not pairs:
        return AlikeFacts(looked_at=looked_at)
    rate, observed = sum(votes) / len(votes), agree / pairs
    chance = rate**2 + (1 - rate) ** 2
    kappa = (observed - chance) / (1 - chance) if chance < 1 else None
    return AlikeFacts(looked_at=looked_at, pairs=pairs, agree=observed, beyond_chance=kappa)


def _requests(place: Path | str, contents: Sequence[int]) -> dict[int, Sequence[int]]:
    """Return what stands at the end of each request, as numbers, by the id of its record."""
    found, opened = dict[int, Sequence[int]](), partial(readable, place)
    for start in range(0, len(contents), AT_ONCE):
        with opened() as view:
            for marks, chunk in by_ids(contents[start : start + AT_ONCE]):
                rows = view.execute(
                    f"SELECT id, payload FROM contents WHERE id IN ({marks})", tuple(chunk)
                ).fetchall()
                found.update((number, _asked(payload)) for number, payload in rows)
    return found


def _asked(payload: bytes) -> Sequence[int]:
    data = _RECORD.decode(payload).data
    if data.prompt_token_ids:
        return data.prompt_token_ids[-TAIL:]
    words = " ".join(one.text for one in data.input if one.role == "user").lower().split()
    # As many as a token's id may be.
    return [crc32(word.encode()) >> 1 for word in words[-TAIL:]]
