"""Targeting: the rules of a flag; they compare numbers of the context, and nothing else."""

from typing import Any

from .assignment import BUCKETS, Shares, Variant


def policy_rules(shares: Shares, *, tried: int, apart: bool) -> dict[str, Any]:
    """Return the policy's rules, over `holdout_bucket`, `experiment_bucket` and `bucket`.

    Whoever's context has none is the champion's. `tried` buckets are in an experiment on the product.
    Where the anchor is not `apart`, as in 0.1.0, it has buckets of `bucket`.
    """
    clauses: list[Any] = []

    def give(number: str, low: int, size: int, variant: Variant) -> None:
        if size:
            clauses.extend([within(number, low, size), str(variant)])

    if apart:
        give("holdout_bucket", shares.held_out.start, shares.anchor, Variant.ANCHOR)
    give("experiment_bucket", 0, tried, Variant.EXPERIMENT)
    give("bucket", 0, shares.candidate, Variant.CANDIDATE)
    if not apart:
        give("bucket", shares.candidate, shares.anchor, Variant.ANCHOR)
    give("bucket", BUCKETS - shares.candidate, shares.candidate, Variant.CONTROL)
    return {"if": [*clauses, str(Variant.CHAMPION)]} if clauses else {}


def within(number: str, low: int, size: int) -> dict[str, Any]:
    """Return the rule that a number of the context lies in a range; one that is missing does not.

    The default of -1 matters: JavaScript's `null < 500` is true.
    """
    return {"<=": [low, {"var": [number, -1]}, low + size - 1]}
