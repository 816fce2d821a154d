"""Demo: the whole loop on one machine, learning from a crowd with a preference nobody told it."""

import asyncio
import importlib.util
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from ...streams.ending_signals import unwinding
from ...streams.state.durable import replace_file
from ..config import load_config
from ..store import state_store
from .crowd import Crowd
from .curve import draw_curve
from .examined import Examined
from .live_view import LiveView, Phase
from .processes import DemoProcesses, mlflow_server_installed
from .report import build_report, print_end
from .scene import Scene

SETTLE_SECONDS = 30.0
"""Longest wait, after the last visitor, until all that was said is in the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the caller may choose."""

    seed: int
    """Of crowd, preference and policy."""
    report: Path | None
    """Where to write the JSON report."""
    folder: Path
    """Where everything is kept."""
    seconds: float
    """Longest time for the crowd."""
    users: int
    """People in the crowd."""
    at_once: int
    """People at work at a time."""
    rate: float
    """Requests a second that they begin, where they are answered fast enough."""
    kafka: str
    """Bootstrap server of a Kafka to use; the embedded log where empty."""
    vllm: bool
    """Whether a real vLLM server answers."""
    promoted: int
    """The crowd stays at least until so many versions are promoted."""


@unwinding()  # A killed demo must not leave its servers behind.
def run_demo(options: DemoOptions, scene: Scene) -> int:
    """Run a demo from an empty folder; return the exit status.

    Raises ModuleNotFoundError, before anything is made, where the learner's packages are absent, and
    ValueError where the report could not be written at the end.
    """
    for name in ("torch", "transformers", "peft", "safetensors"):
        if not installed(name):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    console, began = Console(), time.monotonic()
    _check_target(options.report)
    folder = _fresh(options.folder)
    processes = prepared(folder, options, scene)
    if processes.with_mlflow:
        processes.mlflow.spawn()
    else:
        console.print(
            "no tracking server: nothing is mirrored (pip install 'rlwd[mlflow]')", markup=False
        )
    if scene.said:
        console.print(scene.said, markup=False)
    if options.kafka:
        console.print(f"topics: {processes.topics}.*, of this demo alone", markup=False)
    try:
        with LiveView(console, processes) as view:
            if scene.model is None:
                _pretrain(processes, view)
            view.enter(Phase.STARTING)
            with processes.running():
                crowd = Crowd(
                    processes.gateway_url,
                    scene.world,
                    seed=options.seed,
                    users=options.users,
                    at_once=options.at_once,
                    rate=options.rate,
                )
                examined = Examined(scene.exam, processes)
                view.enter(Phase.SERVING)
                asyncio.run(_serve(crowd, processes, view, options, scene, examined))
                view.enter(Phase.SETTLING)
                _settle(processes, crowd)
            view.enter(Phase.DONE)
    finally:
        processes.mlflow.stop()
    return finish(console, processes, crowd, options, scene, time.monotonic() - began)


def prepared(folder: Path, options: DemoOptions, scene: Scene) -> DemoProcesses:
    """Return the processes, not yet started, with all the files that they read."""
    processes = DemoProcesses(
        folder,
        seed=options.seed,
        kafka=options.kafka,
        vllm=options.vllm,
        mlflow=mlflow_server_installed(),
        profile=scene.profile,
        model=scene.model,
        engine=scene.engine,
        topics=f"rlwd-demo-{secrets.token_hex(4)}" if options.kafka else "rlwd",
    )
    processes.write_config()
    for name, text in scene.files.items():
        (folder / name).write_text(text)
    return processes


def installed(name: str) -> bool:
    """Return whether a module could be imported; it is not."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _check_target(report: Path | None) -> None:
    """See that the report has a place; raises ValueError naming it where it has none."""
    if report is not None and (report.is_dir() or not os.access(report.absolute().parent, os.W_OK)):
        raise ValueError(
            f"--report {report}: is no file that can be written; does its folder exist?"
        )


def _fresh(folder: Path) -> Path:
    """Return an empty folder beside what earlier demos left; nothing of theirs is touched."""
    chosen, number = folder, 1
    while chosen.exists() and any(chosen.iterdir()):
        number += 1
        chosen = folder.with_name(f"{folder.name}-{number}")
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen


def _pretrain(processes: DemoProcesses, view: LiveView) -> None:
    view.enter(Phase.PRETRAINING)
    with processes.make_policy() as process:
        assert process.stdout is not None, "pre-training without a pipe"
        try:
            for line in process.stdout:
                done, _, of = line.decode().partition(" ")
                if done.isdigit() and of.strip().isdigit():
                    view.progress(int(done), int(of))
            if process.wait() != 0:
                raise RuntimeError(f"pre-training ended with {process.returncode}")
        finally:
            process.kill()  # Where the demo was told to end: nobody else knows of it.


async def _serve(
    crowd: Crowd,
    processes: DemoProcesses,
    view: LiveView,
    options: DemoOptions,
    scene: Scene,
    examined: Examined,
) -> None:
    await examined.first()
    crowding = asyncio.create_task(crowd.run())
    deadline = time.monotonic() + options.seconds
    live: dict[str, Any] = {}
    pleased_at: int | None = None
    while not crowding.done():
        await asyncio.sleep(0.5)
        live = await asyncio.to_thread(processes.live)
        view.show(crowd.tally, live)
        for server in (processes.engine, processes.daemon, processes.gateway):
            if not server.alive:
                crowd.stopping.set()
                raise RuntimeError(f"{server.name} died:\n{server.tail()}")
        answers = len(crowd.tally.answers)
        examined.little(live, answers)
        promoted = sum(v["stage"] in ("promoted", "settled") for v in _versions(live))
        learned = answers >= scene.fewest_answers and _pleased(crowd, scene) >= scene.enough
        if pleased_at is None and learned and promoted >= options.promoted:
            pleased_at = answers
        if last_tenth_is_later(pleased_at, answers) or time.monotonic() > deadline:
            crowd.stopping.set()
    await crowding
    await examined.whole(live, len(crowd.tally.answers))


def last_tenth_is_later(pleased_at: int | None, answers: int) -> bool:
    """Return whether all of the last tenth of the answers came after people were pleased.

    That tenth is reported. One that people had gone home for would have been chosen by its rate.
    """
    return pleased_at is not None and int(0.9 * answers) >= pleased_at


def _pleased(crowd: Crowd, scene: Scene) -> float:
    """Return the share of the latest answers that were taken; by truth where not everybody says it."""
    if scene.by_truth:
        return crowd.tally.wanted_rate(0.9, 1.0)
    return crowd.tally.accept_rate(0.9, 1.0)


def _versions(live: dict[str, Any]) -> list[dict[str, Any]]:
    versions: list[dict[str, Any]] = live.get("versions", [])
    return versions


def _settle(processes: DemoProcesses, crowd: Crowd) -> None:
    """Wait until every answer that the crowd got is in the ledger."""
    _until(
        lambda: processes.live().get("generations", 0) >= len(crowd.tally.answers), SETTLE_SECONDS
    )


def _until(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.25)


def finish(
    console: Console,
    processes: DemoProcesses,
    crowd: Crowd,
    options: DemoOptions,
    scene: Scene,
    wall: float,
) -> int:
    """Write report and pictures, say where they are, and return the exit status."""
    config = load_config(processes.config)
    store = state_store(config)
    report = build_report(store, config.policy, crowd.tally, wall=wall, seed=options.seed)
    store.close()
    report["people"] = scene.people
    target = options.report or processes.folder / "report.json"
    # Before all that is drawn: whatever fails there, the run is told of.
    replace_file(target, orjson.dumps(report, option=orjson.OPT_INDENT_2), mode=0o644)
    if scene.exam is not None:
        report["exam"] = scene.exam.finish(processes.folder, crowd.tally.answers, report)
        replace_file(target, orjson.dumps(report, option=orjson.OPT_INDENT_2), mode=0o644)
    picture = processes.folder / "curve.png" if installed("matplotlib") else None
    if picture is not None:
        draw_curve(crowd.tally.answers, picture, by_truth=scene.by_truth)
    print_end(console, report, processes, picture=picture, target=target)
    return 0 if crowd.tally.answers else 1
