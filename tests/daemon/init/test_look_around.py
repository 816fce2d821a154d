"""`rlwd init` looking around: surroundings that are foreign, hostile, slow or not for this user end nothing."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from rlwd.daemon.cli import main
from rlwd.daemon.config import load_config
from rlwd.daemon.init import asked, findings
from rlwd.daemon.init.asked import ask
from rlwd.daemon.init.look_around import look_for_engine, look_for_model
from rlwd.ops.servers.process import LOOPBACK, free_port

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another user")


@contextlib.contextmanager
def answering(
    body: Callable[[BaseHTTPRequestHandler], None], status: Callable[[Any], int] = lambda _: 200
) -> Iterator[str]:
    """A server of the test's own, which gives a status by the headers that it is told; gives its URL."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status(self.headers))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                body(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{LOOPBACK}:{server.server_port}"
        server.shutdown()


def serving(name: object, root: object) -> Callable[[BaseHTTPRequestHandler], None]:
    """What an engine says of its one model."""
    return saying(json.dumps({"data": [{"id": name, "root": root}]}).encode())


def saying(raw: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    def body(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(raw)

    return body


def init(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str]:
    """Run the command where nothing else is; return its exit status and what it said."""
    monkeypatch.setattr(findings, "KAFKA", (f"{LOOPBACK}:{free_port()}",))
    monkeypatch.setattr(findings, "MLFLOW", (f"http://{LOOPBACK}:{free_port()}",))
    monkeypatch.setattr(sys, "argv", ["rlwd", "init", *arguments])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("a\x1b[2J\nfound      model: /evil\u202e", "/x"),
        ("a", "/" + "x" * 5000),
        ("a", "x" * 5000),
        ("a", "/a\0b"),
        ("\ud800" * 300, {"not": "text"}),
    ],
)
def test_what_an_engine_calls_itself_is_one_short_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: object,
    root: object,
) -> None:
    """Names with escapes or without end, and roots that are no paths, neither end it nor move a cursor."""
    file = tmp_path / "rlwd.toml"
    with answering(serving(name, root)) as url:
        status, said = init(monkeypatch, capsys, "--config", str(file), "--engine", url)
    assert status == 0, said
    line = next(each for each in said.splitlines() if "engine" in each)
    assert line.startswith(f"found      engine: {url}, serves "), line
    assert line.isprintable()
    assert len(line) < 900
    assert [each for each in said.splitlines() if each.startswith("found      model")] == []


def test_an_answer_of_brackets_is_no_engine() -> None:
    """JSON that is nested without end ends nothing."""
    with answering(saying(b"[" * 200_000)) as url:
        found = look_for_engine(url)
    assert (found.there, found.says) == (False, "answers, and is no OpenAI-compatible engine")


def test_a_server_without_end_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that drips has its time, and one that pours its bytes; then it is none of those looked for."""
    monkeypatch.setattr(asked, "IN_ALL", 0.5)

    def drips(handler: BaseHTTPRequestHandler) -> None:
        for _ in range(600):
            handler.wfile.write(b" ")
            time.sleep(0.1)

    def pours(handler: BaseHTTPRequestHandler) -> None:
        while True:
            handler.wfile.write(bytes(1 << 16))

    with answering(drips) as url:
        assert ask(url) == "did not answer within 0.5 seconds"
    monkeypatch.setattr(asked, "IN_ALL", 60.0)
    with answering(pours) as url:
        found = ask(url)
    assert not isinstance(found, str)
    assert len(found.body) == asked.MOST_BYTES


def test_engines_of_other_models_are_no_replicas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of those at the usual places the ones that serve what the first serves are written; others are told."""
    with (
        answering(serving("a", "org/a")) as one,
        answering(serving("a", "org/a")) as two,
        answering(serving("b", "org/b")) as other,
    ):
        monkeypatch.setattr(findings, "ENGINES", (one, other, two))
        file, named = tmp_path / "rlwd.toml", tmp_path / "named.toml"
        status, said = init(monkeypatch, capsys, "--config", str(file))
        assert status == 0, said
        assert f"left out   engine: {other}, serves b: another model; --engine takes it" in said
        arguments = ("--config", str(named), "--engine", one, "--engine", other)
        assert init(monkeypatch, capsys, *arguments)[0] == 0
    assert load_config(file).engine.urls == load_config(file).gateway.engines == (one, two)
    assert load_config(named).engine.urls == (one, other)


def test_an_engine_is_found_as_clients_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the /v1 of a client's base URL it is the same engine, and is written as rlwd asks it."""
    file = tmp_path / "rlwd.toml"
    with answering(serving("a", "org/a")) as url:
        named = ("--engine", f"{url}/v1", "--engine", f"{url}/v1/", "--engine", url)
        status, said = init(monkeypatch, capsys, "--config", str(file), *named)
    assert (status, said.count(f"found      engine: {url}, serves a\n")) == (0, 1), said
    assert load_config(file).engine.urls == load_config(file).gateway.engines == (url,)


def test_an_engine_with_a_key_is_asked_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the key it is only there; with the variable that the config names it says what it serves."""
    models = json.dumps({"data": [{"id": "a", "root": "/a"}, {"id": "b", "root": "/a"}]}).encode()

    def closed(handler: BaseHTTPRequestHandler) -> None:
        known = handler.headers["Authorization"] == "Bearer sesame"
        handler.wfile.write(models if known else b"{}")

    with answering(
        closed, lambda told: 200 if told["Authorization"] == "Bearer sesame" else 401
    ) as url:
        status, said = init(monkeypatch, capsys, "--engine", url, "--print")
        assert (status, f"{url}, asks for a key" in said) == (0, True), said
        assert "RLWD_ENGINE_TOKEN" in said
        monkeypatch.setenv("RLWD_ENGINE_TOKEN", "sesame")
        arguments = ("--config", str(tmp_path / "rlwd.toml"), "--engine", url)
        status, said = init(monkeypatch, capsys, *arguments)
        assert (status, f"{url}, serves a and b" in said) == (0, True), said
        assert "RLWD_ENGINE_TOKEN" not in said
        monkeypatch.setenv("RLWD_ENGINE_TOKEN", "another")
        assert "asks for another key" in init(monkeypatch, capsys, "--engine", url, "--print")[1]
    assert load_config(tmp_path / "rlwd.toml").engine.token == "$RLWD_ENGINE_TOKEN"


def test_a_model_that_no_engine_names_is_questioned(tmp_path: Path) -> None:
    """A folder at a usual place may hold another model than the engine serves; the line says so."""
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "model.safetensors").write_text("")
    found = look_for_model(tmp_path, None, ["org/elsewhere"])
    assert (found.there, found.says) == (True, "has to be what the engine serves, org/elsewhere")
    assert look_for_model(tmp_path, None, [str(base)]).says == ""
    assert look_for_model(tmp_path, base, ["org/elsewhere"]).says == ""


@needs_root
def test_a_folder_that_is_anothers_is_said_so() -> None:
    """Where the installed state is another user's, whoever asks is told; nothing ends by it."""
    with tempfile.TemporaryDirectory() as place:
        closed = Path(place) / "var" / "models" / "base"
        closed.mkdir(parents=True)
        closed.parents[1].chmod(0o700)
        Path(place).chmod(0o755)
        code = (
            "import os; from pathlib import Path; from rlwd.daemon.init import look_around as l;"
            f" l.MODELS = ({str(closed)!r},); os.setuid(65534);"
            f" print(l.look_for_model(Path({place!r}), None, []).says)"
        )
        line = [sys.executable, "-c", code]
        done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{closed} may not be looked into by this user"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--engine", "http://[::1"), "engine.urls[0]: 'http://[::1': Invalid IPv6 URL"),
        (("--engine", "http://\x1b[2J"), "engine.urls[0]: "),
        (("--mlflow", "http://h:99999"), "mlflow.tracking_uri: 'http://h:99999': Port out of"),
        (("--kafka", "broker"), "stream.kafka.bootstrap_servers[0]: 'broker' is not HOST:PORT"),
    ],
)
def test_an_address_that_is_none_is_named_before_anybody_is_asked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, str],
    says: str,
) -> None:
    """One line with the key, exit 2, and no file."""
    file = tmp_path / "rlwd.toml"
    status, said = init(monkeypatch, capsys, "--config", str(file), *arguments)
    assert (status, said.startswith(f"rlwd: {says}"), said.count("\n")) == (2, True, 1), said
    assert not file.exists()


def test_a_model_of_any_name_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Letters beyond the first 65,536 are written so that TOML reads them."""
    model = tmp_path / "model 😀"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_text("")
    file = tmp_path / "rlwd.toml"
    monkeypatch.setattr(findings, "ENGINES", (f"http://{LOOPBACK}:{free_port()}",))
    status, said = init(monkeypatch, capsys, "--config", str(file), "--model", str(model))
    assert status == 0, said
    assert load_config(file).learner.model == str(model)


def test_half_a_file_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path that no config can hold is named, and the next try finds no file in its way."""
    file = tmp_path / "rlwd.toml"
    monkeypatch.setattr(findings, "ENGINES", (f"http://{LOOPBACK}:{free_port()}",))
    status, said = init(monkeypatch, capsys, "--config", str(file), "--model", "a\udcff")
    assert (status, "--model: its path is not UTF-8" in said, file.exists()) == (2, True, False), (
        said
    )
