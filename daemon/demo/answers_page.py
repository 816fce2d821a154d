"""Answers page: the same questions to the first version and to the last, side by side, as HTML."""

from html import escape
from pathlib import Path

from .sitting import ExamAnswer, Sitting

TITLES = {
    "unseen": "Things and kinds of change that nobody asked about",
    "reworded": "Wordings in which nobody asked",
    "everyday": "What has nothing to do with commits",
}
SHOWN = 20
"""Questions of each kind."""
HEAD = """\
<!doctype html><html lang="en"><meta charset="utf-8"><title>Answers before and after</title>
<style>body{font:15px sans-serif;margin:2em;max-width:75em}td{border-top:1px solid #ccc;padding:4px 12px;
vertical-align:top;width:33%;white-space:pre-line}.right{background:#e4f4e4}</style>
<h1>Answers before and after</h1>
"""


def write_page(path: Path, before: Sitting, after: Sitting) -> None:
    """Write the page; what was right has a ground of its own."""
    told = f"{escape(before.version)} and {escape(after.version)}, asked the same."
    parts = [HEAD, f"<p>{told} Green is to the team's taste, or right.</p>\n"]
    for kind, title in TITLES.items():
        shares = [one.share(kind) for one in (before, after)]
        if None in shares:
            continue
        rates = " → ".join(f"{share:.2f}" for share in shares)
        parts.append(f"<h2>{title}: {rates}</h2>\n<table>\n")
        pairs = list(zip(_of(before, kind), _of(after, kind), strict=False))
        parts += [
            f"<tr><td>{escape(old.question)}</td>{_said(old)}{_said(new)}</tr>\n"
            for old, new in pairs[:SHOWN]
        ]
        parts.append("</table>\n")
    path.write_text("".join(parts))


def _of(sitting: Sitting, kind: str) -> list[ExamAnswer]:
    return [one for one in sitting.asked if one.kind == kind]


def _said(one: ExamAnswer) -> str:
    """Return an answer as a cell.

    >>> _said(ExamAnswer(kind="unseen", question="", answer="<b>", right=True))
    '<td class="right">&lt;b&gt;</td>'
    """
    ground = ' class="right"' if one.right else ""
    return f"<td{ground}>{escape(one.answer.strip())}</td>"
