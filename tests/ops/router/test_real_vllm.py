"""A router with a real vLLM for each version of full weights; two of them take a minute, so they are asked for."""

import importlib.util
import os
from pathlib import Path

import pytest
from router_process import CPU_VLLM, child_of, full_versions, load, router_for

from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.engine.port import Draw, prove

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not os.environ.get("RLWD_FULL_WEIGHTS_VLLM"), reason="RLWD_FULL_WEIGHTS_VLLM is not set"
    ),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed"),
]
TOLERANCE = 1e-3


def test_each_version_is_proven_on_a_vllm_of_its_own(tiny_policy: Path, tmp_path: Path) -> None:
    """v0 and a version of other weights are served side by side, each by its own bits and process."""
    versions = full_versions(tmp_path, tiny_policy)
    with router_for(tmp_path, tiny_policy, server="vllm", more=CPU_VLLM) as router:
        engine = HttpEngine(router.url, timeout_seconds=120.0)
        for version in versions:
            load(engine, version)
        proofs = [prove(engine, version, TOLERANCE) for version in versions]
        assert [one.reason for one in proofs] == ["", ""]
        pids = {child_of(one["pid"]) for one in router.servers().values()}
        assert len(pids) == 2
        draw = Draw(max_tokens=4, temperature=0.0)
        said = [engine.complete(one.version, (70, 71), draw) for one in versions]
        assert [one.tokens for one in said] == [4, 4]
        load_now = engine.busy()
        assert load_now is not None
        engine.close()
