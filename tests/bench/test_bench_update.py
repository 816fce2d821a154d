"""The bench of a whole update: every way makes the same update, TRL's trainer where it is installed."""

import csv
import sys
from pathlib import Path

import bench_trl
import bench_update
import pytest
from bench_batch import make_batch, make_model

from rlwd.kernels.dispatch import logp_head, token_loss
from rlwd.learner.train import loss
from rlwd.learner.train import state as learner_room

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
SHAPE = {"vocab_size": 128, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}  # fmt: skip


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bench_update, "CPU_MODEL", SHAPE)
    # What a way puts in the door's place is for its own process: here it is taken back.
    monkeypatch.setattr(loss, "token_loss", token_loss)
    monkeypatch.setattr(learner_room, "logp_head", logp_head)
    make_model(tmp_path, SHAPE)
    return tmp_path


@pytest.mark.parametrize("way", ["eager", "recomputed"])
def test_plain_pytorch_is_the_same_update(way: str, model: Path) -> None:
    """Plain PyTorch in the door's place gives the kernels' gradient."""
    ours = bench_update.measured("kernels", model, "mixed", 2)
    assert vars(loss)["token_loss"] is token_loss
    theirs = bench_update.measured(way, model, "mixed", 2)
    assert vars(loss)["token_loss"] is not token_loss
    assert theirs["grad_norm"] == pytest.approx(ours["grad_norm"], rel=1e-4)
    assert theirs["tokens_per_second"] > 0.0


@pytest.mark.skipif(bool(bench_trl.missing()), reason=bench_trl.missing())
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", bench_update.TRL_WAYS)
def test_trl_is_the_nearest_update(way: str, model: Path) -> None:
    """TRL's first gradient on the same episodes is ours, the two KL estimates' slopes apart."""
    ours = bench_update.measured("kernels", model, "mixed", 1)
    theirs = bench_update.measured(way, model, "mixed", 1)
    assert theirs["grad_norm"] == pytest.approx(ours["grad_norm"], rel=2e-2)


def test_batches() -> None:
    """Even episodes are of one length, mixed ones of many, and both have the same middle."""
    even, mixed = (
        [len(e.completion_token_ids) for e in make_batch(kind, 128, 64).episodes]
        for kind in ("even", "mixed")
    )
    assert set(even) == {64}
    assert len(set(mixed)) > 8
    assert sum(mixed) / len(mixed) == pytest.approx(64, rel=0.2)


def test_table() -> None:
    """The table holds medians, and what the kernels are to each way of the same case."""
    rows = [
        {"way": way, "batch": "even", "passes": 1, "device": "CPU", "tokens_per_second": speed,
         "tokens_per_cpu_second": speed, "peak_mb": peak, "grad_norm": 1.0}
        for way, speed, peak in [
            ("kernels", 300.0, 10.0), ("kernels", 200.0, 10.0), ("kernels", 250.0, 10.0),
            ("trl", 100.0, 40.0),
        ]
    ]  # fmt: skip
    (trl,) = csv.reader([bench_update.table(rows)[3].strip("| ")], delimiter="|")
    assert [cell.strip() for cell in trl] == [
        *("even, 1", "trl", "100", "100", "2.50", "40", "0.25", "1.000000")
    ]
