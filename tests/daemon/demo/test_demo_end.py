"""The demo's end: the report, the picture and the lines, of each scene and from an empty state."""

import io
from pathlib import Path

import orjson
import pytest
from rich.console import Console

from rlwd.daemon.config import load_config
from rlwd.daemon.demo.crowd import Crowd, CrowdAnswer
from rlwd.daemon.demo.open_scene import commit_scene
from rlwd.daemon.demo.run import DemoOptions, finish, prepared
from rlwd.daemon.demo.scene import Scene, tiny_scene
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
    processes = prepared(folder, options, scene)
    state_store(load_config(processes.config)).close()
    crowd = Crowd("http://127.0.0.1:1", scene.world, seed=1, users=10, at_once=1, rate=1.0)
    crowd.tally.answers += [
        CrowdAnswer(
            at=float(place),
            version="demo@v000000-0",
            variant="champion",
            segment="s",
            taken=False,
            wanted=False,
            seconds=0.1,
        )
        for place in range(20)
    ]
    console = Console(file=io.StringIO(), width=200)
    assert finish(console, processes, crowd, options, scene, 1.0) == 0
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
