"""Offered: which answers may have asked their person back, read out of as little of their records as tells it."""

from collections.abc import Callable, Sequence

import msgspec

from ..events.event import GenerationEvent
from ..events.generation import Generation
from ..state.transaction import Transaction
from .contents import payloads


class _Called(msgspec.Struct):
    name: str = ""


class _Acts(msgspec.Struct):
    tools: tuple[msgspec.Raw, ...] = ()
    tool_calls: tuple[_Called, ...] = ()


class _OfActs(msgspec.Struct):
    """Of a record, what its answer could call and called."""

    data: _Acts


_ACTS = msgspec.json.Decoder(_OfActs)
_EVENT = msgspec.json.Decoder(GenerationEvent)


def load_offered(
    tx: Transaction, policy: str, ids: Sequence[str], asks_person: Callable[[str], bool]
) -> dict[str, Generation]:
    """Return those of these generations that were offered tools, and called none, or one that asks the person.

    `asks_person` says that of a tool's name. Of all others nothing else is read. Prompts are as they are
    kept, without what their bases have.
    """
    found = dict[str, Generation]()
    for name, payload in payloads(tx, policy, ids):
        acts = _ACTS.decode(payload).data
        if not acts.tools:
            continue
        if not acts.tool_calls or any(asks_person(one.name) for one in acts.tool_calls):
            found[name] = _EVENT.decode(payload).data
    return found
