"""Attribution rules: which answers feedback reaches that names a session or a reference, by kind."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from ...streams.events.episode import LAST, AttributionRule
from ...streams.events.signals import (
    SIGNALS,
    Copied,
    Edited,
    FollowedUp,
    Interrupted,
    Measured,
    Regenerated,
    Signal,
    ToolResult,
)
from .spec_checks import check_kinds

OF_ONE_ANSWER = (Copied, Edited, FollowedUp, Interrupted, Measured, Regenerated, ToolResult)
"""Kinds that are about one answer by what they say: they reach the last one."""


class Discounted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`{ discount = 0.9 }`: every answer before the act, each one less."""

    discount: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]
    """What each answer between one and the last leaves of the weight: the answer k before the last has
    discount ** k."""


OverChain = Literal["chain"] | Discounted
"""As a spec says what is taken over a whole chain: of each answer all of it, or at a discount."""
Given = Literal["last"] | OverChain
"""As a spec says it: the last answer before the act, all of them, or all at a discount."""


def rules_by_kind(given: Mapping[str, Given]) -> dict[type[Signal], AttributionRule]:
    """Return the rule of each kind of signal; the last answer where a spec says nothing.

    Raises ValueError naming the key.
    """
    check_kinds("$.attribution", given)
    rules = dict[type[Signal], AttributionRule]()
    for kind in SIGNALS:
        name = str(kind.__struct_config__.tag)
        rules[kind] = rule = rule_of(given.get(name, "last"))
        if kind in OF_ONE_ANSWER and rule != LAST:
            raise ValueError(f'$.attribution.{name}: is about one answer: "last", or nothing')
    return rules


def spread_rules(given: Mapping[str, OverChain]) -> dict[str, AttributionRule]:
    """Return how feedback that names an answer reaches the chain up to it, by kind or `outcome@NAME`.

    Raises ValueError naming the key.
    """
    for key in given:
        base, at, name = key.partition("@")
        if base == "outcome" and at and not (name.strip() and name.isprintable()):
            raise ValueError(f"$.spread.{key}: {name!r} names no outcome")
    kinds = {name.partition("@")[0] if name.startswith("outcome@") else name for name in given}
    check_kinds("$.spread", sorted(kinds))
    for kind in OF_ONE_ANSWER:
        name = str(kind.__struct_config__.tag)
        if name in given:
            raise ValueError(f"$.spread.{name}: is about one answer, and reaches no other")
    return {name: rule_of(rule) for name, rule in given.items()}


def rule_of(given: Given) -> AttributionRule:
    """Return a rule as the join asks it."""
    if isinstance(given, Discounted):
        return AttributionRule("discount", given.discount)
    return AttributionRule(given)
