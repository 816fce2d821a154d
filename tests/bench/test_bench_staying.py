"""The bench of staying: every way makes an update, and the table has its ratio."""

from pathlib import Path

import bench_staying
from bench_batch import make_batch, make_model
from test_bench_chains import SHAPE

from rlwd.learner.settings import LearnerSettings


def test_every_way(tmp_path: Path) -> None:
    """Each way has a row, and the first is what the others are held against."""
    make_model(tmp_path, SHAPE)
    settings = LearnerSettings(
        model=str(tmp_path), lora_rank=2, lora_alpha=2.0, pack_tokens=64, estimator="tracker"
    )
    batch = make_batch("mixed", 128, 4)
    ways = bench_staying.ways(settings, tmp_path, batch)
    head, _, first, *others = bench_staying.rows(ways, batch, 1)
    assert head.startswith("| an update with |")
    assert first.startswith("| none of them |")
    assert first.endswith("| 1.00 |")
    assert [row.split(" | ")[0].strip("| ") for row in others] == list(ways)[1:]
