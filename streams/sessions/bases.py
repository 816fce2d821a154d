"""Bases: of which generation's tokens a new turn's prompt begins, so that they are not kept twice."""

from collections.abc import Mapping
from typing import NamedTuple

from ..state.transaction import Transaction
from .contents import Held, load_contents
from .link import GOES_ON, SUMMARY, TOKENS, Link
from .prompts import shared_length
from .turn import Sessions

FEWEST = 16
"""Tokens from which on a base is worth a row's look."""


class Base(NamedTuple):
    """Whose tokens a prompt begins with."""

    generation_id: str
    """The generation."""
    shared: int
    """How many tokens of its prompt and answer."""


def find_bases(
    tx: Transaction,
    policy: str,
    new: Mapping[str, Held],
    links: Mapping[str, Link],
    sessions: Sessions,
) -> dict[str, Base]:
    """Return the base of each new turn that has one: its parent, as far as their tokens are alike."""
    found, unsure = dict[str, Base](), dict[str, str]()
    for name, link in links.items():
        parent = sessions.session(name).get(link.parent)
        if name not in new or parent is None or not parent.digest:
            continue
        if not new[name].event.data.prompt_token_ids:
            continue
        if link.rule == TOKENS:
            found[name] = Base(link.parent, parent.length)
        elif link.rule in GOES_ON or link.rule == SUMMARY:
            unsure[name] = link.parent
    tokens = _tokens(tx, policy, new, set(unsure.values()))
    for name, parent_id in unsure.items():
        prompt = new[name].event.data.prompt_token_ids or ()
        found[name] = Base(parent_id, shared_length(prompt, tokens.get(parent_id, ())))
    return {
        name: base
        for name, base in found.items()
        if base.shared >= FEWEST and not _in_circle(name, found)
    }


def _tokens(
    tx: Transaction, policy: str, new: Mapping[str, Held], ids: set[str]
) -> dict[str, tuple[int, ...]]:
    """Return prompt and answer of these generations."""
    held = load_contents(tx, policy, sorted(ids - new.keys())) if ids - new.keys() else {}
    held |= {name: new[name] for name in ids & new.keys()}
    return {
        name: (
            *(one.event.data.prompt_token_ids or ()),
            *(one.event.data.completion_token_ids or ()),
        )
        for name, one in held.items()
    }


def _in_circle(name: str, bases: Mapping[str, Base]) -> bool:
    """Return whether a turn is its own base in the end: a product may name parents in a circle."""
    at, seen = name, set[str]()
    while at in bases and at not in seen:
        seen.add(at)
        at = bases[at].generation_id
    return at in seen
