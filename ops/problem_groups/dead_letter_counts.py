"""Dead letter counts: records that were refused, by the reason and the day."""

import re
from collections import Counter, defaultdict

from ...streams.state.store import Store
from .fingerprint import normal
from .log_files import SLOT, SLOTS_A_DAY
from .problem_group import DAY, CountedProblems, ProblemGroup

UNIT = "ten minutes of the log"
MOST_REASONS = 200
"""Reasons that are told apart, those that came most; further ones are one: a record may say anything."""
OTHERS = "other reasons"
_CODE = re.compile(r"([a-z]+(?:_[a-z]+)+): ")
"""Reasons that begin with their name: behind it stand ids, which products make of what they like."""
_VALUE = re.compile(r"'.*'(?= - at `)", re.DOTALL)
"""A value that a record held, quotes in it too."""


def read_dead_letters(
    store: Store, policy: str, first_day: int, until_day: int, counted: CountedProblems
) -> None:
    """Count the records that were refused on these days, once in each ten minutes."""
    slots, refused = defaultdict[tuple[str, int], set[int]](set), 0
    with store.reading() as view:
        rows = view.execute(
            "SELECT at, topic, reason FROM dead_letters WHERE policy = ? AND at >= ? AND at < ?"
            " ORDER BY at",
            (policy, first_day * DAY, until_day * DAY),
        ).fetchall()
        (first,) = view.execute(
            "SELECT MIN(received) FROM episodes WHERE policy = ?", (policy,)
        ).fetchone()
    names = [f"{topic}: {_said(str(reason))}" for _, topic, reason in rows]
    often = Counter(names)
    told = {*sorted(often, key=lambda name: (-often[name], name))[:MOST_REASONS]}
    for (at, _, _), name in zip(rows, names, strict=True):
        refused += 1
        group = counted.group(
            ProblemGroup(source="dead_letter", name=name if name in told else OTHERS, unit=UNIT)
        )
        slots[group, int(at // DAY)].add(int(at % DAY) // SLOT)
    began = until_day if first is None else int(first // DAY)
    for day in range(min([began, *(day for _, day in slots)]), until_day):
        if day >= first_day:
            counted.trials[UNIT, "", day] = SLOTS_A_DAY
    for (group, day), found in slots.items():
        counted.hits[group, "", day] += len(found)
    counted.read.append(f"{refused} refused records")


def _said(reason: str) -> str:
    code = _CODE.match(reason)
    return code[1] if code else normal(_VALUE.sub("<words>", reason))
