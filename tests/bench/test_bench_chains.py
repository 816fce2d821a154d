"""The bench of chains: both ways make the same gradients, and the table has their ratio."""

from pathlib import Path

import bench_chains
from bench_batch import make_model

from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.state import Learner

SHAPE = {"vocab_size": 128, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}  # fmt: skip


def test_both_ways(tmp_path: Path) -> None:
    """A session of 20 turns of 40 tokens is 800 tokens in one sequence and 8,400 one by one."""
    make_model(tmp_path, SHAPE)
    settings = LearnerSettings(model=str(tmp_path), lora_rank=2, lora_alpha=2.0, pack_tokens=1024)
    ways = {
        "one sequence": Learner(settings),
        "one by one": bench_chains.OneByOne(settings),
    }
    *_, first, second, told = bench_chains.rows(ways, bench_chains.sessions(1, 128), 1)
    assert first.startswith("| one sequence | 800 | 1.00 |")
    assert second.startswith("| one by one | 8,400 | 10.50 |")
    assert float(told.rpartition(" ")[2]) < 1e-4
