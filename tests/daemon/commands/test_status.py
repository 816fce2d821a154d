"""`rlwd status`: what the state database says, whoever asks, and nothing is written."""

import time
from pathlib import Path

import msgspec
import orjson
import pytest
from daemon_by_hand import decide, fill, open_daemon_ledger
from ledger_by_hand import GENERATIONS, generation
from releases_by_hand import register, version
from rich.console import Console

from rlwd.daemon.commands.audit_report import run_audit
from rlwd.daemon.commands.status import print_status, status_document
from rlwd.daemon.config import Config, load_config
from rlwd.learner.ledger.batch_settings import BatchSettings
from rlwd.learner.ledger.seal import seal
from rlwd.ops.rollout.controller import RolloutController
from rlwd.ops.statistics.verdict import Verdict, VerdictKind
from rlwd.streams.readings.reading_tallies import add_tallies
from rlwd.streams.rescore.rescorings_table import Rescoring, put_rescoring
from rlwd.streams.state.lease import release_lease, take_lease


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A config with its state in a folder that is not there yet."""
    path = tmp_path / "rlwd.toml"
    path.write_text('[learner]\nmodel = "base"\n')
    return load_config(path)


def test_no_database_is_said_and_none_is_made(config: Config) -> None:
    """Asking before the first start names the path, and leaves no file behind."""
    with pytest.raises(ValueError, match=r"state/rlwd\.db: there is no state database"):
        print_status(config, as_json=False)
    assert not config.state_path.exists()


def test_another_database_is_said(config: Config) -> None:
    """A file without rlwd's tables gets a clear error."""
    config.state_path.mkdir()
    (config.state_path / "rlwd.db").touch()
    with pytest.raises(ValueError, match=r"is not a state database of this rlwd"):
        print_status(config, as_json=True)


def test_it_reads_while_the_daemon_runs_and_after(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """The JSON holds records, fates, ready episodes and the lease, beside an open writer too."""
    ledger = open_daemon_ledger(config.state_path / "rlwd.db")
    fill(ledger, 5)
    ledger.take(b"junk", generation("open", 2000.0), partition=GENERATIONS)
    held = take_lease(ledger.store, "policy", time.time())
    with ledger.store.transaction():
        print_status(config, as_json=True)
    document = orjson.loads(capsys.readouterr().out)
    assert document["records"]["generations/0"] == {
        "delivered": 7,
        "accepted": 6,
        "duplicate": 0,
        "dead_lettered": 1,
    }
    assert (document["fates"], document["generations"]) == ({"waiting": 6}, 6)
    assert (document["ready"], document["lease"]["alive"]) == (5, True)
    release_lease(ledger.store, held)
    ledger.store.close()
    print_status(config, as_json=True)
    assert orjson.loads(capsys.readouterr().out)["lease"]["alive"] is False


def test_shares_excluded_by_sampling_are_shown(config: Config) -> None:
    """Greedy, cut and bent answers are shares of all generations (CONTRACTS 7)."""
    ledger = open_daemon_ledger(config.state_path / "rlwd.db")
    fill(ledger, 6)
    decide(ledger, "greedy", 2000.0, sampling={"temperature": 0.0})
    decide(ledger, "cut", 2000.0, sampling={"top_p": 0.9})
    assert status_document(config, 0.0)["excluded_by_sampling"] == {
        "excluded:greedy": 0.125,
        "excluded:cut_sampling": 0.125,
        "excluded:constrained": 0.0,
        "excluded:raw_logprobs": 0.0,
    }


def test_what_was_too_old_is_compared_in_the_tables(config: Config) -> None:
    """Whether those who answer late differ from those who are learned from is said, once it is known."""
    ledger = open_daemon_ledger(config.state_path / "rlwd.db")
    fill(ledger, 4)
    for version_age in (8, 0):
        with ledger.store.transaction() as tx:
            batch = seal(
                tx,
                "policy",
                BatchSettings(episodes=4, held_out=0.0),
                parent_sequence=0,
                max_policy_age=4,
                age={"policy@v000000-00000000": version_age}.get,
                now=2000.0,
            )
        fill(ledger, 4, prefix="later")
    assert batch is not None
    ledger.store.close()
    assert status_document(config, 0.0)["too_old"]["taken"] == 4
    console = Console(width=160)
    with console.capture() as captured:
        print_status(config, as_json=False, console=console)
    assert "too old to learn from" in captured.get()
    assert "4 (50%): reward" in captured.get()


def test_the_tables_say_the_same(config: Config) -> None:
    """The page for people holds partitions, fates, shares and who is in charge."""
    ledger = open_daemon_ledger(config.state_path / "rlwd.db")
    fill(ledger, 3)
    decide(ledger, "greedy", 2000.0, sampling={"temperature": 0.0})
    console = Console(width=120)
    with console.capture() as captured:
        print_status(config, as_json=False, console=console)
    page = captured.get()
    for words in (
        "policy policy: no daemon was ever in charge",
        "generations/0",
        "excluded:greedy",
        "25.0% (greedy 25.0%",
        "ready episodes",
    ):
        assert words in page


def test_no_name_is_cut_on_a_narrow_terminal(
    config: Config, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody may have to copy stands in one piece at 80 columns, in status and audit."""
    ledger = open_daemon_ledger(config.state_path / "rlwd.db")
    fill(ledger, 3)
    decide(ledger, "cold", 2000.0, sampling={"temperature": 0.01})
    monkeypatch.setenv("COLUMNS", "80")
    print_status(config, as_json=False)
    assert "excluded:low_temperature" in capsys.readouterr().out
    run_audit(config, as_json=False)
    assert "excluded:low_temperature 1 " in capsys.readouterr().out


def test_the_gates_evidence_stays_with_its_version(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Outcome, reasons and numbers of the newest version that was judged, also once people met it."""
    ledger = open_daemon_ledger(config.state_path / "rlwd.db")
    controller = RolloutController("policy", config.rollout)
    one = version(1, tmp_path)
    register(ledger.store, controller, version(0, tmp_path))
    register(ledger.store, controller, one)
    verdict = Verdict(
        outcome=VerdictKind.PASS,
        reasons=("suite recitation: none of 8 planted strings is recited",),
        numbers={"gate/drift": 0.25, "suite/recitation/exposure_max": 2.5},
    )
    with ledger.store.transaction() as tx:
        controller.offer(tx, one, None, 1.0)
        controller.offer(tx, one, verdict, 1.0)
        controller.observe(tx, None, 1.0)
    ledger.store.close()
    (shown,) = status_document(config, 2.0)["versions"]
    assert shown["stage"] == "canary"
    assert shown["gate"]["numbers"]["gate/drift"] == 0.25
    print_status(config, as_json=False)
    page = " ".join(capsys.readouterr().out.split())
    assert f"Gate, {one.version}: PASS" in page
    assert "none of 8 planted strings is recited" in page
    assert "suite/recitation/exposure_max 2.5" in page


def test_readings_and_scoring_again_are_shown(tmp_path: Path) -> None:
    """Who reads, what waits, was read and was not; the judge's budget; what another spec scored."""
    path = tmp_path / "rlwd.toml"
    path.write_text(
        '[learner]\nmodel = "base"\n[satisfaction]\nreader = "judge"\n[satisfaction.judge]\n'
        'url = "http://127.0.0.1:1/v1"\nmodel = "m"\ncalls_per_day = 100\n'
    )
    config = load_config(path)
    ledger = open_daemon_ledger(config.state_path / "rlwd.db")
    fill(ledger, 3)
    with ledger.store.transaction() as tx:
        told = {"satisfied": 2, "neutral": 1, "too_late": 4, "calls": 60, "tokens": 700}
        add_tallies(tx, "policy", time.time(), told)
        tx.execute("INSERT INTO unread VALUES ('policy', 'g', 'm', '', 1.0)")
        put_rescoring(tx, "policy", Rescoring("default@0", 3, 1, 1, 1.0, None))
    ledger.store.close()
    console = Console(record=True, width=200)
    print_status(config, as_json=False, console=console)
    page = console.export_text()
    assert "1 wait, 3 read, 3 of them today; 4 not read (too_late 4)" in page
    assert "40 calls, 4999300 tokens left today" in page
    assert "2 to be looked at, 1 were; 3 that wait have a reward by another spec" in page
    document = status_document(config, time.time())
    assert document["reader"]["budget"]["left"] == {"calls": 40, "tokens": 4_999_300}
    assert (document["rescoring"]["left"], document["rescoring"]["others"]) == (2, 3)


def test_a_silent_reader_says_why(config: Config) -> None:
    """And a reward spec that cannot be read any more is named, and stops no status."""
    ledger = open_daemon_ledger(config.state_path / "rlwd.db")
    ledger.store.close()
    console = Console(record=True, width=200)
    gone = msgspec.structs.replace(config, reward_spec="/nowhere/spec.toml")
    print_status(gone, as_json=False, console=console)
    page = console.export_text()
    assert "learned, silent: nothing was learned yet" in page
    assert "/nowhere/spec.toml" in page
