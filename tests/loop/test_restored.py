"""A state that is lost and restored, on real Kafka: against a newer log, and against one that lost records.

The loop learns, is backed up while it runs, learns on, and loses its folder. What comes back knows
nothing of the versions that were made since; engine and log do.
"""

import shutil
from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient
from kafka_server import KafkaServer
from loop_processes import LoopProcesses
from procedures_only import PROCEDURES

from rlwd.daemon.audit.audit import Audit, audit
from rlwd.daemon.backup.backup import make_backup
from rlwd.daemon.backup.backup_manifest import BackupManifest
from rlwd.daemon.backup.restore import restore
from rlwd.daemon.commands.accept_gap import run_accept_gap
from rlwd.daemon.store import state_view
from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.servers.embedded_server import EmbeddedServer
from rlwd.streams.join.fate import TOO_OLD, WAITING

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.timeout(900),
    PROCEDURES,
]

POLICY = "restored"


def audited(loop: LoopProcesses) -> Audit:
    manifests = read_manifests(loop.config.state_path / "checkpoints")
    with state_view(loop.config.state_database) as view:
        return audit(view, POLICY, manifests, loop.config.spools)


def lose(loop: LoopProcesses) -> None:
    """Stop everything, and remove all that the daemon wrote; the gateway's spool is another disk."""
    loop.stop()
    for path in loop.config.state_path.iterdir():
        if not path.name.startswith(("spool", "flags")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def served(loop: LoopProcesses) -> str:
    flags = read_flags(loop.config.flags_path)
    return "" if flags is None else flags.champion.version


def known(loop: LoopProcesses) -> set[str]:
    """Return the versions that the state knows."""
    return {row[0] for row in loop.ask("SELECT version FROM checkpoints")}


def fates_of(loop: LoopProcesses, version: str) -> dict[str, int]:
    """Return how what a version answered ended, and how often."""
    counted = "SELECT fate, COUNT(*) FROM episodes WHERE version = ? GROUP BY fate"
    return dict(loop.ask(counted, version))


def test_a_restored_state_goes_on_from_the_log(
    styled_policy: Path, kafka_server: KafkaServer, tmp_path: Path
) -> None:
    """Users go back to the restored champion, what the log holds is read, and the books close."""
    topics = [f"{POLICY}.{name}" for name in ("generations", "feedback", "deadletter")]
    kafka_server.create_topics(topics, partitions=2)
    with EmbeddedServer(styled_policy, tmp_path) as engine:
        loop = LoopProcesses(
            tmp_path,
            styled_policy,
            policy=POLICY,
            engine=engine,
            kafka=kafka_server.bootstrap,
            mlflow="",
        )
        with loop.settled_in():
            backup = tmp_path / "backup"
            made = make_backup(loop.config, loop.path, backup)
            before, had = loop.status()["generations"], known(loop)
            assert made.champion == loop.promoted()[-1]
            # The backup may hold a candidate of its own: the champion has to be a later one.
            crowd = loop.crowd_until(lambda _: served(loop) not in had)
            lost = served(loop)
            answers = before + len(crowd.tally.answers)
            loop.settle(answers)
            against_a_newer_log(loop, backup, had, lost, answers)
            against_an_older_log(loop, made, backup, kafka_server)


def against_a_newer_log(
    loop: LoopProcesses, backup: Path, had: set[str], lost: str, answers: int
) -> None:
    """All that came since is read again; the version that the state does not know serves nobody."""
    lose(loop)
    assert served(loop) == lost, "the flag file is the gateways', and says what it said"
    restore(loop.config, backup)
    assert lost not in known(loop)
    loop.start()
    loop.until(lambda: served(loop) != lost)
    engine = HttpEngine(loop.engine.url)
    loop.until(lambda: lost not in engine.loaded())
    engine.close()
    loop.settle(answers)
    crowd = loop.crowd_until(
        lambda crowd: (
            len(crowd.tally.answers) >= 20
            and bool(known(loop) - had)
            and TOO_OLD in fates_of(loop, lost)
        )
    )
    assert crowd.tally.failed == 0
    assert {answer.version for answer in crowd.tally.answers} <= known(loop)
    answers += len(crowd.tally.answers)
    loop.settle(answers)
    # Its number is given again, and its name is not; nothing is learned from what it answered.
    assert lost not in known(loop)
    assert fates_of(loop, lost).keys() <= {TOO_OLD, WAITING}
    assert loop.ask("SELECT DISTINCT batch_id FROM episodes WHERE version = ?", lost) == [(None,)]
    found, status = audited(loop), loop.status()
    assert found.problems == ()
    assert status["generations"] == sum(status["fates"].values()) == answers
    assert all(counts["duplicate"] == 0 for counts in status["records"].values())
    assert len(loop.applied()) == len(set(loop.applied()))


def against_an_older_log(
    loop: LoopProcesses, made: BackupManifest, backup: Path, kafka_server: KafkaServer
) -> None:
    """What retention took from behind the backup stops its partition by name, until it is given up."""
    lose(loop)
    ends = {
        TopicPartition(name, index): made.offsets[f"{name}/{index}"] + 3
        for name in (f"{POLICY}.generations", f"{POLICY}.feedback")
        for index in (0, 1)
    }
    admin = KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
    admin.delete_records(ends)
    admin.close()
    restore(loop.config, backup)
    loop.daemon.spawn()  # not ready before the gaps are accepted
    names = {f"{each.topic}/{each.partition}": offset for each, offset in ends.items()}
    wanted = [f"rlwd accept-gap {name} {offset}" for name, offset in names.items()]
    loop.until(lambda: all(each in str(loop.problems()) for each in wanted))
    for name, offset in names.items():
        run_accept_gap(loop.config, name, offset)
    loop.until(lambda: "outside the log" not in str(loop.problems()))
    loop.until(lambda: audited(loop).gaps == dict.fromkeys(names, 3))
    loop.settle(made.rows["episodes"])
    assert audited(loop).problems == ()
