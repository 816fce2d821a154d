"""`rlwd weights`: versions of full weights as folders that others read, from the command line."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import torch
from tiny_learner import TINY
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlwd.daemon.cli import main
from rlwd.daemon.commands.router import LOCK
from rlwd.daemon.config import load_config
from rlwd.daemon.doctor.doctor import findings
from rlwd.daemon.doctor.doctor_finding import Grade
from rlwd.daemon.store import state_store
from rlwd.learner.candidate import Manifest
from rlwd.learner.checkpoint.folder import checkpoint_path, problem_of, whole_checkpoints
from rlwd.learner.checkpoint.learner_state import OPTIMIZER
from rlwd.learner.checkpoint.weight_chain import put_together
from rlwd.learner.checkpoint.weight_link import TENSORS, link_path, read_link
from rlwd.learner.checkpoint.write import Checkpoints, Origin
from rlwd.learner.ledger.checkpoints_table import record_checkpoints
from rlwd.learner.train.state import Learner
from rlwd.ops.servers.process import free_port
from rlwd.streams.state.file_lock import lock_file


class State(NamedTuple):
    """A config, and the versions that its state holds."""

    config: Path
    versions: list[Manifest]

    @property
    def checkpoints(self) -> Path:
        """Where they lie."""
        return self.config.parent / "state" / "checkpoints"


@pytest.fixture(scope="module")
def made(tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> State:
    """Versions in bfloat16, all but the first as changes; the last one's probe is another's."""
    config = tmp_path_factory.mktemp("weights") / "rlwd.toml"
    config.write_text(
        f'[learner]\nmodel = "{tiny_policy}"\nweights = "full"\ndtype = "bfloat16"\n'
        '[engine]\nurls = ["http://127.0.0.1:9"]\n'
    )
    learner = Learner(
        msgspec.structs.replace(TINY, model=str(tiny_policy), weights="full", dtype="bfloat16")
    )
    state = State(config, [])
    checkpoints = Checkpoints(state.checkpoints, policy="policy", lease_epoch=0)
    for number in range(3):
        # Far enough that the probe tells them apart, and few enough numbers for changes.
        with torch.no_grad():
            learner.policy.trainable()["lm_head.weight"][number : 3 * number] += 1.0
        learner.policy.settle()
        parent = number - 1 if number else None
        origin = Origin(parent_sequence=parent, probe=learner.probe(), metrics={})
        state.versions.append(checkpoints.write(learner, origin, now=0.0))
    # One that says of itself what another one answers.
    false = Origin(parent_sequence=2, probe=state.versions[0].probe, metrics={})
    state.versions.append(checkpoints.write(learner, false, now=0.0))
    return state


class Command:
    """`rlwd`, as a shell runs it on a state."""

    def __init__(self, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.capsys, self.patch = capsys, patch

    def __call__(self, state: State, *given: str | Path) -> tuple[int, str]:
        """Return its status and what it said."""
        self.patch.setattr(sys, "argv", ["rlwd", *map(str, given), "-c", str(state.config)])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        said = self.capsys.readouterr()
        return int(end.value.code or 0), said.out + said.err


@pytest.fixture
def rlwd(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(capsys, monkeypatch)


def test_the_folder_is_the_version(
    made: State, rlwd: Command, tiny_policy: Path, tmp_path: Path
) -> None:
    """transformers reads from it the version's bits, with the base model's tokenizer and in its type; nothing
    else of the checkpoint is needed."""
    newest, place = made.versions[2], tmp_path / "state"
    shutil.copytree(made.config.parent, place)
    made, tmp_path = State(place / made.config.name, made.versions), tmp_path / "served"
    (checkpoint_path(made.checkpoints, 2) / OPTIMIZER).unlink()
    assert read_link(checkpoint_path(made.checkpoints, 2)).kind == "changes"
    status, said = rlwd(made, "weights", newest.version, "--out", tmp_path / "out")
    assert (status, said.partition(",")[0]) == (0, f"{newest.version}: {tmp_path / 'out'}"), said
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    wanted = put_together(made.checkpoints, 2)
    assert model.dtype == torch.bfloat16
    for name, weight in model.named_parameters():
        assert torch.equal(weight, wanted[name]), name
    ours, theirs = (AutoTokenizer.from_pretrained(f) for f in (tmp_path / "out", tiny_policy))
    asked = [{"role": "user", "content": "mail"}]
    assert ours.apply_chat_template(asked) == theirs.apply_chat_template(asked)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    status, said = rlwd(made, "weights", newest.version, "--out", tmp_path / "out")
    assert status == 2
    assert "is there already" in said


def test_what_is_not_that_version_is_not_written(
    made: State, rlwd: Command, tiny_policy: Path, tmp_path: Path
) -> None:
    """A link that is damaged, a base that is another one, a probe that is answered otherwise: named, and
    nothing is left behind."""
    state = State(tmp_path / "rlwd.toml", made.versions)
    shutil.copytree(made.config.parent, tmp_path, dirs_exist_ok=True)
    out = tmp_path / "out"
    config = state.config.read_text()

    def refused(told: str) -> None:
        status, said = rlwd(state, "weights", version, "--out", out)
        assert (status, told in said) == (2, True), said
        assert not list(tmp_path.glob("*out*"))

    version = made.versions[3].version
    refused("its folder answers the probe otherwise, by ")
    version = made.versions[2].version
    other = tmp_path / "other"
    shutil.copytree(tiny_policy, other)
    with (other / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\0")
    state.config.write_text(config.replace(str(tiny_policy), str(other)))
    refused(f"learner.model: {other} is not tiny")
    state.config.write_text(config)
    link = link_path(checkpoint_path(state.checkpoints, 1))
    (link / TENSORS).unlink()
    refused(f"{link / TENSORS}: missing, and checkpoint 2 is built on it")
    version = "policy@v000009-00000000"
    refused("has no checkpoint of it")


def test_a_backup_keeps_what_is_built_on(made: State, rlwd: Command, tmp_path: Path) -> None:
    """Restored elsewhere, the newest versions are whole, though what they are built on was pruned before."""
    state = State(tmp_path / "one" / "rlwd.toml", made.versions)
    shutil.copytree(made.config.parent, tmp_path / "one")
    store = state_store(load_config(state.config))
    with store.transaction() as tx:
        record_checkpoints(tx, "policy", made.versions)
    store.close()
    Checkpoints(state.checkpoints, policy="policy", lease_epoch=0).prune([0, 1])
    assert rlwd(state, "backup", tmp_path / "backup")[0] == 0
    again = State(tmp_path / "two" / "rlwd.toml", made.versions)
    again.config.parent.mkdir()
    shutil.copy(state.config, again.config)
    assert rlwd(again, "restore", tmp_path / "backup")[0] == 0
    assert whole_checkpoints(again.checkpoints) == [2, 3]
    for sequence in (2, 3):
        assert problem_of(again.checkpoints, made.versions[sequence]) is None
        ours, theirs = (put_together(one.checkpoints, sequence) for one in (again, made))
        assert all(torch.equal(ours[name], weight) for name, weight in theirs.items())


def test_what_does_not_go_with_full_weights_is_named(
    made: State, rlwd: Command, tmp_path: Path
) -> None:
    """Specialists, a router that others can reach without a token, and one for adapters end with 2; the
    doctor says what versions take."""
    found = {one.what: one for one in findings(made.config)}
    assert found["weights"].grade is Grade.OK
    assert "4 servers of 0.00 GiB each" in found["weights"].seen
    state, config = State(tmp_path / "rlwd.toml", []), made.config.read_text()

    def refused(command: str, text: str, told: str) -> None:
        state.config.write_text(text)
        status, said = rlwd(state, command)
        assert (status, told in said) == (2, True), said

    specialist = '[specialists.law]\ntenants = ["acme"]\n'
    told = 'learner.weights: is "full", and specialists are adapters beside one base model'
    refused("run", config.replace("[engine]", "[engine]\nadapters = 12") + specialist, told)
    reachable = config + '[router]\nhost = "0.0.0.0"\n'
    refused("router", reachable, "engine.token: required, because router.host is 0.0.0.0")
    adapters = config.replace('weights = "full"', 'weights = "adapter"')
    refused("router", adapters, 'learner.weights: is "adapter": an engine itself takes those')
    told = "router.slots: 3 is not between 4 and 64"
    refused("router", config + "[router]\nslots = 3\n", told)


def test_two_routers_do_not_share_a_folder(made: State, rlwd: Command, tmp_path: Path) -> None:
    """The second ends with 75 and names the process that has it: each would delete what the other serves."""
    state = State(tmp_path / "rlwd.toml", [])
    state.config.write_text(made.config.read_text() + '[router]\nserver = "embedded"\n')
    folder = tmp_path / "state" / "served"
    folder.mkdir(parents=True)
    held = lock_file(folder / LOCK)
    status, said = rlwd(state, "router")
    os.close(held)
    assert (status, f"{folder / LOCK}: held by process {os.getpid()}" in said) == (75, True), said


def test_a_supervisor_hears_of_a_router(made: State, tmp_path: Path) -> None:
    """Once it takes requests, and that it ends, with the longest time which that may take."""
    config, told = tmp_path / "rlwd.toml", tmp_path / "notify"
    config.write_text(
        f'{made.config.read_text()}[router]\nserver = "embedded"\nport = {free_port()}\n'
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(told))
        supervisor.settimeout(60.0)
        router = subprocess.Popen(
            [sys.executable, "-m", "rlwd.daemon", "router", "--config", str(config)],
            env={**os.environ, "NOTIFY_SOCKET": str(told)},
        )
        try:
            assert supervisor.recv(100) == b"READY=1"
            router.terminate()
            assert supervisor.recv(100).startswith(b"STOPPING=1\nEXTEND_TIMEOUT_USEC=")
            assert router.wait(60.0) == 0
        finally:
            router.kill()
