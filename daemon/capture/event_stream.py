"""EventStream: bytes of `text/event-stream` cut into events, whatever their line ends.

The standard allows LF, CRLF and CR, a byte order mark, and comments; engines end the last event with
or without its blank line.
"""

from collections.abc import Iterator

LONGEST_EVENT = 64 << 20
_MARK = b"\xef\xbb\xbf"


class EventStream:
    """Takes bytes as they come, in pieces of any size."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._held = b""
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield each event that is whole now, with LF line ends and without its blank line.

        Raises ValueError where one is longer than `LONGEST_EVENT`.
        """
        if not self._begun:
            self._begun = True
            data = data.removeprefix(_MARK)
        data = self._with_line_feeds(data)
        if self._buffer:
            self._buffer += data
            yield from self._from_buffer()
        else:
            # Most pieces are whole events: nothing is copied for these.
            *whole, rest = data.split(b"\n\n")
            self._buffer += rest
            for event in whole:
                if event := event.strip(b"\n"):
                    yield event
        # A blank line may be cut in two.
        self._searched = max(0, len(self._buffer) - 1)
        if len(self._buffer) > LONGEST_EVENT:
            raise ValueError(f"an event is longer than {LONGEST_EVENT} bytes")

    def _from_buffer(self) -> Iterator[bytes]:
        while (end := self._buffer.find(b"\n\n", self._searched)) >= 0:
            event = bytes(self._buffer[:end]).strip(b"\n")
            del self._buffer[: end + 2]
            self._searched = 0
            if event:
                yield event

    def rest(self) -> Iterator[bytes]:
        """Yield the last event, where its blank line never came."""
        yield from self.feed(b"\n\n" if not self._held else b"\n\n\n")

    def _with_line_feeds(self, data: bytes) -> bytes:
        if self._held or b"\r" in data:
            data = self._held + data
            # A CR at the end may be the first half of CRLF.
            self._held = b"\r" if data.endswith(b"\r") else b""
            data = data[: len(data) - len(self._held)]
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data


def fields(event: bytes) -> tuple[list[bytes], bytes | None]:
    """Return the comments of an event, and its data; None where it has none.

    Names and ids of events are left out: OpenAI's client 1.35 reads a chunk with a name as something
    else, and none of its clients needs one.

    >>> fields(b"event: error\\ndata: {}\\n: a comment")
    ([b': a comment'], b'{}')
    """
    if event.startswith(b"data: ") and b"\n" not in event:
        return [], event[6:]
    comments, data = list[bytes](), list[bytes]()
    for line in event.split(b"\n"):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif line.startswith(b":"):
            comments.append(line)
    return comments, b"\n".join(data) if data else None
