"""Versions of full weights: damaged or not finite ones are named before any server is started with them."""

import errno
import os
import shutil
from concurrent.futures import Future
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

from rlwd.learner.candidate import Candidate
from rlwd.learner.checkpoint.folder import read_manifest
from rlwd.learner.checkpoint.weight_link import TENSORS
from rlwd.learner.digests import file_digest
from rlwd.ops.engine.adapter_check import DamagedAdapter, tensors_in
from rlwd.ops.engine.weights_check import VersionCheck


@pytest.fixture
def copied(whole_versions: tuple[Candidate, Candidate], tmp_path: Path) -> Candidate:
    """A version whose files a test may damage."""
    one = whole_versions[1]
    shutil.copytree(one.path.parents[1], tmp_path / "checkpoints")
    path = tmp_path / "checkpoints" / one.path.parent.name / one.path.name
    return msgspec.structs.replace(one, path=path)


def test_a_sound_version_passes_and_is_read_once(copied: Candidate) -> None:
    """On a thread where it is not waited for, which is asked again; a file that changed is read again."""
    begun: list[Future[None]] = []

    def submit(work: object) -> Future[None]:
        future: Future[None] = Future()
        begun.append(future)
        return future

    check = VersionCheck(submit)
    assert not check.begun(copied)
    assert not check.begun(copied)
    assert len(begun) == 1
    begun[0].set_result(None)
    assert check.begun(copied)
    assert check.begun(copied)
    assert len(begun) == 1
    (copied.path / TENSORS).touch()
    assert not check.begun(copied)
    VersionCheck().now(copied)


def test_a_damaged_version_is_named(copied: Candidate) -> None:
    """A bit that changed, and a file that is gone: the disk's fault, by the file's name."""
    path = copied.path / TENSORS
    with path.open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    with pytest.raises(DamagedAdapter, match=f"{path}: its digest is not the manifest's"):
        VersionCheck().now(copied)
    path.unlink()
    with pytest.raises(DamagedAdapter, match=f"{path}: missing"):
        VersionCheck().now(copied)


def test_weights_that_are_not_finite_are_named(
    copied: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the digests say: no server is started with an infinite weight."""
    path = copied.path / TENSORS
    tensors = load_file(path)
    name = next(name for name, each in sorted(tensors.items()) if each.is_floating_point())
    tensors[name].view(-1)[0] = torch.inf
    save_file(tensors, path)
    # As if it had been written so.
    folder, number = copied.path.parents[1], int(copied.path.parent.name)
    manifest = read_manifest(folder, number)
    files = {**manifest.files, f"weights/{TENSORS}": file_digest(path)}
    told = msgspec.structs.replace(manifest, files=files)
    monkeypatch.setattr(
        "rlwd.learner.checkpoint.folder.read_manifest",
        lambda where, at: told if at == number else read_manifest(where, at),
    )
    with pytest.raises(ValueError, match=f"weight {name} is not finite"):
        VersionCheck().now(copied)


def test_a_file_that_is_cut_off_while_it_is_read_is_named(copied: Candidate) -> None:
    """It is an error, and no signal that ends the process, as it would be of a file in memory."""
    path = copied.path / TENSORS
    save_file({name: torch.zeros(1 << 16) for name in "abc"}, path)
    read = tensors_in(path)
    assert next(read)[0] == "a"
    os.truncate(path, 1 << 12)
    with pytest.raises(ValueError, match=f"{path}: tensor b is cut off"):
        next(read)
    for kept in (4, 100):
        os.truncate(path, kept)
        with pytest.raises(ValueError, match=f"{path}: not a safetensors file: "):
            next(tensors_in(path))


def test_a_disk_that_cannot_be_read_is_named(
    copied: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As damage, by the file's name: the daemon goes on."""

    def failing(path: Path) -> str:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr("rlwd.learner.checkpoint.folder.file_digest", failing)
    with pytest.raises(DamagedAdapter, match=f"{copied.path}/.*: Input/output error"):
        VersionCheck().now(copied)
