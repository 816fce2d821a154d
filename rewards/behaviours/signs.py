"""Signs: short pieces of which what a behaviour looks for holds one, all found in one pass over a text.

A pattern is only tried where a text holds a sign of it, in lower case. Looking for each of a hundred
signs by itself takes 45 microseconds of a kB; the Aho-Corasick automaton over all of them takes 3.
"""

from collections.abc import Iterator
from typing import Literal

from ahocorasick_rs import AhoCorasick, Implementation

Sign = Literal["question", "request", "refusal", "todo", "fence", "todo_in_code"]
"""What a piece is a sign of: a question's mark, a request to the person that is no question, a refusal,
a to-do in what is said, the edge of a block of code, a to-do in code."""

SIGNS: dict[Sign, str] = {
    "question": "?|？|؟",
    "request": (
        "please|could you|can you|would you| need |'ll need|let me know|tell me|before i|bitte|brauche"
        "|plaît|pouvez|pourriez|merci de|por favor|necesito|preciso|per favore|bisogno|laat me|ik heb"
        "|请|教えて|お知らせ"
    ),
    "refusal": (
        "n't|n’t|cannot|can not|will not|do not|must not|should not|not able|not allowed"
        "|not permitted|not going to|not willing|unable|not comfortable|decline|refuse|rather not"
        "|have to pass|against m|against o|sorry|afraid|as an ai|as an ass|as a lang|something i"
        "|something that i|nicht|ablehn| pas |refuser|préfère ne|no p|no me es|negarme|rechazar"
        "|declinar|não posso|recusar|non posso|rifiut|niet|geen|无法|不能|抱歉|对不起|很遗憾|ません"
        "|かねます"
    ),
    "todo_in_code": (
        "todo|fixme|xxx|tbd|hack|implement|placeholder|stub|to be |left as|omitted|simplified|your "
        "|rest|remaining|other|more|add |insert |put |fill in|handle|etc|unsupportedop"
    ),
    "todo": (
        "todo|tbd|fixme|[ ]|i left|ve left|skipped|omitted|stub|haven't|have not|didn't|did not"
        "|need to|have to|to be |placeholder|for now|an exercise|up to you|is left|are left|ve not"
        "|i not"
    ),
    "fence": "```|~~~",
}
"""The pieces, each between bars, in lower case."""

_PIECES: dict[Sign, list[str]] = {sign: each.split("|") for sign, each in SIGNS.items()}
_SAID = list(
    dict.fromkeys(piece for sign in _PIECES if sign != "todo_in_code" for piece in _PIECES[sign])
)
_OF = [tuple(sign for sign in _PIECES if piece in _PIECES[sign]) for piece in _SAID]


def _finder(pieces: list[str]) -> AhoCorasick:
    return AhoCorasick(pieces, implementation=Implementation.DFA)


_FIND_SAID = _finder(_SAID).find_matches_as_indexes
_FIND = {sign: _finder(pieces).find_matches_as_indexes for sign, pieces in _PIECES.items()}


def extents(low: str) -> tuple[dict[Sign, int], dict[Sign, int]]:
    """Return where the signs of each kind stand in an answer's text, in lower case.

    First is where the first one ends, then where the last one begins; kinds that it holds no sign of
    are left out. To-dos in code are not looked for.
    """
    ends: dict[Sign, int] = {}
    begins: dict[Sign, int] = {}
    for piece, begin, end in _FIND_SAID(low, overlapping=True):
        for sign in _OF[piece]:
            # They come by where they end.
            ends.setdefault(sign, end)
            if begin > begins.get(sign, -1):
                begins[sign] = begin
    return ends, begins


def holds(low: str, sign: Sign) -> bool:
    """Return whether a text, in lower case, holds a sign of a kind."""
    return bool(_FIND[sign](low))


def places(low: str, sign: Sign) -> Iterator[list[tuple[int, int]]]:
    """Yield for each piece of a kind where it stands in a text in lower case: begins and ends."""
    found: dict[int, list[tuple[int, int]]] = {}
    for piece, begin, end in _FIND[sign](low, overlapping=True):
        found.setdefault(piece, []).append((begin, end))
    for piece in sorted(found):
        yield found[piece]
