"""Late beginnings: sessions that began by an answer which is read only after their first turn.

Sessions stand on partitions of their own, so a subagent's turn may be read before the call that started
it, and one that goes on from a summary before the summary.
"""

from collections import defaultdict
from collections.abc import Mapping

from ..state.transaction import Transaction
from . import turns_table
from .contents import Held
from .retold import KEPT_SECONDS, load_retold, may_be_retold
from .turn import Turn
from .turns_table import SessionKey


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
