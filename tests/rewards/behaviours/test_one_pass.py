"""What is found in one pass over an answer is what the plain patterns and searches find one by one."""

import re

from hypothesis import example, given
from hypothesis import strategies as st

from rlwd.rewards.behaviours.answer_view import AnswerView, view_of
from rlwd.rewards.behaviours.behaviour import BEHAVIOURS, measure
from rlwd.rewards.behaviours.content import blocks, fences, without_code
from rlwd.rewards.behaviours.signs import SIGNS, holds, places
from rlwd.streams.events.generation import Generation

FENCED = re.compile(r"^[ \t]*+(```++|~~~++).*?(?:^[ \t]*\1|\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(
    r"^[ \t]*+(```++|~~~++)[^\n]*+\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL
)
PIECES = (
    *(
        "```",
        "````",
        "~~~",
        "```py",
        " ",
        "\t",
        "\n",
        "\r\n",
        "\x85",
        "x = 1",
        "x`",
        "# TODO later",
    ),
    *(
        "?",
        "\uff1f",
        "Please tell",
        "I cannot do that",
        "todo",
        "for now I skip it. ",
        "İ",
        "ΑΣ",
        "é",
    ),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)


def answer(text: str) -> Generation:
    return Generation(generation_id="s.g", session_id="s", text=text, finish_reason="stop")


@given(text=TEXTS)
@example("```\n````\nx\n```\n~~~\ny")
@example("a\n  ```py\nx\n\t``` \n```")
def test_blocks_of_code_are_those_of_the_plain_patterns(text: str) -> None:
    """A block ends at a line of its own marks alone; what is cut out of a text, where they begin one."""
    assert blocks(text, fences(text)) == [body for _, body in BLOCK.findall(text)]
    assert without_code(text) == FENCED.sub("\n", text)
    assert AnswerView(answer(text)).code == blocks(text, fences(text))


@given(text=TEXTS, characters=st.integers(1, 30))
@example(text="Which one?", characters=1)
def test_signs_are_found_where_a_plain_search_finds_them(text: str, characters: int) -> None:
    """In the whole text, in its beginning and in its end, whatever lower case makes of its letters."""
    view, low = AnswerView(answer(text)), text.lower()
    for sign, pieces in SIGNS.items():
        each = pieces.split("|")
        assert holds(low, sign) == any(piece in low for piece in each)
        found = [[low[begin:end] for begin, end in one] for one in places(low, sign)]
        assert [one[0] for one in found] == [piece for piece in each if piece in low]
        if sign == "todo_in_code":
            continue
        assert view.has(sign) == holds(low, sign)
        head, tail = text[:characters].lower(), text[-characters:].lower()
        assert view.begins_with(sign, characters) == any(piece in head for piece in each)
        assert view.ends_with(sign, characters) == any(piece in tail for piece in each)


def test_an_answer_is_measured_alike_whoever_was_measured_before_it() -> None:
    """What is kept of the last answer serves that one alone, though another has the same ids."""
    one, other = answer("Which one do you mean?"), answer("Done.\n```\n# TODO later\n```")
    alone = measure(one, BEHAVIOURS), measure(other, BEHAVIOURS)
    assert (measure(one, BEHAVIOURS), measure(other, BEHAVIOURS)) == alone
    assert alone[0] != alone[1]
    assert view_of(one) is view_of(one)
    assert view_of(one) is not view_of(answer(one.text))
