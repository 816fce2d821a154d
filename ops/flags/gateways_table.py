"""Gateways: the table of who asked for the flags over the network, and what they act on."""

from collections.abc import Iterable

from ...streams.state.transaction import Transaction
from .gateway_report import HEARD_SECONDS, GatewayReport

GATEWAYS = """
CREATE TABLE gateways (
    policy TEXT NOT NULL, gateway TEXT NOT NULL, generation INTEGER NOT NULL, heard REAL NOT NULL,
    PRIMARY KEY (policy, gateway))
"""


def put_reports(tx: Transaction, policy: str, reports: Iterable[GatewayReport]) -> None:
    """Write down what was heard; who was silent for a day is forgotten."""
    rows = [(policy, one.gateway, one.generation, one.at) for one in reports]
    tx.executemany(
        "INSERT INTO gateways VALUES (?, ?, ?, ?) ON CONFLICT (policy, gateway)"
        " DO UPDATE SET generation = excluded.generation, heard = excluded.heard",
        rows,
    )
    if rows:
        oldest = max(row[3] for row in rows) - 86400.0
        tx.execute("DELETE FROM gateways WHERE policy = ? AND heard < ?", (policy, oldest))


def heard_reports(view: Transaction, policy: str) -> list[GatewayReport]:
    """Return each gateway's last word."""
    rows = view.execute(
        "SELECT gateway, generation, heard FROM gateways WHERE policy = ?", (policy,)
    )
    return [
        GatewayReport(gateway=gateway, generation=generation, at=heard)
        for gateway, generation, heard in rows.fetchall()
    ]


def highest(view: Transaction, policy: str) -> int:
    """Return the newest generation that any of them acts on; 0 where none was heard of."""
    sql = "SELECT COALESCE(MAX(generation), 0) FROM gateways WHERE policy = ?"
    return int(view.execute(sql, (policy,)).fetchone()[0])


def expect_again(tx: Transaction, policy: str, now: float) -> None:
    """Wait for those who were there when a daemon was last heard by: a new one listens from now on."""
    last = max((one.at for one in heard_reports(tx, policy)), default=now)
    tx.execute(
        "UPDATE gateways SET heard = ? WHERE policy = ? AND heard >= ? AND heard < ?",
        (now, policy, last - HEARD_SECONDS, now),
    )
