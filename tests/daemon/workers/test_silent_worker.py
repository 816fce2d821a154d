"""What a gateway says of a worker that answers nobody."""

import os
from contextlib import ExitStack, closing
from pathlib import Path

from gateway_rig import GatewayRig, LoopThread

from rlwd.daemon.supervisor.kept_sockets import listening_sockets
from rlwd.daemon.workers.peers import Peers
from rlwd.daemon.workers.shared_counts import SharedCounts
from rlwd.daemon.workers.worker import GatewayWorker, SharedSocket
from rlwd.ops.servers.process import LOOPBACK


def test_one_that_dies_before_it_serves_is_counted(tmp_path: Path) -> None:
    """Its starts are on the page of those that answer, and the gateway is not ready without it."""
    with closing(LoopThread()) as loop, ExitStack() as stack:
        rig = GatewayRig(tmp_path, loop, stack)
        rig.set_flags()
        counts = SharedCounts(2, [], tmp_path)
        for one in (1, 2, 2, 2):
            counts.begin(one)
        counts.note_serving(1)
        life, write = os.pipe()
        stack.callback(os.close, life)
        stack.callback(os.close, write)
        worker = GatewayWorker(
            number=1,
            sockets=[SharedSocket(fileno=one.detach()) for one in listening_sockets(LOOPBACK, 0)],
            peers=Peers(["gateway-w1", "gateway-w2"]),
            counts=counts,
            keep_key=b"key",
            left=(),
            parent=life,
        )
        client = rig.open(worker=worker)
        page = client.get("/metrics").text
        assert 'rlwd_gateway_worker_starts_total{worker="1"} 1.0' in page
        assert 'rlwd_gateway_worker_starts_total{worker="2"} 3.0' in page
        assert 'rlwd_gateway_connections{worker="2"}' not in page
        assert page.count("# TYPE rlwd_gateway_worker_starts_total counter") == 1
        assert client.get("/readyz").json()["reasons"] == ["worker gateway-w2: does not answer"]
