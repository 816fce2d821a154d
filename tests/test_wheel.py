"""What is shipped: the wheel, installed beside its dependencies and away from the checkout."""

import configparser
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import httpx
import pytest
from waiting import until
from wheel_building import ROOT, build_wheel

from rlwd.ops.servers.process import LOOPBACK, NO_TLS, Server, answers, free_port

HEAVY = ("torch", "transformers", "peft", "safetensors", "triton", "matplotlib")
HIDES = f"""
import importlib.abc, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name.partition(".")[0])
sys.meta_path.insert(0, Hidden())
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that ships."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


class Installed:
    """An environment that has the wheel and, by path alone, the dependencies of this one."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        self.python, self.rlwd = folder / "bin" / "python", folder / "bin" / "rlwd"
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install"]
        subprocess.run(
            [*pip, "--no-deps", "--no-index", "--quiet", str(wheel)],
            check=True,
            capture_output=True,
            env=self.environment,
        )
        self.packages = next(folder.glob("lib/python*/site-packages"))
        # A path only: the checkout's own finder, a .pth over there, is not obeyed.
        (self.packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")

    @property
    def environment(self) -> dict[str, str]:
        """This environment without what points at the checkout."""
        return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}

    def hide(self) -> None:
        """Make the learner's packages and matplotlib absent."""
        (self.packages / "hidden.py").write_text(HIDES)
        (self.packages / "hidden.pth").write_text("import hidden\n")

    def run(self, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `rlwd` in a folder."""
        return subprocess.run(
            [str(self.rlwd), *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env=self.environment,
        )


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel, installed with everything beside it."""
    return Installed(tmp_path_factory.mktemp("installed") / "venv", wheel)


@pytest.fixture(scope="session")
def light(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel, installed without an extra."""
    one = Installed(tmp_path_factory.mktemp("light") / "venv", wheel)
    one.hide()
    return one


def names_in(wheel: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("rlwd/")}


def test_every_group_is_in_the_wheel(wheel: Path) -> None:
    """Each file of each group that setup.cfg lists, and the files that are no code."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    packages = [
        name.removeprefix("rlwd").strip(".") for name in config["options"]["packages"].split()
    ]
    sources = {
        f"rlwd/{path.relative_to(ROOT)}"
        for package in packages
        for path in (ROOT / package.replace(".", "/")).glob("*.py")
    }
    data = {
        "rlwd/rewards/spec/default.toml",
        "rlwd/daemon/site/base.html",
        "rlwd/daemon/site/experiments.html",
        "rlwd/daemon/views/fates.txt",
        "rlwd/daemon/views/runbook.txt",
        "rlwd/ops/deploy/rlwd.toml",
        "rlwd/ops/deploy/rlwd.service",
        "rlwd/ops/deploy/install.sh",
        "rlwd/ops/deploy/compose/compose.yaml",
        "rlwd/ops/deploy/kubernetes/kustomization.yaml",
        "rlwd/ops/deploy/kubernetes_router/kustomization.yaml",
        "rlwd/ops/deploy/rlwd-gateway@.service",
        "rlwd/ops/deploy/rlwd-router.service",
        "rlwd/ops/deploy/rlwd.sysusers",
        "rlwd/streams/schemas/generation.v1.json",
    }
    assert sources | data <= names_in(wheel)


def test_nothing_of_the_checkout_is_in_the_wheel(wheel: Path) -> None:
    """Benches, chaos, fuzz and tests stay where they are."""
    folders = {name.split("/")[1] for name in names_in(wheel)}
    assert folders == {
        "__init__.py",
        "daemon",
        "kernels",
        "learner",
        "ops",
        "rewards",
        "streams",
    }
    stray = ("bench.", "bench_", "chaos", "fuzz", "mutation", "test_", "kafka_server", "conftest")
    assert [name for name in names_in(wheel) if Path(name).name.startswith(stray)] == []
    assert {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()} <= {
        "rlwd",
        wheel.name.split("-py3")[0] + ".dist-info",
    }


def test_what_runs_is_what_was_installed(installed: Installed, tmp_path: Path) -> None:
    """The checkout is absent: the package comes from the wheel."""
    code = "import rlwd.daemon.cli as cli; print(cli.__file__)"
    done = subprocess.run(
        [installed.python, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env=installed.environment,
    )
    assert done.stdout.strip() == str(installed.packages / "rlwd" / "daemon" / "cli.py")


def test_help_names_the_commands(installed: Installed, tmp_path: Path) -> None:
    """`rlwd --help` from an empty folder lists what there is to do."""
    done = installed.run(tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    for command in ("run", "gateway", "engine", "status", "audit", "demo", "doctor"):
        assert command in done.stdout


def test_doctor_without_a_config(installed: Installed, tmp_path: Path) -> None:
    """It looks at the packages, then says that the config is not there."""
    done = installed.run(tmp_path, "doctor")
    assert done.returncode == 1
    assert "ok    packages: all" in done.stdout
    assert "ok    learner: all" in done.stdout
    assert "FAIL  config: rlwd.toml: No such file or directory" in done.stdout


@pytest.mark.timeout(600)
def test_the_demo_runs_from_the_wheel(installed: Installed, tmp_path: Path) -> None:
    """Ten seconds of people: they are answered, and every answer has a fate."""
    done = installed.run(tmp_path, "demo", "--seconds", "10", "--promoted", "0", "--rate", "8")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "demo-state" / "report.json").exists()
    assert (tmp_path / "demo-state" / "curve.png").stat().st_size > 1000
    audited = installed.run(tmp_path, "audit", "--config", "demo-state/rlwd.toml")
    assert audited.returncode == 0, audited.stdout + audited.stderr


@pytest.fixture
def light_config(tmp_path: Path) -> Path:
    path = tmp_path / "rlwd.toml"
    path.write_text(
        f'[learner]\nmodel = "base"\n[engine]\nurls = ["http://{LOOPBACK}:{free_port()}"]\n'
        f'[gateway]\nport = {free_port()}\nengines = ["http://{LOOPBACK}:{free_port()}"]\n'
        f"[http]\nport = {free_port()}\n"
    )
    return path


@pytest.mark.parametrize(("command", "section"), [("gateway", "gateway"), ("run", "http")])
def test_gateway_and_control_start_without_an_extra(
    light: Installed, light_config: Path, command: str, section: str
) -> None:
    """Without torch and matplotlib both live, and say what they wait for."""
    from rlwd.daemon.config import load_config

    port = getattr(load_config(light_config), section).port
    server = Server(
        [str(light.rlwd), command, "--config", str(light_config)],
        name=command,
        log=light_config.parent / f"{command}.log",
        healthy=answers(f"http://{LOOPBACK}:{port}/livez"),
        environment={"PYTHONPATH": ""},
        start_seconds=60.0,
        cwd=light_config.parent,
    )
    with server:
        ready = httpx.get(
            f"http://{LOOPBACK}:{port}/readyz", trust_env=False, timeout=10.0, verify=NO_TLS
        )
        assert ready.status_code == 503
        assert ready.json()["ready"] is False


@pytest.mark.parametrize("arguments", [("engine", "--model", "base", "--port", "1"), ("demo",)])
def test_what_needs_an_extra_names_it(
    light: Installed, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Engine and demo without the learner's packages say in one line what to install."""
    done = light.run(tmp_path, *arguments)
    assert done.returncode == 2
    assert "pip install 'rlwd[learner]'" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert [*tmp_path.iterdir()] == [], "nothing was begun"


def test_a_daemon_without_the_learners_packages_says_so(
    light: Installed, light_config: Path
) -> None:
    """Its learner ends with one line that says what to install, and /readyz says it too."""
    from rlwd.daemon.config import load_config

    port = load_config(light_config).http.port
    server = Server(
        [str(light.rlwd), "run", "--config", str(light_config)],
        name="run",
        log=light_config.parent / "run.log",
        healthy=answers(f"http://{LOOPBACK}:{port}/livez"),
        environment={"PYTHONPATH": ""},
        start_seconds=60.0,
        cwd=light_config.parent,
    )

    def problem() -> str:
        ready = httpx.get(
            f"http://{LOOPBACK}:{port}/readyz", trust_env=False, timeout=10.0, verify=NO_TLS
        )
        return str(ready.json()["problems"].get("learner"))

    with server:
        until(lambda: "pip install 'rlwd[learner]'" in problem(), told=problem)
        assert "pip install 'rlwd[learner]'" in server.tail()
        assert "Traceback" not in server.tail()
