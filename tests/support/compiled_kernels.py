"""Compile every Triton kernel for an NVIDIA architecture, on a machine without one, and count.

Run as a script with the architectures as arguments; prints JSON: for each kernel the registers, the
bytes of stack (spills) and how often each machine instruction occurs.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from rlwd.kernels import delta_kernel, logp_head, segment_loss
from rlwd.kernels.objective import TokenObjective

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
INSTRUCTION = re.compile(
    r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P[0-9T]+\s+)?([A-Z][A-Z0-9_.]*)", re.MULTILINE
)

# Every bound at once: what a preset leaves out makes the code shorter.
TOKEN = TokenObjective(
    ratio_cap=2.0, mask_below=0.2, mask_above=0.2, band_low=0.5, band_high=5.0,
    probability_mask=0.2, negative_weight=0.2, kl_weight=0.05,
)  # fmt: skip
HEAD = {
    **TOKEN.constants(), "KL": 0.05, "LIMIT": 20.0, "BLOCK": logp_head.BLOCK,
}  # fmt: skip
SEGMENT = {
    **TOKEN.constants(), "KL": 0.05, "FILTER": 3, "BOUND": 0.05,
    "NEGATIVES_ONLY": True, "SEQUENCE": True, "REFERENCE": 0.01, "DRIFT": 1e-3, "LIMIT": 20.0,
    "BLOCK": segment_loss.BLOCK,
}  # fmt: skip
BITS = {"new_ptr": "*i16", "old_ptr": "*i16", "values_ptr": "*i16", "weight_ptr": "*i16",
        "bits_ptr": "*i16", "indices_ptr": "*i32", "counts_ptr": "*i32", "ends_ptr": "*i64",
        "sums_ptr": "*i64"}  # fmt: skip
# Name: kernel, its constants, pointers that are not float32, warps.
KERNELS: dict[str, tuple[Any, dict[str, Any], dict[str, str], int]] = {
    f"head form {form} {'anchored' if anchored else 'alone'} {grad.removeprefix('*')}": (
        logp_head.head_rows,
        {**HEAD, "FORM": form, "ANCHORED": anchored},
        {"targets_ptr": "*i64", "first_ptr": grad, "second_ptr": grad},
        logp_head.WARPS,
    )
    for form, anchored, grad in [
        (0, True, "*bf16"), (1, False, "*bf16"), (1, True, "*bf16"), (2, True, "*bf16"),
        (3, True, "*bf16"), (2, True, "*fp32"),
    ]
} | {
    "policy gradient": (
        segment_loss.policy_gradient_rows, SEGMENT,
        {"bounds_ptr": "*i64", "kept_ptr": "*i8"}, segment_loss.WARPS,
    ),
    "kto": (
        segment_loss.kto_rows,
        {"BETA": 0.1, "DESIRABLE": 1.0, "UNDESIRABLE": 1.0, "BLOCK": segment_loss.BLOCK},
        {"bounds_ptr": "*i64", "desirable_ptr": "*i1"}, segment_loss.WARPS,
    ),
    "dpo": (
        segment_loss.dpo_rows,
        {"BETA": 0.1, "BY_LENGTH": True, "LIKELY": 0.1, "BLOCK": segment_loss.BLOCK},
        {"bounds_ptr": "*i64"}, segment_loss.WARPS,
    ),
    "count": (delta_kernel.count_rows, {"BLOCK": delta_kernel.BLOCK}, BITS, delta_kernel.WARPS),
    "write": (delta_kernel.write_rows, {"BLOCK": delta_kernel.BLOCK}, BITS, delta_kernel.WARPS),
    "scatter": (delta_kernel.scatter_rows, {"BLOCK": delta_kernel.BLOCK}, BITS, delta_kernel.WARPS),
    "digest": (
        delta_kernel.digest_rows,
        {"BLOCK": delta_kernel.BLOCK, "FIRST": -49064778989728563, "SECOND": -4265267296055464877},
        BITS, delta_kernel.WARPS,
    ),
}  # fmt: skip


# Older architectures: those that differ most.
FEWER = ("head form 1 anchored bf16", "head form 2 anchored bf16", "policy gradient", "write")


def compiled(name: str, architecture: int) -> dict[str, Any]:
    """Return what the kernel's machine code takes."""
    kernel, constants, types, warps = KERNELS[name]
    signature, aligned = {}, {}
    for place, argument in enumerate(kernel.arg_names):
        if argument in constants:
            signature[argument] = "constexpr"
            continue
        pointer = argument.endswith("_ptr")
        signature[argument] = types.get(argument, "*fp32") if pointer else "i32"
        # What is found out at a launch: pointers from torch, a vocabulary of 151,936, its strides.
        if argument not in ("rows", "count"):
            aligned[(place,)] = [["tt.divisibility", 16]]
    made = triton.compile(
        ASTSource(kernel, signature, constants, aligned),
        target=GPUTarget("cuda", architecture, 32),
        options={"num_warps": warps},
    )
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        use, listing = (
            subprocess.run(
                [TOOLS / "cuobjdump", flag, file.name], capture_output=True, text=True, check=True
            ).stdout
            for flag in ("-res-usage", "-sass")
        )
    return {
        "registers": int(re.findall(r"REG:(\d+)", use)[0]),
        "stack": int(re.findall(r"STACK:(\d+)", use)[0]),
        "instructions": Counter(INSTRUCTION.findall(listing)),
    }


if __name__ == "__main__":
    wanted = [int(argument) for argument in sys.argv[1:]]
    chosen = {a: KERNELS if a >= 90 else FEWER for a in wanted}
    made = {f"sm_{a}": {name: compiled(name, a) for name in names} for a, names in chosen.items()}
    print(json.dumps(made))
