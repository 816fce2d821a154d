"""The Triton kernels compile for Hopper and Ampere on this machine, and to the code that was meant.

In a process of its own: the interpreter cannot share one with the compiler.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "support" / "compiled_kernels.py"
# Programs of 8 warps to a multiprocessor of 65,536 registers: 80 lets three in, 128 two.
REGISTERS = {"head": 80, "policy": 64, "kto": 40, "dpo": 40, "count": 40, "write": 128,
             "scatter": 64, "digest": 40}  # fmt: skip
# Instructions on float64. DEPBAR and the like are none.
DOUBLE = (
    "DADD",
    "DMUL",
    "DFMA",
    "DSETP",
    "DMNMX",
    "F2F.F64",
    "F2F.F32.F64",
    "I2F.F64",
    "MUFU.RCP64",
)


@pytest.fixture(scope="module")
def machine_code(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    pytest.importorskip("triton")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    cache = str(tmp_path_factory.mktemp("triton"))
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), "90", "80"],
        env={**environment, "TRITON_CACHE_DIR": cache, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    made: dict[str, Any] = json.loads(ran.stdout)
    return made


@pytest.mark.parametrize("architecture", ["sm_90", "sm_80"])
def test_compiles_without_spills(machine_code: dict[str, Any], architecture: str) -> None:
    """No kernel keeps anything on a stack, and registers leave room for the programs counted on."""
    for name, made in machine_code[architecture].items():
        assert made["stack"] == 0, name
        assert not [i for i in made["instructions"] if i.startswith(("STL", "LDL"))], name
        assert made["registers"] <= REGISTERS[name.split()[0]], (name, made["registers"])


@pytest.mark.parametrize("architecture", ["sm_90", "sm_80"])
def test_no_float64(machine_code: dict[str, Any], architecture: str) -> None:
    """A Python number has turned no sum into float64, where a GPU is slow."""
    for name, made in machine_code[architecture].items():
        assert not [i for i in made["instructions"] if i.startswith(DOUBLE)], name


@pytest.mark.parametrize("architecture", ["sm_90", "sm_80"])
def test_wide_loads(machine_code: dict[str, Any], architecture: str) -> None:
    """Logits are read, and gradients and weights moved, 16 bytes at a time."""
    kernels = machine_code[architecture]
    for name, made in kernels.items():
        wide = sum(n for i, n in made["instructions"].items() if i.startswith("LDG.E.128"))
        narrow = {i: n for i, n in made["instructions"].items() if i.startswith("LDG")}
        if name.startswith("head"):
            passes = 1 if "form 0" in name else 2
            # Whole blocks and the ragged one, two loads of four numbers each, of one matrix or two.
            assert wide == passes * 4 * (2 if "anchored" in name else 1), (name, narrow)
            stores = made["instructions"].get("STG.E.128", 0)
            assert stores >= (0 if passes == 1 else 2), name
        if name in ("count", "write", "digest"):
            assert wide >= (1 if name == "digest" else 2), (name, narrow)
