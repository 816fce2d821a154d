"""The bench measures every provider that runs here, alike in what they compute."""

import sys
from pathlib import Path

import pytest

from rlwd.kernels import bench
from rlwd.kernels.bench_picture import draw
from rlwd.kernels.bench_row import table

SHAPE = (24, 8, 64, 0.5, True)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_measures(tmp_path: Path) -> None:
    """Each provider's gradient is float64's to float32's rounding; table and picture show all."""
    names = [name for name in bench.providers(0.5, anchored=True) if name != "compiled_chunks"]
    assert names == ["sweep", "rows", "eager", "chunks", "eager+all"]
    rows = [bench.measured(name, SHAPE, repeats=1) for name in names]
    assert all(row.seconds > 0 and row.peak_mb >= 0 for row in rows)
    assert all(row.error < 1e-3 for row in rows)
    assert [line.split("|")[3].strip() for line in table(rows)[2:]] == names
    draw(rows, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").stat().st_size > 1000
