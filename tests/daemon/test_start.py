"""Errors at start: one line that names the thing and says what to do; 2 where trying again is no use."""

import errno
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from rlwd.daemon.cli import main
from rlwd.daemon.config import load_config
from rlwd.daemon.exit_status import starting, told
from rlwd.daemon.store import state_store
from rlwd.ops.servers.process import LOOPBACK, Server, free_port

UNITS = Path(__file__).parents[2] / "ops" / "deploy"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount, or be another user")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a config whose state was made before."""
    config(tmp_path, "")
    state_store(load_config(tmp_path / "rlwd.toml")).close()
    return tmp_path


def config(folder: Path, text: str) -> None:
    where = f"[http]\nport = {free_port()}\n" if "[http]" not in text else ""
    engine = f'[engine]\nurls = ["http://{LOOPBACK}:{free_port()}"]\n'
    learner = '[learner]\nmodel = "base"\n'
    (folder / "rlwd.toml").write_text(f"{text}\n{where}{engine}{learner}")


def start(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> tuple[int, str]:
    """Start as a shell would; return the exit status and what was said last, which is one line."""
    monkeypatch.setattr(sys, "argv", ["rlwd", command, "--config", str(folder / "rlwd.toml")])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main()
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("{")]
    assert len(said) == 1, said
    return int(end.value.code or 0), said[0]


def truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def overwritten(file: Path) -> None:
    file.write_bytes(os.urandom(100) + file.read_bytes()[100:])


def scrambled(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:8192] + os.urandom(len(whole) - 8192))


def of_another_program(file: Path) -> None:
    file.unlink()
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE cookies (name TEXT)")
    other.close()


def newer(file: Path) -> None:
    with sqlite3.connect(file) as view:
        view.execute("INSERT INTO migrations VALUES ('ops', 999)")
    view.close()


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (truncated, "malformed; it is damaged or not rlwd's: restore it from a backup"),
        (overwritten, "file is not a database; it is damaged or not rlwd's: restore it"),
        (scrambled, "malformed; it is damaged or not rlwd's: restore it from a backup"),
        (of_another_program, "holds cookies and no table of rlwd's"),
        (newer, "ops is at migration 999, this rlwd knows"),
        (a_folder, "it is a folder: move it away"),
    ],
)
def test_a_database_that_cannot_be_used_is_named(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], None],
    says: str,
) -> None:
    """Each way of being damaged, another's or newer ends the start with 2, and changes nothing."""
    file = folder / "state" / "rlwd.db"
    damage(file)
    before = file.read_bytes() if file.is_file() else b""
    status, said = start(folder, capsys, monkeypatch, "run")
    assert (status, said.startswith(f"rlwd: {file}: "), says in said) == (2, True, True), said
    assert damage is newer or (file.read_bytes() if file.is_file() else b"") == before


@pytest.mark.parametrize(
    ("text", "command", "says"),
    [
        ('[gateway]\nflags = "/proc/none/flags.json"', "run", "gateway.flags: /proc/none: No such"),
        ('[stream]\ndata_folder = "/proc/none"', "run", "stream.data_folder: /proc/none: No such"),
        ('[gateway]\nspool = "/proc/none"', "gateway", "gateway.spool: /proc/none: No such file"),
        ('state = "rlwd.toml"', "run", "rlwd.toml: File exists: a file stands where a folder"),
        ('state = "rlwd.toml"', "gateway", "spool: Not a directory: a file stands where a folder"),
        ('reward_spec = "gone.toml"', "run", "gone.toml: No such file or directory"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_named(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    command: str,
    says: str,
) -> None:
    """The line has the config's key, the place, and what to do."""
    config(folder, text)
    status, said = start(folder, capsys, monkeypatch, command)
    assert (status, says in said) == (2, True), said


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("checkpoints", b"x", "checkpoints: File exists: a file stands where a folder has to be"),
        ("checkpoints/EPOCH", b"junk", "EPOCH: holds no number: write into it the largest"),
        ("log.db", b"no database" * 999, "log.db: file is not a database; it is damaged"),
    ],
)
def test_a_damaged_part_of_the_state_is_named(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: bytes,
    says: str,
) -> None:
    """What stands beside the database ends the start with 2 as well."""
    file = folder / "state" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    status, said = start(folder, capsys, monkeypatch, "run")
    assert (status, says in said) == (2, True), said


def test_a_database_without_its_checkpoints_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody begins anew under numbers that versions have already."""
    with sqlite3.connect(folder / "state" / "rlwd.db") as view:
        view.execute(
            "INSERT INTO checkpoints VALUES ('policy', 0, NULL, 'policy@v000000-0', NULL, 0, 0)"
        )
    view.close()
    status, said = start(folder, capsys, monkeypatch, "run")
    wanted = f"rlwd: {folder / 'state' / 'checkpoints'}: holds no checkpoint, and "
    assert (status, said.startswith(wanted), "restore both" in said) == (2, True, True), said


@pytest.mark.parametrize(("command", "key"), [("run", "http.port"), ("gateway", "gateway.port")])
def test_a_port_that_is_taken_is_named(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    key: str,
) -> None:
    """With its key, and what to do."""
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        config(folder, f"[{key.partition('.')[0]}]\nport = {port}")
        status, said = start(folder, capsys, monkeypatch, command)
    wanted = f"rlwd: {key}: {LOOPBACK}:{port}: Address already in use: another process listens"
    assert (status, said.startswith(wanted)) == (2, True), said


@pytest.mark.parametrize(
    ("security", "says"),
    [
        ('ssl_cafile = "gone.pem"', "ssl_cafile: {folder}/gone.pem: No such file or directory"),
        ('ssl_cafile = "rlwd.toml"', "ssl_cafile: {folder}/rlwd.toml: holds no certificate (PEM)"),
        ('ssl_certfile = "rlwd.toml"', "holds no certificate with its key (PEM)"),
        ('ssl_check_hostname = "maybe"', "ssl_check_hostname: must be true or false"),
        ('ssl_nonsense = "x"', "ssl_nonsense: only security_protocol, ssl_* and sasl_* go here"),
        ('sasl_mechanism = "X"', "sasl_mechanism: 'X' is none of PLAIN, GSSAPI"),
    ],
)
def test_what_is_wrong_with_tls_is_named(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    security: str,
    says: str,
) -> None:
    """Files that are not there or hold something else, and keys and values that are none."""
    kafka = f'bootstrap_servers = ["{LOOPBACK}:{free_port()}"]\n[stream.kafka.security]\n'
    config(
        folder,
        f'[stream]\nkind = "kafka"\n[stream.kafka]\n{kafka}security_protocol = "SSL"\n{security}',
    )
    status, said = start(folder, capsys, monkeypatch, "run")
    assert (status, says.format(folder=folder) in said) == (2, True), said


def test_what_is_away_or_held_may_be_tried_again(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker, a database's server and another daemon pass by themselves: 75, which units restart on."""
    kafka, database = f"{LOOPBACK}:{free_port()}", f"postgresql://{LOOPBACK}:{free_port()}/x"
    config(folder, f'[stream]\nkind = "kafka"\n[stream.kafka]\nbootstrap_servers = ["{kafka}"]')
    status, said = start(folder, capsys, monkeypatch, "run")
    assert (status, f"kafka: nothing answers at {kafka}; start or free" in said) == (75, True), said
    config(folder, f'database = "{database}"')
    status, said = start(folder, capsys, monkeypatch, "run")
    assert (status, "Connection refused" in said) == (75, True), said
    # The first of these starts took the lease, and this process lives.
    config(folder, "")
    status, said = start(folder, capsys, monkeypatch, "run")
    assert (status, f"controlled by process {os.getpid()}" in said) == (75, True), said


def test_a_server_that_lets_us_not_in_is_named(
    folder: Path,
    postgres_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A database's server that is there and refuses what the URL says is not away: 2, and the key."""
    there = urlsplit(postgres_url)
    for wrong in (there._replace(path="/gone"), there._replace(netloc="nobody:@")):
        config(folder, f'database = "{urlunsplit(wrong)}"')
        status, said = start(folder, capsys, monkeypatch, "run")
        assert (status, said.startswith("rlwd: database: postgresql ")) == (2, True), said
        assert "does not exist" in said


def test_a_server_of_ours_that_fails_is_told_in_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first says which it was and where its log is; those below are its last ones, as it wrote them."""
    log = tmp_path / "the.log"
    script = "echo 'first:  one'; echo second; exit 3"
    server = Server(["sh", "-c", script], name="rlwd run", log=log, healthy=bool)
    with pytest.raises(SystemExit), starting():
        server.start()
    said = capsys.readouterr().err.splitlines()
    wanted = f"rlwd: rlwd run ended with 3; the last lines of {log}:"
    assert said == [wanted, "first:  one", "second"]


@needs_root
def test_a_disk_that_is_full_is_named(folder: Path) -> None:
    """On a real file system without room the start ends with 2; people are answered all the same."""
    full = folder / "full"
    full.mkdir()
    config(folder, 'state = "full/state"')
    rlwd = f"{sys.executable} -m rlwd.daemon run --config {folder / 'rlwd.toml'}"
    fill = f"head -c 1M /dev/zero > {full}/fill 2>/dev/null"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"mount -t tmpfs -o size=64k none {full}; {fill}; {rlwd}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    wanted = "No space left on device: its disk is full: make room, then start again\n"
    assert (done.returncode, done.stderr.endswith(wanted)) == (2, True), done.stderr
    assert done.stderr.startswith("rlwd: state: ")


@needs_root
def test_a_state_of_another_user_is_named(folder: Path) -> None:
    """The line says what cannot be written to, and whose it has to be."""
    state = folder / "state"
    above = [each for each in folder.parents if Path(tempfile.gettempdir()) in each.parents]
    for path in (*above, folder, folder / "rlwd.toml"):
        path.chmod(0o755)
    nobody = ("setpriv", "--reuid", "65534", "--clear-groups")
    program = (*nobody, sys.executable, "-c", "import rlwd.daemon.cli")
    if subprocess.run(program, capture_output=True, check=False).returncode != 0:
        pytest.skip("another user cannot read this checkout or its Python")
    done = subprocess.run(
        [
            *nobody,
            *(sys.executable, "-m", "rlwd.daemon", "run", "--config", str(folder / "rlwd.toml")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    wanted = f"rlwd: state: {state}: Permission denied: give it to the user of rlwd, or run as its"
    assert (done.returncode, done.stderr.startswith(wanted)) == (2, True), done.stderr


def test_the_units_restart_on_everything_but_2() -> None:
    """A fault that trying does not cure ends the unit, so that it is seen and not hidden by restarts."""
    for unit in ("rlwd.service", "rlwd-gateway@.service", "rlwd-router.service"):
        lines = (UNITS / unit).read_text().splitlines()
        assert {"Restart=always", "RestartPreventExitStatus=2"} <= set(lines)


def test_a_fault_of_the_machine_has_a_remedy() -> None:
    """Of every error that a machine gives by itself, the line says what to do."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EMFILE):
        said = told(OSError(number, os.strerror(number), "/x"))
        assert said.startswith(f"/x: {os.strerror(number)}: "), said
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("PRAGMA max_page_count = 1")
        with pytest.raises(sqlite3.OperationalError) as full:
            database.execute("CREATE TABLE a (b)")
    said = "database or disk is full: make room on its disk, then start again"
    assert told(full.value) == said
    assert told(ValueError("a\n b")) == "a b"


def test_what_ran_before_is_started_again(capsys: pytest.CaptureFixture[str]) -> None:
    """A full disk ends a start with 2 and a running daemon with 1: the next one goes on."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/x")
    for status, began in ((2, bool), (1, lambda: True)):
        with pytest.raises(SystemExit) as end, starting(began):
            raise full
        assert end.value.code == status
        assert capsys.readouterr().err.startswith("rlwd: /x: No space left on device: ")
