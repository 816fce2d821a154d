"""Late beginnings: sessions that began by an answer which is read only after their first turn.

Sessions stand on partitions of their own, so a subagent's turn may be read before the call that started
it, and one that goes on from a summary before the summary.
"""

from collections import defaultdict
from collections.abc import Mapping

from ..state.transaction import Transaction
from . import turns_table
from .contents import Held
from .parents import Calls
from .retold import KEPT_SECONDS, load_retold, may_be_retold
from .turn import Turn
from .turns_table import SessionKey, session_of


def begun_by_late(
    tx: Transaction,
    policy: str,
    new: Mapping[str, Held],
    turns: dict[SessionKey, dict[str, Turn]],
) -> set[str]:
    """Return the first turns of sessions that may have begun by what comes only now, and look these up.

    Of a subagent's the call, of one that goes on from a summary the answer that is it.
    """
    keys = set[SessionKey]()
    made = defaultdict[str, list[str]](list)
    for held in new.values():
        data = held.event.data
        made[data.tenant] += [call.id for call in data.tool_calls if call.id]
        if may_be_retold(data):
            until = held.received + KEPT_SECONDS
            for one in load_retold(tx, policy, data, began=True, after=held.received, until=until):
                keys.add(SessionKey(data.tenant, one.session_id))
    keys |= turns_table.load_awaiting(tx, policy, made)
    for key, known in turns_table.load_turns(tx, policy, keys - turns.keys()).items():
        turns[key] = known
    return {
        name
        for key in keys
        for name, turn in turns.get(key, {}).items()
        if not turn.link and name not in new
    }


def begun_unseen(
    new: Mapping[str, Held],
    turns: Mapping[SessionKey, Mapping[str, Turn]],
    calls: Mapping[str, Calls],
) -> set[str]:
    """Return the first turns of sessions that go on now, and whose call is known only since they came.

    On a server, a call and a turn that it started may be taken in at the same moment by two processes:
    then neither sees the other, and this is the first that sees both.
    """
    found = set[str]()
    for held in new.values():
        data, key = held.event.data, session_of(held.event.data)
        made = calls.get(data.tenant, {}).get(data.call_id or data.session_id, ())
        if any(call.session_id != data.session_id for call in made):
            found |= {
                each for each, turn in turns[key].items() if not turn.link and each not in new
            }
    return found
