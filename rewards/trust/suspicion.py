"""Suspicion: feedback that no person who read the answers gives, weighed down by named rules.

Each rule is a pure function from a batch's evidence to a factor for each answer: 1 where it has nothing
to say. Times are those of the acts, which nobody can set before the answer's own receipt or after that
of the feedback, so a product that posts a day's feedback at night is no burst. Rules about a user say
nothing of who is not named.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from itertools import accumulate, pairwise
from math import inf, log
from statistics import fmean, pstdev

from .evidence import Evidence
from .settings import TrustSettings

MACHINE_ACTS = 10
"""Fewest decisions whose times say whether a machine made them."""
MACHINE = 0.1
"""What a machine's answers are multiplied by."""

Rule = Callable[[Sequence[Evidence], TrustSettings], list[float]]


def pace(batch: Sequence[Evidence], settings: TrustSettings) -> list[float]:
    """Three or more answers decided on in `pace_seconds` by somebody who cannot have read them.

    They weigh as much as could be read: allowed tokens over tokens. Nine answers of 1,000 tokens in a
    minute at 50 tokens a second: 3,000 / 9,000.
    """
    factors = [1.0] * len(batch)
    if not settings.reading_speed:
        return factors
    allowed = settings.reading_speed * settings.pace_seconds
    for places in _by_user(batch, 3):
        times = [batch[i].acted_at for i in places]
        read = [0.0, *accumulate(_to_read(batch[i]) for i in places)]
        for place, (first, last) in zip(places, _around(times, settings.pace_seconds), strict=True):
            tokens = read[last] - read[first]
            if last - first >= 3 and tokens > allowed:
                factors[place] = allowed / tokens
    return factors


def burst(batch: Sequence[Evidence], settings: TrustSettings) -> list[float]:
    """More than `burst_answers` decided on by one user in `burst_seconds`: they weigh as that many."""
    factors = [1.0] * len(batch)
    for places in _by_user(batch, settings.burst_answers + 1):
        times = [batch[i].acted_at for i in places]
        for place, (first, last) in zip(
            places, _around(times, settings.burst_seconds), strict=True
        ):
            factors[place] = min(1.0, settings.burst_answers / (last - first))
    return factors


def copies(batch: Sequence[Evidence], settings: TrustSettings) -> list[float]:
    """The same thing said n times weighs as once: each a part of n.

    That is one user's same request with the same answer, and a text of feedback word for word, whoever
    wrote it.
    """
    if not settings.copies:
        return [1.0] * len(batch)
    answers = Counter([one.user for one in batch])
    several = [one.user is not None and answers[one.user] > 1 for one in batch]
    talks = Counter(_talk(one) for one, more in zip(batch, several, strict=True) if more)
    texts = Counter(text for one in batch for text in set(one.said))
    return [
        1.0 / max([talks[_talk(one)] if more else 1, *[texts[text] for text in one.said]])
        if more or one.said
        else 1.0
        for one, more in zip(batch, several, strict=True)
    ]


def one_sided(batch: Sequence[Evidence], settings: TrustSettings) -> list[float]:
    """A user whose n decisions are all equal weighs as n0, with p^n0 = `one_sided`.

    p is how often the others decide so on these segments: who takes everything where nine of ten
    answers are taken says little that is odd, and who takes everything where one of ten is does.
    """
    factors = [1.0] * len(batch)
    if not settings.one_sided:
        return factors
    taken, all_ = Counter[str](), Counter[str]()
    for one in batch:
        all_[one.segment] += 1
        taken[one.segment] += one.taken
    for places in _by_user(batch, 2):
        mine = [batch[i] for i in places]
        if len({one.taken for one in mine}) > 1:
            continue
        others = _share_alike(mine, taken, all_)
        plausible = _run_length(others, settings.one_sided)
        for place in places:
            factors[place] = min(1.0, plausible / len(mine))
    return factors


def machine(batch: Sequence[Evidence], settings: TrustSettings) -> list[float]:
    """Ten decisions or more at even intervals: people are not that steady."""
    factors = [1.0] * len(batch)
    for places in _by_user(batch, MACHINE_ACTS):
        times = [batch[i].acted_at for i in places]
        waits = [later - sooner for sooner, later in pairwise(times)]
        if not (mean := fmean(waits)):
            continue
        if pstdev(waits) < settings.machine_spread * mean:
            for place in places:
                factors[place] = MACHINE
    return factors


RULES: dict[str, Rule] = {
    "pace": pace,
    "burst": burst,
    "copies": copies,
    "one_sided": one_sided,
    "machine": machine,
}
"""By the name that explain, pages and metrics show."""


def _by_user(batch: Sequence[Evidence], least: int) -> list[list[int]]:
    """Return the places of each named user's answers, in the order in which they were decided on.

    Of whoever decided on fewer than `least` a rule says nothing.
    """
    found = defaultdict[Hashable, list[int]](list)
    for place, one in enumerate(batch):
        # One act on a whole session is one decision, and not one for each of its answers.
        if one.user is not None and not one.by_chain:
            found[one.user].append(place)
    several = [places for places in found.values() if len(places) >= least]
    for places in several:
        places.sort(key=lambda place: batch[place].acted_at)
    return several


def _talk(one: Evidence) -> Hashable:
    return one.user, one.prompt, one.completion


def _to_read(one: Evidence) -> float:
    return len(one.completion) if one.to_read is None else one.to_read


def _around(times: Sequence[float], seconds: float) -> list[tuple[int, int]]:
    """Return, for each of these sorted times, the slice of those within half of `seconds` of it."""
    half = seconds / 2
    return [(bisect_left(times, at - half), bisect_right(times, at + half)) for at in times]


def _share_alike(mine: Sequence[Evidence], taken: Counter[str], all_: Counter[str]) -> float:
    """Return how often the others decide as one user always does, over that user's segments.

    One more of each is supposed than there were, so that nobody alone is odd.
    """
    own = Counter(one.segment for one in mine)
    side = mine[0].taken
    alike = count = 1.0
    for segment, number in own.items():
        others = all_[segment] - number
        yes = taken[segment] - number * side
        alike += yes if side else others - yes
        count += others
    return alike / (count + 1.0) if count > 1.0 else 1.0


def _run_length(share: float, rarely: float) -> float:
    """Return n0 with share^n0 = rarely; without end where all decide so."""
    return inf if share >= 1.0 else max(1.0, log(rarely) / log(share))
