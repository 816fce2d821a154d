"""Edits as harnesses tell them: parts of lines, all places at once, several files, files nobody can name."""

import json
import os
from pathlib import Path

import pytest
from keep_rig import KeepRig
from typer.testing import CliRunner

from rlwd.daemon.cli import app
from rlwd.daemon.keep import git_repository
from rlwd.daemon.keep.line_keys import line_keys
from rlwd.daemon.keep.told_lines import told_lines
from rlwd.daemon.keep.written_edit import WrittenEdit

FOUR = "alpha = first(1)\nbeta = second(2)\ngamma = third(3)\ndelta = fourth(4)\n"


def told(rig: KeepRig, name: str, old: str, new: str, *, everywhere: bool = False) -> None:
    """Replace a text in a.py as an edit tool does, and tell of it as its hook does."""
    before = (rig.top / "a.py").read_text()
    rig.write("a.py", before.replace(old, new, -1 if everywhere else 1))
    edit = WrittenEdit(generation_id=name, file="a.py", text=new, old_text=old)
    rig.watch.record([edit], rig.top, rig.now)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("second", "other"),
        ("second(2)\ngamma", "other(2)\ngamma_"),
        ("= second(2)", "= other(2)"),
        (" second(2)", ""),
        ("ta = second(2)\ngam", ""),
        ("beta = second(2)\n", "beta = 2\nmore = than(one)\n"),
    ],
)
def test_an_edit_of_a_part_of_a_line_is_the_agents(rig: KeepRig, old: str, new: str) -> None:
    """What it changed in a line of an earlier answer blames nobody, and the new line is its own."""
    rig.agent("g1", "a.py", FOUR)
    rig.pass_time(30)
    told(rig, "g2", old, new)
    assert rig.kept("g1") == 1.0
    assert rig.kept("g2") == 1.0
    rig.write("a.py", "alpha = first(1)\ndelta = fourth(4)\n")
    assert rig.kept("g2") == 0.0


def test_an_edit_of_all_places_is_the_agents(rig: KeepRig) -> None:
    """Renamed in every line, twice in one, all of them are the later answer's."""
    rig.agent("g1", "a.py", "a = foo(foo)\nb = foo(2)\nc = foo(3)\nd = bar(4)\n")
    rig.pass_time(30)
    told(rig, "g2", "foo", "bar", everywhere=True)
    assert rig.kept("g1") == 1.0, "the line that said bar before is still the first answer's"
    assert rig.kept("g2") == 1.0
    rig.write("a.py", "a = bar(bar)\nd = bar(4)\n")
    assert rig.kept("g2") == pytest.approx(1 / 3)


def test_whole_lines_in_all_places_are_the_agents(rig: KeepRig) -> None:
    """Told once, and standing three times."""
    rig.agent("g1", "a.py", "same = 1\nb = foo(2)\nsame = 1\nd = foo(4)\nsame = 1\n")
    rig.pass_time(30)
    told(rig, "g2", "same = 1\n", "same = 2\n", everywhere=True)
    assert rig.kept("g1") == 1.0
    rig.write("a.py", "b = foo(2)\nd = foo(4)\n")
    assert rig.kept("g1") == 1.0
    assert rig.kept("g2") == 0.0


def test_a_line_told_late_that_stands_within_another_is_found(rig: KeepRig) -> None:
    """It was looked at before it was told, and its text ends another line as well."""
    rig.agent("g1", "a.py", FOUR + "max = 1\n")
    rig.pass_time(30)
    rig.write("a.py", FOUR.replace("beta = second(2)", "x = 1") + "max = 1\n")
    rig.pass_time(5)
    edit = WrittenEdit(
        generation_id="g2", file="a.py", text="x = 1\n", old_text="beta = second(2)\n"
    )
    rig.watch.record([edit], rig.top, rig.now)
    assert (rig.kept("g1"), rig.kept("g2")) == (1.0, 1.0)


def test_a_person_beside_a_part_of_a_line_still_counts(rig: KeepRig) -> None:
    """Lines that a person took away before the edit was told are a person's."""
    rig.agent("g1", "a.py", FOUR)
    rig.pass_time(30)
    rig.write("a.py", FOUR.replace("delta = fourth(4)\n", ""))
    told(rig, "g2", "second", "other")
    assert rig.kept("g1") == pytest.approx(2 / 3)


def test_line_ends_of_a_file_are_not_those_of_the_edit(rig: KeepRig) -> None:
    """A file of CRLF is edited by texts of LF."""
    rig.agent("g1", "a.py", FOUR.replace("\n", "\r\n"))
    rig.pass_time(30)
    before = (rig.top / "a.py").read_bytes().decode()
    rig.write("a.py", before.replace("second(2)\r\ngamma", "other(2)\r\ngamma_"))
    edit = WrittenEdit(
        generation_id="g2", file="a.py", text="other(2)\ngamma_", old_text="second(2)\ngamma"
    )
    rig.watch.record([edit], rig.top, rig.now)
    assert (rig.kept("g1"), rig.kept("g2")) == (1.0, 1.0)


def test_whole_lines_are_told_as_they_are() -> None:
    """Nothing beside the text is taken for a part of the edit."""
    found = told_lines(b"x = 1\ny = 2\nz = 3\n", "  y = 2\n", "y = 0\n")
    assert found.wrote == line_keys(b"y = 2")
    assert found.taken is not None
    assert list(found.taken) == line_keys(b"y = 0")


def test_a_mark_at_a_files_beginning_is_no_edit(rig: KeepRig) -> None:
    """An editor that writes a byte order mark takes no line away."""
    rig.agent("g", "a.py", FOUR)
    rig.write("a.py", "\ufeff" + FOUR)
    assert rig.kept("g") == 1.0


@pytest.mark.parametrize("committed", [True, False])
def test_a_file_that_nobody_can_name_ends_no_look(rig: KeepRig, committed: bool) -> None:
    """A name that is no UTF-8 is left out; all other files are looked at as ever."""
    rig.agent("g", "a.py", FOUR)
    rig.pass_time(15)
    name = os.fsdecode(b"caf\xe9.py")
    (rig.top / name).write_text("x = 1\n")
    rig.age()
    if committed:
        rig.commit("odd")
        rig.git("mv", name, os.fsdecode(b"caf\xe8.py"))
    rig.write("a.py", "alpha = first(1)\n")
    assert rig.kept("g") == 0.25
    (rig.top / "a.py").unlink()
    assert rig.kept("g") is not None
    edit = WrittenEdit(generation_id="g", file=name, text="x = 1\n")
    (said,) = rig.watch.record([edit], rig.top, rig.now)
    assert said == r"not watched: file: 'caf\udce9.py': the path is no UTF-8"


def test_a_trailer_that_stands_twice_names_one_answer(rig: KeepRig) -> None:
    """Commits that were squashed bring the same line again; a log with signatures is read, too."""
    rig.git("config", "log.showSignature", "true")
    rig.pass_time(15)
    rig.write("a.py", FOUR)
    rig.commit("work\n\nRlwd-Generation: g1\nRlwd-Generation: g1")
    assert rig.kept("g1") == 1.0


def record(edits: object, *more: str) -> tuple[int, str]:
    # With the mark that PowerShell puts before what it pipes.
    told = "\ufeff" + json.dumps(edits)
    done = CliRunner().invoke(app, ["keep", "record", *more], input=told)
    return done.exit_code, done.output + str(done.exception)


def test_one_edit_that_cannot_be_watched_costs_no_other(
    rig: KeepRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file outside of any work tree is named, and the edits after it are watched."""
    monkeypatch.chdir(rig.top)
    (tmp_path / "note").write_text("x = 1\n")
    rig.write("a.py", FOUR)
    outside = {"generation_id": "g", "file": str(tmp_path / "note"), "text": "x = 1\n"}
    inside = {"generation_id": "g", "file": "a.py", "text": FOUR}
    status, said = record([outside, inside])
    assert status != 0
    assert "no git work tree" in said
    assert rig.kept("g") == 1.0


@pytest.mark.parametrize("absolute", [True, False])
def test_an_edit_is_watched_in_the_work_tree_that_holds_the_file(
    rig: KeepRig, monkeypatch: pytest.MonkeyPatch, absolute: bool
) -> None:
    """Also in one that lies inside another, by either way of naming the file."""
    inner = rig.top / ".trees" / "x"
    rig.git("worktree", "add", "-q", str(inner))
    (inner / "a.py").write_text(FOUR)
    monkeypatch.chdir(rig.top)
    file = str(inner / "a.py") if absolute else ".trees/x/a.py"
    status, said = record({"generation_id": "g", "file": file, "text": FOUR})
    assert status == 0, said
    assert "a.py: 4 lines" in said
    assert rig.share("g") is None, "the outer work tree watches nothing"
    assert (rig.top / ".git" / "worktrees" / "x" / "rlwd-keep.db").exists()


def test_git_that_does_not_end_is_one_line(
    rig: KeepRig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A look and a hook end with a message; to a harness it is no failure of its tool."""
    monkeypatch.chdir(rig.top)
    monkeypatch.setattr(git_repository, "SECONDS", 1e-9)
    with pytest.raises(git_repository.GitIsSlow, match=r"git rev-parse .*: took over 1e-09 s"):
        git_repository.GitRepository.at(rig.top)
    edit = {"generation_id": "g", "file": "a.py", "text": FOUR}
    assert record(edit)[0] != 0
    transcript = rig.top / "t.jsonl"
    content = [{"type": "tool_use", "id": "toolu_1"}]
    transcript.write_text(json.dumps({"message": {"id": "m", "content": content}}))
    hook = {
        "tool_name": "Write",
        "tool_use_id": "toolu_1",
        "transcript_path": str(transcript),
        "tool_input": {"file_path": "a.py", "content": FOUR},
    }
    status, said = record(hook, "--hook", "claude-code")
    assert status == 1
    assert "took over" in said
