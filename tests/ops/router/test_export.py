"""Export: what stops it is told in one line, which is all that an operator is shown of it."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from rlwd.learner.candidate import Candidate
from rlwd.ops.router import export


def told_by(version: Candidate, model: Path, out: Path) -> str:
    """Write a version's folder, which has to fail; return the line that says why."""
    place = version.path.parent
    with pytest.raises(SystemExit) as ended:
        export.main(
            [
                *("--checkpoints", str(place.parent), "--sequence", str(int(place.name))),
                *("--model", str(model), "--out", str(out)),
            ]
        )
    return str(ended.value.code)


def test_a_full_disk_and_another_base_model_are_named(
    whole_versions: tuple[Candidate, Candidate],
    tiny_policy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the key that an operator can do something about; nothing of the folder is left."""
    out = tmp_path / "served" / "one"
    told = told_by(whole_versions[1], tmp_path, out)
    assert told.startswith(f"learner.model: {tmp_path} is not "), told

    def full(source: Path, to: Path, **_: object) -> None:
        Path(to).touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(to))

    monkeypatch.setattr(shutil, "copyfile", full)
    told = told_by(whole_versions[1], tiny_policy, out)
    assert told == f"router.folder: {out.parent}: its disk is full: make room"
    assert list(out.parent.iterdir()) == []
