"""AllDoors: the doors beside the chat door, by their paths."""

from .door import Door
from .responses_answer import responses_answer
from .responses_request import responses_request
from .responses_stream import ResponsesStream

DOORS = {
    door.path: door
    for door in (
        Door(
            path="/v1/responses",
            request=responses_request,
            answer=responses_answer,
            stream=ResponsesStream,
        ),
    )
}
