"""Group page: one group in Markdown. What others chose the name of stands in code spans."""

from collections.abc import Iterator

from ..problem_groups.judged_group import JudgedGroup, VersionRate
from ..problem_groups.problem_group import SOURCES, told_name

MOST_VERSIONS = 8
"""Versions of one group that are told."""


def group_lines(one: JudgedGroup) -> Iterator[str]:
    """Yield what is told of a group, a paragraph or a row each."""
    yield f"{SOURCES[one.group.source].capitalize()}: {code(one.group.name)}."
    yield ""
    yield _often(one)
    if one.explained_by:
        names = ", ".join(code(version or "not said") for version in one.explained_by)
        yield f"It comes with {names}."
    yield from _notes(one)
    if any(each.version for each in one.versions):
        yield ""
        yield from _versions(one)
    if len(one.weeks) > 1:
        yield ""
        yield from _weeks(one)
    if one.evidence:
        yield ""
        ids = ", ".join(code(name) for name in one.evidence)
        yield f"Answers, newest first (`rlwd explain ID` tells each one's story): {ids}"


def code(text: str) -> str:
    """Return a name as a code span.

    >>> code("a`b"), code("x|y")
    ('`a b`', '`x¦y`')
    """
    # A bar would end a cell of a table, escaped or not, on some pages.
    return f"`{told_name(text).replace('|', '¦')}`"


def share(hits: int, of: int) -> str:
    """Return a share in words.

    >>> share(3, 40), share(3, 0)
    ('3 of 40 (7.50%)', '3')
    """
    return f"{hits} of {of} ({hits / of:.2%})" if of else str(hits)


def _often(one: JudgedGroup) -> str:
    said = share(one.hits, one.trials)
    if one.group.unit:
        said += f" of {code(one.group.unit)}"
    if one.rate_before is not None:
        said += f"; before {one.rate_before:.2%}"
    if one.state == "spiking" and one.tail < 1.0:
        said += f"; so much happens by chance with a probability of {one.tail:.1g}"
    if one.no_past and one.group.unit:
        said += "; there are too few days before to hold it against"
    seen = f"first seen {one.first_seen}, last seen {one.last_seen}"
    return f"{said}. {seen[0].upper()}{seen[1:]}."


def _notes(one: JudgedGroup) -> Iterator[str]:
    for note in one.notes:
        yield f"- {code(note)}"


def _versions(one: JudgedGroup) -> Iterator[str]:
    yield "| version | times | people | held against | people there |"
    yield "| --- | ---: | ---: | --- | ---: |"
    for each in one.versions[:MOST_VERSIONS]:
        yield (
            f"| {code(each.version or 'not said')}{' **explains it**' if each.explains else ''}"
            f" | {share(each.hits, each.trials)} | {_people(each)} | {_against(each)} |"
            f" {_their_people(each)} |"
        )
    if (more := len(one.versions) - MOST_VERSIONS) > 0:
        yield ""
        yield f"And {more} more versions."


def _people(each: VersionRate) -> str:
    return share(each.people, each.of_people) if each.of_people else ""


def _against(each: VersionRate) -> str:
    return code(each.against) if each.against else ""


def _their_people(each: VersionRate) -> str:
    return share(each.against_people, each.against_of_people) if each.against_of_people else ""


def _weeks(one: JudgedGroup) -> Iterator[str]:
    yield "| days from | " + " | ".join(week.since for week in one.weeks) + " |"
    yield "| --- |" + " ---: |" * len(one.weeks)
    yield "| times | " + " | ".join(share(week.hits, week.trials) for week in one.weeks) + " |"
