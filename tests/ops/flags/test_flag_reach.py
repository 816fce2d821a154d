"""How far flags have come: who was heard of counts for a minute, however he is heard."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_by_hand import open_daemon_ledger

from rlwd.ops.flags import gateways_table, intents_table
from rlwd.ops.flags.assignment import ServedVersion
from rlwd.ops.flags.flag_reach import LATE_SECONDS, FlagReach, read_reach
from rlwd.ops.flags.flag_state import FlagState
from rlwd.ops.flags.gateway_report import (
    HEARD_SECONDS,
    GatewayReport,
    read_reports,
    reports_folder,
    withdraw_report,
    write_report,
)
from rlwd.streams.state.store import Store

V0 = ServedVersion(version="policy@v000000-00000000", digest="0" * 64)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_daemon_ledger(tmp_path / "rlwd.db").store
    state = FlagState(policy="policy", generation=7, salt="s", champion=V0, anchor=V0)
    with store.transaction() as tx:
        intents_table.intend(tx, state, 100.0)
        intents_table.confirm(tx, "policy", 7, 100.0)
    yield store
    store.close()


def report(gateway: str, generation: int, at: float) -> GatewayReport:
    return GatewayReport(gateway=gateway, generation=generation, at=at)


def reach(store: Store, folder: Path, now: float, *, listening: bool = True) -> FlagReach:
    with store.reading() as view:
        return read_reach(view, "policy", folder / "flags.json", now, listening=listening)


def hear(store: Store, *reports: GatewayReport) -> None:
    with store.transaction() as tx:
        gateways_table.put_reports(tx, "policy", reports)


def test_a_gateway_counts_for_a_minute(store: Store, tmp_path: Path) -> None:
    """One that died holds nothing up for longer, wherever it ran."""
    hear(store, report("far", 6, 100.0))
    write_report(tmp_path / "flags.json", report("near", 6, 130.0))
    assert [one.gateway for one in reach(store, tmp_path, 140.0).behind] == ["far", "near"]
    assert [one.gateway for one in reach(store, tmp_path, 165.0).behind] == ["near"]
    seen = reach(store, tmp_path, 131.0 + HEARD_SECONDS)
    assert (seen.complete, seen.gateways) == (True, ())
    assert "no gateway was heard of" in seen.sentence


def test_the_last_word_counts(store: Store, tmp_path: Path) -> None:
    """A gateway that follows is not behind any more."""
    hear(store, report("far", 6, 100.0))
    assert not reach(store, tmp_path, 101.0).complete
    hear(store, report("far", 7, 101.0))
    assert reach(store, tmp_path, 101.0).complete


def test_a_moment_is_no_problem(store: Store, tmp_path: Path) -> None:
    """Only who does not follow for a while is named among the problems."""
    hear(store, report("far", 6, 120.0))
    seen = reach(store, tmp_path, 120.0)
    assert seen.problem(100.0 + LATE_SECONDS / 2) is None
    assert "far on 6" in (seen.problem(101.0 + LATE_SECONDS) or "")


def test_without_a_daemon_nobody_is_forgotten(store: Store, tmp_path: Path) -> None:
    """Those on other hosts count as the last daemon knew them: what they act on nobody hears."""
    hear(store, report("far", 6, 100.0), report("died", 6, 100.0 - 2 * HEARD_SECONDS))
    silent = reach(store, tmp_path, 900.0, listening=False)
    assert [one.gateway for one in silent.behind] == ["far"]
    assert not silent.complete
    assert reach(store, tmp_path, 900.0).complete


def test_a_restarted_daemon_waits_for_those_that_were_there(store: Store, tmp_path: Path) -> None:
    """It was away for longer than a minute; they have a minute from its start to be heard again."""
    hear(store, report("far", 6, 100.0), report("died", 6, 100.0 - 2 * HEARD_SECONDS))
    with store.transaction() as tx:
        gateways_table.expect_again(tx, "policy", 900.0)
    assert [one.gateway for one in reach(store, tmp_path, 930.0).behind] == ["far"]
    assert reach(store, tmp_path, 901.0 + HEARD_SECONDS).complete


def test_a_report_is_withdrawn_and_rubbish_is_none(tmp_path: Path) -> None:
    """A gateway that ends in order is waited for no more; what somebody left there changes nothing."""
    flags = tmp_path / "flags.json"
    assert list(read_reports(flags)) == []
    write_report(flags, report("a", 1, 5.0))
    write_report(flags, report("a", 2, 6.0))
    (reports_folder(flags) / "x.json").write_bytes(b"{")
    (reports_folder(flags) / "y.json").write_bytes(b'{"gateway": "", "generation": 0, "at": 0}')
    assert list(read_reports(flags)) == [report("a", 2, 6.0)]
    withdraw_report(flags, "a")
    withdraw_report(flags, "a")
    assert list(read_reports(flags)) == []
