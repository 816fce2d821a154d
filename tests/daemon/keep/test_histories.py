"""A repository with a known history: what each thing that people and git do leaves of an agent's lines.

Every expected share is counted by hand from the lines in the test.
"""

import os

import pytest
from keep_rig import KeepRig

from rlwd.daemon.keep.written_edit import WrittenEdit

FOUR = "alpha = first(1)\nbeta = second(2)\ngamma = third(3)\ndelta = fourth(4)\n"
LINES = FOUR.splitlines(keepends=True)


def without(number: int) -> str:
    return "".join(LINES[:number] + LINES[number + 1 :])


def replacing(rig: KeepRig) -> None:
    """A committed file of one line, which the agent's four replace."""
    rig.write("a.py", "old = 1\n")
    rig.commit("before")
    rig.agent("g", "a.py", FOUR, old="old = 1\n")


def test_nothing_touched_is_kept(rig: KeepRig) -> None:
    """Lines that nobody touched are kept whole, before and after they are committed."""
    assert rig.agent("g", "a.py", FOUR) == "a.py: 4 lines of g are watched"
    assert rig.kept("g") == 1.0
    rig.commit("agent's work")
    assert rig.kept("g") == 1.0


def test_a_person_takes_lines_away(rig: KeepRig) -> None:
    """One of four lines rewritten and one deleted leave two of four."""
    rig.agent("g", "a.py", FOUR)
    rig.write("a.py", LINES[0] + "beta = 2\n" + LINES[2])
    assert rig.kept("g") == 0.5


def test_only_what_the_agent_wrote_counts(rig: KeepRig) -> None:
    """Of an edit in an older file only new lines are the agent's; what stood there may go."""
    rig.write("a.py", "old = 1\nolder = 2\n")
    rig.commit("before")
    said = rig.agent("g", "a.py", "old = 1\nnew = made(3)\n", old="old = 1\n")
    assert said == "a.py: 1 lines of g are watched"
    rig.write("a.py", "new = made(3)\n")
    assert rig.kept("g") == 1.0
    rig.write("a.py", "")
    assert rig.kept("g") == 0.0


def test_brackets_and_blank_lines_count_for_nothing(rig: KeepRig) -> None:
    """Lines without a letter or digit stand everywhere, so two lines of five count."""
    said = rig.agent("g", "a.js", "call(one)\n{\n\n}\ncall(two)\n")
    assert said == "a.js: 2 lines of g are watched"
    rig.write("a.js", "call(one)\n")
    assert rig.kept("g") == 0.5


def test_white_space_is_not_an_edit(rig: KeepRig) -> None:
    """Indented anew, and with another line end, a line is the same."""
    rig.agent("g", "a.py", FOUR)
    rig.write("a.py", "".join(f"    {line}\r\n" for line in FOUR.splitlines()))
    assert rig.kept("g") == 1.0


@pytest.mark.parametrize("by_git", [True, False])
def test_a_renamed_file_is_followed(rig: KeepRig, by_git: bool) -> None:
    """A file renamed by git or by hand is the same file, also once that is committed and edited."""
    rig.write("a.py", "".join(f"line_{n} = {n}\n" for n in range(10)))
    rig.commit("before")
    rig.agent("g", "a.py", "x = 1\ny = 2\n", old="line_3 = 3\n")
    rig.commit("agent's work")
    rig.pass_time(15)
    text = (rig.top / "a.py").read_text()
    if by_git:
        rig.git("mv", "a.py", "b.py")
    else:
        (rig.top / "a.py").rename(rig.top / "b.py")
    assert rig.kept("g") == 1.0
    rig.commit("renamed")
    rig.write("b.py", text.replace("y = 2\n", ""))
    assert rig.kept("g") == 0.5


def test_a_new_file_renamed_before_its_commit_is_found(rig: KeepRig) -> None:
    """git knows nothing of a file that was never added; its block of lines is found all the same."""
    rig.agent("g", "a.py", FOUR)
    rig.pass_time(15)
    (rig.top / "a.py").rename(rig.top / "b.py")
    assert rig.kept("g") == 1.0


def test_a_file_that_is_gone_is_silent(rig: KeepRig) -> None:
    """A deleted file says nothing, and goes on where it was when it comes back."""
    rig.agent("g", "a.py", FOUR)
    rig.commit("agent's work")
    rig.pass_time(15)
    rig.git("rm", "-q", "a.py")
    rig.git("commit", "-qm", "gone")
    assert rig.kept("g") is None
    rig.git("revert", "--no-edit", "HEAD")
    assert rig.kept("g") == 1.0


def test_another_file_of_the_same_name_is_not_a_zero(rig: KeepRig) -> None:
    """Once a file was gone, one of its name with nothing of the agent's says nothing."""
    rig.agent("g", "a.py", FOUR)
    rig.pass_time(15)
    (rig.top / "a.py").unlink()
    rig.pass_time(15)
    rig.write("a.py", "something = else_\n")
    assert rig.kept("g") is None


def test_a_persons_rewrite_is_told_from_an_agents(rig: KeepRig) -> None:
    """Lines that a later edit of an agent replaced leave the share; what a person took counts."""
    rig.agent("g1", "a.py", FOUR)
    rig.pass_time(30)
    rig.agent("g2", "a.py", "beta = 22\ngamma = 33\n", old="beta = second(2)\ngamma = third(3)\n")
    rig.pass_time(30)
    rig.write("a.py", "beta = 22\ndelta = fourth(4)\n")
    # Of g1: two replaced by g2, alpha taken by a person, delta kept. Of g2: one of two.
    assert rig.kept("g1") == 0.5
    assert rig.kept("g2") == 0.5


def test_a_whole_file_written_by_an_agent_blames_nobody(rig: KeepRig) -> None:
    """Without a word on what was replaced, all that is gone since the last look was the agent's."""
    rig.agent("g1", "a.py", FOUR)
    rig.pass_time(30)
    rig.agent("g2", "a.py", "other = thing(1)\n")
    assert rig.kept("g1") is None
    assert rig.kept("g2") == 1.0


def test_a_person_and_an_agent_between_two_looks(rig: KeepRig) -> None:
    """With the old text told, what a person took before the agent's edit is a person's."""
    rig.agent("g1", "a.py", FOUR)
    rig.write("a.py", without(0))
    rig.agent("g2", "a.py", "delta = 44\n", old="delta = fourth(4)\n")
    # alpha by a person, delta by the agent; beta and gamma stand.
    assert rig.kept("g1") == pytest.approx(2 / 3)


def test_an_edit_that_was_seen_before_it_was_told(rig: KeepRig) -> None:
    """A harness that tells seconds late: the lines are found, and nobody is blamed for the old ones."""
    rig.agent("g1", "a.py", FOUR)
    rig.pass_time(30)
    rig.write("a.py", FOUR.replace("beta = second(2)", "beta = seen_early(2)"))
    rig.pass_time(5)
    edit = WrittenEdit(
        generation_id="g2",
        file="a.py",
        text="beta = seen_early(2)\n",
        old_text="beta = second(2)\n",
    )
    assert rig.watch.record([edit], rig.top, rig.now) == ["a.py: 1 lines of g2 are watched"]
    assert rig.kept("g1") == 1.0
    assert rig.kept("g2") == 1.0


def test_a_file_just_written_waits(rig: KeepRig) -> None:
    """An edit that an agent tells of within ten seconds is never taken for a person's."""
    rig.agent("g1", "a.py", FOUR)
    rig.now += 30
    rig.write("a.py", "gone = 1\n")
    os.utime(rig.top / "a.py", (rig.now - 1, rig.now - 1))
    rig.watch.turn(rig.now)
    assert rig.share("g1") == 1.0
    assert rig.kept("g1") == 0.0


def test_a_block_moved_within_its_file_is_kept(rig: KeepRig) -> None:
    """Two of the agent's lines below the others: all four stand."""
    rig.agent("g", "a.py", FOUR)
    rig.write("a.py", "head = 0\n" + "".join(LINES[2:]) + "between = 1\n" + "".join(LINES[:2]))
    assert rig.kept("g") == 1.0


def test_a_block_moved_into_another_file_is_kept(rig: KeepRig) -> None:
    """Three lines cut here and pasted into an older file stand; one that was dropped does not."""
    rig.write("b.py", "other = file(1)\n")
    rig.commit("before")
    lines = [f"value_{n} = computed_from({n})\n" for n in range(5)]
    rig.agent("g", "a.py", "".join(lines))
    rig.commit("agent's work")
    rig.pass_time(15)
    rig.write("a.py", lines[0])
    rig.write("b.py", "other = file(1)\n" + "".join(lines[1:4]))
    assert rig.kept("g") == 0.8
    rig.write("b.py", "other = file(1)\n" + lines[3])
    assert rig.kept("g") == pytest.approx(0.4)


def test_a_branch_switch_is_silent_and_comes_back(rig: KeepRig) -> None:
    """On a branch without the lines nothing is said; back again, and edited, the share goes on."""
    rig.git("branch", "other")
    replacing(rig)
    rig.commit("agent's work")
    rig.pass_time(15)
    rig.git("switch", "-q", "other")
    assert rig.kept("g") is None
    rig.write("a.py", "quite = different\n")
    rig.commit("on other")
    assert rig.kept("g") is None
    rig.git("switch", "-q", "main")
    rig.write("a.py", without(0))
    assert rig.kept("g") == 0.75


def test_a_new_branch_carries_the_work(rig: KeepRig) -> None:
    """Work that goes on on a new branch is measured there."""
    rig.agent("g", "a.py", FOUR)
    rig.git("switch", "-qc", "feature")
    rig.commit("agent's work")
    rig.write("a.py", without(0))
    assert rig.kept("g") == 0.75


def test_a_reset_of_uncommitted_work_is_silent(rig: KeepRig) -> None:
    """A work tree that was reset gives no zero."""
    replacing(rig)
    rig.pass_time(15)
    rig.git("reset", "-q", "--hard", "HEAD")
    assert rig.kept("g") is None


def test_a_reset_to_before_the_edit_is_silent(rig: KeepRig) -> None:
    """A repository that was reset gives no zero, not even once work goes on from there."""
    replacing(rig)
    rig.commit("agent's work")
    rig.pass_time(15)
    rig.git("reset", "-q", "--hard", "HEAD~1")
    assert rig.kept("g") is None
    rig.write("a.py", "went = on\n")
    rig.commit("on")
    assert rig.kept("g") is None


def test_a_stash_is_silent_and_comes_back(rig: KeepRig) -> None:
    """Work in the stash is out of sight, and counts again once it is out."""
    replacing(rig)
    rig.pass_time(15)
    rig.git("stash", "-q")
    assert rig.kept("g") is None
    rig.git("stash", "pop", "-q")
    assert rig.kept("g") == 1.0


def test_a_file_restored_by_hand_is_a_zero(rig: KeepRig) -> None:
    """Who restores this one file turns the edit down."""
    replacing(rig)
    rig.pass_time(15)
    rig.git("restore", "a.py")
    assert rig.kept("g") == 0.0


def test_a_reverted_commit_is_a_zero(rig: KeepRig) -> None:
    """Who reverts the commit turns the edit down."""
    replacing(rig)
    rig.commit("agent's work")
    rig.pass_time(15)
    rig.git("revert", "--no-edit", "HEAD")
    assert rig.kept("g") == 0.0


def test_a_rebase_keeps_the_share(rig: KeepRig) -> None:
    """Commits replayed on another base are the same work; nothing is judged in mid-rebase."""
    rig.git("switch", "-qc", "feature")
    rig.agent("g", "a.py", FOUR)
    rig.commit("agent's work")
    rig.write("a.py", without(0))
    rig.commit("a person's")
    assert rig.kept("g") == 0.75
    rig.git("switch", "-q", "main")
    rig.write("c.py", "meanwhile = 1\n")
    rig.commit("upstream")
    assert rig.kept("g") is None
    rig.git("switch", "-q", "feature")
    rig.git("rebase", "-q", "main")
    assert rig.kept("g") == 0.75
    (rig.top / ".git" / "rebase-merge").mkdir()
    rig.write("a.py", "half = way\n")
    assert rig.kept("g") == 0.75
    (rig.top / ".git" / "rebase-merge").rmdir()
    assert rig.kept("g") == 0.0


def test_an_amended_commit_is_an_edit(rig: KeepRig) -> None:
    """What a person takes away while amending is taken away."""
    rig.agent("g", "a.py", FOUR)
    rig.commit("agent's work")
    rig.pass_time(15)
    rig.write("a.py", without(0))
    rig.git("commit", "-qa", "--amend", "-m", "amended")
    assert rig.kept("g") == 0.75


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("a.bin", "not watched: a.bin: is binary"),
        ("link", "not watched: link: is no file"),
        ("nowhere", "not watched: nowhere: is not there"),
        ("../outside", "not watched: file: '../outside' is not in the work tree"),
        (".git/config", "not watched: file: '.git/config' is not in the work tree"),
    ],
)
def test_what_has_no_lines_is_not_watched(rig: KeepRig, path: str, why: str) -> None:
    """It is named; nor is what lies outside, or in git's own folder."""
    rig.write("a.bin", b"\0\1\2")
    (rig.top / "link").symlink_to("README")
    edit = WrittenEdit(generation_id="g", file=path, text="x")
    assert rig.watch.record([edit], rig.top, rig.now)[0].startswith(why)


def test_a_file_that_becomes_binary_is_silent(rig: KeepRig) -> None:
    """Nothing can be said of lines that cannot be read."""
    rig.agent("g", "a.py", FOUR)
    rig.pass_time(15)
    rig.write("a.py", b"\0\0\0")
    assert rig.kept("g") is None
    rig.write("a.py", FOUR)
    assert rig.kept("g") == 1.0


def test_an_edit_that_only_removes_has_nothing_to_keep(rig: KeepRig) -> None:
    """No line was written, so none is watched."""
    rig.write("a.py", FOUR)
    rig.commit("before")
    assert rig.agent("g", "a.py", "", old="beta = second(2)\n") == "a.py: 0 lines of g are watched"
    assert rig.kept("g") is None


def test_commits_may_name_the_generation(rig: KeepRig) -> None:
    """A commit with a trailer is an agent's edit: what it added is its own, what it took is excused."""
    rig.pass_time(15)
    rig.write("a.py", FOUR)
    rig.commit("work\n\nRlwd-Generation: g1")
    assert rig.kept("g1") == 1.0
    rig.write("a.py", FOUR.replace("beta = second(2)", "beta = by_agent(2)"))
    rig.commit("more\n\nRlwd-Generation: g2")
    rig.write("a.py", "beta = by_agent(2)\ndelta = fourth(4)\n")
    # g1: beta replaced by the agent, alpha and gamma taken by a person, delta stands.
    assert rig.kept("g1") == pytest.approx(1 / 3)
    assert rig.kept("g2") == 1.0


def test_fetched_commits_are_not_measured_here(rig: KeepRig) -> None:
    """What another clone committed, it measures."""
    other = rig.top.parent / "other"
    rig.git("clone", "-q", str(rig.top), str(other))
    rig.pass_time(15)
    (other / "a.py").write_text(FOUR)
    rig.git("-C", str(other), "add", "-A")
    rig.git("-C", str(other), "commit", "-qm", "work\n\nRlwd-Generation: g1")
    rig.git("pull", "-q", "--ff-only", str(other), "main")
    assert rig.kept("g1") is None


def test_an_edit_before_the_first_commit(rig: KeepRig) -> None:
    """A repository without a commit is watched too, in any folder."""
    rig.git("checkout", "-q", "--orphan", "empty")
    rig.git("rm", "-rqf", ".")
    rig.agent("g", "src/a.py", FOUR)
    assert rig.kept("g") == 1.0
    rig.commit("first of all")
    rig.write("src/a.py", without(0))
    assert rig.kept("g") == 0.75


@pytest.mark.parametrize("lost", ["never kept", "cut short"])
def test_without_a_reflog_another_branch_is_silent(rig: KeepRig, lost: str) -> None:
    """Where nobody knows what HEAD did, only a line of history that goes on says anything."""
    if lost == "never kept":
        rig.git("config", "core.logAllRefUpdates", "false")
        (rig.top / ".git" / "logs" / "HEAD").unlink()
    rig.git("branch", "other")
    replacing(rig)
    rig.commit("agent's work")
    rig.pass_time(15)
    rig.git("switch", "-q", "other")
    if lost == "cut short":
        rig.git("reflog", "expire", "--expire=now", "--all")
    rig.write("a.py", "quite = different\n")
    rig.commit("on other")
    assert rig.kept("g") is None
    rig.git("switch", "-q", "main")
    rig.write("a.py", without(0))
    assert rig.kept("g") == 0.75
    rig.commit("edited")
    assert rig.kept("g") == 0.75
