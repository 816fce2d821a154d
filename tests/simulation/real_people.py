"""Real people: `python -m real_people --data FOLDER --out FOLDER` learns from some people's decisions and
tests on the others'.

FOLDER of the data (or `$RLWD_DATA`) holds `copilot_telemetry.jsonl`, of any people. Each fold of people is
held out in turn. A fold's result is a file in the output folder; a fold that has one is not run again, so
that what was broken off goes on. docs/real_people.md says what came of it.
"""

import argparse
import functools
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from real_decisions import Decision, decisions, folds_of, recorded_events, speller
from real_learning import FoldResult, learn_fold
from real_report import draw, report, table

from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.open_models.fetch import ModelNotHad, open_model
from rlwd.learner.settings import LearnerSettings
from rlwd.ops.servers.processor import fast_dtype
from rlwd.streams.events.generation import Generation
from rlwd.streams.state.durable import replace_file

SETTINGS = LearnerSettings(
    device="cpu",
    dtype="bfloat16",
    lora_rank=8,
    lora_alpha=16.0,
    learning_rate=2e-3,
    eps=1e-5,
    warmup_steps=4,
    passes=2,
    minibatch_episodes=32,
    negative_weight=0.2,
    pack_tokens=512,
    rows_per_forward=4,
    max_episode_tokens=256,
    threads=1,
    lanes=LaneSettings(dpo=0.0),
)
"""A small model's (as the first run on SmolLM2 had them), chosen before anything was measured here. Short
rows: attention over a packed row costs as its square, and here a prompt and its suggestion are 140
tokens. bfloat16 is for a processor that has it: others take float32, unless `--dtype` says so."""
FOLDS = 4
PROMPT_TOKENS, SUGGESTION_TOKENS = 128, 64


def run(
    data: Path,
    out: Path,
    settings: LearnerSettings,
    *,
    folds: int = FOLDS,
    only: Sequence[int] = (),
    prompt_tokens: int = PROMPT_TOKENS,
) -> tuple[list[Decision], list[FoldResult]]:
    """Run the folds that have no result yet; return all decisions and the results that there are.

    Raises ValueError where the data cannot be learned from, or results of other settings lie there.
    """
    model = Path(settings.model)
    spell = speller(model, prompt_tokens=prompt_tokens, suggestion_tokens=SUGGESTION_TOKENS)
    events = recorded_events(data, spell)
    told = decisions(events, functools.partial(_before, _tokenizer(model)))
    dealt = folds_of([one.person for one in told], folds)
    if any(not people for people in dealt):
        raise ValueError(f"{data}: {len(told)} decisions of fewer people than {folds} folds")
    results = []
    for number, people in enumerate(dealt):
        path = out / f"fold-{number}.json"
        if not path.exists() and (not only or number in only):
            folder = out / f"fold-{number}"
            shutil.rmtree(folder, ignore_errors=True)  # of a run that was broken off
            folder.mkdir(parents=True)
            print(f"fold {number}: {len(people)} people held out", file=sys.stderr, flush=True)
            made = learn_fold(
                *(events, people, settings, folder), fold=number, prompt_tokens=prompt_tokens
            )
            replace_file(path, msgspec.json.encode(made))
        if path.exists():
            results.append(_same(path, people, settings, prompt_tokens))
    return told, results


def _same(
    path: Path, people: Sequence[str], settings: LearnerSettings, prompt_tokens: int
) -> FoldResult:
    found = msgspec.json.decode(path.read_bytes(), type=FoldResult)
    # Another machine has the model's folder in another place, and other threads.
    asked = msgspec.structs.replace(
        settings, model=Path(settings.model).name, threads=found.settings.threads
    )
    same = found.settings == asked and found.prompt_tokens == prompt_tokens
    if not same or sorted(people) != sorted(found.held_out):
        raise ValueError(
            f"{path}: of other people or settings; move it away, or name another --out"
        )
    return found


@functools.cache
def _tokenizer(model: Path) -> object:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model)


def _before(tokenizer: object, one: Generation) -> str:
    told: str = tokenizer.decode(list(one.prompt_token_ids or ())[-64:])  # type: ignore[attr-defined]
    return told


def _count(said: str) -> int:
    if int(said) < 1:
        raise argparse.ArgumentTypeError(f"{said} is below 1")
    return int(said)


def main() -> None:
    """Run what the arguments say, and write report, table and picture."""
    parser = argparse.ArgumentParser(description="Learn from some people, test on others.")
    parser.add_argument("--data", type=Path, default=os.environ.get("RLWD_DATA"))
    parser.add_argument("--out", type=Path, default=Path("people-state"))
    parser.add_argument("--model", type=Path, help="a Hugging Face folder; SmolLM2 where left out")
    parser.add_argument("--fold", type=int, action="append", default=[], choices=range(FOLDS))
    parser.add_argument("--threads", type=_count, default=SETTINGS.threads)
    parser.add_argument("--passes", type=_count, default=SETTINGS.passes)
    parser.add_argument("--rate", type=float, default=SETTINGS.learning_rate)
    parser.add_argument("--dtype", default=fast_dtype(), choices=("float32", "bfloat16"))
    parser.add_argument("--prompt-tokens", type=_count, default=PROMPT_TOKENS)
    given = parser.parse_args()
    if given.data is None:
        parser.error("--data: name a folder of recorded decisions, or set RLWD_DATA")
    try:
        settings = msgspec.structs.replace(
            SETTINGS,
            model=str(given.model or open_model("smollm2")),
            threads=given.threads,
            passes=given.passes,
            learning_rate=given.rate,
            dtype=given.dtype,
        )
        given.out.mkdir(parents=True, exist_ok=True)
        told, results = run(
            *(given.data, given.out, settings), only=given.fold, prompt_tokens=given.prompt_tokens
        )
        found = report(told, results)
    except (ModelNotHad, ValueError) as problem:
        sys.exit(f"real_people: {problem}")
    (given.out / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    (given.out / "table.txt").write_text(table(found) + "\n")
    draw(found, given.out / "real_people.png")
    print(table(found))
    missing = sorted(set(range(FOLDS)) - set(found["folds"]))
    if missing:
        print(f"not run: folds {', '.join(map(str, missing))}")


if __name__ == "__main__":
    main()
