"""Bench of staying: what the contextual baseline, drift probes, replay and the average add to an update.

`python -m bench_staying` applies one batch in each way, in turns, and prints processor time beside that
of an update with none of them.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import bench_meter
import msgspec
import torch
from bench_batch import CPU_MODEL, GPU_MODEL, make_batch, make_model

from rlwd.learner.drift_settings import DriftSettings
from rlwd.learner.replay_settings import ReplaySettings
from rlwd.learner.sealed import SealedBatch
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.staying.learning import Learning
from rlwd.learner.train.state import Learner
from rlwd.learner.train.update import apply_batch

Apply = Callable[[SealedBatch], object]


def ways(settings: LearnerSettings, texts: Path) -> dict[str, Apply]:
    """Return an update with none of them first, then with each alone; replay has its probes beside it."""
    probes = DriftSettings(probes=str(texts))

    def bare(**changes: object) -> Apply:
        learner = Learner(msgspec.structs.replace(settings, **changes))
        return lambda batch: apply_batch(learner, batch)

    def whole(**changes: object) -> Apply:
        return Learning(msgspec.structs.replace(settings, **changes)).apply

    return {
        "none of them": bare(),
        "contextual baseline": bare(estimator="contextual"),
        "average": bare(average=0.5),
        "drift probes": whole(drift=probes),
        "drift probes and replay": whole(drift=probes, replay=ReplaySettings(texts=str(texts))),
    }


def rows(ways: dict[str, Apply], batch: SealedBatch, rounds: int) -> list[str]:
    """Return Markdown: processor seconds of an update, medians, beside the first way's."""
    spent: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds + 1):
        for way in list(ways)[:: 1 if turn % 2 == 0 else -1]:
            took = bench_meter.timed(lambda w=way: ways[w](batch))  # type: ignore[misc]
            if turn:  # The first round only warms up.
                spent[way].append(took.cpu_seconds)
    found = ["| an update with | CPU s | to none of them |", "| --- " * 3 + "|"]
    first = statistics.median(next(iter(spent.values())))
    for way, seconds in spent.items():
        middle = statistics.median(seconds)
        found.append(f"| {way} | {middle:.2f} | {middle / first:.2f} |")
    return found


def main() -> None:
    """Run all ways and print a row each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--middle", type=int, default=64, help="tokens of a prompt or completion")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    shape = GPU_MODEL if torch.cuda.is_available() else CPU_MODEL
    with tempfile.TemporaryDirectory() as folder:
        make_model(Path(folder), shape)
        settings = LearnerSettings(
            model=folder, lora_rank=8, lora_alpha=8.0, pack_tokens=1024, estimator="tracker"
        )
        batch = make_batch("mixed", shape["vocab_size"], asked.middle)
        texts = anchor_texts(Path(folder), batch)
        print("\n".join(rows(ways(settings, texts), batch, asked.rounds)))


def anchor_texts(folder: Path, batch: SealedBatch) -> Path:
    """Write the batch's answers as texts to replay: as long as what is learned from."""
    path = folder / "texts.jsonl"
    lines = [
        msgspec.json.encode({"token_ids": (*one.prompt_token_ids, *one.completion_token_ids)})
        for one in batch.episodes
    ]
    path.write_bytes(b"\n".join(lines))
    return path


if __name__ == "__main__":
    main()
