"""MessagesStream: a chat stream as the events of Anthropic's Messages API.

Names and fields as in anthropic-sdk-python 2.12, `types/raw_message_stream_event.py`.
"""

from collections.abc import Iterator
from typing import Any

from .chat_blocks import Block, Step
from .door_stream import DoorStream, typed_event
from .messages_answer import content_block, message_object, stop_of, usage_object
from .messages_errors import error_object

_DELTAS = {
    "reasoning": ("thinking_delta", "thinking"),
    "text": ("text_delta", "text"),
    "call": ("input_json_delta", "partial_json"),
}


class MessagesStream(DoorStream):
    """Tells one message, block by block."""

    def keep_alive(self) -> bytes:
        """Return this API's own event for it."""
        return typed_event({"type": "ping"})

    def begin(self) -> Iterator[bytes]:
        """Yield the message without content, and a ping, as that API does."""
        message = message_object(self.reply, [])
        # What the engine has written by now is told at the end.
        message["usage"]["output_tokens"] = 0
        yield typed_event({"type": "message_start", "message": message})
        yield self.keep_alive()

    def step(self, step: Step) -> Iterator[bytes]:
        """Yield a block's start, delta or stop."""
        place = {"index": step.block.number}
        if step.what == "begins":
            empty = Block(
                number=0, kind=step.block.kind, call_id=step.block.call_id, name=step.block.name
            )
            start = {"content_block": content_block(empty)}
            yield typed_event({"type": "content_block_start", **place, **start})
        elif step.what == "goes_on":
            kind, name = _DELTAS[step.block.kind]
            delta = {"type": kind, name: step.text}
            yield typed_event({"type": "content_block_delta", **place, "delta": delta})
        else:
            if step.block.kind == "reasoning":
                signed = {"type": "signature_delta", "signature": ""}
                yield typed_event({"type": "content_block_delta", **place, "delta": signed})
            yield typed_event({"type": "content_block_stop", **place})

    def complete(self) -> Iterator[bytes]:
        """Yield why it ended, with the usage, and that nothing follows."""
        delta = stop_of(self.order.blocks, self.finish, self.stop)
        usage = usage_object(self.reply.usage())
        yield typed_event({"type": "message_delta", "delta": delta, "usage": usage})
        yield typed_event({"type": "message_stop"})

    def fail(self, message: str, code: Any) -> Iterator[bytes]:
        """Yield the error that ends the stream."""
        status = code if isinstance(code, int) else 500
        yield typed_event(error_object(status, message, self.reply.generation_id))
