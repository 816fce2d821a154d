"""Issue: what is posted of a group, as trackers take it: title, body in Markdown, labels."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ..problem_groups.judged_group import JudgedGroup
from ..problem_groups.problem_group import told_name
from .group_page import group_lines
from .triage_report import TriageReport
from .triage_tables import RememberedGroup

LONGEST_TITLE = 120


class TriageIssue(msgspec.Struct, frozen=True, kw_only=True):
    """What is posted. A tracker that takes title, body and labels needs no more."""

    title: str
    """One line."""
    body: str
    """Markdown."""
    labels: tuple[str, ...]
    """The config's, the source and the state."""
    fingerprint: str
    """Names the group among its policy's for as long as it is known."""
    key: str
    """Names this post: posted again it is the same; the header `Idempotency-Key` has it, too."""
    state: str
    """`new` or `spiking`."""
    policy: str
    """The policy."""
    since: str
    """First day that was looked at."""
    until: str
    """First day after."""


def worth_telling(
    report: TriageReport, known: Mapping[str, RememberedGroup], least: int
) -> list[JudgedGroup]:
    """Return the groups of which an issue is to be opened, those that happened most first.

    What is new is told once, as soon as it has happened `least` times, however many weeks that takes. What
    spikes is told when it begins to, and not again while it goes on.
    """
    found = []
    for one in report.groups:
        was = known.get(one.fingerprint)
        if one.state == "spiking":
            due = was is None or not was.told or was.state != "spiking"
        else:
            waits = was is not None and was.state == "new" and not was.told
            begins = one.state == "new" and (was is None or was.state == "gone")
            often = sum(week.hits for week in one.weeks) >= least or not one.group.unit
            due = often and (begins or waits)
        if one.hits and due:
            found.append(one)
    return found


def issue_bodies(
    report: TriageReport, groups: Iterable[JudgedGroup], labels: Sequence[str]
) -> dict[str, str]:
    """Return what is posted of each group, JSON by key."""
    found = {}
    for one in groups:
        # Several policies post to one tracker, and what fails for two of them is one group in name.
        key = f"{report.policy}-{one.fingerprint}-{report.until}"
        issue = TriageIssue(
            title=_title(report, one),
            body="\n".join(group_lines(one)) + f"\n\nfingerprint: `{one.fingerprint}`\n",
            labels=(*labels, one.group.source.replace("_", "-"), one.state),
            fingerprint=one.fingerprint,
            key=key,
            state=one.state,
            policy=report.policy,
            since=report.since,
            until=report.until,
        )
        found[key] = msgspec.json.encode(issue).decode()
    return found


def _title(report: TriageReport, one: JudgedGroup) -> str:
    # What a process logged may hold what a terminal or a mail does not merely show.
    return f"{report.policy}: {one.state}: {told_name(one.group.name)}"[:LONGEST_TITLE]
