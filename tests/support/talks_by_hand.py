"""Talks: conversations as a gateway records them, turn by turn, each prompt beginning with the last."""

from dataclasses import dataclass, field
from typing import Any

from ledger_by_hand import Ledger, generation

from rlwd.streams.events.event import decode_event
from rlwd.streams.events.generation import Generation
from rlwd.streams.events.input_message import InputMessage, answer_digest
from rlwd.streams.events.tool_use import ToolCall
from rlwd.streams.sessions.contents import load_contents


def person(text: str) -> InputMessage:
    return InputMessage(role="user", text=text)


def result(call_id: str, text: str, **more: Any) -> InputMessage:
    return InputMessage(role="tool", tool_call_id=call_id, text=text, **more)


def call(call_id: str, name: str = "add", *, valid: bool = True) -> ToolCall:
    return ToolCall(id=call_id, name=name, arguments="{}", parses=True, fits=valid)


@dataclass
class Talk:
    """One conversation that grows; `turn` gives the record of its next answer."""

    name: str
    session: str = "s"
    tokens: list[int] = field(default_factory=lambda: list(range(100, 140)))
    answers: int = 0
    said: str = ""
    turns: list[str] = field(default_factory=list)

    def turn(
        self,
        at: float,
        *said: InputMessage,
        calls: tuple[ToolCall, ...] = (),
        text: str | None = None,
        **more: Any,
    ) -> bytes:
        """Return the record of the next answer, to what was `said` since the last one."""
        number = len(self.turns)
        name = f"{self.session}.{self.name}{number}"
        # Tokens tell talks apart, so that none goes on from another one's by chance.
        own = hash((self.name, number)) % 10_000
        self.tokens += [own + n for n in range(20)] if number else []
        text = f"answer {number} of {self.name}" if text is None else text
        answer = (own, own + 1, number)
        record = generation(
            name,
            at,
            **{
                "session_id": self.session,
                "session_found": "named",
                # The gateway looked for what is to be redacted, and found nothing.
                "redacted": (),
                "prompt_token_ids": tuple(self.tokens),
                "completion_token_ids": answer,
                "logprobs": (-0.5,) * 3,
                "text": text,
                "input": said or (person(f"question {number}"),),
                "earlier_answers": self.answers,
                "last_answer": answer_digest(self.said),
                "tool_calls": calls,
                "finish_reason": "tool_calls" if calls else "stop",
                **more,
            },
        )
        self.tokens += answer
        self.answers += 1
        self.said = text
        self.turns.append(name)
        return record


def record_of(raw: bytes) -> Generation:
    """Return the generation of a record."""
    data = decode_event(raw).data
    assert isinstance(data, Generation)
    return data


def held(ledger: Ledger, name: str) -> Generation | None:
    """Return a generation as the state gives it back; None where it is not held."""
    with ledger.store.reading() as view:
        found = load_contents(view, "policy", [name])
    return found[name].event.data if name in found else None


def links(ledger: Ledger) -> dict[str, tuple[str | None, str, str]]:
    """Return parent, rule and history of every generation."""
    with ledger.store.reading() as view:
        rows = view.execute(
            "SELECT generation_id, parent_id, link, history FROM episodes"
            " WHERE received IS NOT NULL"
        ).fetchall()
    return {name: tuple(row) for name, *row in rows}


def signals(ledger: Ledger) -> list[tuple[str, str, str]]:
    """Return answer, kind and origin of all feedback that was derived."""
    with ledger.store.reading() as view:
        rows = view.execute(
            "SELECT generation_id, kind, origin FROM feedback WHERE origin <> ''"
            " ORDER BY generation_id, kind, origin"
        ).fetchall()
    return [tuple(row) for row in rows]
