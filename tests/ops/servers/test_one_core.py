"""One core: a vLLM server's processes are put where its worker is bound."""

import os
import subprocess
import sys
import time

import pytest

from rlwd.ops.servers.vllm_server import group_of, share_core

CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux alone")
def test_the_others_of_a_group_go_to_the_core_of_the_one_that_is_bound() -> None:
    """Where none is bound to one core nothing is changed."""
    mine = os.sched_getaffinity(0)
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, start_new_session=True
    ) as leader:
        while len(found := group_of(leader.pid)) < 2:
            time.sleep(0.01)
        share_core(found)
        if len(mine) > 1:
            assert [os.sched_getaffinity(one) for one in found] == [mine, mine]
        core = {max(mine)}
        child = next(one for one in found if one != leader.pid)
        os.sched_setaffinity(child, core)
        share_core(found)
        assert [os.sched_getaffinity(one) for one in found] == [core, core]
        leader.communicate(b"\n")
    assert group_of(leader.pid) == []
