"""The demo's end: the report, the picture and the lines, of each scene and from an empty state."""

import io
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from rich.console import Console
from typer.testing import CliRunner

from rlwd.daemon.cli import app
from rlwd.daemon.config import load_config
from rlwd.daemon.control.loop import LETTING_GO_SECONDS
from rlwd.daemon.demo import processes, run
from rlwd.daemon.demo.crowd import Crowd, CrowdAnswer, CrowdResults
from rlwd.daemon.demo.open_scene import commit_scene
from rlwd.daemon.demo.run import DemoOptions, finish, last_tenth_is_later, prepared
from rlwd.daemon.demo.scene import Scene, tiny_scene
from rlwd.daemon.parent.gateway_process import longest_stop
from rlwd.daemon.store import state_store


@pytest.mark.parametrize("name", ["tiny", "sparse", "open"])
def test_every_scene_ends_with_a_report_and_lines(tmp_path: Path, name: str) -> None:
    """Nothing but the people's answers is there; all is written, and the lines say who they were."""
    folder = tmp_path / "demo"
    folder.mkdir()
    scene = _scene(name, tmp_path)
    options = DemoOptions(
        seed=1,
        report=None,
        folder=folder,
        seconds=1.0,
        users=10,
        at_once=1,
        rate=1.0,
        kafka="",
        vllm=scene.vllm,
        promoted=0,
    )
    servers = prepared(folder, options, scene)
    state_store(load_config(servers.config)).close()
    crowd = Crowd("http://127.0.0.1:1", scene.world, seed=1, users=10, at_once=1, rate=1.0)
    crowd.tally.answers += _answers(20, taken=False)
    console = Console(file=io.StringIO(), width=200)
    assert finish(console, servers, crowd, options, scene, 1.0) == 0
    report = orjson.loads((folder / "report.json").read_bytes())
    assert report["people"] == ("sparse" if name == "sparse" else "calm")
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert "accept rate" in said
    assert ("what was wanted" in said) == (name == "sparse")


def _scene(name: str, folder: Path) -> Scene:
    if name == "open":
        (folder / "model").mkdir()
        return commit_scene(folder / "model", 1, taste="named", guard="on")
    return tiny_scene(1, people="calm" if name == "tiny" else name)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--users", "0"], "--users"),
        (["--rate", "0"], "--rate"),
        (["--at-once", "0"], "--at-once"),
        (["--seconds", "-1"], "--seconds"),
        (["--seed", "-1"], "--seed"),
        (["--promoted", "-1"], "--promoted"),
    ],
)
def test_numbers_that_no_crowd_can_have_are_refused(
    tmp_path: Path, options: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With status 2 and the option's name, before anything is made."""
    folder = tmp_path / "demo"
    monkeypatch.setattr(run, "_fresh", lambda _: pytest.fail("something was made"))
    done = CliRunner().invoke(app, ["demo", *options, "--folder", str(folder)])
    assert done.exit_code == 2
    assert told in done.output
    assert not folder.exists()


def test_a_report_without_a_place_is_refused_before_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not after its minutes, when there is nothing left but to lose it."""
    folder, report = tmp_path / "demo", tmp_path / "no" / "out.json"
    with pytest.raises(ValueError, match=str(report)):
        run._check_target(report)
    monkeypatch.setattr(run, "_fresh", lambda _: pytest.fail("something was made"))
    done = CliRunner().invoke(app, ["demo", "--report", str(report), "--folder", str(folder)])
    assert isinstance(done.exception, ValueError)


def test_a_report_is_kept_where_no_picture_can_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails while it is drawn, what was measured is written."""
    monkeypatch.setattr(
        run, "draw_curve", lambda *_, **__: (tmp_path / "none" / "x").write_text("")
    )
    with pytest.raises(FileNotFoundError):
        test_every_scene_ends_with_a_report_and_lines(tmp_path, "tiny")
    assert orjson.loads((tmp_path / "demo" / "report.json").read_bytes())["people"] == "calm"


def test_the_demo_kills_nobody_who_may_still_end(tmp_path: Path) -> None:
    """Daemon and gateway have as long as they would ask a supervisor for, by the config that they read."""
    made = processes.DemoProcesses(tmp_path, seed=1, kafka="", vllm=False)
    made.write_config()
    config = load_config(made.config)
    assert made.gateway.stop_seconds == longest_stop(config.gateway)
    assert made.daemon.stop_seconds == config.stop_seconds + LETTING_GO_SECONDS


def test_each_demo_on_a_broker_has_topics_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another demo's records would be counted as this one's, and be learned from: none is in its topics."""
    made: list[str] = []
    monkeypatch.setattr(processes, "create_topics", lambda _, topics: made.extend(topics))
    scene, names = tiny_scene(1), list[tuple[str, ...]]()
    for number in range(2):
        folder = tmp_path / str(number)
        options = DemoOptions(
            seed=1,
            report=None,
            folder=folder,
            seconds=1.0,
            users=10,
            at_once=1,
            rate=1.0,
            kafka="127.0.0.1:1",
            vllm=False,
            promoted=0,
        )
        config = load_config(run.prepared(folder, options, scene).config)
        stream = config.stream
        names.append((stream.generations, stream.feedback, stream.dead_letters))
        assert stream.kafka.group_id.startswith(stream.generations.partition(".")[0])
    assert made == [*names[0], *names[1]]
    assert not {*names[0]} & {*names[1]}


def test_a_demo_that_is_ended_while_it_pretrains_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM unwinds it in the midst of the lines of a process of its own."""
    left = subprocess.Popen(
        [sys.executable, "-c", "import time; print(1, 2, flush=True); time.sleep(600)"],
        stdout=subprocess.PIPE,
    )

    class Ended:
        def enter(self, phase: object) -> None:
            """Enter a phase."""

        def progress(self, done: int, of: int) -> None:
            """Be told to end."""
            raise SystemExit(143)

    folder = tmp_path / "demo"
    servers = processes.DemoProcesses(folder, seed=1, kafka="", vllm=False, mlflow=False)
    monkeypatch.setattr(servers, "make_policy", lambda: left)
    with pytest.raises(SystemExit):
        run._pretrain(servers, Ended())  # type: ignore[arg-type]
    assert left.poll() is not None


@pytest.mark.parametrize("pleased_at", [1, 20, 333, 1400])
def test_the_reported_tenth_is_not_what_people_went_home_for(pleased_at: int) -> None:
    """Whoever was pleased by luck and never again has a last tenth that says so."""
    lucky, later = _answers(pleased_at, taken=True), _answers(pleased_at, taken=False)
    answers = lucky + later
    assert not any(last_tenth_is_later(None, count) for count in range(len(answers)))
    count = next(n for n in range(len(answers) + 1) if last_tenth_is_later(pleased_at, n))
    assert CrowdResults(answers=answers[: count - 1]).accept_rate(0.9, 1.0) > 0.0
    assert CrowdResults(answers=answers[:count]).accept_rate(0.9, 1.0) == 0.0
    assert count <= pleased_at / 0.9 + 2


def _answers(count: int, *, taken: bool) -> list[CrowdAnswer]:
    return [
        CrowdAnswer(
            at=float(place),
            version="demo@v000000-0",
            variant="champion",
            segment="s",
            taken=taken,
            wanted=taken,
            seconds=0.1,
        )
        for place in range(count)
    ]
