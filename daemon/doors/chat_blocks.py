"""ChatBlocks: a chat answer as a row of blocks, reasoning, text and calls, one after another.

Clients of the typed APIs read one block at a time. An engine may tell the pieces of several calls in
turns; then the first one goes out as it comes, and the others, whole, after it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["reasoning", "text", "call"]
What = Literal["begins", "goes_on", "ends"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What one chunk says of one block."""

    kind: Kind
    """Of which kind the block is."""
    text: str
    """Reasoning, text, or arguments as written."""
    index: int = 0
    """Which of the calls."""
    call_id: str = ""
    """Its id, in its first piece."""
    name: str = ""
    """The tool's name, in its first piece."""


@dataclass(slots=True, kw_only=True)
class Block:
    """One block, as far as it came."""

    number: int
    """Its place in the answer."""
    kind: Kind
    """What it holds."""
    index: int = 0
    """Which of the calls."""
    call_id: str = ""
    """Id of the call."""
    name: str = ""
    """The tool's name."""
    texts: list[str] = field(default_factory=list)
    """What came of it."""

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self.texts)

    def add(self, piece: Piece) -> None:
        """Take in a piece of it."""
        self.call_id, self.name = self.call_id or piece.call_id, self.name or piece.name
        self.texts.append(piece.text)

    def holds(self, piece: Piece) -> bool:
        """Return whether a piece belongs to it."""
        return (self.kind, self.index) == (piece.kind, piece.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a client is to be told next."""

    what: What
    """Whether the block begins, goes on or ends."""
    block: Block
    """The block."""
    text: str = ""
    """By which it goes on."""


class ChatBlocks:
    """Puts the pieces of one answer in order."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        """Those that were begun, in order."""
        self._open: Block | None = None
        self._waiting: list[Block] = []

    def take(self, said: Mapping[str, Any]) -> Iterator[Step]:
        """Take a message, or the delta of a chunk; yield what to tell."""
        for piece in _pieces(said):
            held = self._open
            if held is not None and held.kind == "call" and not held.holds(piece):
                self._wait(piece)
                continue
            if held is None or not held.holds(piece):
                yield from self._close()
                held = self._open = _block(piece)
                yield self._begin(held)
            held.add(piece)
            if piece.text:
                yield Step(what="goes_on", block=held, text=piece.text)

    def end(self) -> Iterator[Step]:
        """Yield what ends the answer: the open block, then those that waited."""
        yield from self._close()
        waiting, self._waiting = self._waiting, []
        for block in waiting:
            yield self._begin(block)
            if block.text:
                yield Step(what="goes_on", block=block, text=block.text)
            yield Step(what="ends", block=block)

    def _begin(self, block: Block) -> Step:
        block.number = len(self.blocks)
        self.blocks.append(block)
        return Step(what="begins", block=block)

    def _close(self) -> Iterator[Step]:
        if self._open is not None:
            block, self._open = self._open, None
            yield Step(what="ends", block=block)

    def _wait(self, piece: Piece) -> None:
        found = next((one for one in self._waiting if one.holds(piece)), None)
        if found is None:
            found = _block(piece)
            self._waiting.append(found)
        found.add(piece)


def whole_blocks(said: Mapping[str, Any]) -> list[Block]:
    """Return the blocks of a whole message."""
    blocks = ChatBlocks()
    list(blocks.take(said))
    list(blocks.end())
    return blocks.blocks


def _block(piece: Piece) -> Block:
    # Id and name are known before the block begins, since its beginning tells them.
    return Block(
        number=0, kind=piece.kind, index=piece.index, call_id=piece.call_id, name=piece.name
    )


def _pieces(said: Mapping[str, Any]) -> Iterator[Piece]:
    thought = said.get("reasoning") or said.get("reasoning_content")
    if isinstance(thought, str) and thought:
        yield Piece(kind="reasoning", text=thought)
    content = said.get("content")
    if isinstance(content, str) and content:
        yield Piece(kind="text", text=content)
    calls = said.get("tool_calls")
    for place, call in enumerate(calls if isinstance(calls, list) else ()):
        told = call if isinstance(call, Mapping) else {}
        function = told.get("function")
        function = function if isinstance(function, Mapping) else {}
        index = told.get("index")
        yield Piece(
            kind="call",
            text=_string(function.get("arguments")),
            index=index if type(index) is int else place,
            call_id=_string(told.get("id")),
            name=_string(function.get("name")),
        )


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
