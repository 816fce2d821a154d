"""Behaviours and findings read texts that were written to make a pattern try for ever.

With a pattern whose work grows with the square of a text's length none of these would end in time.
"""

import pytest

from rlwd.rewards.behaviours.behaviour import BEHAVIOURS, measure
from rlwd.rewards.satisfaction.findings import findings
from rlwd.rewards.satisfaction.message import NextMessage
from rlwd.rewards.satisfaction.statements import statements
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.input_message import InputMessage

SIZE = 300_000
PIECES = (
    "`",
    "~",
    "```\n",
    " ",
    "\n",
    "todo ",
    "*",
    '"',
    "'''",
    "\n/*",
    "i have not ",
    "ich habe ",
)

pytestmark = pytest.mark.timeout(100)


def answer(text: str, request: str) -> Generation:
    return Generation(
        generation_id="s.g",
        session_id="s",
        text=text,
        input=(InputMessage(role="user", text=request),),
        finish_reason="stop",
    )


@pytest.mark.parametrize("piece", PIECES, ids=ascii)
def test_a_huge_text_of_one_piece_is_measured(piece: str) -> None:
    """Each behaviour returns, whether the text is the answer's, its code's or the request's."""
    hostile = piece * (SIZE // len(piece))
    for text in (hostile, f"todo\n```\n{hostile}x\n```\n", f"{hostile} Which one?"):
        assert measure(answer(text, hostile), BEHAVIOURS) is not None


@pytest.mark.parametrize("piece", ["write email ", "draft tweet ", "say ", "before i start "])
def test_a_request_of_one_piece_keeps_no_answer_waiting(piece: str) -> None:
    """A question back is told beside a request that says the same again and again."""
    hostile = piece * (SIZE // len(piece))
    for number in range(100):
        assert measure(answer(f"Which one, {number}?", hostile), ["asks"]) is not None


@pytest.mark.parametrize("piece", ["\n", "a.", "E.", "at a("], ids=ascii)
def test_a_huge_message_is_read(piece: str) -> None:
    """The rules of the reader return, too."""
    hostile = f"a{piece * (SIZE // len(piece))}b"
    assert isinstance(findings(NextMessage(text=hostile)), tuple)
    assert isinstance(statements(hostile), tuple)
