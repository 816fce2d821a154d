"""AllDoors: the doors beside the chat door, by their paths."""

from .door import Door
from .messages_answer import messages_answer
from .messages_request import messages_request
from .messages_stream import MessagesStream
from .responses_answer import responses_answer
from .responses_request import responses_request
from .responses_stream import ResponsesStream

MESSAGES = "/v1/messages"
COUNT_TOKENS = f"{MESSAGES}/count_tokens"
"""What the messages of that door would be read as, counted by the engine."""
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
