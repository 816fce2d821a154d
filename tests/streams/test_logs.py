"""Logs: one shape for every process, whoever writes the line."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

WRITES = """
import logging, sys, threading, warnings
import structlog
from rlwd.streams.logs import log_to_stderr
log_to_stderr("gateway", *sys.argv[1:])
log = structlog.get_logger()
log.debug("seldom", number=1)
log.info("started", port=8080)
try:
    1 / 0
except ZeroDivisionError:
    log.exception("ours")
    logging.getLogger("aiohttp.server").exception("theirs")
logging.getLogger("kafka").info("chatter")
logging.getLogger("kafka").warning("broker %s is away", "b1")
thread = threading.Thread(target=lambda: [][0], name="worker")
thread.start()
thread.join()
raise RuntimeError("at the very end")
"""


def lines_of(*arguments: str, **environment: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", WRITES, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 1
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_every_line_has_the_same_shape() -> None:
    """Ours, a library's, a dying thread's and the last error are JSON with level, time and process."""
    lines = lines_of()
    assert [(line["level"], line["message"]) for line in lines] == [
        ("info", "started"),
        ("error", "ours"),
        ("error", "theirs"),
        ("warning", "broker b1 is away"),
        ("error", "thread_ends"),
        ("critical", "process_ends"),
    ]
    assert {line["process"] for line in lines} == {"gateway"}
    assert all(line["time"].endswith("Z") for line in lines)
    assert lines[0]["port"] == 8080
    assert lines[2]["logger"] == "aiohttp.server"


def test_a_stack_trace_is_text() -> None:
    """Whoever writes it, an exception is its trace and never an object's address."""
    lines = {line["message"]: line for line in lines_of()}
    for event in ("ours", "theirs"):
        assert lines[event]["exception"].startswith("Traceback (most recent call last):")
        assert lines[event]["exception"].endswith("ZeroDivisionError: division by zero")
    assert "IndexError" in lines["thread_ends"]["exception"]
    assert lines["process_ends"]["exception"].endswith("RuntimeError: at the very end")
    assert not any("0x" in json.dumps(line) for line in lines.values())


def test_an_exception_that_quotes_is_told_without_its_words() -> None:
    """A missing key, a value that cannot be read and what it was made of: type and place, no words."""
    code = """
import msgspec, structlog
from rlwd.streams.logs import log_to_stderr
log_to_stderr("gateway")
log = structlog.get_logger()
for ask in (
    lambda: {}["planted sentence"],
    lambda: int("planted sentence"),
    lambda: msgspec.json.decode(b'"planted sentence"', type=int),
    lambda: open("/not/there"),
):
    try:
        try:
            ask()
        except Exception as cause:
            raise RuntimeError("ours") from cause
    except RuntimeError:
        log.exception("failed")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    told = [json.loads(line)["exception"] for line in done.stderr.splitlines()]
    assert "planted" not in "".join(told).replace('{}["planted sentence"]', "").replace(
        'int("planted sentence")', ""
    ).replace("b'\"planted sentence\"'", "")
    kinds = ("KeyError (its", "ValueError (its", "ValidationError (its", "No such file")
    for trace, kind in zip(told, kinds, strict=True):
        assert kind in trace
        assert trace.endswith("RuntimeError: ours")


def test_the_format_is_given_and_the_environment_wins() -> None:
    """`text` reads as words where nobody is at a terminal, RLWD_LOG_FORMAT=json is JSON all the same."""

    def said(form: str, **environment: str) -> str:
        code = (
            "import structlog; from rlwd.streams.logs import log_to_stderr;"
            f" log_to_stderr('engine', 'info', {form!r}); structlog.get_logger().info('x', n=1)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            check=False,
        )
        return done.stderr

    assert said("auto").startswith("{")
    assert not said("text").startswith("{")
    assert "n" in said("text")
    assert said("text", RLWD_LOG_FORMAT="json").startswith("{")
    assert "'xml' is none of auto, json, text" in said("auto", RLWD_LOG_FORMAT="xml")


def test_the_level_is_given_and_the_environment_wins() -> None:
    """`debug` shows more and `error` less; RLWD_LOG_LEVEL wins over what the config says."""
    assert lines_of("debug")[0]["message"] == "seldom"
    assert {line["level"] for line in lines_of("error")} == {"error", "critical"}
    quiet = lines_of("debug", RLWD_LOG_LEVEL="ERROR")
    assert {line["level"] for line in quiet} == {"error", "critical"}


def test_a_level_that_is_none_is_refused() -> None:
    """The message names the variable and what it may be."""
    done = subprocess.run(
        [sys.executable, "-c", WRITES],
        capture_output=True,
        text=True,
        env={**os.environ, "RLWD_LOG_LEVEL": "loud"},
        check=False,
    )
    says = "RLWD_LOG_LEVEL: 'loud' is none of debug, info, warning, error"
    assert says in done.stderr


def test_a_terminal_gets_plain_lines() -> None:
    """A person at a terminal reads words and not JSON."""
    main, side = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", WRITES], stderr=side)
    os.close(side)
    told = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:  # The other side is closed.
            break
        if not part:
            break
        told += part
    process.wait()
    os.close(main)
    assert b"started" in told
    assert b"ZeroDivisionError: division by zero" in told
    assert not any(line.startswith(b"{") for line in told.splitlines())


def test_lines_are_counted_by_level() -> None:
    """Errors of ours, of libraries, and of a thread that nobody handled are counted."""
    code = WRITES.replace(
        'raise RuntimeError("at the very end")',
        "from rlwd.streams.logs import LINES; print(dict(LINES))",
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{'info': 1, 'error': 3, 'warning': 1}"


def journalled(*command: str) -> list[str]:
    """Return what a process writes whose standard error is what systemd says that its journal reads."""
    reads, writes = os.pipe()
    at = os.fstat(writes)
    environment = {**os.environ, "JOURNAL_STREAM": f"{at.st_dev}:{at.st_ino}"}
    with subprocess.Popen([sys.executable, *command], stderr=writes, env=environment):
        os.close(writes)
        with os.fdopen(reads) as told:
            return told.read().splitlines()


def test_the_journal_is_told_how_bad_a_line_is() -> None:
    """`journalctl -p err` finds errors, and `-p warning` warnings too, of ours, of libraries and the last."""
    lines = journalled("-c", WRITES)
    marks = [line[:3] for line in lines]
    assert marks == ["<6>", "<3>", "<3>", "<4>", "<3>", "<2>"]
    assert [json.loads(line[3:])["level"] for line in lines[2:5]] == ["error", "warning", "error"]
    assert all(line["message"] for line in lines_of(JOURNAL_STREAM="1:1")), "that leads elsewhere"


def test_the_line_that_ends_a_unit_is_an_error_in_the_journal(tmp_path: Path) -> None:
    """The first command of the runbook finds why a daemon or a gateway does not start."""
    (tmp_path / "rlwd.toml").write_text("polcy = 'x'")
    for command in ("run", "gateway"):
        config = ("--config", str(tmp_path / "rlwd.toml"))
        (line,) = journalled("-m", "rlwd.daemon", command, *config)
        assert line.startswith("<3>rlwd: ")
        assert "polcy" in line


@pytest.mark.parametrize("role", ["daemon", "ingest", "gateway", "learner", "engine"])
def test_a_process_is_named(role: str) -> None:
    """Each line says which of the five processes wrote it."""
    code = (
        "import structlog; from rlwd.streams.logs import log_to_stderr;"
        f" log_to_stderr({role!r}); structlog.get_logger().info('x')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr)["process"] == role
