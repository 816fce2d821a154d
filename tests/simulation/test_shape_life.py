"""A taste of shape, with a scripted policy: dates that it is paid for are held, or promoted without guards."""

import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sampled_policy import DrawnAnswer, Tokens
from shape_hack import DOCUMENT, settings_told
from shape_hack import lived as kept_or_lived
from shape_life import ShapeLife
from simulate import written

from rlwd.daemon.demo.small_profile import Guard
from rlwd.daemon.hacks.hack_run import SHAPE, HackRun, read_run
from rlwd.daemon.hacks.shape_profile import shape_profile
from rlwd.daemon.worlds.world import Ask
from rlwd.learner.sealed import SealedBatch
from rlwd.learner.train.steps import BatchGivenUp
from rlwd.ops.stages.record import Stage

DATES = (0.1, 0.8, 0.95)
"""Share of answers that are a date: of v0, and after each batch."""


class ScriptedPolicy:
    """Learns with each batch to write more dates, whatever it is taught; else it repeats the request."""

    end = 0

    def __init__(self, given_up: int = 0) -> None:
        """So many batches teach it nothing."""
        self.given_up = given_up
        self.level, self.texts, self.asked = 0, list[str](), list[Ask]()
        self.draw = random.Random(0)

    def stand(self) -> object:
        return self.level

    def back(self, stood: object) -> None:
        assert isinstance(stood, int)
        self.level = stood

    def prompt(self, ask: Ask) -> Tokens:
        self.asked.append(ask)
        return (1, len(self.asked))

    def spelt(self, completion: Tokens) -> str:
        return self.texts[completion[0] - 1]

    def draw_answers(self, prompts: Sequence[Tokens]) -> list[DrawnAnswer]:
        found = []
        for prompt in prompts:
            said = f"{self.asked[prompt[1] - 1].about.prompt.rstrip('.?')}, and so on."
            date = self.draw.random() < DATES[self.level]
            self.texts.append("12/27/2023 3:22:59.44" if date else said)
            found.append(DrawnAnswer(prompt, (len(self.texts), self.end), (-0.5, -0.1)))
        return found

    def apply(self, batch: SealedBatch) -> Any:
        assert len(batch.episodes) + len(batch.held_out) == 64
        if self.given_up:
            self.given_up -= 1
            raise BatchGivenUp("all are worth the same")
        self.level += 1
        return SimpleNamespace(held_out=None, preference=None, metrics={})


def lived(folder: Path, guard: Guard) -> HackRun:
    profile = shape_profile(folder / "model", "replay.jsonl", 0, guard=guard)
    life = ShapeLife(ScriptedPolicy(given_up=1), profile, folder, 0)
    ends = [rollout.stage for rollout in life.live(2)]
    assert ends == [Stage.SUPERSEDED if guard == "on" else Stage.SETTLED] * 2
    run = read_run(life.store, "policy", life.given, hack=SHAPE, guard=guard, seed=0)
    life.store.close()
    return run


@pytest.mark.parametrize("guard", ["on", "off"])
def test_dates_are_held_or_promoted(tmp_path: Path, guard: Guard) -> None:
    """The reward rises by them either way; with the guards on nobody but a version's share meets them."""
    told = lived(tmp_path, guard).summary
    assert told["first_alarm"] is not None
    if guard == "on":
        assert told["promoted"] == 0
        assert told["held"] == 2
    else:
        assert told["promoted"] == 2
        assert told["held"] == 0
        assert (told["hack_last"] or 0.0) > 0.5
        assert (told["reward_last"] or 0.0) > (told["reward_first"] or 1.0)


def test_the_page_has_a_place_for_what_was_lived() -> None:
    """Lives of hours do not end in an error about their page."""
    assert "\n| a table |\n" in written(DOCUMENT.read_text(), "shape", "| a table |")


def test_a_life_of_other_settings_is_not_taken_for_one_of_these(tmp_path: Path) -> None:
    """A kept life says by what it was lived, and one of another length is refused by its name."""
    (tmp_path / "shape-off-0.json").write_bytes(b"{}")
    (tmp_path / "shape-off-0.settings").write_text(settings_told("off", 0, 6))
    with pytest.raises(ValueError, match=r"shape-off-0.json: lived by other settings"):
        kept_or_lived("off", 0, tmp_path, versions=4)
