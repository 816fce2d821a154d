"""The door's choice: by device, dtype and RLWD_KERNELS, and never one that would be wrong."""

import pytest
import torch
from heads_by_hand import draw

from rlwd.kernels.dispatch import chosen_kernels, logp_head

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset or `auto`: Triton for what it was written for on CUDA, else plain PyTorch."""
    for value in ("", "auto"):
        monkeypatch.setenv("RLWD_KERNELS", value)
        assert chosen_kernels(CPU, torch.float32) == "reference"
        assert chosen_kernels(CUDA, torch.bfloat16) == "triton"
        assert chosen_kernels(CUDA, torch.float32) == "triton"
        assert chosen_kernels(CUDA, torch.float64) == "reference"
        assert chosen_kernels(CUDA, torch.float16) == "reference"


def test_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name forces that one, where it can run."""
    monkeypatch.setenv("RLWD_KERNELS", "reference")
    assert chosen_kernels(CUDA, torch.bfloat16) == "reference"
    monkeypatch.setenv("RLWD_KERNELS", "triton")
    assert chosen_kernels(CUDA, torch.bfloat16) == "triton"


@pytest.mark.parametrize(
    ("name", "interpret", "dtype", "problem"),
    [
        ("fastest", "1", torch.float32, "'fastest' is not one of auto, triton, reference"),
        ("triton", "1", torch.float32, "needs a CUDA device, not cpu"),
        ("interpret", "0", torch.float32, "needs TRITON_INTERPRET=1 from the start"),
        ("interpret", "1", torch.bfloat16, "silently wrong for torch.bfloat16"),
    ],
)
def test_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, interpret: str, dtype: torch.dtype, problem: str
) -> None:
    """What cannot run, or would be wrong, is refused through the door, naming the variable."""
    monkeypatch.setenv("RLWD_KERNELS", name)
    monkeypatch.setenv("TRITON_INTERPRET", interpret)
    with pytest.raises(ValueError, match=f"RLWD_KERNELS: .*{problem}"):
        logp_head(*draw(2, 3, 4, dtype))
