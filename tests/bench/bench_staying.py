"""Bench of staying: what the contextual baseline, drift probes, replay and the average add to an update.

`python -m bench_staying` applies one batch in each way, in turns, and prints processor time beside that
of an update with none of them.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Sequence
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
PROBES, PROBE_TOKENS = 8, 32
"""As the built-in probes: eight short texts."""


def ways(settings: LearnerSettings, folder: Path, batch: SealedBatch) -> dict[str, Apply]:
    """Return an update with none of them first, then with each alone; replay has its probes beside it."""
    whole_answers = [(*e.prompt_token_ids, *e.completion_token_ids) for e in batch.episodes]
    replay = ReplaySettings(texts=write_texts(folder / "texts.jsonl", whole_answers))
    short = [ids[:PROBE_TOKENS] for ids in whole_answers[:PROBES]]
    probes = DriftSettings(probes=write_texts(folder / "probes.jsonl", short))

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
        "drift probes and replay": whole(drift=probes, replay=replay),
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
        print("\n".join(rows(ways(settings, Path(folder), batch), batch, asked.rounds)))


def write_texts(path: Path, texts: Sequence[Sequence[int]]) -> str:
    """Write texts as the learner reads them; return the path."""
    path.write_bytes(b"\n".join(msgspec.json.encode({"token_ids": list(ids)}) for ids in texts))
    return str(path)


if __name__ == "__main__":
    main()
