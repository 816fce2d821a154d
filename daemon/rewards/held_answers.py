"""Held answers: every answer whose content a state still holds, as its rewards see it; only read."""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ...rewards.spec.scorer import Scorer
from ...rewards.spec.spec import Spec
from ...streams.attribution.as_ruled import as_ruled
from ...streams.events.episode import Episode
from ...streams.events.generation import SHADOW
from ...streams.join import offsets
from ...streams.state.transaction import Transaction
from ..explain.held_answer import HeldAnswer, load_held
from ..store import state_view

AT_ONCE = 1000
"""Answers read in one view: a long one would keep the daemon's write-ahead log from being emptied."""
FIRST = 2**62
"""Above the id of any content."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


def since_of(text: str, now: float) -> float:
    """Return the time, epoch seconds, that `7d`, `12h`, a date or nothing (the beginning) means.

    Raises ValueError naming `--since`.
    """
    if not text:
        return 0.0
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text):
        return now - float(found[1]) * _UNITS[found[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        wanted = "a number with s, m, h, d or w, such as 7d, or a date"
        raise ValueError(f"--since: {text!r} is not {wanted}") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def held_answers(
    place: Path | str, policy: str, since: float, specs: Sequence[Spec]
) -> Iterator[list[HeldAnswer]]:
    """Yield answers received from a time on, newest first, some at a time; nothing is written.

    They have what any of these specs asks of their chains. Mirrored answers, which nobody was shown,
    are left out. Raises ValueError where there is no state database, or an older rlwd left it.
    """
    below, scorers = FIRST, [Scorer(spec) for spec in specs]
    while True:
        with readable(place) as view:
            below, found = _page(view, policy, since, below, scorers)
        if not found and below == 0:
            return
        yield found


def _page(
    view: Transaction, policy: str, since: float, below: int, scorers: Sequence[Scorer]
) -> tuple[int, list[HeldAnswer]]:
    rows = view.execute(
        "SELECT c.id, c.generation_id, e.fate FROM contents c JOIN episodes e"
        " ON e.policy = c.policy AND e.generation_id = c.generation_id"
        " WHERE c.policy = ? AND c.id < ? AND e.content = c.id AND e.received >= ?"
        f" AND COALESCE(e.variant, '') <> '{SHADOW}' ORDER BY c.id DESC LIMIT ?",
        (policy, below, since, AT_ONCE),
    ).fetchall()
    mark = offsets.watermark(view, policy)
    fates = {name: fate for _, name, fate in rows}
    found = load_held(view, policy, list(fates), scorers)
    others = _as_ruled(view, policy, found, scorers)
    return rows[-1][0] if rows else 0, [
        HeldAnswer(one, fates[one.id], mark, {version: by[at] for version, by in others.items()})
        for at, one in enumerate(found)
    ]


def _as_ruled(
    view: Transaction, policy: str, found: Sequence[Episode], scorers: Sequence[Scorer]
) -> dict[str, list[Episode]]:
    """Return the answers as each spec attributes feedback on chains, where specs differ in that.

    The first spec is the state's own, and what stands in the state is by it.
    """
    rules = [(one.spec.attribution, one.spec.spread) for one in scorers]
    return {
        one.version: as_ruled(view, policy, found, one)
        for one, ruled in zip(scorers, rules, strict=True)
        if ruled != rules[0]
    }


def state_name(place: Path | str) -> str:
    """Return what to call a state database in a message: a server's URL may hold a password."""
    if isinstance(place, Path):
        return str(place)
    from ...streams.state.postgres import name_of

    return name_of(place)


@contextmanager
def readable(place: Path | str) -> Iterator[Transaction]:
    """Yield a view of a state database; raises ValueError that names what keeps it from being read."""
    try:
        with state_view(place) as view:
            yield view
    except sqlite3.Error as problem:
        why = f"{problem}; where an older rlwd left it, `rlwd run` migrates it"
        raise ValueError(f"{place}: {why}") from None
