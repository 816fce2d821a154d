"""Gateways: which flags each acts on, and one gateway's page: what it serves by them, and since when."""

from pathlib import Path
from typing import Any

from ...ops.flags import intents_table
from ...ops.flags.assignment import BUCKETS
from ...ops.flags.flag_reach import LATE_SECONDS, read_reach
from ...ops.flags.flag_state import FlagState
from ...ops.flags.gateway_report import HEARD_SECONDS, GatewayReport, read_reports
from ...ops.flags.gateways_table import heard_reports
from ...ops.rollout import rollouts_table
from ...streams.state.transaction import Transaction
from ..http.query import NotHere
from .runbook import entry_of


def read_silent(view: Transaction, policy: str, flags: Path, now: float) -> list[dict[str, Any]]:
    """Return gateways that were heard of within a day and not in the last minute: they ended, or hang.

    One that ends in order on this machine withdraws; of one on another host nobody can tell.
    """
    silent = [one for one in _all(view, policy, flags).values() if now - one.at > HEARD_SECONDS]
    return [
        {"gateway": one.gateway, "generation": one.generation, "at": one.at}
        for one in sorted(silent, key=lambda one: one.gateway)
        if now - one.at < 86_400.0
    ]


def read_gateway(
    view: Transaction, policy: str, flags: Path, name: str, now: float
) -> dict[str, Any]:
    """Return one gateway's page. Raises NotHere for one that nobody heard of within a day."""
    report = _all(view, policy, flags).get(name)
    if report is None:
        raise NotHere(f"{name}: no gateway of this name was heard of lately.")
    reach = read_reach(view, policy, flags, now)
    acts_on = intents_table.of_generation(view, policy, report.generation)
    served = [] if acts_on is None else _served(acts_on[0])
    return {
        "gateway": name,
        "heard": report.at,
        "silent": now - report.at > HEARD_SECONDS,
        "generation": report.generation,
        "decided_at": None if acts_on is None else acts_on[1],
        "newest": reach.generation,
        "newest_since": reach.since,
        "behind": report.generation < reach.generation,
        "late": reach.since is not None and now - reach.since >= LATE_SECONDS,
        "served": [
            {
                "to": to,
                "version": version,
                "let_out": rollouts_table.find(view, policy, version) is not None,
            }
            for to, version in served
        ],
        "entry": entry_of("gateways"),
    }


def _all(view: Transaction, policy: str, flags: Path) -> dict[str, GatewayReport]:
    """Return each gateway's last word, whether it came over the network or stands beside the flag file."""
    found = dict[str, GatewayReport]()
    for one in (*heard_reports(view, policy), *read_reports(flags)):
        if one.gateway not in found or found[one.gateway].at < one.at:
            found[one.gateway] = one
    return found


def _served(state: FlagState) -> list[tuple[str, str]]:
    """Return who is served which version by these flags."""
    served = [("everybody else", state.champion.version)]
    if state.candidate is not None:
        share = state.shares.candidate / BUCKETS
        served.insert(0, (f"candidate, {share:.1%} of the users", state.candidate.version))
    if state.control is not None:
        served.insert(0, ("control", state.control.version))
    if state.shares.anchor:
        share = state.shares.anchor / BUCKETS
        served.append((f"anchor, {share:.1%} of the users", state.anchor.version))
    if state.shadow is not None:
        share = state.shadow_share / BUCKETS
        served.append(
            (f"mirrored requests, {share:.1%} of them, shown to nobody", state.shadow.version)
        )
    return [*served, *(("conversations that began on it", one.version) for one in state.kept)]
