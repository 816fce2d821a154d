"""ResponsesStream: a chat stream as the events of OpenAI's Responses API.

Names and fields as in openai-python 3.54, `types/responses/response_stream_event.py`.
"""

from collections.abc import Iterator
from typing import Any

from .chat_blocks import Block, Step
from .door_stream import DoorStream, typed_event
from .reply import Reply
from .responses_answer import (
    CUT_BY,
    content_part,
    ended_response,
    item_id,
    output_item,
    response_object,
)
from .responses_tools import told_name

_DELTA = {
    "reasoning": "response.reasoning_text",
    "text": "response.output_text",
    "call": "response.function_call_arguments",
}


class ResponsesStream(DoorStream):
    """Tells one response, event by event, each with its number."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply)
        self._number = 0

    def keep_alive(self) -> bytes:
        """Return a comment: this API has no event for it."""
        return b": keep-alive\n\n"

    def begin(self) -> Iterator[bytes]:
        """Yield that the response is there and goes on."""
        response = response_object(self.reply, "in_progress", [])
        yield self._numbered("response.created", response=response)
        yield self._numbered("response.in_progress", response=response)

    def step(self, step: Step) -> Iterator[bytes]:
        """Yield the events of an item: added, with its part; its deltas; done, part and all."""
        if step.what == "begins":
            yield from self._added(step.block)
        elif step.what == "goes_on":
            yield self._of(f"{_DELTA[step.block.kind]}.delta", step.block, delta=step.text)
        else:
            yield from self._done(step.block)

    def _added(self, block: Block) -> Iterator[bytes]:
        empty = Block(number=block.number, kind=block.kind, call_id=block.call_id, name=block.name)
        item = output_item(self.reply, empty, "in_progress")
        yield self._numbered("response.output_item.added", output_index=block.number, item=item)
        if block.kind != "call":
            yield self._of("response.content_part.added", block, part=content_part(block, ""))

    def _done(self, block: Block) -> Iterator[bytes]:
        if block.kind == "call":
            name = told_name(block.name, self.reply.asked)["name"]
            whole = {"arguments": block.text, "name": name}
            yield self._of("response.function_call_arguments.done", block, **whole)
        else:
            yield self._of(f"{_DELTA[block.kind]}.done", block, text=block.text)
            part = content_part(block, block.text)
            yield self._of("response.content_part.done", block, part=part)
        status = "incomplete" if self.finish in CUT_BY else "completed"
        item = output_item(self.reply, block, status)
        yield self._numbered("response.output_item.done", output_index=block.number, item=item)

    def complete(self) -> Iterator[bytes]:
        """Yield the whole response, completed or incomplete."""
        response = ended_response(self.reply, self.order.blocks, self.finish)
        yield self._numbered(f"response.{response['status']}", response=response)

    def fail(self, message: str, code: Any) -> Iterator[bytes]:
        """Yield the response as far as it came, and why there is no more."""
        output = [output_item(self.reply, one, "incomplete") for one in self.order.blocks]
        told = {"code": "server_error", "message": message}
        failed = response_object(self.reply, "failed", output) | {"error": told}
        yield self._numbered("response.failed", response=failed)

    def _of(self, kind: str, block: Block, **told: Any) -> bytes:
        """Return an event about a place in an item."""
        place: dict[str, Any] = {"item_id": item_id(self.reply, block)}
        place["output_index"] = block.number
        if block.kind != "call":
            place["content_index"] = 0
        if kind.startswith("response.output_text."):
            place["logprobs"] = []
        return self._numbered(kind, **place, **told)

    def _numbered(self, kind: str, **told: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._number, **told}
        self._number += 1
        return typed_event(event)
