"""Tool ok: did the tools that the answer called work, as far as that was the answer's to decide?"""

from typing import Literal, get_args

from ...streams.events.episode import Episode
from ...streams.events.signals import ToolResult

ModelFault = Literal["invalid_arguments", "unexpected_environment"]
BLAMES_POLICY = frozenset(get_args(ModelFault))
"""What the policy wrote or should have known. An outage, a person's stop, a timeout and what nobody
has classified are not its doing: they count neither way."""


def tool_ok(episode: Episode, error_class: ModelFault | None = None) -> float | None:
    """Return the share of tool calls that worked, among those that worked or failed by the policy.

    With a class of error only failures of that class count against it. None where no call is left to
    judge by. A call that the tool refused is never left out: a policy whose broken calls were dropped
    has learnt to make them where it would fail (Composer's report).
    """
    results = [
        one.feedback.signal
        for one in episode.feedback
        if isinstance(one.feedback.signal, ToolResult)
    ]
    judged = [one for one in results if one.error_class is None or one.error_class in BLAMES_POLICY]
    if not judged:
        return None
    blamed = BLAMES_POLICY if error_class is None else {error_class}
    return sum(one.error_class not in blamed for one in judged) / len(judged)
