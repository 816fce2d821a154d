"""`python -m real_log FOLDER --out FILE`: estimators and lanes on the log of a real model's run.

FOLDER is that of `rlwd demo --model smollm2`, finished; it is only read. Measured is what a log that is
over can say: on every sealed batch, under the weights that it was applied to, what each estimator had
expected and how much of the gradient is noise; and, from the first version on, what the first batches
teach under each estimator and by each lane, asked by the model itself and told by answers that were
never trained on. A measurement that the file already has is not made again.
"""

import argparse
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
import orjson
import structlog
import torch
from answer_gradients import agreement_of_halves, cosine, products
from estimator_world import NAMES
from real_batches import never_trained, of_lane, recorded_batches
from sampled_policy import SampledPolicy

from rlwd.daemon.config import Config, load_config
from rlwd.daemon.worlds.commits import Change, draw_change, draw_reworded, draw_unseen
from rlwd.daemon.worlds.commits_people import (
    LONGEST_TOKENS,
    TEMPERATURE,
    CommitsPeople,
    ask_about,
)
from rlwd.daemon.worlds.world import Answer
from rlwd.learner.candidate import Manifest
from rlwd.learner.checkpoint.folder import read_manifest
from rlwd.learner.checkpoint.write import Checkpoints
from rlwd.learner.estimators.advantage import standardised
from rlwd.learner.lanes.lane_parts import lane_parts
from rlwd.learner.sealed import RATIO, SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.staying.replay import replayed_texts, with_replay
from rlwd.learner.tiny.model import chat_ids
from rlwd.learner.train.evidence import held_out_evidence
from rlwd.learner.train.score import anchor_states
from rlwd.learner.train.selection import select_episodes
from rlwd.learner.train.state import Learner
from rlwd.learner.train.update import apply_batch
from rlwd.streams.state.durable import replace_file

QUESTIONS: Mapping[str, Callable[[random.Random], Change]] = {
    "asked": draw_change,
    "unseen": draw_unseen,
    "reworded": draw_reworded,
}
"""What a taught version is asked: as the team asks, and as the demo's exam does."""
ARMS = ("tracker", "edits alone", "ratio alone", "contextual", *NAMES[1:3])
"""By estimator, with both lanes; and by lane, with the tracker."""


def arm_settings(name: str, settings: LearnerSettings) -> LearnerSettings:
    """Return the settings of an arm."""
    if name in NAMES:
        return msgspec.structs.replace(settings, estimator=name)
    if name == "ratio alone":
        lanes = msgspec.structs.replace(settings.lanes, dpo=0.0, dpo_sft=0.0)
        return msgspec.structs.replace(settings, estimator="tracker", lanes=lanes)
    return msgspec.structs.replace(settings, estimator="tracker")


def gradients_told(learner: Learner, batch: SealedBatch) -> dict[str, dict[str, float]]:
    """Return by estimator what a batch's gradient is like under the weights that it was applied to."""
    chosen = select_episodes(batch, learner.settings, learner.policy.vocabulary)
    episodes = [one for one in chosen.episodes if one.in_lane(RATIO)]
    states_ND = anchor_states(learner, episodes, prompts_alone=True)[1]
    expected = learner.estimators.baselines(episodes, states_ND)
    shared_NN = products(learner, episodes)
    weights = {name: _pulls(learner, episodes, expected[name]) for name in NAMES}
    rewards = [one.earned for one in episodes]
    plain = sum(r**2 * float(n) for r, n in zip(rewards, shared_NN.diagonal(), strict=True))
    return {
        name: {
            "variance": sum(
                (r - (b or 0.0)) ** 2 * float(n) / plain
                for r, b, n in zip(rewards, expected[name], shared_NN.diagonal(), strict=True)
            ),
            "halves": agreement_of_halves(shared_NN, weights[name]),
            "with_tracker": cosine(shared_NN, weights[name], weights["tracker"]),
        }
        for name in NAMES
    }


def _pulls(
    learner: Learner, episodes: Sequence[SealedEpisode], values: Sequence[float | None]
) -> torch.Tensor:
    """Return by how much each answer pulls at the first step, but for its ratio [N]."""
    settings = learner.settings
    tokens = [one.weight * len(one.completion_token_ids) for one in episodes]
    scaled = standardised(
        [one.earned for one in episodes], values, tokens, floor=settings.advantage_floor
    )
    pulls = [one or 0.0 for one in scaled]
    return torch.tensor(
        [one if one > 0.0 else settings.negative_weight * one for one in pulls],
        dtype=torch.float64,
    )


def taught(
    name: str,
    settings: LearnerSettings,
    batches: Sequence[SealedBatch],
    rest: list[SealedEpisode],
    questions: int,
) -> dict[str, Any]:
    """Return what the first batches teach the first version under one arm."""
    policy = SampledPolicy(
        arm_settings(name, settings), longest=LONGEST_TOKENS, temperature=TEMPERATURE
    )
    learner = policy.learner
    lanes = with_replay(lane_parts, replayed_texts(learner))
    metrics: Mapping[str, float] = {}
    for batch in batches:
        given = of_lane(batch, "dpo") if name == "edits alone" else batch
        metrics = apply_batch(learner, given, lanes=lanes).metrics
    evidence = held_out_evidence(learner, rest)
    return {
        "batches": len(batches),
        "accepted": {kind: accepted(policy, draw, questions) for kind, draw in QUESTIONS.items()},
        "evidence": None if evidence is None else msgspec.structs.asdict(evidence),
        "kl": metrics.get("after/kl/anchor"),
    }


def accepted(
    policy: SampledPolicy, draw: Callable[[random.Random], Change], count: int
) -> tuple[int, int]:
    """Return how many of so many answers the team would take, and how many were asked for."""
    people = CommitsPeople()
    changes = [draw(random.Random(f"{draw.__name__}:{place}")) for place in range(count)]
    prompts = [tuple(chat_ids(policy.tokenizer, ask_about(change).messages)) for change in changes]
    right = 0
    for change, one in zip(changes, policy.draw_answers(prompts), strict=True):
        ended = one.completion[-1] == policy.tokenizer.eos_token_id
        text = policy.spelt(one.completion)
        answer = Answer(text=text, message={}, finish_reason="stop" if ended else "length")
        right += people.wants(change, answer)
    return right, count


def recorded(manifest: Manifest) -> dict[str, float]:
    """Return what the learner itself had measured of a batch when it applied it."""
    told = {f"explained/{name}": f"estimator/{name}/explained_variance" for name in NAMES}
    told |= {f"spread/{name}": f"estimator/{name}/advantage_spread" for name in NAMES}
    told |= {"ess": "ess/before", "masked": "ratio/masked", "reward": "reward/lane/ratio"}
    return {name: manifest.metrics[key] for name, key in told.items() if key in manifest.metrics}


def tables(found: Mapping[str, Any]) -> str:
    """Return what was measured as two tables for docs/estimators.md, and what the ratios were worth."""
    known, gradients = list(found["recorded"].values()), list(found["gradients"].values())
    lines = [
        (
            f"{len(known)} batches; effective share of the ratios before the first step"
            f" {fmean(one['ess'] for one in known):.2f} (least {min(one['ess'] for one in known):.2f});"
            f" {fmean(one['masked'] for one in known):.1%} of the tokens masked"
        ),
        "",
        (
            "| estimator | explained variance | spread left | variance of the gradient | agreement of two halves "
            "| with the tracker's gradient |"
        ),
        "| --- |" + " ---: |" * 5,
    ]
    for name in NAMES:
        cells = [fmean(one[f"{what}/{name}"] for one in known) for what in ("explained", "spread")]
        for what in ("variance", "halves", "with_tracker") if gradients else ():
            cells.append(fmean(one[name][what] for one in gradients))
        lines.append(f"| `{name}` | " + " | ".join(f"{one:.3f}" for one in cells) + " |")
    lines += [
        "",
        (
            "| learned by | accepted: as the team asks | things never asked about | other wordings "
            "| told by answers of v0 | effective answers | nats from v0 |"
        ),
        "| --- |" + " ---: |" * 6,
    ]
    for name, one in found["arms"].items():
        shares = [f"{right / count:.2f}" for right, count in one["accepted"].values()]
        told = one["evidence"]
        cells_of_arm = [
            *shares,
            f"{told['estimate']:.2f} (v0 {told['behaviour']:.2f})",
            f"{told['effective_sample_size']:.1f} of {told['count']}",
            f"{one['kl']:.2f}",
        ]
        lines.append(f"| {name} | " + " | ".join(cells_of_arm) + " |")
    return "\n".join(lines)


def measure(
    config: Config, out: Path, *, arms: Sequence[str], first: int, questions: int, gradients: bool
) -> dict[str, Any]:
    """Measure what the file lacks, and write it as it comes."""
    kept = orjson.loads(out.read_bytes()) if out.exists() else {}
    batches = recorded_batches(config)
    found = {"gradients": {}, "arms": {}, **kept}
    found["recorded"] = {str(one.batch_id): recorded(one) for one, _ in batches}
    replace_file(out, orjson.dumps(found))
    missing = [pair for pair in batches if str(pair[0].batch_id) not in found["gradients"]]
    folder = config.state_path / "checkpoints"
    if missing and gradients:
        learner = Learner(config.learner)
        checkpoints = Checkpoints(folder, policy=config.policy, lease_epoch=0)
        for manifest, batch in missing:
            assert manifest.parent_sequence is not None, "a batch was applied to something"
            checkpoints.load(learner, read_manifest(folder, manifest.parent_sequence))
            found["gradients"][str(manifest.batch_id)] = gradients_told(learner, batch)
            replace_file(out, orjson.dumps(found))
            print(f"batch {manifest.batch_id} of {len(batches)}", flush=True)
        del learner
    rest = never_trained(config, read_manifest(folder, 0).version)
    for name in arms:
        if name not in found["arms"]:
            sealed = [batch for _, batch in batches[:first]]
            found["arms"][name] = taught(name, config.learner, sealed, rest, questions)
            replace_file(out, orjson.dumps(found))
            print(f"{name}: {found['arms'][name]}", flush=True)
    return found


def main() -> None:
    """Measure what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of a finished run")
    parser.add_argument("--out", type=Path, required=True, help="JSON; what it has is kept")
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=ARMS)
    parser.add_argument("--questions", type=int, default=120, help="of each kind, to each arm")
    parser.add_argument("--no-gradients", action="store_true", help="which take the longest")
    parser.add_argument("--batches", type=int, default=3, help="that each arm learns from")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    torch.set_num_threads(1)
    config = load_config(given.folder / "rlwd.toml")
    found = measure(
        config,
        given.out,
        arms=given.arms,
        first=given.batches,
        questions=given.questions,
        gradients=not given.no_gradients,
    )
    print(tables(found))


if __name__ == "__main__":
    main()
