"""The reader that learns knows any language, also those that are written without spaces."""

import pytest
from said_abroad import ABROAD, said_abroad

from rlwd.rewards.satisfaction.agreement import agreement
from rlwd.rewards.satisfaction.labels import Labelled
from rlwd.rewards.satisfaction.learned import LearnedReader
from rlwd.rewards.satisfaction.message import NextMessage
from rlwd.rewards.satisfaction.training import train
from rlwd.rewards.satisfaction.words import likeness, words


def right(reader: LearnedReader, found: list[Labelled]) -> float:
    """Return the share of messages that are read as they were meant."""
    values = [one.value for one in reader.read([each.message for each in found])]
    return agreement(values, [one.satisfied for one in found]).accuracy


@pytest.mark.parametrize("language", ABROAD)
def test_a_product_speaks_another_language(language: str) -> None:
    """On people not met; with words alone a fifth of the Chinese and Japanese ones was read wrongly."""
    reader = train(said_abroad(language, 800))
    assert right(reader, said_abroad(language, 300, seed=9, noise=0.0)) > 0.95
    assert reader.evidence.held_out.accuracy > 0.9


def test_a_product_speaks_several_languages() -> None:
    """One reader for all of them."""
    reader = train([one for language in ABROAD for one in said_abroad(language, 250)])
    for language in ABROAD:
        assert right(reader, said_abroad(language, 200, seed=9, noise=0.0)) > 0.95
    assert reader.evidence.held_out.calibration_error <= 0.05


def test_a_long_message_is_hashed_at_both_ends() -> None:
    """Of a pasted log what stands before and after it counts."""
    reader = train(said_abroad("Chinese", 800))
    filler = "日志 " * 3_000
    good, bad = ("没问题了再整理标题的颜色", "不对应该是标题的颜色")
    taken, turned_down = reader.read(
        [NextMessage(text=f"{text}\n{filler}\n{text}") for text in (good, bad)]
    )
    assert taken.value > turned_down.value


def test_characters_that_stand_alone_are_words() -> None:
    """Asking for the same again is seen in languages without spaces."""
    assert words("把列表排序 now, café 2") == ["把", "列", "表", "排", "序", "now", "café", "2"]
    assert words("もう一度") == ["も", "う", "一", "度"]
    assert likeness("表を並べ替えて", "もう一度、表を並べ替えて") > 0.6
    assert likeness("noch einmal die Liste", "die Rechnung") < 0.3
