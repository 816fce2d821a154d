"""Overlap: how much of a request stands in what was trained on.

Runs of words and their containment, as contamination is looked for since GPT-3 (arXiv 2005.14165,
appendix C: runs of 13 words); 8 here, since people write less than a benchmark's authors do.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from ...streams.events.generation import Generation

RUN = 8
"""Words of a run."""
TOLD = ("user", "tool", "function")
"""Roles whose texts are compared: what a product says to everybody is no overlap."""


def words_of(generation: Generation, *, answer: bool = False) -> list[str]:
    """Return what people and tools said, in lower case, and with `answer` what the model did."""
    texts = [one.text for one in generation.input if one.role in TOLD]
    return " \n ".join([*texts, *([generation.text] if answer else [])]).lower().split()


def runs(words: Sequence[str]) -> set[int]:
    """Return every run of words, as a hash of this process; fewer words than a run are none."""
    return {hash(tuple(words[at : at + RUN])) for at in range(len(words) - RUN + 1)}


class Overlap:
    """Requests that may be drawn, and how much of each stands in one trained text."""

    def __init__(self, requests: Iterable[Generation]) -> None:
        self._of = defaultdict[int, list[str]](list)
        self._count = dict[str, int]()
        self._prompts = defaultdict[int, list[str]](list)
        self.largest = dict[str, float]()
        """By generation id the share of a request's runs that stand in one trained text."""
        self.same = set[str]()
        """Requests whose whole conversation was trained on."""
        self.short = 0
        """Requests of fewer words than a run: only the whole conversation can be compared."""
        for one in requests:
            found = runs(words_of(one))
            self._count[one.generation_id] = len(found)
            self.short += not found
            self.largest[one.generation_id] = 0.0
            self._prompts[hash(one.prompt_token_ids)].append(one.generation_id)
            for each in found:
                self._of[each].append(one.generation_id)

    def meet(self, trained: Generation) -> None:
        """Compare with one answer that was trained on, and its request."""
        if trained.prompt_token_ids:
            self.same |= {*self._prompts.get(hash(trained.prompt_token_ids), ())}
        met = defaultdict[str, int](int)
        for each in runs(words_of(trained, answer=True)):
            for name in self._of.get(each, ()):
                met[name] += 1
        for name, count in met.items():
            self.largest[name] = max(self.largest[name], count / self._count[name])

    def refuses(self, name: str, bound: float) -> str:
        """Return why a request may not be drawn; nothing where it may."""
        if name in self.same:
            return "same_conversation"
        return "overlap" if self.largest[name] > bound else ""
