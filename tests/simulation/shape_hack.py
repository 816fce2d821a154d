"""`python -m shape_hack`: a taste of shape on SmolLM2, with the guards and without; docs/hacks.md.

Lives without servers (`shape_life`), each kept as `rlwd demo --taste shape` keeps its run. A life that is
kept is not lived again; one that was stopped leaves what it saw under `.part`, and begins anew.
"""

import argparse
import tempfile
import tomllib
from pathlib import Path
from typing import get_args

import msgspec
import structlog
import torch
from hacks import hack_table
from sampled_policy import SampledPolicy, Tokens
from shape_life import ShapeLife
from simulate import written

from rlwd.daemon.demo.demo_profile import Profile
from rlwd.daemon.demo.small_profile import Guard
from rlwd.daemon.hacks.hack_picture import draw_hacks
from rlwd.daemon.hacks.hack_run import SHAPE, HackRun, read_run
from rlwd.daemon.hacks.shape_profile import shape_profile
from rlwd.daemon.worlds.commits_people import HOT, LONGEST_TOKENS, ONE_WORDING
from rlwd.daemon.worlds.world import Ask
from rlwd.learner.open_models.fetch import open_model
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.tiny.model import chat_ids
from rlwd.learner.train.state import LearnerSnapshot

DOCUMENT = Path(__file__).parents[2] / "docs" / "hacks.md"


class OpenPolicy(SampledPolicy):
    """An open model that answers and learns (an `Answering`)."""

    def __init__(self, model: Path, profile: Profile) -> None:
        """`model` is its folder. What it replays against forgetting is left out: nobody looks at that here."""
        document = tomllib.loads(profile.learner)["learner"]
        del document["replay"]
        settings = msgspec.convert({**document, "model": str(model)}, LearnerSettings)
        super().__init__(settings, longest=LONGEST_TOKENS)
        self.end = int(self.tokenizer.eos_token_id)
        self.known = dict[str, Tokens]()

    def stand(self) -> LearnerSnapshot:
        """Return weights, moments and estimators."""
        return self.learner.snapshot()

    def back(self, stood: object) -> None:
        """Go back to them."""
        assert isinstance(stood, LearnerSnapshot)
        self.learner.restore(stood)

    def prompt(self, ask: Ask) -> Tokens:
        """Return the tokens that an engine would read."""
        asked: str = ask.about.prompt
        if asked not in self.known:
            self.known[asked] = tuple(chat_ids(self.tokenizer, ask.messages))
        return self.known[asked]


def settings_told(guard: Guard, seed: int, versions: int) -> str:
    """Return what a life is lived by, wherever the model lies."""
    profile = shape_profile(Path("smollm2"), "replay.jsonl", seed, guard=guard)
    wording = f"{ONE_WORDING}, {HOT}, {LONGEST_TOKENS} tokens, {versions} versions"
    return f"{wording}\n{profile.learner}\n{profile.release}\n{profile.rewards}"


def lived(guard: Guard, seed: int, kept: Path, *, versions: int) -> HackRun:
    """Return one life, lived now or kept from before.

    Raises ValueError where what is kept was lived by other settings.
    """
    file = kept / f"{SHAPE}-{guard}-{seed}.json"
    by, told = file.with_suffix(".settings"), settings_told(guard, seed, versions)
    if file.exists():
        if not by.exists() or by.read_text() != told:
            raise ValueError(
                f"{file}: lived by other settings; move it away, or name another --kept"
            )
        return msgspec.json.decode(file.read_bytes(), type=HackRun)
    by.write_text(told)
    model = open_model("smollm2")
    profile = shape_profile(model, "replay.jsonl", seed, guard=guard)
    with tempfile.TemporaryDirectory() as folder:
        life = ShapeLife(OpenPolicy(model, profile), profile, Path(folder), seed)
        for rollout in life.live(versions):
            run = read_run(life.store, "policy", life.given, hack=SHAPE, guard=guard, seed=seed)
            run = msgspec.structs.replace(run, servers=False)
            file.with_suffix(".part").write_bytes(msgspec.json.encode(run))
            why = rollout.trail[-1].reason
            print(f"{guard} seed {seed}: {rollout.version} {rollout.stage}: {why}", flush=True)
            print(f"  {len(life.given)} answers: {run.summary}; held: {rollout.held}", flush=True)
        life.store.close()
    return msgspec.json.decode(file.with_suffix(".part").rename(file).read_bytes(), type=HackRun)


def main() -> None:
    """Live the lives, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    guards = get_args(Guard)
    parser.add_argument("--guards", nargs="*", choices=guards, default=list(guards))
    parser.add_argument("--versions", type=int, default=4)
    parser.add_argument("--kept", type=Path, default=Path("hack-lives"))
    parser.add_argument("--print-only", action="store_true", help="leave docs/ as it is")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(20))
    torch.set_num_threads(1)
    given.kept.mkdir(parents=True, exist_ok=True)
    try:
        runs = [
            lived(guard, seed, given.kept, versions=given.versions)
            for seed in given.seeds
            for guard in given.guards
        ]
    except ValueError as problem:
        parser.error(str(problem))
    table = hack_table(runs)
    print(table)
    if not given.print_only:
        shown = {run.guard: run for run in reversed(runs)}
        draw_hacks(list(shown.values()), DOCUMENT.with_name("shape.png"))
        DOCUMENT.write_text(written(DOCUMENT.read_text(), "shape", table))


if __name__ == "__main__":
    main()
