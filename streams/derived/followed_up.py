"""Followed up: the person's next message, about the answer before it.

Coding agents write to the model in the person's place, too: a reminder beside a tool's result, where they
run, what a command of theirs printed. In tags, as they do it, that is no message of the person's.
"""

import re

from ..events.generation import Generation
from ..events.signals import FollowedUp

KEPT_CHARACTERS = 10_000
"""Most text of one signal; the whole message is in the record."""
HARNESS_TAGS = (
    # Claude Code's, as its session files and requests have them.
    *("system-reminder", "local-command-caveat", "local-command-stdout", "local-command-stderr"),
    *("command-name", "command-message", "command-args", "bash-stdout", "bash-stderr"),
    # Codex's.
    *("environment_context", "user_instructions", "turn_aborted", "permissions instructions"),
)
"""Tags whose content a harness wrote."""
_TAG = re.compile("<(" + "|".join(map(re.escape, HARNESS_TAGS)) + ")>")
_STOPPED = re.compile(r"^\[Request interrupted by user(?: for tool use)?\]$", re.MULTILINE)


def followed_up(following: Generation) -> FollowedUp | None:
    """Return what the person wrote back, as the next request of the session has it; None for nothing.

    Several messages in a row are one.
    """
    said = [person_words(one.text) for one in following.input if one.role == "user"]
    said = [text for text in said if text.strip()]
    return FollowedUp(text="\n\n".join(said)[:KEPT_CHARACTERS]) if said else None


def person_words(text: str) -> str:
    """Return a message without what a harness wrote into it; one without any of it as it is.

    >>> person_words("<system-reminder>Your to-do list is empty.</system-reminder>\\nNo, the other one.")
    'No, the other one.'
    """
    parts, place = list[str](), 0
    while (begins := _TAG.search(text, place)) is not None:
        ends = text.find(f"</{begins[1]}>", begins.end())
        if ends < 0:
            # Never closed, it is a person's own word.
            break
        parts.append(text[place : begins.start()])
        place = ends + len(begins[1]) + 3
    rest = text[place:]
    if place == 0 and _STOPPED.search(text) is None:
        return text
    return _STOPPED.sub("", "".join([*parts, rest])).strip()
