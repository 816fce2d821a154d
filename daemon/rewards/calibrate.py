"""Calibrate: `rlwd rewards calibrate FILE`, a reader held against labelled messages."""

from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from rich.table import Table

from ...ops.reading.judge import Judge
from ...ops.reading.reader_folder import load_reader, load_state
from ...ops.reading.to_read import redacted
from ...rewards.satisfaction.agreement import agreement
from ...rewards.satisfaction.labels import Labelled
from ...rewards.satisfaction.message import NextMessage
from ...rewards.satisfaction.training import train
from ..anchored import satisfaction_with_secrets
from ..config import load_config

BAR = 20
"""Characters of a bar of the curve."""


class LabelledLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file; other fields are ignored."""

    message: Annotated[str, msgspec.Meta(min_length=1)]
    """What the person wrote."""
    label: Literal["satisfied", "neutral", "dissatisfied"]
    """What somebody says of it. Neutral ones are read, and agree with nothing: they are counted."""
    request: str = ""
    """What they had asked for."""
    answer: str = ""
    """What they got."""
    person: str = ""
    """Who wrote it; `fit` keeps whole people out. Empty: nobody else's."""


def read_lines(file: Path) -> list[LabelledLine]:
    """Read the file; raises ValueError naming the line and the field at fault."""
    found = []
    for number, raw in enumerate(file.read_bytes().removeprefix(BOM_UTF8).splitlines(), 1):
        if raw.strip():
            try:
                found.append(msgspec.json.decode(raw, type=LabelledLine))
            except (ValueError, RecursionError) as problem:
                raise ValueError(f"{file}:{number}: {problem}") from problem
    if not found:
        raise ValueError(f"{file}: holds no labelled message")
    if all(one.label == "neutral" for one in found):
        raise ValueError(
            f"{file}: all {len(found)} labels are neutral; a reader is held against messages whose"
            " `label` is satisfied or dissatisfied, and there is none"
        )
    return found


def calibrate(config: Path, lines: Sequence[LabelledLine], reader: str) -> dict[str, Any]:
    """Return how a reader's values go with the labels that are not neutral."""
    decided = [one for one in lines if one.label != "neutral"]
    labels = [one.label == "satisfied" for one in decided]
    messages = [
        NextMessage(text=one.message, request=one.request, answer=one.answer) for one in decided
    ]
    unread = 0
    if reader == "fit":
        found = train(
            [
                Labelled(message=about, satisfied=label, person=line.person or str(place))
                for place, (about, label, line) in enumerate(
                    zip(messages, labels, decided, strict=True)
                )
            ]
        )
        name, held = found.version, found.evidence.held_out
    else:
        name, values = _read(config, messages, reader)
        kept = [(v, one) for v, one in zip(values, labels, strict=True) if v is not None]
        unread = len(values) - len(kept)
        held = agreement([v for v, _ in kept], [one for _, one in kept])
    return {
        "reader": name,
        "held_out": reader == "fit",
        "neutral_labels": len(lines) - len(decided),
        "unread": unread,
        **msgspec.to_builtins(held),
    }


def _read(
    config: Path, messages: Sequence[NextMessage], reader: str
) -> tuple[str, list[float | None]]:
    loaded = load_config(config)
    settings = satisfaction_with_secrets(loaded.satisfaction)
    if reader == "learned":
        folder = loaded.state_path / "readers"
        found = load_reader(folder, load_state(folder).version)
        if found is None:
            raise ValueError(f"{folder}: holds no reader; --reader fit learns from the file")
        return found.version, [one.value for one in found.read(list(messages))]
    if reader != "judge":
        raise ValueError(f"--reader {reader}: is none of learned, judge, fit")
    if not settings.judge.url:
        raise ValueError("satisfaction.judge.url: names no judge")
    judge = Judge(settings.judge, lambda: (0, 0))
    try:
        read = judge.read([(redacted(one), "") for one in messages])
    finally:
        judge.close()
    return judge.version, [None if one is None else one.value for one in read]


def calibration_tables(report: dict[str, Any]) -> Iterator[Table]:
    """Return the report as tables."""
    table = Table(title=f"{report['reader']} on {report['messages']} labelled messages")
    for column in ("", "value"):
        table.add_column(column)
    rows = {
        "satisfied": f"{report['satisfied']:.1%}",
        "accuracy": f"{report['accuracy']:.1%}",
        "Cohen's kappa": f"{report['kappa']:.3f}",
        "ranks (AUC)": f"{report['ranks']:.3f}",
        "calibration error (ECE)": f"{report['calibration_error']:.3f}",
        "neutral labels, left out": str(report["neutral_labels"]),
        "not read": str(report["unread"]),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    yield table
    curve = Table(title="Reliability: what was said, what was so")
    for column in ("said", "was", "of", ""):
        curve.add_column(column)
    for one in report["bins"]:
        bar = "#" * round(BAR * one["was"])
        curve.add_row(f"{one['said']:.2f}", f"{one['was']:.2f}", str(one["count"]), bar)
    yield curve
