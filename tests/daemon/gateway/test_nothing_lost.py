"""Spool folder removed, disk full, flag file gone: `rlwd audit` accounts for every answer served."""

import os
import shutil
from pathlib import Path

import pytest
from audited_gateway import AuditedGateway, audited
from fake_engine import version
from gateway_rig import CHAT, HELLO, GatewayRig

from rlwd.daemon.audit.audit import Audit


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
                shutil.rmtree(here.spool)
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
            assert response.headers["X-Rlwd-Version"] == version(2).version
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
