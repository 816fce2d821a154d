"""History: who wrote the answers that a turn's prompt holds, and whether that was its own version.

A turn that goes on from another version's words is that version's doing too (a mid-chat switch): it is
tagged, may be kept out of training, and is no evidence for the version that served it.
"""

from collections.abc import Mapping

from .turn import UNKNOWN, Turn

NOBODY = ""
"""`wrote` of a turn without earlier answers."""
SEVERAL = "*"
"""`wrote` where more than one version did."""
OTHERS = "?"
"""`wrote` where somebody did whom nobody here knows: another model, or the product itself."""

SWITCHED = "switched"
"""Tag of a turn whose history another version wrote, or several."""
FOREIGN = "foreign"
"""Tag of a turn in whose history there is an answer that no generation of its session gave."""


def wrote(child: Turn, parent: Turn | None, *, last_answer: str = "") -> str:
    """Return who wrote the answers in a turn's prompt, given the turn that it goes on from.

    >>> first = Turn("g1", 0.0, "v1", 2, 3, b"", "", 0)
    >>> wrote(first, None), wrote(first._replace(generation_id="g2", earlier_answers=1), first)
    ('', 'v1')
    """
    if parent is None:
        return OTHERS if child.earlier_answers > 0 else NOBODY
    if OTHERS in (parent.wrote, parent.version or OTHERS):
        return OTHERS
    if answered_between(child, parent, last_answer):
        return OTHERS
    return parent.version if parent.wrote in (NOBODY, parent.version) else SEVERAL


def answered_between(child: Turn, parent: Turn, last_answer: str) -> bool:
    """Return whether somebody whom nobody here knows answered after the parent did.

    The child's input is then about that answer, and not about the parent's.
    """
    if UNKNOWN in (child.earlier_answers, parent.earlier_answers):
        return False
    if parent.said and last_answer == parent.said:
        return False
    return child.earlier_answers > parent.earlier_answers + 1


def history_tag(turn: Turn) -> str:
    """Return the tag of a turn; empty where its own version wrote all of its history."""
    if turn.wrote in (NOBODY, turn.version):
        return ""
    return FOREIGN if turn.wrote == OTHERS else SWITCHED


def parents_first(session: Mapping[str, Turn]) -> list[str]:
    """Return the turns, none before its parent; a circle that a product named is cut somewhere."""
    done = dict[str, None]()
    for name in session:
        way = [name]
        while (parent := session[way[-1]].parent or "") in session and parent not in done:
            if parent in way:
                break
            way.append(parent)
        done |= dict.fromkeys(reversed(way))
    return list(done)
