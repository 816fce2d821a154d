"""Answers page: the same questions to the first version and to the last, side by side, as Markdown."""

from pathlib import Path

from .sitting import ExamAnswer, Sitting

TITLES = {
    "unseen": "Things and kinds of change that nobody asked about",
    "reworded": "Wordings in which nobody asked",
    "everyday": "What has nothing to do with commits",
}
SHOWN = 20
"""Questions of each kind."""


def write_page(path: Path, before: Sitting, after: Sitting) -> None:
    """Write the page; what was right is marked."""
    lines = [
        "# Answers before and after",
        f"`{before.version}` and `{after.version}`, asked the same; ✓ is to the team's taste, or right.",
    ]
    for kind, title in TITLES.items():
        shares = [one.share(kind) for one in (before, after)]
        if None in shares:
            continue
        told = " → ".join(f"{share:.2f}" for share in shares)
        lines += ["", f"## {title}: {told}", "| asked | before | after |", "| --- | --- | --- |"]
        pairs = zip(_of(before, kind), _of(after, kind), strict=False)
        lines += [
            f"| {_cell(old.question)} | {_said(old)} | {_said(new)} |"
            for old, new in list(pairs)[:SHOWN]
        ]
    path.write_text("\n".join(lines) + "\n")


def _of(sitting: Sitting, kind: str) -> list[ExamAnswer]:
    return [one for one in sitting.asked if one.kind == kind]


def _said(one: ExamAnswer) -> str:
    return f"{'✓ ' if one.right else ''}{_cell(one.answer)}"


def _cell(text: str) -> str:
    """Return a text as a cell of a table holds it.

    >>> _cell("a | b\\nc")
    'a &#124; b ⏎ c'
    """
    return text.strip().replace("|", "&#124;").replace("\n", " ⏎ ")
