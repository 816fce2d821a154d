"""Phrases: what a version says more often than the anchor does, as a tic grows."""

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_WORD = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]|[^\W_]+(?:['’][^\W\d_]+)?")
SIZES = (2, 3, 4)
"""Words of a phrase."""
LOOKED_AT = 4000
"""Characters of an answer, from its beginning."""


class Said(NamedTuple):
    """What one answer said."""

    user: str
    """To whom; one person's answers count once."""
    text: str
    """The answer."""
    request: str = ""
    """What was asked: a phrase that the person used is not the version's own."""


class GrownPhrase(NamedTuple):
    """A phrase whose rate rose."""

    phrase: str
    """Its words, in lower case."""
    rate: float
    """Share of the version's users who were told it."""
    anchor_rate: float
    """Share of the anchor's."""
    p_value: float
    """Probability of so many or more by chance, times the number of phrases that were looked at."""


def grown_phrases(
    version: Sequence[Said],
    anchor: Sequence[Said],
    *,
    alpha: float = 0.05,
    least_users: int = 5,
    times: float = 2.0,
    most: int = 10,
) -> list[GrownPhrase]:
    """Return phrases that a version says to more people than the anchor does, the surest first.

    A phrase is of two to four words. It counts where at least `least_users` were told it, at `times`
    the anchor's rate or more, and where Fisher's exact test, one-sided and times the number of
    phrases that were looked at (Bonferroni), is at most `alpha`. Of phrases within one another only
    the surest stands. Pure; the order of the answers does not matter. For one look: who looks again
    and again spends a part of alpha each time.
    """
    ours, theirs = _users_by_phrase(version), _users_by_phrase(anchor)
    people, others = len({s.user for s in version}), len({s.user for s in anchor})
    if not people or not others:
        return []
    tried = [phrase for phrase, users in ours.items() if len(users) >= least_users]
    found = list[GrownPhrase]()
    for phrase in tried:
        told, before = len(ours[phrase]), len(theirs.get(phrase, ()))
        rate, anchor_rate = told / people, before / others
        if rate < times * anchor_rate:
            continue
        p_value = min(1.0, fisher_tail(told, people, before, others) * len(tried))
        if p_value <= alpha:
            found.append(GrownPhrase(" ".join(phrase), rate, anchor_rate, p_value))
    found.sort(key=lambda one: (one.p_value, -len(one.phrase), one.phrase))
    return _apart(found)[:most]


def says(text: str, phrase: str) -> bool:
    """Return whether an answer says a phrase, as far as phrases are looked for in it.

    >>> says("Well, LET me be clear.", "let me be"), says("Outlet me be", "let me be")
    (True, False)
    """
    return f" {phrase} " in f" {' '.join(_WORD.findall(text[:LOOKED_AT].lower()))} "


def _users_by_phrase(answers: Iterable[Said]) -> dict[tuple[str, ...], set[str]]:
    found = defaultdict[tuple[str, ...], set[str]](set)
    for said in answers:
        words = _WORD.findall(said.text[:LOOKED_AT].lower())
        asked = set(_phrases(_WORD.findall(said.request[-LOOKED_AT:].lower())))
        for phrase in set(_phrases(words)):
            if phrase not in asked:
                found[phrase].add(said.user)
    return found


def _phrases(words: list[str]) -> Iterable[tuple[str, ...]]:
    for size in SIZES:
        yield from zip(*(words[at:] for at in range(size)), strict=False)


def fisher_tail(told: int, people: int, before: int, others: int) -> float:
    """Return the one-sided p-value of Fisher's exact test (hypergeometric upper tail)."""
    both, everybody = told + before, people + others
    whole = _log_choose(everybody, both)
    most = min(both, people)
    return math.fsum(
        math.exp(_log_choose(people, k) + _log_choose(others, both - k) - whole)
        for k in range(told, most + 1)
        if both - k <= others
    )


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _apart(found: Iterable[GrownPhrase]) -> list[GrownPhrase]:
    """Leave out phrases that share two words in a row with a surer one."""
    kept, seen = list[GrownPhrase](), set[tuple[str, str]]()
    for one in found:
        words = one.phrase.split()
        pairs = set(itertools.pairwise(words))
        if not pairs & seen:
            kept.append(one)
        seen |= pairs
    return kept
