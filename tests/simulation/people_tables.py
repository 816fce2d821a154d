"""People tables: what lives with people came to, as lines for docs/people.md."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from people_cases import CASES
from people_told import Told

from rlwd.daemon.worlds.habits import SCENARIOS

Lives = Mapping[tuple[str, int], Told]


def answers_table(lives: Lives, seeds: Sequence[int]) -> str:
    """Return the table of answers to 0.80, by seed."""
    heads = ["people", "settings", "answers until 0.80", "of these decided on", "of the new taste"]
    heads += ["final", "the two teams in the one kind"]
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    for case in CASES:
        habits = SCENARIOS[case.scenario]
        row = [lives.get((case.name, seed)) for seed in seeds]
        if not any(row):
            continue
        teams = [
            "" if one is None else " and ".join(f"{x:.2f}" for x in one.first_kind) for one in row
        ]
        teamed, changes = habits.other_team > 0.0, habits.changes_at is not None
        cells = [
            _each(row, lambda one: _count(one.until)),
            _each(row, lambda one: _count(one.said)),
            _each(row, lambda one: _count(one.again)) if changes else "",
            _each(row, lambda one: f"{one.final:.2f}"),
            "; ".join(told or "not run" for told in teams) if teamed else "",
        ]
        lines.append(f"| {case.scenario} | {case.setting} | {' | '.join(cells)} |")
    return "\n".join(lines)


FATES = {
    "trained": "trained",
    "excluded:held_out": "held out",
    "censored:no_decision": "nobody decided in time",
    "excluded:too_old": "too old",
    "waiting": "waiting",
}
"""Fates with a column; all others are together."""


def waste_table(lives: Lives, seeds: Sequence[int]) -> str:
    """Return the table of what became of answers, means over the seeds that were lived."""
    heads = ["people", "settings", *FATES.values(), "other", "late feedback an answer"]
    heads += ["mean weight of a sealed answer", "taken back", "tracker's memory"]
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    for case in CASES:
        row = [lives[case.name, seed] for seed in seeds if (case.name, seed) in lives]
        if not row:
            continue
        shares = [fmean(one.fates.get(name, 0.0) for one in row) for name in FATES]
        cells = [f"{share:.0%}" if share else "" for share in (*shares, 1.0 - sum(shares))]
        cells += [
            f"{fmean(one.late / one.answers for one in row):.2f}",
            ", ".join(
                f"{kind} {fmean(one.weight.get(kind, 0.0) for one in row):.2f}"
                for kind in row[0].weight
            ),
            f"{fmean(one.refused for one in row):.1f}",
            f"{fmean(one.memory for one in row):.0f}",
        ]
        lines.append(f"| {case.scenario} | {case.setting} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _each(row: Sequence[Told | None], tell: Callable[[Told], str]) -> str:
    return ", ".join("not run" if one is None else tell(one) for one in row)


def _count(answers: int | None) -> str:
    return "never" if answers is None else f"{answers:,}"
