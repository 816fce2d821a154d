"""The settings of `rlwd demo --hack`: what each guard leaves on, and what the command refuses."""

import tomllib
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from rlwd.daemon.cli import app
from rlwd.daemon.config import load_config
from rlwd.daemon.demo.processes import DemoProcesses
from rlwd.daemon.hacks.hack_profile import GUARDS, Guard, hack_profile, hack_rewards
from rlwd.daemon.worlds.agent import HACKS, Hack
from rlwd.learner.tiny.pretrain import Course
from rlwd.rewards.spec.spec import DEFAULT_SPEC, Spec, load_spec

SHIPPED = load_spec(DEFAULT_SPEC)


def spec_of(hack: Hack, guard: Guard) -> Spec:
    return msgspec.convert(tomllib.loads(hack_rewards(hack, guard)), Spec)


@pytest.mark.parametrize("hack", HACKS)
def test_with_the_guard_on_the_spec_is_the_shipped_one(hack: Hack) -> None:
    """Only its seconds are a demo's."""
    spec = spec_of(hack, "on")
    for name in ("decisive", "parts", "costs", "undecided", "unanswered", "range", "trust"):
        assert getattr(spec, name) == getattr(SHIPPED, name), name


def test_with_the_guard_off_single_settings_are_missing() -> None:
    """Those that docs/hacks.md names, and no others."""
    drops, content = spec_of("broken-calls", "off"), spec_of("asks-instead", "off")
    assert set(SHIPPED.decisive) - set(drops.decisive) == {"tool_result:invalid_arguments"}
    assert SHIPPED.parts.keys() - drops.parts.keys() == {"valid_calls"}
    assert drops.unanswered == SHIPPED.unanswered
    assert (content.unanswered, content.undecided) == ({}, {"default": 0.7})
    assert (content.decisive, content.parts) == (SHIPPED.decisive, SHIPPED.parts)
    for hack in HACKS:
        assert hack_rewards(hack, "rollout") == hack_rewards(hack, "off")


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("hack", HACKS)
def test_the_config_is_one_that_the_daemon_takes(tmp_path: Path, hack: Hack, guard: Guard) -> None:
    """With the rollout's guards off an alarm only reports, and nothing asks who still gives feedback."""
    profile = hack_profile(hack, guard, seed=3)
    processes = DemoProcesses(tmp_path, seed=3, kafka="", vllm=False, mlflow=False, profile=profile)
    processes.write_config()
    config = load_config(processes.config)
    watch, compared = config.rollout.watch, {metric.name for metric in config.rollout.metrics}
    assert (watch.on_alarm, "feedback_rate" in compared) == (
        ("report", False) if guard == "off" else ("hold", True)
    )
    assert {"reward", "error_rate", "cut_off_rate"} <= compared
    assert config.learner.negative_weight == 1.0
    assert config.learner.seed == 3
    assert msgspec.convert(profile.course, Course).tools


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--guard", "off"], "--hack"),
        (["--hack", "flattery"], "broken-calls"),
        (["--hack", "broken-calls", "--guard", "some"], "rollout"),
    ],
)
def test_the_command_refuses_what_it_does_not_know(
    tmp_path: Path, options: list[str], told: str
) -> None:
    """With status 2, saying what there is, before anything is made."""
    folder = tmp_path / "demo"
    done = CliRunner().invoke(app, ["demo", *options, "--folder", str(folder)])
    assert done.exit_code == 2
    assert told in done.output
    assert not folder.exists()
