"""The reader that learns: silent on too little, calibrated on people it never met, the same each time."""

import io
import math
import random
from typing import Any

import msgspec
import numpy as np
import pytest
from episodes_by_hand import did, episode
from said_by_hand import TAKEN, TURNED_DOWN, said

from rlwd.rewards.satisfaction import training
from rlwd.rewards.satisfaction.agreement import agreement
from rlwd.rewards.satisfaction.labels import label_of
from rlwd.rewards.satisfaction.learned import LearnedReader, reader_of
from rlwd.rewards.satisfaction.message import NextMessage
from rlwd.rewards.satisfaction.reading import reading_of
from rlwd.rewards.satisfaction.training import FOLDS, LEAST_LABELS, TooLittle, train
from rlwd.streams.events.signals import Accepted, Escalated, FollowedUp, Rated, Rejected


@pytest.fixture(scope="module")
def reader() -> LearnedReader:
    return train(said(2000))


def test_it_is_calibrated_on_people_whom_it_never_met(reader: LearnedReader) -> None:
    """Held out by person; and on messages drawn anew, of others still."""
    held = reader.evidence.held_out
    assert held.messages == reader.evidence.labels == 2000
    assert held.calibration_error <= 0.05
    assert held.accuracy > 0.9
    assert held.ranks > 0.9
    fresh = said(1000, seed=9)
    values = [one.value for one in reader.read([one.message for one in fresh])]
    assert agreement(values, [one.satisfied for one in fresh]).calibration_error <= 0.05


def test_without_anything_to_learn_it_says_what_is_usual() -> None:
    """Labels by a coin: every reading is near the share of satisfied ones, and still calibrated."""
    held = train(said(1500, noise=1.0)).evidence.held_out
    assert held.calibration_error <= 0.05
    assert abs(held.ranks - 0.5) < 0.06
    assert all(abs(one.said - held.satisfied) < 0.1 for one in held.bins)


def test_it_is_the_same_whenever_it_is_made(reader: LearnedReader) -> None:
    """Bit for bit, in whatever order its messages come; other messages are another version."""
    again = said(2000)
    random.Random(3).shuffle(again)
    other = train(again)
    assert other.version == reader.version
    assert other.to_bytes() == reader.to_bytes()
    assert train(again[:-1]).version != reader.version


def test_one_person_teaches_it_no_more_than_a_share() -> None:
    """Somebody who says three times as much as all others, and the opposite, changes next to nothing."""
    people = said(1500, noise=0.0)
    alone = [
        msgspec.structs.replace(
            one, person="alone", satisfied=not one.satisfied, at=5000.0 + one.at
        )
        for one in said(4500, noise=0.0, seed=3)
    ]
    found = train(people + alone)
    assert found.evidence.labels < 1600
    asked = said(300, noise=0.0, seed=9)
    values = [one.value for one in found.read([one.message for one in asked])]
    assert agreement(values, [one.satisfied for one in asked]).accuracy > 0.95


def test_it_is_silent_on_too_little() -> None:
    """Fewer labels, people or turned down ones than calibration can be told by."""
    with pytest.raises(TooLittle, match=f"{LEAST_LABELS - 1} messages"):
        train(said(LEAST_LABELS - 1))
    with pytest.raises(TooLittle, match=f"{FOLDS - 1} people"):
        train(said(400, people=FOLDS - 1))
    with pytest.raises(TooLittle, match="0 decisions of the rarer kind"):
        train([msgspec.structs.replace(one, satisfied=True) for one in said(400)])


def test_a_person_is_never_in_two_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """One person of two fifths of the messages is held out whole."""
    seen = list[int]()
    fit = training._fit
    found = [
        msgspec.structs.replace(one, person="much" if number % 5 < 2 else one.person)
        for number, one in enumerate(said(600, people=4))
    ]

    def counted(rows: Any, labels: Any) -> tuple[Any, float]:
        seen.append(rows.shape[0])
        return fit(rows, labels)

    monkeypatch.setattr(training, "_fit", counted)
    train(found)
    assert 360 in seen


def test_a_file_gives_the_reader_back(reader: LearnedReader) -> None:
    """With its evidence; nothing in it is run, and a damaged or foreign one is refused."""
    again = reader_of(reader.to_bytes())
    assert (again.version, again.evidence) == (reader.version, reader.evidence)
    messages = [NextMessage(text=text) for text in (*TAKEN, *TURNED_DOWN)]
    assert again.read(messages) == reader.read(messages)
    assert again.read([]) == []
    with pytest.raises(ValueError, match="is no reader"):
        reader_of(reader.to_bytes()[:-200])
    pickled = io.BytesIO()
    np.savez(pickled, weights=np.array([object()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="is no reader"):
        reader_of(pickled.getvalue())
    short = msgspec.structs.replace(reader, weights=reader.weights[:10])
    with pytest.raises(ValueError, match="another rlwd"):
        reader_of(short.to_bytes())
    nan = msgspec.structs.replace(reader, intercept=math.nan)
    with pytest.raises(ValueError, match="not finite"):
        reader_of(nan.to_bytes())


def test_a_message_in_the_middle_is_neutral() -> None:
    """What the reader cannot tell it does not say."""
    assert [reading_of(value).direction for value in (0.4, 0.41, 0.59, 0.6)] == [
        *("dissatisfied", "neutral", "neutral", "satisfied")
    ]


def test_labels_are_decisions_and_nothing_else() -> None:
    """What the person said is what is read; it is no label of itself."""
    wrote = did(FollowedUp(text="thanks", statement="satisfied"), 1.0)
    assert label_of(episode(wrote)) is None
    assert label_of(episode(wrote, did(Accepted(), 2.0))) is True
    assert label_of(episode(wrote, did(Accepted(), 2.0), did(Rejected(), 3.0))) is False
    assert label_of(episode(wrote, did(Rated(value=0.5), 2.0))) is None
    assert label_of(episode(wrote, did(Rated(value=0.25), 2.0))) is False
    assert label_of(episode(wrote, did(Escalated(), 2.0))) is False
