"""Secrets come from the config, a variable or a file; what is wrong names the key and no secret."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlwd.daemon.anchored import satisfaction_with_secrets
from rlwd.daemon.config import Config, load_config

KEYS = [
    "http.token",
    "http.flags_key",
    "engine.token",
    "gateway.token",
    "gateway.engine_token",
    "gateway.user_key",
    "gateway.flags_token",
    "gateway.flags_key",
]


def config_with(folder: Path, key: str, value: str) -> Config:
    section, _, name = key.partition(".")
    path = folder / "rlwd.toml"
    path.write_text(f'[learner]\nmodel = "base"\n[{section}]\n{name} = "{value}"\n')
    return load_config(path)


def value_of(config: Config, key: str) -> str:
    section, _, name = key.partition(".")
    return str(getattr(getattr(config, section), name))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", ["$OWN_SECRET", "file:own", "file:$OWN_FOLDER/own", "hunter2"])
def test_a_secret_is_where_the_config_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    """As it is, in a variable, in a file beside the config, or in a folder that a variable names."""
    (tmp_path / "own").write_text("hunter2\n")
    monkeypatch.setenv("OWN_SECRET", "hunter2")
    monkeypatch.setenv("OWN_FOLDER", str(tmp_path))
    assert (
        value_of(config_with(tmp_path, key, value).with_secrets(key.partition(".")[0]), key)
        == "hunter2"
    )


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("$OWN_SECRET", "environment variable OWN_SECRET is not set"),
        ("file:$OWN_FOLDER/own", "environment variable OWN_FOLDER is not set"),
        ("file:gone", "gone: No such file or directory"),
        ("file:empty", "empty: does not hold one line of text"),
        ("file:many", "many: does not hold one line of text"),
        ("file:bytes", "bytes: is not UTF-8"),
    ],
)
def test_a_secret_that_is_not_there_is_named_by_its_key(
    tmp_path: Path, key: str, value: str, says: str
) -> None:
    """The tables can still be read; who needs the secret is told the key and the place."""
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "many").write_text("hunter2\nhunter3\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfehunter2")
    config = config_with(tmp_path, key, value)
    with pytest.raises(ValueError, match=f"{key}: ") as refused:
        config.with_secrets(key.partition(".")[0])
    assert says in str(refused.value)
    assert "hunter" not in str(refused.value)


def test_each_process_reads_its_own(tmp_path: Path) -> None:
    """A secret of the daemon's pages, out of the gateway's reach, keeps no gateway from starting."""
    config = config_with(tmp_path, "http.token", "file:$CREDENTIALS_DIRECTORY/http-token")
    assert config.with_secrets("gateway").gateway == config.gateway


def test_the_database_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its URL holds a password: a variable or a file may hold it."""
    path = tmp_path / "rlwd.toml"
    (tmp_path / "url").write_text("postgresql://u:p@h/d\n")
    monkeypatch.setenv("RLWD_URL", "postgresql://u:p@h/d")
    for value in ("file:url", "$RLWD_URL", "postgresql://u:p@h/d"):
        path.write_text(f'database = "{value}"\n[learner]\nmodel = "base"\n')
        assert load_config(path).state_database == "postgresql://u:p@h/d"
    monkeypatch.setenv("RLWD_URL", "mysql://u:hunter2@h/d")
    path.write_text('database = "$RLWD_URL"\n[learner]\nmodel = "base"\n')
    with pytest.raises(ValueError, match=r"database: \$RLWD_URL holds no postgresql:// URL"):
        _ = load_config(path).state_database


def test_what_kafka_asks_for_too(tmp_path: Path) -> None:
    """A password of the broker may stand in a file beside the config; one that is gone is named."""
    (tmp_path / "password").write_text("hunter2\n")
    path = tmp_path / "rlwd.toml"
    security = 'sasl_plain_password = "file:password", ssl_keyfile = "file:gone"'
    path.write_text(f'[learner]\nmodel = "base"\n[stream.kafka]\nsecurity = {{ {security} }}\n')
    with pytest.raises(ValueError, match=r"stream\.kafka\.security\.ssl_keyfile: .*gone: No such"):
        load_config(path).stream.kafka.connection()
    path.write_text(path.read_text().replace(', ssl_keyfile = "file:gone"', ""))
    with pytest.raises(ConnectionError, match="nothing answers"):
        load_config(path).stream.kafka.connection()


def rlwd(*arguments: str, folder: Path, umask: int = 0o022) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "rlwd.daemon", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: os.umask(umask) and None,
    )


def test_what_is_kept_is_its_owners_alone(tmp_path: Path) -> None:
    """Under a lax umask, and on files that an earlier version left readable, nobody else reads."""
    recorded = tmp_path / "recorded.jsonl"
    recorded.write_text("")
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    (tmp_path / "rlwd.toml").write_text('[learner]\nmodel = "base"\n')
    from rlwd.daemon.store import state_store

    state_store(load_config(tmp_path / "rlwd.toml")).close()
    (state / "rlwd.db").chmod(0o644)
    done = rlwd("audit", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in state.iterdir()}
    assert modes == {"rlwd.db": "0o600"}


@pytest.mark.parametrize("command", ["audit", "run", "status", "explain"])
@pytest.mark.parametrize("damage", [b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_damaged_database_is_one_line(tmp_path: Path, command: str, damage: bytes) -> None:
    """Exit 2, and a line that names the file; no stack trace."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "rlwd.db").write_bytes(damage)
    (tmp_path / "rlwd.toml").write_text('[learner]\nmodel = "base"\n')
    done = rlwd(command, *(["g"] if command == "explain" else []), folder=tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("rlwd: ")
    assert "rlwd.db" in line


def test_what_proves_readings_and_opens_the_judge_is_read_where_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a file beside the config, or a variable; a key that is easily guessed is refused by name."""
    path = tmp_path / "rlwd.toml"
    text = (
        '[learner]\nmodel = "base"\n[satisfaction]\nkey = "file:own"\n'
        '[satisfaction.judge]\ntoken = "$JUDGE"\n'
    )
    path.write_text(text)
    (tmp_path / "own").write_text("k" * 16 + "\n")
    monkeypatch.setenv("JUDGE", "hunter2")
    given = load_config(path).satisfaction
    assert (given.judge.token, given.scope().keys) != ("hunter2", (b"k" * 16,))
    read = satisfaction_with_secrets(given)
    assert (read.judge.token, read.scope().keys) == ("hunter2", (b"k" * 16,))
    (tmp_path / "own").write_text("short\n")
    with pytest.raises(ValueError, match=r"satisfaction\.key: is shorter than 16") as refused:
        satisfaction_with_secrets(given)
    assert "short\n" not in str(refused.value)
    path.write_text(text.replace("file:own", "short"))
    with pytest.raises(ValueError, match="key: is shorter than 16"):
        load_config(path)
