"""Spool folder removed, disk full, flag file gone: `rlwd audit` accounts for every answer served."""

import os
import shutil
import time
from pathlib import Path

import pytest
from audited_gateway import AuditedGateway, audited
from fake_engine import version
from gateway_rig import CHAT, HELLO, GatewayRig, wait_for

from rlwd.daemon.audit.audit import Audit
from rlwd.daemon.commands.erase import run_erase
from rlwd.daemon.spool import forwarder
from rlwd.daemon.wire_log import event_sink


def generations(found: Audit) -> tuple[int, int]:
    """Return how many generations are known and how many lost."""
    assert found.closes, found.problems
    rows = found.generations
    return sum(r.generations for r in rows), sum(r.lost_at_gateway for r in rows)


def feedback_taken(found: Audit) -> int:
    return sum(row.accepted for row in found.records if row.partition.startswith("rlwd.feedback/"))


def test_a_removed_spool_folder_loses_nothing(gateway: GatewayRig) -> None:
    """Answers and feedback acknowledged before and after the folder went are all in the ledger."""
    here = AuditedGateway(gateway)
    with here.life() as client:
        for number in range(60):
            if number % 20 == 10:
                # Aside first: the gateway makes the folder anew while its files are removed.
                shutil.rmtree(here.spool.rename(here.spool.with_name("removed")))
            name = here.ask(client, streamed=bool(number % 2))
            assert here.accept(client, name, f"f{number}") == 202
        assert client.get("/readyz").status_code == 200
    found = here.audit()
    assert generations(found) == (here.served, 0)
    assert feedback_taken(found) == here.accepted == 60


def test_a_full_disk_refuses_feedback_and_counts_answers(
    gateway: GatewayRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no room left people are answered, feedback is refused, and the audit knows what is lost.

    The count survives a restart of the gateway.
    """
    here = AuditedGateway(gateway)
    whole = os.write
    with here.life() as client:
        before = [here.ask(client) for _ in range(10)]

        def write(file: int, data: bytes) -> int:
            path = os.readlink(f"/proc/self/fd/{file}")
            if path.endswith(".seg"):
                raise OSError(28, "No space left on device")
            return whole(file, data)

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write)
            for number in range(20):
                here.ask(client, streamed=bool(number % 2))
                assert here.accept(client, before[0], f"full{number}") == 503
        for number in range(5):
            assert here.accept(client, here.ask(client), f"after{number}") == 202
    with here.life() as client:
        here.ask(client)
    found = here.audit()
    assert generations(found) == (16, 20)
    assert here.served == sum(row.served for row in found.generations) == 36
    assert feedback_taken(found) == here.accepted == 5
    assert found.lost_at_gateway


def test_a_disk_that_fills_in_mid_answer_loses_no_answer(
    gateway: GatewayRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that was admitted and whose end found no room ends as not captured, without a restart."""
    here = AuditedGateway(gateway)
    whole, fail = os.write, list[bool]()

    def write(file: int, data: bytes) -> int:
        path = os.readlink(f"/proc/self/fd/{file}")
        if fail and path.endswith(".seg"):
            raise OSError(28, "No space left on device")
        return whole(file, data)

    monkeypatch.setattr(os, "write", write)
    with here.life() as client:
        gateway.engine.pause = 0.1
        with client.stream("POST", CHAT, json={**HELLO, "stream": True}) as response:
            lines = response.iter_lines()
            next(lines)
            fail.append(True)
            for _ in lines:
                pass
        here.served += 1
        fail.clear()
        here.ask(client)
    found = here.audit()
    assert generations(found) == (here.served, 0)
    (row,) = found.generations
    assert row.fates.get("excluded:no_capture") == 1


@pytest.mark.parametrize("damage", ["removed", "truncated", "garbage"])
def test_flags_that_are_gone_stop_no_gateway(damage: str, gateway: GatewayRig) -> None:
    """Running or restarted, people are served by the champion that was; a new file is taken over."""
    here = AuditedGateway(gateway)
    gateway.set_flags(candidate=5000)

    def break_flags() -> None:
        if damage == "removed":
            gateway.flags.unlink(missing_ok=True)
        else:
            gateway.flags.write_bytes(b"{" if damage == "truncated" else b"\xff\x00")

    with here.life() as client:
        here.ask(client)
        break_flags()
        for _ in range(3):
            here.ask(client)
    with here.life() as client:
        assert client.get("/readyz").status_code == 200
        for number in range(10):
            body = {**HELLO, "user": f"u{number}"}
            response = client.post(CHAT, json=body)
            here.served += 1
            # Nobody meets a candidate by a file that may be long out of date.
            assert response.headers["X-Rlwd-Version"].partition("; ")[0] == version(2).version
        assert "rlwd_gateway_flag_problem 1.0" in client.get("/metrics").text
        gateway.set_flags()
        here.ask(client)
    assert generations(here.audit()) == (here.served, 0)


def test_the_audit_reads_what_0_1_0_counted(gateway: GatewayRig, tmp_path: Path) -> None:
    """Losses that an older gateway counted stay in the audit, also before a new one runs there."""
    here = AuditedGateway(gateway)
    here.spool.mkdir(parents=True)
    counted = '{"rlwd.generations|2026-11-20|champion": 7}'
    (here.spool / "tombstones.json").write_text(counted)
    assert generations(audited(here.config)) == (0, 7)
    with here.life() as client:
        here.ask(client)
    assert generations(here.audit()) == (1, 7)


def test_feedback_over_the_limit_is_refused_at_the_door(gateway: GatewayRig) -> None:
    """What would not fit into a record of the log is 413; in a list it alone."""
    here = AuditedGateway(gateway, max_feedback_bytes=20_000)
    with here.life() as client:
        name = here.ask(client)
        large = {"kind": "edited", "final_text": "x" * 30_000}
        post = {"generation_id": name, "feedback_id": "large", "signal": large}
        small = {**post, "feedback_id": "small", "signal": {"kind": "accepted"}}
        assert client.post("/v1/feedback", json=post).status_code == 413
        results = client.post("/v1/feedback", json=[post, small]).json()["results"]
        assert [one["status"] for one in results] == [413, 202]
    found = here.audit()
    assert generations(found) == (1, 0)
    assert feedback_taken(found) == 1
    assert not found.lost_at_gateway


def test_feedback_that_the_log_refuses_is_kept_and_can_be_erased(gateway: GatewayRig) -> None:
    """A broker with a smaller limit than ours loses nothing silently, and no copy outlives its person."""
    here = AuditedGateway(gateway)

    class FakeSmallLog:
        """The real log, but that it refuses what is over 20,000 bytes."""

        def __init__(self) -> None:
            self.sink = event_sink(here.config)

        def send(self, topic: str, key: str, value: bytes) -> None:
            if len(value) > 20_000:
                raise ValueError("too large")
            self.sink.send(topic, key, value)

        def flush(self, timeout_seconds: float) -> None:
            self.sink.flush(timeout_seconds)

        def close(self) -> None:
            self.sink.close()

    with here.life(FakeSmallLog) as client:
        name = here.ask(client)
        large = {"kind": "edited", "final_text": "x" * 30_000}
        post = {"generation_id": name, "feedback_id": "large", "signal": large}
        assert client.post("/v1/feedback", json=post).status_code == 202
    found = here.audit()
    assert generations(found) == (1, 0)
    assert [key.split("|")[0] for key in found.lost_at_gateway] == ["rlwd.feedback"]
    (kept,) = (here.spool / "oversize").iterdir()
    assert kept.stat().st_size > 30_000
    assert run_erase(here.config, "alice", hashed=False) == 0
    assert list((here.spool / "oversize").iterdir()) == []


def test_what_was_too_large_is_not_kept_for_ever(
    gateway: GatewayRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies older than `oversize_days` go when a gateway starts, and while it lives."""
    monkeypatch.setattr(forwarder, "EXPIRY_SECONDS", 0.2)
    here = AuditedGateway(gateway, oversize_days=1.0)
    folder = here.spool / "oversize"
    folder.mkdir(parents=True)
    for name, days in (("old", 2), ("new", 0)):
        (folder / f"{name}.json").write_text("{}")
        then = time.time() - days * 86_400
        os.utime(folder / f"{name}.json", (then, then))
    with here.life() as client:
        wait_for(lambda: not (folder / "old.json").exists())
        assert client.get("/livez").status_code == 200
        # One that grows old while nobody asks anything.
        os.utime(folder / "new.json", (then - 2 * 86_400, then - 2 * 86_400))
        wait_for(lambda: not (folder / "new.json").exists())
