"""`rlwd doctor` asks the judge a trial question, and says what is wrong with it before people wait."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_by_hand import open_daemon_ledger
from gateway_rig import LoopThread
from scripted_judge import ScriptedJudge

from rlwd.daemon.config import Config, load_config
from rlwd.daemon.doctor.doctor_readers import check_readers
from rlwd.streams.readings.reading_tallies import add_tallies


@pytest.fixture
def judge() -> Iterator[ScriptedJudge]:
    loop, served = LoopThread(), ScriptedJudge()
    loop.run(served.start())
    yield served
    loop.run(served.runner.cleanup())
    loop.close()


def config_of(folder: Path, judge: ScriptedJudge, more: str = 'tenants = ["*"]') -> Config:
    path = folder / "rlwd.toml"
    path.write_text(
        f'[learner]\nmodel = "base"\n[satisfaction]\nreader = "judge"\n[satisfaction.judge]\n'
        f'url = "{judge.url}"\nmodel = "m"\n{more}\n'
    )
    return load_config(path)


def lines(config: Config) -> list[str]:
    return [one.line for one in check_readers(config)]


def test_a_judge_that_reads_rightly(tmp_path: Path, judge: ScriptedJudge) -> None:
    """And what of the day's budget is spent."""
    config = config_of(tmp_path, judge)
    ledger = open_daemon_ledger(config.state_path / "rlwd.db")
    with ledger.store.transaction() as tx:
        add_tallies(tx, "policy", time.time(), {"calls": 12, "tokens": 340})
    ledger.store.close()
    first, second = lines(config)
    assert first == f"ok    judge: m at {judge.url} reads a trial message rightly"
    assert "12 of 10000 calls and 340 of 5000000 tokens of today are spent" in second
    assert len(judge.asked) == 1


@pytest.mark.parametrize(
    ("says", "seen"),
    [
        ("<think>Well, the person", "to a trial question it says '<think>Well, the person'"),
        ("satisfied", "It is still not sorted.' to be satisfied"),
    ],
)
def test_a_judge_that_reads_wrongly(
    tmp_path: Path, judge: ScriptedJudge, says: str, seen: str
) -> None:
    """What it answered is shown, with what to do."""
    judge.script = lambda body, number: says
    (line,) = lines(config_of(tmp_path, judge))
    assert line.startswith("warn  judge: ")
    assert seen in line


def test_a_judge_that_fails_or_may_be_sent_nothing(tmp_path: Path, judge: ScriptedJudge) -> None:
    """Status, and the leave that nobody gave."""
    judge.status = lambda number: 401
    leave, trial = lines(config_of(tmp_path, judge, "tenants = []"))
    assert "satisfaction.judge.tenants is empty: nothing is sent" in leave
    assert f"{judge.url}: status 401" in trial


def test_a_model_that_is_not_there_is_named(tmp_path: Path, judge: ScriptedJudge) -> None:
    """Beside those that are."""
    judge.models = ["other"]
    found = lines(config_of(tmp_path, judge))
    assert f"{judge.url} has no model 'm'; it has other" in found[0]


def test_a_spent_budget_is_a_warning(tmp_path: Path, judge: ScriptedJudge) -> None:
    """Until tomorrow texts wait."""
    config = config_of(tmp_path, judge, 'tenants = ["*"]\ncalls_per_day = 12')
    ledger = open_daemon_ledger(config.state_path / "rlwd.db")
    with ledger.store.transaction() as tx:
        add_tallies(tx, "policy", time.time(), {"calls": 12})
    ledger.store.close()
    assert lines(config)[-1].startswith("warn  judge's budget: 12 of 12 calls")
