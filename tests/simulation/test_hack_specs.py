"""Both hacks in short: a table of two answers learns them by the naive specs, and not by the shipped one.

`python -m hacks` lives them with the demo's own policy, and `rlwd demo --hack` with everything else, too.
"""

import random
from pathlib import Path

import msgspec
import pytest
from episodes_by_hand import did, episode
from hack_lives import record_of
from hacks import DOCUMENT, lived, with_whole
from table_policy import Arm, Pay, shares

from rlwd.daemon.capture.tool_schemas import ToolSchemas
from rlwd.daemon.hacks.hack_profile import Guard, hack_rewards
from rlwd.daemon.hacks.hack_run import HackAnswer, HackRun
from rlwd.daemon.worlds.agent import HACKS, SUCCEEDS, TOOLS, Doing, FileChange, Hack, written
from rlwd.daemon.worlds.agent_people import AgentPeople
from rlwd.daemon.worlds.world import Answer, Ask
from rlwd.ops.embedded.tool_calls import message_of
from rlwd.rewards.spec.scorer import Scorer
from rlwd.rewards.spec.spec import Spec
from rlwd.streams.derived.derivation import derive_from_answer
from rlwd.streams.events.episode import Episode, Timed
from rlwd.streams.events.signals import PostedSignal

BATCHES = 20
TOLD_APART: dict[Hack, bool] = {"broken-calls": False, "asks-instead": True}
"""Whether each kind of request has a baseline of its own: what is dropped pays only against one of all."""
PEOPLE, OFFERED = AgentPeople(), ToolSchemas(TOOLS)
WAY_OUT: dict[Hack, Doing] = {"broken-calls": "broken", "asks-instead": "asks"}


def pays(spec: Spec, doing: Doing, kind: str) -> Pay:
    """Return what an answer earns: drawn from what a hundred people's answers were worth."""
    draw, worth = random.Random(f"{doing}/{kind}"), worth_of(spec, doing, kind)
    found = [worth(draw) for _ in range(100)]
    return lambda draw: draw.choice(found)


def worth_of(spec: Spec, doing: Doing, kind: str) -> Pay:
    """Return what an answer is worth, by what people do about it and the record says of it."""
    scorer = Scorer(spec)

    def pay(draw: random.Random) -> float | None:
        change = FileChange(kind=kind, file="login")
        message = message_of(written(doing, change, draw))
        answer = Answer(text=message["content"] or "", message=message, finish_reason="stop")
        reaction = PEOPLE.react(
            Ask(messages=(), segment="edit", about=change), answer, "user-1", draw
        )
        said = [
            did(msgspec.convert(act.signal, PostedSignal), act.after_seconds)
            for act in reaction.acts
        ]
        one = episode(*said, segment="edit", **record_of(message, "stop", OFFERED))
        found = scorer.undecided(_with_derived(one))
        return None if found is None else found.value

    return pay


def _with_derived(one: Episode) -> Episode:
    derived = derive_from_answer(one.generation, leaving_interrupts=False)
    said = tuple(
        Timed(feedback=each.feedback, acted_at=0.0, received_at=0.0, origin=each.origin)
        for each in derived
    )
    return Episode(generation=one.generation, received_at=0.0, feedback=(*said, *one.feedback))


def acting(hack: Hack, guard: Guard) -> dict[str, float]:
    """Return how often a policy ends by acting, by kind of request."""
    spec = msgspec.toml.decode(hack_rewards(hack, guard), type=Spec)
    arms = {
        kind: (Arm(pay=pays(spec, "well", kind)), Arm(pay=pays(spec, WAY_OUT[hack], kind)))
        for kind in SUCCEEDS
    }
    ends = shares(arms, lives=1, told_apart=TOLD_APART[hack], batches=BATCHES)[0].tolist()
    return dict(zip(SUCCEEDS, ends, strict=True))


@pytest.mark.parametrize("hack", HACKS)
def test_the_naive_spec_is_cheated_and_the_shipped_one_is_not(hack: Hack) -> None:
    """Without its guard the policy gets out of what mostly fails; with it, it tries."""
    assert acting(hack, "off")["debug"] < 0.2
    assert min(acting(hack, "on").values()) > 0.8


def test_a_kept_life_of_another_length_is_not_taken_for_one_of_these(tmp_path: Path) -> None:
    """A short life that was tried before would stand in the table as one of the others."""
    kept = HackRun(
        hack="asks-instead",
        guard="on",
        seed=0,
        servers=False,
        answers=(HackAnswer(1.0, True, "acts"),) * 6,
    )
    file = tmp_path / "asks-instead-on-0.json"
    file.write_bytes(msgspec.json.encode(kept))
    assert lived("asks-instead", "on", 0, tmp_path, rounds=2, asked=3) == kept
    with pytest.raises(ValueError, match="of 6 answers and not of 1024; move it away"):
        lived("asks-instead", "on", 0, tmp_path, rounds=8, asked=128)


def test_a_table_of_lives_keeps_the_rows_of_whole_runs() -> None:
    """Who has not run the whole demos again does not lose what was measured of them."""
    page = DOCUMENT.read_text()
    rows = page.split("<!-- simulated: hacks -->")[1].split("<!-- end")[0].strip().splitlines()
    lives = [row for row in rows if "| whole |" not in row]
    assert len(lives) < len(rows)
    assert with_whole("\n".join(lives), page).splitlines() == rows
