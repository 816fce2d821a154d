"""Gate suites from installed distributions: named, loaded, run off the loop, and weighed."""

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path

import pytest
from releases_by_hand import at_once, register, version
from scripted_release import House, ScriptedEngine
from waiting import until

from rlwd.learner.candidate import Candidate
from rlwd.ops.engine.fleet import Fleet
from rlwd.ops.engine.port import Engine
from rlwd.ops.gate.gate_run import GateRun
from rlwd.ops.gate.suites import SuiteRun, load_suites
from rlwd.ops.rollout import rollouts_table
from rlwd.ops.stages.record import Rollout, Stage
from rlwd.ops.statistics.gate import GateSettings
from rlwd.ops.statistics.verdict import Verdict, VerdictKind

SUITE = """
from rlwd.ops.statistics.verdict import Verdict, VerdictKind

not_a_suite = 7

def swears(candidate, engine, settings):
    scored = engine.logprobs(candidate.version, candidate.probe.token_ids)
    fails = settings.margin > 0.5
    return Verdict(
        outcome=VerdictKind.FAIL if fails else VerdictKind.PASS,
        reasons=(f"{candidate.version} on {engine.url}",),
        numbers={"scored": float(len(scored))},
    )

def raises(candidate, engine, settings):
    raise KeyError("a word list is missing")
"""
SETUP = """
from setuptools import setup

setup(
    name="acme-suites",
    version="1.2",
    py_modules=["acme_suites"],
    entry_points={"rlwd.gate_suites": [
        "swears = acme_suites:swears",
        "raises = acme_suites:raises",
        "number = acme_suites:not_a_suite",
        "absent = acme_suites:never_written",
        "broken = acme_gone:suite",
    ]},
)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed a distribution that brings suites."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "acme_suites.py").write_text(textwrap.dedent(SUITE))
    (source / "setup.py").write_text(SETUP)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--target", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return target


@pytest.fixture
def on_path(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The distribution is installed where this process looks."""
    monkeypatch.syspath_prepend(str(installed))


@pytest.mark.usefixtures("on_path")
def test_an_installed_suite_is_asked_about_each_candidate(tmp_path: Path) -> None:
    """It gets candidate, engine and settings; its reasons and numbers are in the gate's verdict."""
    fleet = Fleet([ScriptedEngine()], "policy", tolerance=0.05, submit=at_once)
    candidate = version(1, tmp_path)
    for margin, outcome in ((0.1, VerdictKind.PASS), (0.9, VerdictKind.FAIL)):
        settings = GateSettings(margin=margin, suites=("swears",))
        gate = GateRun(fleet, settings, load_suites(settings.suites))
        verdict = ask_until_said(gate, candidate)
        assert verdict.outcome is outcome
        assert f"suite swears: {candidate.version} on one" in verdict.reason
        assert verdict.numbers["suite/swears/scored"] == 1.0


@pytest.mark.usefixtures("on_path")
def test_a_suite_that_raises_blames_nobody(tmp_path: Path) -> None:
    """The candidate waits for its deadline, the reason names the suite, and the daemon lives on."""
    fleet = Fleet([ScriptedEngine()], "policy", tolerance=0.05, submit=at_once)
    gate = GateRun(fleet, GateSettings(), load_suites(["raises"]))
    verdict = ask_until_said(gate, version(1, tmp_path))
    assert verdict.outcome is VerdictKind.NODATA
    assert "suite raises: it raised KeyError" in verdict.reason


@pytest.mark.usefixtures("on_path")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("number", r"'number' of distribution acme-suites 1\.2 is 7, which cannot be called"),
        ("absent", r"'absent' of distribution acme-suites 1\.2 cannot be loaded"),
        ("broken", r"'broken' of distribution acme-suites 1\.2 cannot be loaded.*acme_gone"),
        ("wears", r"no installed distribution offers 'wears'.*absent, broken, number"),
    ],
)
def test_what_cannot_be_loaded_is_named_with_its_distribution(name: str, said: str) -> None:
    """Start-up ends with the key, the suite and the distribution at fault."""
    with pytest.raises(ValueError, match=said) as found:
        load_suites([name])
    assert str(found.value).startswith("gate.suites: ")


def test_an_engine_that_is_away_lets_the_suites_run_again(tmp_path: Path) -> None:
    """No verdict is made of an outage: the next turn asks again."""
    outages = [ConnectionError("away"), TimeoutError("slow")]

    def suite(candidate: Candidate, engine: Engine, settings: GateSettings) -> Verdict:
        if outages:
            raise outages.pop()
        return Verdict(outcome=VerdictKind.PASS)

    run = SuiteRun({"patient": suite}, [ScriptedEngine()], GateSettings(), submit=suites_at_once)
    candidate = version(1, tmp_path)
    assert [run.verdicts(candidate) for _ in range(2)] == [None, None]
    found = run.verdicts(candidate)
    assert found is not None
    assert found["patient"].outcome is VerdictKind.PASS


def suites_at_once(
    work: Callable[[], Mapping[str, Verdict] | None],
) -> "Future[Mapping[str, Verdict] | None]":
    """Run the suites before returning."""
    future: Future[Mapping[str, Verdict] | None] = Future()
    future.set_result(work())
    return future


def ask_until_said(gate: GateRun, candidate: Candidate) -> Verdict:
    """Ask turn by turn, as the loop does, until the suites' thread has ended."""
    for _ in range(100_000):
        verdict = gate.verdict(candidate, {candidate.version: candidate})
        if verdict is not None:
            return verdict
        time.sleep(0.001)
    raise AssertionError("the suites never ended")


def test_a_number_that_is_none_ends_no_daemon(tmp_path: Path) -> None:
    """A suite that gives nan or infinity: the tables keep what is finite, and can be read again."""

    def odd(candidate: Candidate, engine: Engine, settings: GateSettings) -> Verdict:
        numbers = {"ratio": float("nan"), "longest": float("inf"), "asked": 8.0}
        return Verdict(outcome=VerdictKind.FAIL, reasons=("it is odd",), numbers=numbers)

    house = House(tmp_path)
    house.release.step(1.0)
    house.release.gate.suites.suites = {"odd": odd}
    register(house.ledger.store, house.controller, house.v1)

    def judged() -> bool:
        house.release.step(2.0)
        with house.ledger.store.reading() as view:
            kept.extend(rollouts_table.history(view, "policy"))
        return kept[-1].stage is not Stage.OFFERED

    kept: list[Rollout] = []
    until(judged)
    assert kept[-1].stage is Stage.QUARANTINED
    assert kept[-1].gate is not None
    numbers = kept[-1].gate.numbers
    assert {n for n in numbers if n.startswith("suite/")} == {"suite/odd/asked"}
