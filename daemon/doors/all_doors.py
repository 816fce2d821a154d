"""AllDoors: the doors beside the chat door, by their paths."""

from collections.abc import Callable, Mapping
from typing import Any

from .door import Door
from .messages_answer import messages_answer
from .messages_request import messages_count, messages_request
from .messages_stream import MessagesStream
from .responses_answer import responses_answer
from .responses_request import responses_count, responses_request
from .responses_stream import ResponsesStream

MESSAGES = "/v1/messages"
DOORS = {
    door.path: door
    for door in (
        Door(
            path="/v1/responses",
            request=responses_request,
            answer=responses_answer,
            stream=ResponsesStream,
        ),
        Door(
            path=MESSAGES,
            request=messages_request,
            answer=messages_answer,
            stream=MessagesStream,
            id_header="Request-Id",
        ),
    )
}
COUNTS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "/v1/responses/input_tokens": responses_count,
    f"{MESSAGES}/count_tokens": messages_count,
}
"""Where it is asked how many tokens a request would be read as, and what the engine is asked for it."""
