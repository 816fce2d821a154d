"""Keep watch: horizons, restarts, a gateway that is away, and the command from its door to the log."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bench_keep
import httpx
import pytest
from gateway_rig import CHAT, HELLO, GatewayRig
from keep_rig import START, KeepRig
from typer.testing import CliRunner
from waiting import until

from rlwd.daemon.cli import app
from rlwd.daemon.keep import keep_state, measure
from rlwd.daemon.keep.keep_watch import spec_horizons
from rlwd.daemon.keep.posting import FIRST_PAUSE, KEPT_SECONDS, FeedbackPoster
from rlwd.rewards.spec.spec import Spec, load_spec
from rlwd.rewards.spec.term import PartTable
from rlwd.streams.events.signals import Kept

FOUR = "alpha = first(1)\nbeta = second(2)\ngamma = third(3)\ndelta = fourth(4)\n"


class PretendGateway:
    """Answers posts as the gateway does, or as it is told; no server."""

    def __init__(self, rig: KeepRig) -> None:
        self.rig = rig
        self.taken: list[dict[str, Any]] = []
        self.away = False
        self.answers: list[httpx.Response] = []
        self.each: dict[str, int] = {}
        client = httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(self.handle))
        rig.watch.poster = FeedbackPoster(store=rig.watch.store, client=client)

    def handle(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("away")
        if self.answers:
            return self.answers.pop(0)
        posted = json.loads(request.content)
        results = []
        for one in posted:
            status = self.each.get(one["feedback_id"].rpartition(":")[2], 202)
            results.append({"feedback_id": one["feedback_id"], "status": status})
            if status == 202:
                self.taken.append(one)
        return httpx.Response(202, json={"results": results})

    @property
    def said(self) -> list[tuple[float, float]]:
        return [(o["signal"]["horizon_seconds"], o["signal"]["fraction"]) for o in self.taken]


@pytest.fixture
def gateway(rig: KeepRig) -> PretendGateway:
    return PretendGateway(rig)


def test_each_horizon_is_posted_once(rig: KeepRig, gateway: PretendGateway) -> None:
    """At 300 s all four lines stand, at 3,600 s three; then the generation is forgotten."""
    rig.agent("g", "a.py", FOUR)
    rig.pass_time(299)
    assert gateway.said == []
    rig.pass_time(2)
    rig.write("a.py", FOUR.replace("alpha = first(1)\n", ""))
    rig.pass_time(20)
    rig.pass_time(3300)
    rig.pass_time(20)
    assert gateway.said == [(300.0, 1.0), (3600.0, 0.75)]
    first = gateway.taken[0]
    assert first["generation_id"] == "g"
    assert first["time"] == datetime.fromtimestamp(START + 301, UTC).isoformat()
    with rig.watch.store.reading() as view:
        assert keep_state.all_written(view) == []
        assert keep_state.glances(view) == []


def test_horizons_run_from_the_first_edit(rig: KeepRig, gateway: PretendGateway) -> None:
    """Two edits of one answer, in two files, are one share: three of four lines."""
    rig.agent("g", "a.py", "one = 1\ntwo = 2\n")
    rig.pass_time(200)
    rig.agent("g", "b.py", "three = 3\nfour = 4\n")
    rig.write("a.py", "one = 1\n")
    rig.pass_time(110)
    assert gateway.said == [(300.0, 0.75)]


def test_a_horizon_that_nobody_measured_in_time_is_left_out(
    rig: KeepRig, gateway: PretendGateway
) -> None:
    """136 s after the horizon of 300 s is too late for it; the next one counts."""
    rig.agent("g", "a.py", FOUR)
    rig.agent("late", "b.py", FOUR.replace("=", "+="))
    rig.pass_time(300 + measure.lateness(300) + 1)
    assert gateway.said == []
    rig.pass_time(3600)
    assert [horizon for horizon, _ in gateway.said] == [3600.0, 3600.0]


def test_what_is_out_of_sight_is_never_posted(rig: KeepRig, gateway: PretendGateway) -> None:
    """A file that is gone at the horizon gives no feedback, and no zero later."""
    rig.agent("g", "a.py", FOUR)
    rig.pass_time(15)
    (rig.top / "a.py").unlink()
    rig.pass_time(290)
    rig.pass_time(3600)
    assert gateway.said == []


def test_a_restart_forgets_nothing_and_repeats_nothing(
    rig: KeepRig, gateway: PretendGateway
) -> None:
    """Killed between any two steps, the watch goes on from its file."""
    rig.agent("g", "a.py", FOUR)
    rig.reopen()
    rig.write("a.py", FOUR.replace("alpha = first(1)\n", ""))
    rig.pass_time(100)
    rig.reopen()
    gateway.away = True
    rig.pass_time(210)
    rig.reopen()
    gateway.away = False
    rig.pass_time(300)
    assert gateway.said == [(300.0, 0.75)]
    rig.reopen()
    rig.pass_time(100)
    assert len(gateway.taken) == 1


def test_a_gateway_that_is_away_is_asked_again(rig: KeepRig, gateway: PretendGateway) -> None:
    """With growing pauses, and with the same id, so that it counts once."""
    poster = rig.watch.poster
    assert poster is not None
    rig.agent("g", "a.py", FOUR)
    gateway.away = True
    rig.now += 300
    assert rig.watch.turn(rig.now) == 1
    assert poster.pause == FIRST_PAUSE
    gateway.away = False
    assert rig.watch.turn(rig.now + FIRST_PAUSE - 1) == 1, "it is left alone for a while"
    gateway.answers = [httpx.Response(503), httpx.Response(429, headers={"Retry-After": "60"})]
    assert rig.watch.turn(rig.now + 6) == 1
    assert poster.pause == 2 * FIRST_PAUSE
    assert rig.watch.turn(rig.now + 30) == 1
    assert poster.pause == 60.0
    assert rig.watch.turn(rig.now + 100) == 0
    assert gateway.said == [(300.0, 1.0)]


def test_one_that_is_refused_holds_up_no_other(rig: KeepRig, gateway: PretendGateway) -> None:
    """A 400 is dropped with a warning, a 503 of one is sent again."""
    rig.horizons = rig.watch.horizons = (100.0, 200.0, 300.0)
    gateway.each = {"100": 400, "200": 503}
    rig.agent("g", "a.py", FOUR)
    rig.now += 100
    rig.watch.turn(rig.now)
    rig.now += 100
    assert rig.watch.turn(rig.now) == 1
    rig.now += 100
    assert rig.watch.turn(rig.now) == 1, "the one of 300 s was taken beside it"
    assert gateway.said == [(300.0, 1.0)]
    gateway.each = {}
    assert rig.watch.turn(rig.now + 100) == 0
    assert gateway.said == [(300.0, 1.0), (200.0, 1.0)]


def test_what_no_gateway_takes_ends_after_a_week(rig: KeepRig, gateway: PretendGateway) -> None:
    """The outbox is bounded by time and by count."""
    gateway.away = True
    rig.agent("g", "a.py", FOUR)
    rig.pass_time(300)
    rig.now += KEPT_SECONDS
    assert rig.watch.turn(rig.now + 1) == 0


def test_generations_are_bounded(rig: KeepRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the oldest is given up."""
    monkeypatch.setattr("rlwd.daemon.keep.written_edit.MOST_GENERATIONS", 2)
    for number in range(3):
        rig.agent(f"g{number}", f"{number}.py", f"line_{number} = 1\n")
        rig.pass_time(1)
    rig.pass_time(1)
    with rig.watch.store.reading() as view:
        assert [one.generation_id for one in keep_state.all_written(view)] == ["g1", "g2"]


def test_no_code_is_in_the_state(rig: KeepRig) -> None:
    """The state file holds digests of lines, never a word of them."""
    rig.agent("g", "a.py", "password = 'correct horse battery staple'\n")
    rig.pass_time(15)
    files = [p for p in (rig.top / ".git").glob("rlwd-keep*") if p.is_file()]
    assert files
    assert all(b"horse" not in p.read_bytes() for p in files)
    assert rig.git("status", "--porcelain", "--ignored") == "?? a.py"


def test_horizons_of_a_spec() -> None:
    """`kept@SECONDS` names them, the usual ones where none is named, never beyond what counts."""
    usual = Spec(name="s", parts={"accepted": 1.0, "kept": 1.0})
    assert spec_horizons(usual) == measure.HORIZONS
    named = Spec(name="s", parts={"kept@60": 1.0, "kept@9000": 1.0}, horizons={"kept": 3600.0})
    assert spec_horizons(named) == (60.0,)
    tables: dict[str, float | PartTable] = {
        "stands": PartTable(weight=1.0, of="kept@30"),
        "late": PartTable(weight=1.0, of="kept", options={"horizon_seconds": 9000.0}, horizon=1e4),
        "never": PartTable(weight=1.0, of="kept@500", horizon=100.0),
    }
    assert spec_horizons(Spec(name="s", parts=tables, horizons={"kept": 60.0})) == (30.0, 9000.0)


def test_the_spec_of_the_page_waits_for_its_horizons(tmp_path: Path) -> None:
    """docs/keep.md shows a spec that is read, and ready only after its last measurement may come."""
    page = (Path(__file__).parents[3] / "docs" / "keep.md").read_text()
    path = tmp_path / "spec.toml"
    path.write_text(page.split("```toml\n")[1].split("```")[0])
    spec = load_spec(path)
    last = max(spec_horizons(spec))
    assert last + measure.lateness(last) < spec.ready_seconds("any") < spec.decision_seconds("any")


def test_from_the_command_to_the_log(
    rig: KeepRig, served: tuple[GatewayRig, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer of the gateway, an edit told by `record`, a person's edit, `--once`: kept is 0.5."""
    gateway, client = served
    answer = client.post(CHAT, json=HELLO, headers={"X-Rlwd-Session": "s"}).json()["id"]
    rig.now = time.time() - 400
    rig.write("a.py", FOUR)
    edit = {
        "generation_id": answer,
        "file": "a.py",
        "text": FOUR,
        "at": datetime.fromtimestamp(time.time() - 320, UTC).isoformat(),
    }
    runner = CliRunner()
    monkeypatch.chdir(rig.top)
    recorded = runner.invoke(app, ["keep", "record"], input=json.dumps(edit))
    assert recorded.exit_code == 0, recorded.output
    rig.write("a.py", FOUR[: FOUR.index("gamma")])
    url = str(client.base_url)
    for _ in range(2):
        looked = runner.invoke(app, ["keep", "--once", "--url", url, "--horizon", "300"])
        assert looked.exit_code == 0, looked.output
    (kept,) = gateway.sink.feedback(2)
    assert kept.generation_id == answer
    assert kept.session_id == "s"
    assert kept.signal == Kept(fraction=0.5, horizon_seconds=300.0)


def test_a_claude_code_hook(rig: KeepRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told of a Write and of an Edit, it finds the answer's id in the transcript."""
    transcript = tmp_path / "session.jsonl"
    calls = [("msg_1", "toolu_1"), ("msg_2", "toolu_2")]
    lines = ['{"type": "user", "message": {"role": "user", "content": "toolu_2 please"}}']
    lines += [
        json.dumps(
            {
                "type": "assistant",
                "message": {"id": name, "content": [{"type": "tool_use", "id": call}]},
            }
        )
        for name, call in calls
    ]
    transcript.write_text("\n".join(lines))
    told = {"hook_event_name": "PostToolUse", "transcript_path": str(transcript)}
    path = str(rig.top / "a.py")
    rig.write("a.py", FOUR)
    write = {"tool_name": "Write", "tool_input": {"file_path": path, "content": FOUR}}
    edit = {
        "tool_name": "Edit",
        "tool_input": {
            "file_path": path,
            "old_string": "beta = second(2)",
            "new_string": "beta = 22",
        },
    }
    runner = CliRunner()
    monkeypatch.chdir(tmp_path)
    command = ["keep", "record", "--hook", "claude-code"]
    done = runner.invoke(
        app, command, input=json.dumps({**told, **write, "tool_use_id": "toolu_1"})
    )
    assert done.exit_code == 0, done.output
    rig.write("a.py", FOUR.replace("beta = second(2)", "beta = 22"))
    done = runner.invoke(app, command, input=json.dumps({**told, **edit, "tool_use_id": "toolu_2"}))
    assert done.exit_code == 0, done.output
    rig.now = time.time() + 20
    assert (rig.share("msg_1"), rig.share("msg_2")) == (1.0, 1.0)
    unknown = runner.invoke(app, command, input=json.dumps({**told, **edit, "tool_use_id": "no"}))
    assert unknown.exit_code == 1
    read = runner.invoke(app, command, input=json.dumps({**told, "tool_name": "Read"}))
    assert read.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "stdin", "why"),
    [
        (["keep", "--once"], "", "no git work tree"),
        (["keep", "record"], "{}", "generation_id"),
        (["keep", "record"], "nonsense", "malformed"),
        (["keep", "--once", "--horizon", "0"], "", "--horizon: 0 is not above 0"),
        (["keep", "--once", "--token", "$NOT_SET_ANYWHERE"], "", "NOT_SET_ANYWHERE is not set"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tmp_path: Path, arguments: list[str], stdin: str, why: str
) -> None:
    """Status 2, and the thing at fault by name."""
    done = subprocess.run(
        [sys.executable, "-m", "rlwd.daemon", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_command_watches_until_it_is_told_to_end(rig: KeepRig) -> None:
    """SIGTERM ends it with status 0."""
    command = [
        sys.executable,
        "-m",
        "rlwd.daemon",
        "keep",
        "--every",
        "0.1",
        "--url",
        "http://127.0.0.1:9",
    ]
    watching = subprocess.Popen(command, cwd=rig.top, stderr=subprocess.PIPE, text=True)

    def looked() -> object:
        with rig.watch.store.reading() as view:
            return view.execute("SELECT value FROM notes").fetchone()

    until(looked)
    watching.terminate()
    _, told = watching.communicate(timeout=300)
    assert watching.returncode == 0, told


def test_the_bench_of_a_look_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """On a small work tree it prints its table; what the numbers are, no test says."""
    bench_keep.main(["--files", "20", "--watched", "10", "--rounds", "1"])
    table = capsys.readouterr().out.splitlines()
    assert table[0] == "20 files, 10 of them watched, 1 rounds"
    assert len(table) == 8
