"""Open scene: a model that others made learns what a team wants its commits to be called."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from ...learner.open_models.fetch import open_model
from ..worlds.commits_people import SYSTEM, CommitsPeople, Taste
from ..worlds.everyday import REPLAYED, as_chat
from .commit_exam import CommitExam
from .scene import Scene
from .small_profile import Guard, small_engine, small_profile

REPLAY = "replay.jsonl"


def open_scene(name: str, seed: int, *, guard: Guard) -> Scene:
    """Return the demo of an open model, which is fetched and converted where the cache has none.

    Raises ModelNotHad where it cannot be had.
    """
    return commit_scene(open_model(name), seed, taste="named", guard=guard)


def commit_scene(model: Path, seed: int, *, taste: Taste, guard: Guard, **changes: Any) -> Scene:
    """Return the same of a model's folder; `changes` are of the scene."""
    people = CommitsPeople(taste)
    given: Mapping[str, Any] = {
        "vllm": True,
        "model": model,
        "engine": small_engine(),
        "enough": 0.88,
        "fewest_answers": 1500,
        "seconds": 2000.0,
        "at_once": 12,
        "rate": 2.5,
        "promoted": 3,
        "profile": small_profile(model, REPLAY, seed, guard=guard),
        "exam": CommitExam(people),
    } | changes
    return Scene(
        world=people,
        files={REPLAY: replay_lines()},
        **given,
    )


def replay_lines() -> str:
    """Return what the policy is held to, as `learner.replay.texts` takes it."""
    texts = (as_chat(asked, answer, system=SYSTEM) for asked, answer in REPLAYED)
    return "".join(orjson.dumps({"text": text}).decode() + "\n" for text in texts)
