"""`rlwd rebuild`: versions that a real daemon and learner made, made again by the command in a process of its own.

The first one is started as an operator does; the others are forked from a process that has torch already.
"""

import hashlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from forked import ForkServer
from lone_daemon import Workshop
from manifests_by_hand import manifest

from rlwd.daemon.commands.erase import run_erase
from rlwd.daemon.commands.log_again import LogAgain
from rlwd.daemon.commands.rebuild import BatchSource, run_rebuild, state_of_daemon
from rlwd.daemon.config import load_config
from rlwd.daemon.store import state_store
from rlwd.learner.candidate import Manifest
from rlwd.learner.checkpoint.folder import (
    MANIFEST_FILES,
    checkpoint_path,
    problem_of,
    read_manifest,
    state_of,
)

# Each daemon's learner loads torch and a model, and so does each command: minutes on a busy machine.
pytestmark = pytest.mark.timeout(1200)
PATIENCE = 240.0

KEY = '[gateway]\nuser_key = "key"\n'


@pytest.fixture(scope="module")
def made(tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A state with three versions; between the second and the third the settings were changed."""
    shop = Workshop(
        tmp_path_factory.mktemp("rebuild"), tiny_policy, passes=2, poll_seconds=0.05, more=KEY
    )
    first = shop.daemon("first")
    first.start()
    shop.until(lambda: first.live.get("learner") == "waiting for episodes", PATIENCE)
    for count in (1, 2):
        shop.say()
        shop.until(partial(has_applied, shop, count), PATIENCE)
    first.stop(20.0)
    shop.passes = 3
    second = shop.daemon("second")
    second.start()
    shop.say()
    shop.until(partial(has_applied, shop, 3), PATIENCE)
    second.stop(20.0)
    yield shop
    shop.close()


@pytest.fixture
def shop(made: Workshop, tmp_path: Path) -> Workshop:
    """A copy of that state, to be damaged."""
    copy = Workshop(tmp_path, made.model, passes=4, poll_seconds=0.05, more=KEY)
    copy.daemon("now")
    shutil.copytree(made.config.state_path, copy.config.state_path)
    return copy


def has_applied(shop: Workshop, count: int) -> bool:
    found = shop.ask("SELECT COUNT(*) FROM batches WHERE state = 'applied'")
    return bool(found == [(count,)])


def checkpoints(shop: Workshop) -> Path:
    return shop.config.state_path / "checkpoints"


def version(shop: Workshop, number: int) -> Manifest:
    return read_manifest(checkpoints(shop), number)


def lose(shop: Workshop, *numbers: int) -> None:
    """Leave of these checkpoints the manifests alone, as the learner does once nothing names them."""
    for number in numbers:
        for path in state_of(checkpoints(shop), number):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def forget(shop: Workshop, *batches: int) -> None:
    """Forget what these batches hold, as the daemon does then."""
    change(
        shop, f"UPDATE batches SET content = x'' WHERE batch_id IN ({', '.join(map(str, batches))})"
    )


def change(shop: Workshop, sql: str) -> None:
    shop.ask(sql)


def rebuild(
    shop: Workshop, number: int | str, *more: str, forks: ForkServer | None = None
) -> tuple[int, str, str]:
    """Run the command; return its status and what it said on both ways."""
    name = version(shop, number).version if isinstance(number, int) else number
    told = ("rlwd.daemon", "rebuild", name, "-c", str(shop.folder / "now.toml"), *more)
    if forks is not None:
        return forks.run(*told, seconds=900.0)
    command = [sys.executable, "-m", *told]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    return done.returncode, done.stdout, done.stderr


def tree(folder: Path) -> dict[str, Any]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*")}


def test_a_version_that_was_pruned_is_made_again_to_the_same_bytes(shop: Workshop) -> None:
    """A middle one, from the one before it; what is served of it is whole, and nothing live was touched."""
    lose(shop, 2)
    wanted, live = version(shop, 2), tree(checkpoints(shop))
    out = shop.folder / "again"
    status, told, problem = rebuild(shop, 2, "--out", str(out))
    assert (status, problem) == (0, ""), told
    assert told.splitlines()[0].startswith(f"from {version(shop, 1).version}: 1 checkpoints")
    assert f"{wanted.version}: equal (batch 2, as it was sealed)" in told
    again = read_manifest(out, 2)
    assert (again.version, again.files) == (wanted.version, wanted.files)
    assert problem_of(out, wanted) is None
    assert {path.name for path in state_of(out, 1)} == set()
    assert tree(checkpoints(shop)) == live


def test_settings_that_changed_in_between_are_those_of_each_version(
    shop: Workshop, forks: ForkServer
) -> None:
    """From the base model on: two passes, then three, whatever the config says by now (four)."""
    lose(shop, 0, 1, 2, 3)
    forget(shop, 1, 2, 3)
    status, told, problem = rebuild(shop, 3, forks=forks)
    assert (status, problem) == (0, ""), told
    assert (
        told.splitlines()[0] == f"from the base model: 4 checkpoints to {version(shop, 3).version}"
    )
    assert told.count(": equal") == 4
    assert told.count("sealed again from the state") == 3
    place = shop.config.state_path / "rebuilt" / version(shop, 3).version
    assert problem_of(place, version(shop, 3)) is None


def test_what_retention_forgot_comes_from_the_log(shop: Workshop, forks: ForkServer) -> None:
    """The records are read from the topics again, and make the batch that the manifest names."""
    lose(shop, 2)
    forget(shop, 2)
    change(shop, "DELETE FROM contents")
    change(shop, "UPDATE episodes SET content = NULL")
    offsets = shop.ask("SELECT * FROM offsets")
    status, told, problem = rebuild(shop, 2, forks=forks)
    assert (status, problem) == (0, ""), told
    assert "equal (batch 2, sealed again from the log)" in told
    assert shop.ask("SELECT * FROM offsets") == offsets
    assert shop.ask("SELECT COUNT(*) FROM contents") == [(0,)]


def test_a_batch_with_an_erased_answer_is_named(
    shop: Workshop, forks: ForkServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log still has the person's records, and they are not taken from there."""
    ((one,),) = shop.ask("SELECT generation_id FROM episodes WHERE batch_id = 2 LIMIT 1")
    ((user,),) = shop.ask("SELECT user_hash FROM episodes WHERE generation_id = ?", one)
    lose(shop, 2)
    assert run_erase(shop.config, user, hashed=True) == 0
    capsys.readouterr()
    status, told, problem = rebuild(shop, 3, forks=forks)
    assert status == 2, told
    assert f"batch 2, which made {version(shop, 2).version}, cannot be had" in problem
    assert "erased (`rlwd erase`)" in problem
    assert not list((shop.config.state_path / "rebuilt").iterdir())


def test_what_differs_is_named_with_how_much(shop: Workshop, forks: ForkServer) -> None:
    """A manifest that tells of another learning rate: which file, which tensor, by how much, from where on."""
    wanted = version(shop, 2)
    assert wanted.made_with is not None
    bent = msgspec.structs.replace(
        wanted.made_with,
        settings={**wanted.made_with.settings, "learning_rate": 3e-5},
        software={**wanted.made_with.software, "torch": "1.0"},
    )
    raw = msgspec.json.encode(msgspec.structs.replace(wanted, made_with=bent))
    place = checkpoint_path(checkpoints(shop), 2)
    (place / MANIFEST_FILES[0]).write_bytes(raw)
    (place / MANIFEST_FILES[1]).write_text(hashlib.sha256(raw).hexdigest() + "\n")
    first = version(shop, 1).version
    status, told, problem = rebuild(
        shop, 3, "--from", first, "--out", str(shop.folder / "other"), forks=forks
    )
    assert (status, problem) == (1, "")
    assert f"{wanted.version}: differs, made policy@v000002-" in told
    assert "adapter/adapter_model.safetensors: " in told
    assert "tensors differ, most base_model" in told
    assert "made with torch: 1.0, here " in told
    assert f"not equal, first in {wanted.version}" in told
    # Both are there to be compared.
    assert [bool(state_of(shop.folder / "other", n)) for n in (1, 2, 3)] == [False, True, True]


def test_what_a_person_may_get_wrong_is_named(shop: Workshop, forks: ForkServer) -> None:
    """Each ends with status 2 and one line, and makes nothing."""
    third = version(shop, 3).version
    full = shop.folder / "full"
    (full / "inside").mkdir(parents=True)
    damaged = next(iter(checkpoints(shop).glob("000001/policy@*/adapter_model.safetensors")))
    damaged.write_bytes(b"damaged")
    cases = (
        (("policy@v000077-00000000",), "has no checkpoint of it; the newest is"),
        (("other@v000001-00000000",), "is of another policy; this one is policy"),
        (("policy@v000001-00000000",), f"checkpoint 1 holds {version(shop, 1).version}"),
        (("latest",), "is not a version such as"),
        ((third, "--out", str(full)), "is there and not an empty folder"),
        ((third, "--out", str(checkpoints(shop) / "x")), "the checkpoints of the learner"),
        ((third, "--from", third), "does not descend from it"),
        ((third, "--from", version(shop, 1).version), "its digest is not the manifest's"),
    )
    for arguments, expected in cases:
        status, told, problem = rebuild(shop, *arguments, forks=forks)
        assert (status, told) == (2, "")
        assert expected in problem, problem
        assert len(problem.splitlines()) == 1
    assert not (shop.config.state_path / "rebuilt").exists()


def test_the_state_of_an_older_rlwd_is_not_migrated(tmp_path: Path) -> None:
    """A daemon may run beside, on its own code; what its tables lack is said."""
    (tmp_path / "rlwd.toml").write_text('state = "."\n[learner]\nmodel = "base"\n')
    config = load_config(tmp_path / "rlwd.toml")
    state_store(config).close()
    database = sqlite3.connect(config.state_path / "rlwd.db")
    database.executescript("DROP TABLE migrations; DROP TABLE batches")
    database.close()
    before = (config.state_path / "rlwd.db").read_bytes()
    with pytest.raises(ValueError, match="has no checkpoint of it"):
        run_rebuild(config, "policy@v000001-00000000", None)
    assert (config.state_path / "rlwd.db").read_bytes() == before
    state, lacks = (
        partial(state_of_daemon, config),
        r"no such table: batches; `rlwd run` migrates it",
    )
    with LogAgain(config, state, tmp_path) as log, pytest.raises(ValueError, match=lacks):
        BatchSource(config, state, log).find(manifest(1, 0))


def test_a_damaged_checkpoint_is_passed_over_and_said(shop: Workshop, forks: ForkServer) -> None:
    """The one before it is begun with; a base model that is not there any more is named."""
    damaged = next(iter(checkpoints(shop).glob("000001/policy@*/adapter_model.safetensors")))
    damaged.write_bytes(b"damaged")
    lose(shop, 2)
    status, told, problem = rebuild(shop, 2, forks=forks)
    assert (status, problem) == (0, ""), told
    assert told.startswith("passed over, damaged: ")
    assert f"from {version(shop, 0).version}: 2 checkpoints" in told
    config = shop.folder / "now.toml"
    config.write_text(config.read_text().replace(str(shop.model), str(shop.folder / "gone")))
    status, _, problem = rebuild(shop, 2, "--out", str(shop.folder / "two"), forks=forks)
    assert status == 2
    assert "learner.model" in problem
