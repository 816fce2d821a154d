"""The rules of the nine kinds of statement, and of what a message does, held to labelled messages."""

from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from rlwd.rewards.satisfaction.findings import findings
from rlwd.rewards.satisfaction.message import NextMessage, shortened
from rlwd.rewards.satisfaction.statements import RULES, statements
from rlwd.streams.events.judged import Finding, WorkStatement

LABELLED = [
    (set(kinds.split("+")) - {"none"}, text)
    for kinds, _, text in (
        line.partition("\t")
        for line in (Path(__file__).parent / "statements.tsv").read_text().splitlines()
    )
]
LEAST = {"precision": 0.85, "recall": 0.8}


def test_every_kind_has_its_labelled_messages_and_its_rule() -> None:
    """At least twenty each, and some of none."""
    counts = Counter(kind for kinds, _ in LABELLED for kind in kinds)
    assert set(counts) == set(RULES) == set(get_args(WorkStatement))
    assert min(counts.values()) >= 20
    assert sum(not kinds for kinds, _ in LABELLED) >= 20


@pytest.mark.parametrize("kind", RULES)
def test_a_kind_is_found(kind: WorkStatement) -> None:
    """Precision and recall over all labelled messages, printed with `-s`."""
    said = [(kind in statements(text), kind in kinds, text) for kinds, text in LABELLED]
    right = sum(found and true for found, true, _ in said)
    precision = right / max(sum(found for found, _, _ in said), 1)
    recall = right / sum(true for _, true, _ in said)
    print(f"\n{kind}: precision {precision:.2f}, recall {recall:.2f}, of {len(said)}")
    wrong = [text for found, true, text in said if found != true]
    assert precision >= LEAST["precision"], wrong
    assert recall >= LEAST["recall"], wrong


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ok, next add a login page", ("moved_on",)),
        ("now make it blue", ("moved_on",)),
        ("thanks, that works!", ("moved_on", "thanked")),
        ("Perfect", ("moved_on", "thanked")),
        ("no, I meant the other one", ("corrected",)),
        ("you forgot the header", ("corrected",)),
        ("it should return a list", ("corrected",)),
        ("still not working", ("complained",)),
        ("this is useless", ("complained",)),
        ("thanks for nothing", ("complained",)),
        ("it doesn't compile", ("complained",)),
        ('Traceback (most recent call last):\n  File "a.py", line 1', ("pasted_trace",)),
        ("TypeError: x is undefined\n    at main (app.js:3:1)", ("pasted_trace",)),
        ("error[E0382]: borrow of moved value", ("pasted_trace",)),
        ("By the way, who invented tea?", ("changed_subject",)),
        ("forget that. I have a different question", ("changed_subject",)),
        ("what is the capital of Peru?", ()),
        ("", ()),
    ],
)
def test_what_a_message_does(text: str, found: tuple[Finding, ...]) -> None:
    """Moved on, thanked, corrected, complained, pasted a trace, changed the subject."""
    assert findings(NextMessage(text=text, request="sort my list", answer="done")) == found


def test_asking_for_the_same_again_corrects() -> None:
    """Whoever asks once more in other words did not get it."""
    asked = NextMessage(text="please sort this list by date", request="sort this list by date")
    assert findings(asked) == ("corrected",)


def test_rules_take_no_longer_for_odd_texts() -> None:
    """What a person may paste is read in time that grows with its length."""
    for odd in ("a" * 100_000, "\n    at " * 20_000, "no " * 50_000, "-" * 100_000, "é" * 50_000):
        text = shortened(odd)
        assert isinstance(findings(NextMessage(text=text)), tuple)
        assert isinstance(statements(text), tuple)
