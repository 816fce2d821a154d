"""Overlap with what was trained on: by runs of words, and by whole conversations."""

import pytest

from rlwd.ops.benchmark.overlap import RUN, Overlap
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.input_message import InputMessage

LONG = "one two three four five six seven eight nine ten eleven twelve"


def said(name: str, text: str, *, answer: str = "", role: str = "user") -> Generation:
    return Generation(
        generation_id=name,
        session_id=name,
        text=answer,
        prompt_token_ids=tuple(text.encode()),
        input=(InputMessage(role=role, text=text),),
    )


@pytest.mark.parametrize(
    ("trained", "why"),
    [
        (said("t", f"please {LONG.upper()} now"), "overlap"),
        (said("t", "what is it", answer=f"it is {LONG}"), "overlap"),
        (said("t", f"{LONG} one", role="tool"), "overlap"),
        (said("t", f"{LONG} one", role="system"), ""),
        (said("t", LONG), "same_conversation"),
        (said("t", " ".join(LONG.split()[:9])), ""),
        (said("t", " ".join(LONG.split()[::-1])), ""),
    ],
    ids=["request", "answer", "tool", "system", "same", "a part", "other order"],
)
def test_what_stands_in_one_trained_text_is_refused(trained: Generation, why: str) -> None:
    """In any case, in its request or its answer; what a product says to everybody is no overlap."""
    overlap = Overlap([said("r", LONG)])
    overlap.meet(trained)
    assert overlap.refuses("r", 0.5) == why


def test_two_halves_in_two_texts_are_no_whole() -> None:
    """The share is of what stands in one trained text."""
    words = LONG.split()
    overlap = Overlap([said("r", LONG)])
    overlap.meet(said("a", " ".join(words[: RUN + 1])))
    overlap.meet(said("b", " ".join(words[-RUN - 1 :])))
    assert overlap.largest["r"] == pytest.approx(2 / 5)


def test_a_short_request_is_compared_as_a_whole() -> None:
    """What everybody says in few words is refused only after the same conversation, and is counted."""
    overlap = Overlap([said("r", "fix it")])
    overlap.meet(said("a", "please fix it now"))
    assert (overlap.short, overlap.refuses("r", 0.5)) == (1, "")
    overlap.meet(said("b", "fix it"))
    assert overlap.refuses("r", 0.5) == "same_conversation"
