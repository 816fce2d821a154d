"""The Triton kernels, run by Triton's interpreter on this CPU, pass the reference's own tests.

In a process of their own: TRITON_INTERPRET must be set before a kernel is imported, and nothing can
be compiled in the same process afterwards. float32 and float64 only: for bfloat16 it is wrong.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SUITES = (
    "kernels/test_logp_head",
    "kernels/test_segment_loss",
    "kernels/test_delta",
    "learner/train/test_trust_region",
)
"""In one process: each would import torch, triton and transformers again."""


@pytest.mark.skipif(
    os.environ.get("TRITON_INTERPRET") == "1", reason="this is the interpreted process itself"
)
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
@pytest.mark.timeout(1200)
def test_contract() -> None:
    """Every test of the files passes with the interpreted kernels behind the door."""
    # The interpreter subtracts infinities in lanes that are masked out afterwards.
    quiet = ("-W", "ignore:invalid value encountered:RuntimeWarning")
    asked = (
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *quiet,
        *(str(HERE.parent / f"{suite}.py") for suite in SUITES),
    )
    ran = subprocess.run(
        [sys.executable, *asked],
        env={
            **os.environ,
            "TRITON_INTERPRET": "1",
            "RLWD_KERNELS": "interpret",
            "OMP_NUM_THREADS": "1",
        },
        cwd=HERE.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    assert " passed" in ran.stdout
