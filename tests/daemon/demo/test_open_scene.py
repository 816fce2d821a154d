"""Open scene: the settings for small models are a config that the daemon takes; options; what is shown."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from rlwd.daemon.cli import app
from rlwd.daemon.config import load_config
from rlwd.daemon.demo import small_profile
from rlwd.daemon.demo.answers_page import write_page
from rlwd.daemon.demo.open_scene import commit_scene, replay_lines
from rlwd.daemon.demo.processes import DemoProcesses
from rlwd.daemon.demo.sitting import ExamAnswer, Sitting
from rlwd.daemon.demo.small_profile import PACES, RANK, Guard, small_engine
from rlwd.daemon.worlds.everyday import ASKED, REPLAYED
from rlwd.ops.servers.processor import fast_dtype
from rlwd.ops.servers.vllm_server import VllmServer


@pytest.mark.parametrize("precision", [*PACES])
@pytest.mark.parametrize("guard", ["on", "off"])
def test_the_settings_for_small_models_are_a_config(
    tmp_path: Path, guard: Guard, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the demo writes it the daemon reads it, on a processor of either kind; with the guards off drift holds and
    refuses nothing."""
    monkeypatch.setattr(small_profile, "fast_dtype", lambda: precision)
    model = tmp_path / "model"
    model.mkdir()
    scene = commit_scene(model, 3, taste="named", guard=guard)
    processes = DemoProcesses(
        tmp_path / "demo",
        seed=3,
        kafka="",
        vllm=True,
        mlflow=False,
        profile=scene.profile,
        model=scene.model,
        engine=scene.engine,
    )
    processes.write_config()
    config = load_config(processes.config)
    assert config.learner.model == str(model)
    assert config.learner.seed == 3
    assert Path(config.learner.replay.texts) == tmp_path / "demo" / "replay.jsonl"
    assert config.learner.lora_rank == RANK == scene.engine["max_lora_rank"]
    assert config.learner.dtype == scene.engine["dtype"] == precision
    assert config.rollout.margin < 0.3
    pace = PACES[precision]
    assert config.batch.episodes == config.batch.at_most == pace.episodes
    assert config.rollout.min_users == pace.min_users
    assert config.rollout.deadline_seconds == pace.deadline_seconds
    held = guard == "on"
    assert config.rollout.watch.on_alarm == ("hold" if held else "report")
    assert (config.gate.max_drift > 0) == held


def test_the_server_is_told_what_the_settings_say(tmp_path: Path) -> None:
    """Rank and dtype decide what an adapter costs on a CPU; they reach vLLM's command line."""
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 512}')
    command = [str(part) for part in VllmServer(tmp_path, tmp_path, **small_engine()).command]
    for name, value in (("--max-lora-rank", "8"), ("--dtype", fast_dtype())):
        assert command[command.index(name) + 1] == value


def test_taste_and_guard_are_the_open_models(tmp_path: Path) -> None:
    """On the tiny policy they would say nothing, and are refused before anything is made."""
    for option in (("--taste", "shape"), ("--guard", "off")):
        done = CliRunner().invoke(app, ["demo", "--folder", str(tmp_path / "demo"), *option])
        assert done.exit_code == 2
        assert "smollm2" in done.output
    assert not (tmp_path / "demo").exists()


def test_what_is_replayed_is_not_what_is_asked() -> None:
    """What was kept is told by questions that were never in a step."""
    assert not {question for question, _ in ASKED} & {question for question, _ in REPLAYED}
    assert replay_lines().count("\n") == len(REPLAYED)


def test_the_page_shows_the_same_questions_side_by_side(tmp_path: Path) -> None:
    """Text of a model cannot break the page; what was right is marked, and shares stand above."""
    asked = [ExamAnswer(kind="unseen", question="q<1", answer="a\n<b>", right=False)]
    told = [ExamAnswer(kind="unseen", question="q<1", answer="good", right=True)]
    before = Sitting(version="p@v0", at=0, asked=tuple(asked))
    after = Sitting(version="p@v9", at=100, asked=tuple(told))
    write_page(tmp_path / "answers.html", before, after)
    page = (tmp_path / "answers.html").read_text()
    assert "0.00 → 1.00" in page
    assert '<tr><td>q&lt;1</td><td>a\n&lt;b&gt;</td><td class="right">good</td></tr>' in page
