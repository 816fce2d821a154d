"""Conversation: what a request says of the turns before it."""

from typing import Any

import pytest

from rlwd.daemon.capture.conversation import read_conversation, texts_read
from rlwd.streams.events.input_message import (
    KEPT_CHARACTERS,
    KEPT_MESSAGES,
    InputMessage,
    answer_digest,
)

SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = {"role": "user", "content": "What is 1 + 2?"}
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "call-1", "function": {"name": "add", "arguments": "{}"}}],
}
CAME = {"role": "tool", "tool_call_id": "call-1", "content": "3"}
ANSWERED = {"role": "assistant", "content": " It is 3.\n"}


def test_the_beginning_is_input() -> None:
    """Before the first answer everything is."""
    found = read_conversation([SYSTEM, ASKED])
    assert [one.role for one in found.input] == ["system", "user"]
    assert (found.earlier_answers, found.last_answer) == (0, "")


def test_input_is_what_came_since_the_last_answer() -> None:
    """A tool's result and a person's next message, each with what it says of itself."""
    found = read_conversation([SYSTEM, ASKED, CALLED, CAME])
    assert found.input == (InputMessage(role="tool", text="3", tool_call_id="call-1"),)
    assert (found.earlier_answers, found.last_answer) == (1, "")
    after = read_conversation([SYSTEM, ASKED, CALLED, CAME, ANSWERED, {**ASKED, "name": "ada"}])
    assert after.input == (InputMessage(role="user", text=ASKED["content"], name="ada"),)
    assert (after.earlier_answers, after.last_answer) == (2, answer_digest("It is 3."))


def test_a_conversation_keeps_its_beginning() -> None:
    """Every request of it begins in the same way; marks for caches change nothing."""
    first = read_conversation([SYSTEM, ASKED]).beginning
    marked = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    later = [{"role": "system", "content": marked}, ASKED, CALLED, CAME]
    assert read_conversation(later).beginning == first
    assert read_conversation([SYSTEM, {**ASKED, "content": "And 2 + 2?"}]).beginning != first


def test_parts_that_are_no_text_are_counted() -> None:
    """An image is not kept; the texts around it are."""
    parts = [{"type": "text", "text": "What"}, {"type": "image_url"}, {"type": "text", "text": "?"}]
    (found,) = read_conversation([{"role": "user", "content": parts}]).input
    assert (found.text, found.attachments) == ("What\n?", 1)


def test_the_record_is_bounded() -> None:
    """Of much text the last message has its room first, and what is cut says so."""
    long = {"role": "user", "content": "x" * KEPT_CHARACTERS}
    found = read_conversation([long, {"role": "user", "content": "last"}]).input
    assert [(len(one.text), one.cut) for one in found] == [(KEPT_CHARACTERS - 4, True), (4, False)]
    many = read_conversation([ASKED] * (KEPT_MESSAGES + 10)).input
    assert len(many) == KEPT_MESSAGES


@pytest.mark.parametrize(
    "messages", [None, "hi", [1, None, {}], [{"role": 3, "content": 5}], [{"content": [None, 1]}]]
)
def test_what_is_no_message_is_left_to_the_engine(messages: Any) -> None:
    """It is read as far as it goes; the engine refuses the rest."""
    assert read_conversation(messages).beginning == b""


def test_half_a_pair_of_surrogates_is_replaced() -> None:
    """What UTF-8 cannot hold does not end a record."""
    (found,) = read_conversation([{"role": "user", "content": "\ud800!"}]).input
    assert found.text.encode()


def test_all_that_a_template_is_given_is_read() -> None:
    """Documents and a template's own fields beside messages, and arguments as text or as an object."""
    calls = [{"function": {"arguments": {"to": ["a"]}}}, {"function": {"arguments": "b"}}]
    body = {
        "messages": [
            {"role": "user", "name": "c", "content": "d"},
            {"role": "assistant", "content": None, "reasoning": "e", "tool_calls": calls},
        ],
        "documents": [{"title": "f", "text": "g"}],
        "chat_template_kwargs": {"date": "h", "enable_thinking": False},
    }
    assert set("abcdefgh") <= set(texts_read(body))
