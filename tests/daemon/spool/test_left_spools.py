"""What lies about in and beside the spools of workers that are gone, when a gateway takes them over."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from gateway_rig import CHAT, HELLO, GatewayRig, LoopThread, wait_for

from rlwd.daemon.spool import left_spools
from rlwd.daemon.spool.lost import NAME
from rlwd.daemon.spool.worker_folders import all_spools


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayRig]:
    with closing(LoopThread()) as loop, ExitStack() as stack:
        rig = GatewayRig(tmp_path, loop, stack)
        rig.set_flags()
        yield rig


def leave(gateway: GatewayRig, name: str) -> str:
    """Have a worker's life answer once, with the log away; return the answer's id."""
    gateway.sink.away = True
    with ExitStack() as life:
        client = gateway.open(life=life, spool=str(gateway.folder / name))
        answer: str = client.post(CHAT, json=HELLO).json()["id"]
    gateway.sink.away, gateway.sink.queue = False, []
    return answer


def test_what_is_none_of_ours_stops_no_take_over_and_stays(
    gateway: GatewayRig, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files and folders of other names in a spool are left alone, and so is a copy of a spool beside it."""
    left = [leave(gateway, name) for name in ("spool-w2", "spool-w3", "spool-w2.bak")]
    strange = [
        gateway.folder / folder / name
        for folder in ("spool", "spool-w2")
        for name in ("x.seg", "7.seg", "000000000099.seg")
    ]
    for path in strange:
        path.parent.mkdir(exist_ok=True)
        path.mkdir() if path.stem.endswith("99") else path.write_bytes(b"somebody's own")
    with ExitStack() as life:
        client = gateway.open(life=life)
        answer = client.post(CHAT, json=HELLO).json()["id"]
        sent = {one.generation_id for one in gateway.sink.generations(3)}
    assert sent == {*left[:2], answer}
    assert all(path.exists() for path in strange)
    assert any(one.stat().st_size for one in (gateway.folder / "spool-w2.bak").glob("*.seg"))
    assert capsys.readouterr().out.count("no_segment_of_ours") == len(strange)


def test_a_spool_that_cannot_be_opened_at_first_is_taken_over_later(
    gateway: GatewayRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it failed nothing holds it any more, so that it opens once the cause is gone."""
    monkeypatch.setattr(left_spools, "RETRY_SECONDS", 0.05)
    wanted = leave(gateway, "spool-w2")
    counts = gateway.folder / "spool-w2" / NAME
    counts.unlink()
    counts.mkdir()  # Nobody can count there what is lost.
    with ExitStack() as life:
        client = gateway.open(life=life)
        first = client.post(CHAT, json=HELLO).json()["id"]
        assert [one.generation_id for one in gateway.sink.generations(1)] == [first]
        counts.rmdir()
        assert {one.generation_id for one in gateway.sink.generations(2)} == {first, wanted}
        wait_for(lambda: not any(one.stat().st_size for one in counts.parent.glob("*.seg")))


def test_a_copy_of_a_spool_is_no_gateways(tmp_path: Path) -> None:
    """What commands read of every gateway are its own, those of ports and of workers, each by its whole name."""
    theirs = ["spool", "spool-8001", "spool-8001-w2", "spool-w2"]
    for name in (*theirs, "spool-8001.bak", "spool-w2.old", "spool-2026-11-27", "spool-wide"):
        (tmp_path / name).mkdir()
    assert [one.name for one in all_spools(tmp_path / "spool")] == theirs
