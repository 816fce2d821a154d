"""The benches measure everything that runs here, alike in what they compute, and name the rest."""

import importlib.util
import sys
from pathlib import Path

import bench_delta
import bench_heads
import bench_kernels
import bench_others
import bench_segment
import pytest
import torch
from bench_picture import draw
from bench_row import table

from rlwd.kernels.dispatch import segment_losses

SHAPE = (24, 8, 64, 0.5, True)
linux = pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")


@linux
def test_measures(tmp_path: Path) -> None:
    """Each provider's gradient is float64's to float32's rounding; table and picture show all."""
    names = [
        name for name in bench_kernels.providers(0.5, anchored=True) if name != "compiled_chunks"
    ]
    assert names == ["sweep", "rows", "eager", "chunks", "eager+all"]
    rows = [bench_kernels.measured(name, SHAPE, calls=(0, 1)) for name in names]
    assert all(row.seconds > 0 and row.peak_mb >= 0 for row in rows)
    assert all(row.error < 1e-3 for row in rows)
    assert [line.split("|")[3].strip() for line in table(rows)[2:]] == names
    draw(rows, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").stat().st_size > 1000


def test_tokens_without_loss_change_nothing() -> None:
    """Given every token, a provider makes the loss of those that carry one, and no other gradient."""
    task = bench_heads.draw(*SHAPE, "cpu", "float32")
    useful = task.cut(task.useful.nonzero()[:, 0])
    assert 0 < len(useful.targets) < len(task.targets)
    for provider in (bench_heads.eager, bench_heads.chunks):
        whole, part = provider(task), provider(useful)
        torch.testing.assert_close(whole, part)
        (grad,) = torch.autograd.grad(whole, task.hidden)
        assert not grad[~task.useful].any()
        assert grad[task.useful].any()


# Their warnings, and those of torch's compiler under them, are theirs.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", bench_others.OTHERS)
def test_other_heads(name: str) -> None:
    """A head of another package, where it is installed, makes plain PyTorch's loss and gradient."""
    if why := bench_others.missing(name):
        pytest.skip(why)
    task = bench_heads.draw(40, 128, 300, 0.5, False, "cpu", "float32")
    losses = [loss(task) for loss in (bench_others.OTHERS[name].run, bench_heads.eager)]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-4)
    got, wanted = (torch.autograd.grad(loss, task.hidden)[0] for loss in losses)
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.skipif(importlib.util.find_spec("verl") is None, reason="no package verl")
def test_verl_imports() -> None:
    """verl's head imports without verl's other needs; what it takes is what is given to it."""
    head = bench_others.verl_head()
    wanted = ("hidden", "weight", "labels", "temperature", "reduction")
    assert head.LinearCrossEntropy.forward.__code__.co_varnames[1:6] == wanted


def test_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A package that is not installed leaves its rows out, says so, and the others stay."""
    gone = bench_others.Other(run=bench_heads.eager, needs=("no_such_package",))
    monkeypatch.setattr(bench_kernels, "OTHERS", {"gone": gone})
    monkeypatch.setitem(bench_others.OTHERS, "gone", gone)
    assert bench_kernels.providers(0.5, anchored=False)[:4] == ["sweep", "rows", "eager", "chunks"]
    assert not [name for name in bench_kernels.providers(0.5, anchored=False) if "gone" in name]
    assert bench_kernels.run([], rounds=1, calls=(0, 1)) == []
    assert "gone: left out, no package no_such_package" in capsys.readouterr().err


def test_segments_agree() -> None:
    """Packed, padded and looped derivatives are one, of which some episodes are filtered out."""
    rows = bench_segment.measured(episodes=24, longest=9, repeats=1)
    assert [row["way"] for row in rows] == [*bench_segment.WAYS] * 3
    assert all(row["error"] < 1e-5 for row in rows)
    packed = bench_segment.draw(24, 9)
    kept = segment_losses(packed, bench_segment.OBJECTIVES[0]).kept
    assert 0 < int(kept.sum()) < 24


def test_delta_rebuilds() -> None:
    """The patch that is timed sends less than the weight and leaves the trainer's bits."""
    rows = {row["part"]: row for row in bench_delta.measured((64, 129), repeats=1)}
    assert rows["patch: check and write"]["wrong"] == 0
    assert rows["whole: copy"]["wrong"] == 0
    assert (
        0 < rows["patch: check and write"]["bytes"] < rows["whole: copy"]["bytes"] == 64 * 129 * 2
    )
    assert [line.split("|")[1].strip() for line in bench_delta.table([*rows.values()])[2:]] == [
        *rows
    ]
