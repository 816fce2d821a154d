"""`rlwd doctor`: one line for each dependency, and what to do about it; it changes nothing."""

import importlib.metadata
import json
import shutil
from pathlib import Path

import certifi
import pytest
from daemon_by_hand import open_daemon_ledger

from rlwd.daemon.doctor import doctor_machine
from rlwd.daemon.doctor.doctor import examine
from rlwd.ops.servers.process import LOOPBACK, free_port


@pytest.fixture
def folder(tmp_path: Path, tiny_policy: Path) -> Path:
    """A folder with a config that is right but for the engine, which is away."""
    shutil.copytree(tiny_policy, tmp_path / "base")
    (tmp_path / "rlwd.toml").write_text(
        f'[learner]\nmodel = "base"\n[engine]\nurls = ["http://{LOOPBACK}:{free_port()}"]\n'
        f"[gateway]\nport = {free_port()}\n[http]\nport = {free_port()}\n"
    )
    return tmp_path


def lines_of(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    capsys.readouterr()
    status = examine(folder / "rlwd.toml")
    return status, capsys.readouterr().out.splitlines()


def about(what: str, lines: list[str]) -> list[str]:
    return [line for line in lines if line[6:].startswith(what)]


def test_before_the_first_start(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An engine that is away fails; what `rlwd run` will make is only said; no file appears."""
    before = sorted(folder.rglob("*"))
    status, lines = lines_of(folder, capsys)
    assert status == 1
    assert [line for line in lines if line.startswith("FAIL")] == about("engine", lines)
    assert about("engine", lines)[0].endswith(
        "is not healthy -> start it: vLLM, `rlwd engine`, or `rlwd router`"
    )
    (flags,) = about("flags", lines)
    assert flags.startswith("warn")
    (daemon,) = about("daemon", lines)
    assert daemon == "warn  daemon: was never started with this state -> `rlwd run`"
    for what in (
        "python",
        "packages",
        "config",
        "gpu",
        "state",
        "disk",
        "rewards",
        "log",
        "mlflow",
    ):
        assert [line[:2] for line in about(what, lines)] == ["ok"], what
    assert lines[-1] == "something has to be done first"
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ('[parts]\naccepted = 1\n"marked@styel" = 1', "$.parts.marked@styel: the rubric 'styel'"),
        (
            (
                '[parts]\naccepted = 1\n[parts.style]\nof = "marked"\nweight = 1\n'
                'options = { rubric = "styel" }'
            ),
            "$.parts.style: the rubric 'styel' is not in [satisfaction.rubrics] (there are style)",
        ),
        (
            'decisive = ["accepted", "copied"]\n[parts]\naccepted = 1',
            "$.decisive: copied decides, and no part reads it",
        ),
        ('decisive = ["accepted"]\n[parts]\naccepted = 1\n"marked@style" = 1', ""),
        ("[parts]\naccepted = 1\nmarked = 1", ""),
    ],
)
def test_a_spec_that_may_be_meant_otherwise_is_a_warning(
    folder: Path, capsys: pytest.CaptureFixture[str], spec: str, says: str
) -> None:
    """A rubric that nobody marks by, and a signal that decides and says nothing, are named."""
    (folder / "spec.toml").write_text(f'name = "ours"\n{spec}\n')
    config = folder / "rlwd.toml"
    config.write_text(
        f'reward_spec = "spec.toml"\n{config.read_text()}'
        '[satisfaction.rubrics]\nstyle = "Is it brief?"\n'
        '[satisfaction.judge]\nurl = "http://127.0.0.1:1/v1"\nmodel = "judge"\n'
    )
    _, lines = lines_of(folder, capsys)
    (line,) = about("rewards", lines)
    assert (line.startswith("warn"), says in line) == (bool(says), True), line


def test_a_config_that_cannot_be_read_ends_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a config nothing else can be looked at; the line names the key."""
    (folder / "rlwd.toml").write_text('[learnr]\nmodel = "base"\n')
    status, lines = lines_of(folder, capsys)
    assert status == 1
    assert "learnr: unknown key; did you mean learner?" in about("config", lines)[0]
    assert not about("model", lines)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("config.json", "config.json is missing"),
        ("tokenizer_config.json", "tokenizer_config.json is missing"),
        ("model.safetensors", "holds no .safetensors file"),
        ("cut", "is cut off"),
        ("folder", "is no folder"),
    ],
)
def test_a_model_that_is_not_whole_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], damage: str, says: str
) -> None:
    """A missing file, and weights that were not copied to their end, are found without torch."""
    weights = folder / "base" / "model.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif damage == "folder":
        shutil.rmtree(folder / "base")
    else:
        (folder / "base" / damage).unlink()
    status, lines = lines_of(folder, capsys)
    found = about("model", lines)
    assert status == 1
    assert any(line.startswith("FAIL") and says in line for line in found)


def test_a_model_of_several_files_must_have_them_all(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the index names has to be there."""
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}}
    (folder / "base" / "model.safetensors.index.json").write_text(json.dumps(index))
    _, lines = lines_of(folder, capsys)
    assert "model-00002.safetensors is missing" in about("model", lines)[0]


def test_flags_that_are_damaged_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Gateways live by the file, and the daemon writes it again: it is no reason not to start."""
    (folder / "state").mkdir()
    (folder / "state" / "flags.json").write_text('{"flags": {}}')
    _, lines = lines_of(folder, capsys)
    (line,) = about("flags", lines)
    assert line.startswith("warn")
    assert "missing required field" in line
    assert line.endswith("`rlwd run` writes it again from its tables")


def test_what_is_away_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No broker fails, no MLflow is a warning only, and a bad reward spec names its part."""
    path = folder / "rlwd.toml"
    text = path.read_text().replace("[learner]", 'reward_spec = "spec.toml"\n[learner]')
    (folder / "spec.toml").write_text('name = "x"\n[parts]\naccept = 1\n')
    path.write_text(
        f'{text}\n[stream]\nkind = "kafka"\n'
        f'[stream.kafka]\nbootstrap_servers = ["{LOOPBACK}:{free_port()}"]\n'
        f'[mlflow]\ntracking_uri = "http://{LOOPBACK}:{free_port()}"\n'
    )
    _, lines = lines_of(folder, capsys)
    assert "FAIL  log: kafka: nothing answers at" in about("log", lines)[0]
    assert about("mlflow", lines)[0].startswith("warn")
    assert "$.parts.accept: no such part" in about("rewards", lines)[0]


def test_nobody_in_charge_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A state that a daemon left is told from one that never was."""
    open_daemon_ledger(folder / "state" / "rlwd.db").store.close()
    _, lines = lines_of(folder, capsys)
    assert about("daemon", lines) == ["warn  daemon: nobody is in charge -> `rlwd run`"]


@pytest.mark.parametrize(
    ("absent", "says"),
    [
        (
            {"torch", "transformers", "peft"},
            (
                "warn  learner: none of its packages is installed -> pip install 'rlwd[learner]',"
                " unless this is a gateway"
            ),
        ),
        ({"torch"}, "FAIL  learner: torch is not installed -> pip install 'rlwd[learner]'"),
    ],
)
def test_a_gateway_needs_nothing_of_the_learner(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    absent: set[str],
    says: str,
) -> None:
    """The light installation is no fault; one of the learner's packages missing among them is."""
    version = importlib.metadata.version
    wanted = [
        "msgspec",
        *(f"{one}; extra == 'learner'" for one in ("torch", "transformers", "peft")),
    ]

    def installed(name: str) -> str:
        if name in absent:
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", installed)
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: wanted)
    _, lines = lines_of(folder, capsys)
    assert about("learner", lines) == [says]


def test_more_processes_than_there_is_room_for(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """`learner.processes` beyond the cores is slow, and said; beyond the GPUs it cannot start."""
    config = folder / "rlwd.toml"
    written = config.read_text()
    for asked, line in (
        ('device = "cpu"\nprocesses = 64', "warn  processes: learner.processes is 64, and cores"),
        ("processes = 3", "FAIL  processes: learner.processes is 3, and GPUs here are 2 -> "),
        ("processes = 2", "ok    processes: each update is made by 2"),
    ):
        devices = tmp_path / "dev"
        devices.mkdir(exist_ok=True)
        for name in ("nvidiactl", "nvidia0", "nvidia1"):
            (devices / name).touch()
        monkeypatch.setattr(doctor_machine, "GPU_DEVICE", devices / "nvidiactl")
        monkeypatch.setattr(doctor_machine, "cores", lambda: 2)
        config.write_text(written.replace("[learner]", f"[learner]\n{asked}"))
        (found,) = about("processes", lines_of(folder, capsys)[1])
        assert found.startswith(line), found
    config.write_text(written)
    assert about("processes", lines_of(folder, capsys)[1]) == []


def test_an_authority_that_cannot_be_read_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL passes over a file that is missing or no certificate, and servers are refused without a word of it."""
    for name, text, told in (
        (
            "gone.pem",
            None,
            "FAIL  authorities: SSL_CERT_FILE is {}, which cannot be read: No such file",
        ),
        ("odd.pem", "odd", "FAIL  authorities: SSL_CERT_FILE is {}, which cannot be read: "),
        (
            "own.pem",
            Path(certifi.where()).read_text(),
            "ok    authorities: those of {} are believed",
        ),
    ):
        if text is not None:
            (folder / name).write_text(text)
        monkeypatch.setenv("SSL_CERT_FILE", str(folder / name))
        _, lines = lines_of(folder, capsys)
        (line,) = about("authorities", lines)
        assert line.startswith(told.format(folder / name)), line


def test_a_folder_of_authorities_that_openssl_would_not_look_at_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks for names that are made from what is in the files, and reads no other file."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    (folder / "own.pem").write_text(Path(certifi.where()).read_text())
    (line,) = about("authorities", lines_of(folder, capsys)[1])
    assert line.startswith(f"FAIL  authorities: SSL_CERT_DIR is {folder}, which has no file "), line
    (folder / "9d66eef0.0").symlink_to("own.pem")
    assert about("authorities", lines_of(folder, capsys)[1]) == []


@pytest.mark.parametrize(("has", "lines"), [(True, 0), (False, 1)])
def test_a_precision_that_these_cores_emulate(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    has: bool,
    lines: int,
) -> None:
    """`learner.dtype` bfloat16 on a CPU without instructions for it learns for hours, and is said before."""
    config = folder / "rlwd.toml"
    asked = '[learner]\ndevice = "cpu"\ndtype = "bfloat16"'
    config.write_text(config.read_text().replace("[learner]", asked))
    monkeypatch.setattr(doctor_machine, "has_bfloat16", lambda: has)
    assert len(about("precision", lines_of(folder, capsys)[1])) == lines
