"""Report page: a triage report in Markdown."""

from collections.abc import Iterator

from ..problem_groups.judged_group import JudgedGroup
from .group_page import code, group_lines, share
from .triage_report import DriftSeen, TriageReport

MOST_TOLD, MOST_ROWS = 50, 100
"""Groups that are told in full, and those that are rows; the rest is counted. JSON has all."""


def report_page(report: TriageReport) -> str:
    """Return the report as one document."""
    return "\n".join(_lines(report)) + "\n"


def headline(report: TriageReport) -> str:
    """Return the report in a sentence."""
    counts = {state: len(report.of(state)) for state in ("new", "spiking", "steady", "gone")}
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def passed_first(report: TriageReport) -> list[DriftSeen]:
    """Return what the drift watch saw, what passed its bar before what did not."""
    return sorted(report.drift, key=lambda one: not one.passed)


def _lines(report: TriageReport) -> Iterator[str]:
    yield f"# Triage of {report.policy}, {report.since} up to {report.until}"
    yield f"Groups of problems: {headline(report)}. Held against the {report.before_days} days before;"
    yield (
        f"of what spikes, or comes with a version, at most {report.false_share:.0%} does so by chance,"
        " on average. All days are UTC."
    )
    for state, title in (("new", "New"), ("spiking", "Spiking")):
        groups = report.of(state)
        yield from ("", f"## {title}")
        if not groups:
            yield "None."
        for one in groups[:MOST_TOLD]:
            yield from ("", f"### {code(one.group.name)}", *group_lines(one))
        yield from _rest(len(groups) - MOST_TOLD)
    for state, title in (("steady", "As before"), ("gone", "Gone")):
        yield from ("", f"## {title}", *_table(report.of(state)))
    yield from ("", "## Behaviour by version", *_behaviour(report))
    yield from ("", "## Drift", *_drift(report))
    yield from ("", "## What was read", *(f"- {said}" for said in report.read))


def _table(groups: list[JudgedGroup]) -> Iterator[str]:
    if not groups:
        yield "None."
        return
    yield "| what | times | before | first seen | last seen | fingerprint |"
    yield "| --- | ---: | ---: | --- | --- | --- |"
    for one in groups[:MOST_ROWS]:
        before = "" if one.rate_before is None else f"{one.rate_before:.2%}"
        yield (
            f"| {code(one.group.name)} | {share(one.hits, one.trials)} | {before} |"
            f" {one.first_seen} | {one.last_seen} | `{one.fingerprint}` |"
        )
    yield from _rest(len(groups) - MOST_ROWS)


def _rest(more: int) -> Iterator[str]:
    if more > 0:
        yield from ("", f"And {more} more, which `--json` has.")


def _behaviour(report: TriageReport) -> Iterator[str]:
    if not report.behaviour:
        yield "No answer came in these days."
        return
    yield "| version | answers | asks | refuses | tokens | edited | undone | tools |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    for one in report.behaviour:
        shares = (_share(each) for each in (one.asks, one.refuses))
        people = (_share(each) for each in (one.edited, one.undone))
        tokens = "" if one.tokens is None else f"{one.tokens:.0f}"
        tools = ", ".join(f"{code(tool)} {part:.0%}" for tool, part in one.tools.items())
        yield (
            f"| {code(one.version or 'not said')} | {one.answers} | {' | '.join(shares)} | {tokens} |"
            f" {' | '.join(people)} | {tools} |"
        )


def _drift(report: TriageReport) -> Iterator[str]:
    if not report.drift:
        yield "The drift watch looked at no version in these days."
    else:
        yield "| version | held against | behaviour | here | there | difference | bar | looked |"
        yield "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |"
        for one in passed_first(report)[:MOST_ROWS]:
            between = (
                "" if one.low is None or one.high is None else f"{one.low:+.3f} to {one.high:+.3f}"
            )
            passed = " **passed**" if one.passed else ""
            yield (
                f"| {code(one.version)} | {code(one.against)} | {code(one.behaviour)} |"
                f" {one.rate:.3f} | {one.reference:.3f} | {between} | {one.bar:+.3g}{passed} |"
                f" {one.looked} |"
            )
        yield from _rest(len(report.drift) - MOST_ROWS)
    for alarm in report.alarms:
        ids = ", ".join(code(name) for name in alarm.evidence[:5])
        yield from ("", f"- alarm: {code(alarm.version)}: {code(alarm.said)}; answers: {ids}")


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"
