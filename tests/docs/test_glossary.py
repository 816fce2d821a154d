"""The glossary of ARCHITECTURE.md explains the words that operators read in logs, pages and tables."""

import re
from enum import StrEnum
from pathlib import Path

import pytest

from rlwd.ops.flags.assignment import Variant
from rlwd.ops.stages.record import Stage
from rlwd.ops.statistics.verdict import VerdictKind
from rlwd.streams.events.stage import EpisodeStage
from rlwd.streams.join.fate import DEAD_LETTERED, TRAINED, WAITING

ROOT = Path(__file__).parents[2]


def glossary() -> dict[str, str]:
    """Return the glossary's rows: terms, and what they mean here."""
    page = (ROOT / "ARCHITECTURE.md").read_text().partition("## Glossary")[2]
    return dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)[1:])


@pytest.mark.parametrize("kind", [Variant, Stage, EpisodeStage, VerdictKind])
def test_every_value_is_explained(kind: type[StrEnum]) -> None:
    """Each variant, stage and verdict that a page can show stands in the glossary."""
    text = " ".join(f"{term} {meaning}" for term, meaning in glossary().items())
    values = [one.value.replace("_", " ") for one in kind]
    assert [one for one in values if not re.search(rf"\b{one}\b", text)] == []


def test_every_fate_is_explained() -> None:
    """The glossary's row of fates has all that are no censoring or exclusion."""
    text = glossary()["fate"]
    for fate in (WAITING, TRAINED, DEAD_LETTERED):
        assert fate.replace("_", "-") in text


def test_a_term_is_explained_once() -> None:
    """No term has two rows."""
    terms = [term for row in glossary() for term in row.split(", ")]
    assert len(terms) == len(set(terms)) > 40
