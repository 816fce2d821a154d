"""Processor: whether these cores compute bfloat16 themselves."""

from pathlib import Path

import pytest

from rlwd.ops.servers.processor import has_bfloat16


@pytest.mark.parametrize(
    ("told", "has"),
    [
        ("flags\t\t: fpu avx2 fma avx512_bf16 avx512f\n", True),
        ("flags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("model name\t: bf16\nflags\t\t: fpu avx2 fma avx512f\n", False),
        ("", False),
    ],
)
def test_a_processor_is_known_by_its_flags(tmp_path: Path, told: str, has: bool) -> None:
    """Those of x86 and of ARM, as Linux tells them; a name is no flag."""
    info = tmp_path / "cpuinfo"
    info.write_text(told)
    assert has_bfloat16(info) is has


def test_where_nothing_is_told_there_is_none(tmp_path: Path) -> None:
    """Another system than Linux has no such file: float32 is right everywhere."""
    assert not has_bfloat16(tmp_path / "none")
