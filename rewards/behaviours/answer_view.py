"""Answer view: what several behaviours and costs read in one answer, worked out once."""

from ...streams.events.generation import Generation
from . import signs
from .content import blocks, code_in_calls, fences, is_whole
from .signs import Sign


class AnswerView:
    """One answer. What it says is worked out when it is first asked for."""

    __slots__ = (
        *("_begins", "_blocks", "_code", "_ends", "_fences", "_vocabulary", "_words"),
        *("generation", "holds", "whole"),
    )

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.whole = is_whole(generation)
        """Whether it was kept, with consent, and heard to its end."""
        self.holds = self.whole and bool(generation.text or generation.tool_calls)
        """Whether the record holds what was answered (`content.holds_answer`)."""
        self._ends: dict[Sign, int] | None = None
        self._begins: dict[Sign, int] = {}
        self._fences: list[int] | None = None
        self._blocks: list[str] | None = None
        self._code: list[str] | None = None
        self._words: list[str] | None = None
        self._vocabulary: set[str] | None = None

    def has(self, sign: Sign) -> bool:
        """Return whether the text holds a sign of a kind."""
        if self._ends is None:
            self._ends, self._begins = signs.extents(self.generation.text.lower())
        return sign in self._ends

    def begins_with(self, sign: Sign, characters: int) -> bool:
        """Return whether so many characters at the text's beginning hold a sign of a kind."""
        text = self.generation.text
        if not self.has(sign) or len(text) <= characters:
            return self.has(sign)
        # Where lower case has other characters, a place in it says nothing of the text.
        if not text.isascii():
            return signs.holds(text[:characters].lower(), sign)
        assert self._ends is not None
        return self._ends[sign] <= characters

    def ends_with(self, sign: Sign, characters: int) -> bool:
        """Return the same of so many characters at its end."""
        text = self.generation.text
        if not self.has(sign) or len(text) <= characters:
            return self.has(sign)
        if not text.isascii():
            return signs.holds(text[-characters:].lower(), sign)
        return self._begins[sign] >= len(text) - characters

    @property
    def fences(self) -> list[int]:
        """Where the lines begin that begin or end a block of code."""
        if self._fences is None:
            self._fences = fences(self.generation.text) if self.has("fence") else []
        return self._fences

    @property
    def blocks(self) -> list[str]:
        """The blocks of code in the text."""
        if self._blocks is None:
            places = self.fences
            self._blocks = blocks(self.generation.text, places) if places else []
        return self._blocks

    @property
    def code(self) -> list[str]:
        """The code that the answer wrote: blocks in the text, and long texts in arguments of calls."""
        if self._code is None:
            calls = self.generation.tool_calls
            self._code = self.blocks + code_in_calls(self.generation) if calls else self.blocks
        return self._code

    @property
    def words(self) -> list[str]:
        """What stands between blanks in the text."""
        if self._words is None:
            self._words = self.generation.text.split()
        return self._words

    @property
    def vocabulary(self) -> set[str]:
        """The different ones of these."""
        if self._vocabulary is None:
            self._vocabulary = set(self.words)
        return self._vocabulary

    @property
    def shows_code(self) -> bool:
        """Whether the text shows a block of code that is not empty."""
        return any(block.strip() for block in self.blocks)


_last = AnswerView(Generation(generation_id="none", session_id="none"))


def view_of(generation: Generation) -> AnswerView:
    """Return the view of an answer; the last one is kept, since who asks one asks several times."""
    # Threads may work on different answers: what is returned is read once.
    global _last
    view = _last
    if view.generation is not generation:
        _last = view = AnswerView(generation)
    return view
