"""Dead letter counts: records that were refused, by the reason and the day."""

import re
from collections import defaultdict

from ...streams.state.store import Store
from .fingerprint import normal
from .log_files import SLOT, SLOTS_A_DAY
from .problem_group import DAY, CountedProblems, ProblemGroup

UNIT = "ten minutes of the log"
_CODE = re.compile(r"(unknown_generation|unknown_session|unknown_reference): ")
"""Reasons whose words are the id that was unknown."""


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
    for at, topic, reason in rows:
        refused += 1
        group = counted.group(
            ProblemGroup(source="dead_letter", name=f"{topic}: {_said(str(reason))}", unit=UNIT)
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
    return code[1] if code else normal(reason)
