"""What `rlwd doctor` and `rlwd status` say of a release that stands still."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from crowds_by_hand import fill
from daemon_by_hand import open_daemon_ledger
from gateway_rig import LoopThread
from ledger_by_hand import Ledger
from releases_by_hand import let_out, register, version
from rollout_rig import AdapterEngine

from rlwd.daemon.commands.status import print_status
from rlwd.daemon.config import Config, load_config
from rlwd.daemon.doctor.doctor_engine import check_engine
from rlwd.daemon.doctor.doctor_model import check_texts
from rlwd.daemon.doctor.doctor_services import REMEDIES, check_services
from rlwd.learner.candidate import Candidate
from rlwd.ops.rollout.controller import RolloutController
from rlwd.ops.rollout.problems import PROBLEMS
from rlwd.ops.rollout.publish_flags import publish_flags
from rlwd.ops.servers.process import NO_TLS


@pytest.fixture
def engine() -> Iterator[AdapterEngine]:
    """An engine whose log-probabilities are -1."""
    loop, engine = LoopThread(), AdapterEngine()
    loop.run(engine.start())
    yield engine
    loop.run(engine.runner.cleanup())
    loop.close()


@pytest.fixture
def config(tmp_path: Path, engine: AdapterEngine) -> Config:
    """A config of that engine, with its state in the same folder."""
    path = tmp_path / "rlwd.toml"
    path.write_text(f'state = "."\n[learner]\nmodel = "base"\n[engine]\nurls = ["{engine.url}"]\n')
    return load_config(path)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """The daemon's tables."""
    ledger = open_daemon_ledger(tmp_path / "rlwd.db")
    yield ledger
    ledger.store.close()


def lines(config: Config, engine: AdapterEngine) -> str:
    return "\n".join(finding.line for finding in check_engine(engine.url, config))


def load(engine: AdapterEngine, v0: Candidate) -> None:
    body = {"lora_name": v0.version, "lora_path": str(v0.path.absolute())}
    httpx.post(f"{engine.url}/v1/load_lora_adapter", json=body, verify=NO_TLS).raise_for_status()


@pytest.mark.parametrize("held", [True, False])
def test_an_engine_with_another_base_is_found(
    tmp_path: Path, config: Config, ledger: Ledger, engine: AdapterEngine, held: bool
) -> None:
    """Doctor proves v0, served or not, and says what to do where that fails; it leaves nothing."""
    v0 = version(0, tmp_path)
    register(ledger.store, RolloutController("policy", config.rollout), v0)
    if held:
        load(engine, v0)
    assert "ok    engine" in lines(config, engine)
    assert "serves the base model that is trained on" in lines(config, engine)
    engine.scored = -3.88
    said = lines(config, engine)
    assert f"FAIL  engine {engine.url}: does not serve the base model" in said
    assert "off by 2.9" in said
    assert set(engine.paths) == ({v0.version} if held else set())


def test_doctor_says_in_the_engines_words_why_it_takes_no_version(
    tmp_path: Path, config: Config, ledger: Ledger, engine: AdapterEngine
) -> None:
    """An adapter's rank above the engine's limit is read here, and not searched for in its log."""
    v0 = version(0, tmp_path)
    register(ledger.store, RolloutController("policy", config.rollout), v0)
    engine.refuses = "LoRA rank 64 is greater than max_lora_rank 16."
    assert f"refuses v0: {engine.url}" in lines(config, engine)
    assert engine.refuses in lines(config, engine)


def test_a_rollout_that_nobody_feeds_is_named(
    tmp_path: Path, config: Config, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    """Doctor and status say the same of it, from the tables, whether a daemon runs or not."""
    controller = RolloutController("policy", config.rollout)
    register(ledger.store, controller, version(0, tmp_path))
    one = version(1, tmp_path)
    let_out(ledger.store, controller, one)
    said = "\n".join(finding.line for finding in check_services(config))
    assert f"WARN  release, rollout: {one.version} runs out of time" in said.replace("warn", "WARN")
    print_status(config, as_json=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"problem, rollout: {one.version} runs out of time" in shown


def test_a_crowd_too_small_for_the_margin_is_named(
    tmp_path: Path, config: Config, ledger: Ledger, capsys: pytest.CaptureFixture[str]
) -> None:
    """Doctor and status say how long it would take, from what the state database has seen."""
    controller = RolloutController("policy", config.rollout)
    register(ledger.store, controller, version(0, tmp_path))
    flags = publish_flags(ledger.store, "policy", config.rollout, config.flags_path, 1.0)
    assert flags is not None
    for hour in (0, 2):
        at, first = 1000.0 + hour * 3600.0, 1000 * hour
        fill(ledger, "champion", 0.6, 100, at=at, first=first, salt=flags.salt)
    said = "\n".join(finding.line for finding in check_services(config))
    assert "release, crowd: at 2400 users a day it takes" in said
    assert "rollout.deadline_seconds ends it after 0.2" in said
    print_status(config, as_json=False)
    assert "problem, crowd: at 2400 users a day" in " ".join(capsys.readouterr().out.split())


def test_each_problem_has_a_remedy() -> None:
    """One without would end doctor where it is needed."""
    assert {*PROBLEMS, "drift_budget"} == {*REMEDIES}


@pytest.mark.parametrize("key", ["drift.probes", "replay.texts"])
def test_texts_are_looked_for_beside_the_config(key: str, tmp_path: Path) -> None:
    """Whatever folder a command is run in; where there is no such file doctor names key and file."""
    section, _, name = key.partition(".")
    path = tmp_path / "texts.toml"
    path.write_text(f'[learner]\nmodel = "base"\n[learner.{section}]\n{name} = "texts.jsonl"\n')
    (found,) = check_texts(load_config(path).learner)
    assert f"learner.{key}: {tmp_path / 'texts.jsonl'} is no file" in found.line
    (tmp_path / "texts.jsonl").touch()
    assert not [*check_texts(load_config(path).learner)]
