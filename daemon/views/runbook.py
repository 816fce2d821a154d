"""Runbook: what docs/runbook.md says of each problem and alert, and docs/fates.md of each fate, for pages.

Both stand beside this file as links, so that a wheel has them too.
"""

import re
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup, escape

HERE = Path(__file__).parent
_HEADING = re.compile(r"^(#{2,3}) (.+)$", re.MULTILINE)
_PROBLEM = re.compile(r"Problem `(\w+)`")
_STEP = re.compile(r"^- \*\*(Cause|Check|Cure)\*\*: (.+)$", re.MULTILINE)
_INLINE = re.compile(r"`([^`]+)`|\[([^\]]+)\]\(([^)]+)\)|\*([^*`\s][^*`]*)\*")


class RunbookEntry(NamedTuple):
    """What one alert or problem is, and what to do."""

    anchor: str
    """Its place on a page."""
    title: str
    """Name of the alert, or the problem's."""
    section: str
    """What it is about."""
    problems: tuple[str, ...]
    """Names by which a daemon has it."""
    cause: Markup
    """Where it comes from."""
    check: Markup
    """What to type or open first."""
    cure: Markup
    """What to do."""


@cache
def runbook() -> tuple[RunbookEntry, ...]:
    """Return the entries in the order of the page."""
    page = (HERE / "runbook.txt").read_text()
    parts = _HEADING.split(page)[1:]
    found, section = list[RunbookEntry](), ""
    for level, title, text in zip(parts[0::3], parts[1::3], parts[2::3], strict=True):
        if level == "##":
            section = title
        steps = dict(_STEP.findall(text))
        if len(steps) == 3:
            plain = title.replace("`", "")
            found.append(
                RunbookEntry(
                    anchor=re.sub(r"\W+", "-", plain.lower()),
                    title=plain,
                    section=section,
                    problems=tuple(_PROBLEM.findall(f"{title}\n{text}")),
                    cause=marked(steps["Cause"]),
                    check=marked(steps["Check"]),
                    cure=marked(steps["Cure"]),
                )
            )
    return tuple(found)


def sections() -> list[tuple[str, list[RunbookEntry]]]:
    """Return the entries by section, in the order of the page."""
    return [
        (section, list(entries))
        for section, entries in groupby(runbook(), key=lambda one: one.section)
    ]


def entry_of(problem: str) -> RunbookEntry | None:
    """Return the entry of a problem by the name that a daemon gives it."""
    return next((one for one in runbook() if problem in one.problems), None)


class FateEntry(NamedTuple):
    """What a fate is, and what to do about it."""

    means: Markup
    """In words."""
    do: Markup
    """What an operator can do; may be empty."""


@cache
def fate_entries() -> dict[str, FateEntry]:
    """Return what each fate means, by its name."""
    rows = re.findall(
        r"^\| `([\w:]+)` \| (.+) \| ?(.*)\|$", (HERE / "fates.txt").read_text(), re.MULTILINE
    )
    return {name: FateEntry(marked(means), marked(do.strip())) for name, means, do in rows}


def marked(text: str) -> Markup:
    """Return a line of a page with its code and links; a link to another page of docs is its name.

    >>> marked("see `a<b` and [this](#rlwdthat), [fates](fates.md)")
    Markup('see <code>a&lt;b</code> and <a href="#rlwdthat">this</a>, fates (docs/fates.md)')
    >>> marked("*All*: 2 * 3 * `4 * 5`")
    Markup('<em>All</em>: 2 * 3 * <code>4 * 5</code>')
    """
    parts, end = list[Markup](), 0
    for found in _INLINE.finditer(text):
        parts.append(escape(text[end : found.start()]))
        code, words, target, stressed = found.groups()
        if code:
            parts.append(Markup("<code>{}</code>").format(code))
        elif stressed:
            parts.append(Markup("<em>{}</em>").format(stressed))
        elif target.startswith(("#rlwd", "#problem")):
            parts.append(Markup('<a href="{}">{}</a>').format(target, words))
        else:
            page = target.partition("#")[0] or "runbook.md"
            parts.append(escape(f"docs/{page}" if words == page else f"{words} (docs/{page})"))
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])
