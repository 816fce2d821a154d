"""Which versions have a server: one each, in slots, restarted where it dies, and never updated in place."""

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from lone_daemon import lives
from waiting import until

from rlwd.learner.candidate import Manifest
from rlwd.ops.router.served_versions import RouterRefusal
from rlwd.ops.router.settings import RouterSettings
from rlwd.ops.router.version_server import RESTARTS, VersionServer
from tests.ops.router.conftest import Shelf


def server_of(shelf: Shelf, name: str) -> int:
    """Return the process id of the server itself, below what holds it."""
    holder = shelf.versions.find(name).pid
    (pid,) = Path(f"/proc/{holder}/task/{holder}/children").read_text().split()
    return int(pid)


def died(server: VersionServer, times: int) -> bool:
    """Whether a server died so often."""
    return server.restarts == times


def test_each_version_has_a_server_of_its_own(shelf: Shelf) -> None:
    """Two names of one version share its server, and another version never gets it."""
    status, said = shelf.said(0)
    assert (status, said.partition(":")[0]) == (503, "StillStarting")
    assert shelf.versions.listed() == {}
    shelf.load(0)
    shelf.load(0, "v0~trial")
    shelf.load(1)
    pids = [server_of(shelf, name) for name in ("v0", "v0~trial", "v1")]
    assert pids[0] == pids[1] != pids[2]
    assert shelf.versions.listed() == {
        "v0": str(shelf.link(0)),
        "v0~trial": str(shelf.link(0)),
        "v1": str(shelf.link(1)),
    }
    assert shelf.said(1, "v0") == (400, "InvalidUserInput: 'v0' has already been loaded")
    assert shelf.versions.find("base") is shelf.versions.find("v0")
    shelf.versions.unload("v0~trial")
    with pytest.raises(RouterRefusal, match="does not exist"):
        shelf.versions.find("v0~trial")
    assert server_of(shelf, "v0") == pids[0]


def test_a_slot_is_given_on_where_nobody_names_its_version(shelf: Shelf) -> None:
    """All slots taken: refused, with who has them. An unnamed version keeps its server until it is needed,
    and while it answers; then that is stopped, and no other."""
    for number in range(4):
        shelf.load(number)
    pids = [server_of(shelf, f"v{number}") for number in range(4)]
    status, said = shelf.said(4)
    assert (status, "router.slots: all 4 are taken: policy@v000000-" in said) == (503, True), said
    server = shelf.versions.find("v1")
    shelf.versions.unload("v1")
    assert shelf.said(4)[1].startswith("StillStarting"), "it may be named again at once"
    shelf.now += 31.0
    server.under_way += 1
    assert shelf.said(4)[1].startswith("StillStarting")
    assert lives(pids[1])
    server.under_way -= 1
    shelf.load(4)
    until(lambda: not lives(pids[1]), 30.0)
    assert [lives(pid) for pid in pids] == [True, False, True, True]
    assert server_of(shelf, "v4") not in pids


def test_a_server_that_dies_is_started_again(shelf: Shelf) -> None:
    """Meanwhile its names are away, and nobody else's; then they are back, without being asked for."""
    shelf.load(0)
    shelf.load(1)
    killed, other = server_of(shelf, "v1"), server_of(shelf, "v0")
    server = shelf.versions.find("v1")
    os.kill(killed, signal.SIGKILL)
    until(lambda: not server.up, 30.0)
    with pytest.raises(RouterRefusal, match="is away"):
        shelf.versions.find("v1")
    assert list(shelf.versions.listed()) == ["v0"]
    until(lambda: list(shelf.versions.listed()) == ["v0", "v1"], 60.0)
    assert server_of(shelf, "v1") != killed
    assert (server_of(shelf, "v0"), server.restarts) == (other, 1)


def test_a_start_that_hangs_holds_up_nobody_that_people_miss(shelf: Shelf) -> None:
    """The server of a version that people had takes its device, and the new one begins anew behind it; who else
    waits is told for whom, and ends at once where it is not wanted any more."""
    shelf.load(1)
    shelf.answers(2, "hangs")
    until(lambda: "is being started" in shelf.said(2)[1], 60.0)
    new = shelf.folders.find(shelf.link(2)).version
    until(lambda: f"waits for {new}, which starts on the same device" in shelf.said(3)[1], 60.0)
    waiting = shelf.versions.servers[shelf.link(3)]
    waiting.end()
    waiting.join()
    first = shelf.versions.find("v1")
    os.kill(server_of(shelf, "v1"), signal.SIGKILL)
    until(lambda: first.restarts == 1 and first.up, 60.0)
    hanging = shelf.versions.servers[shelf.link(2)]
    until(lambda: hanging.doing == "its server is being started", 60.0)
    assert (hanging.lost, hanging.up) == ("", False)


def test_one_that_people_had_is_missed_after_its_server_is_lost(shelf: Shelf) -> None:
    """Asked for again it is a new server, and takes the device from a start of which nobody has heard."""
    shelf.load(1)
    shelf.answers(1, "dies")
    os.kill(server_of(shelf, "v1"), signal.SIGKILL)
    until(lambda: not shelf.versions.listed() and not shelf.versions.servers, 60.0)
    shelf.answers(1, "-1.0")
    shelf.answers(2, "hangs")
    until(lambda: "is being started" in shelf.said(2)[1], 60.0)
    shelf.load(1)


def test_a_folder_is_not_written_in_the_devices_turn(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes minutes, and no room there: another version starts meanwhile."""
    shelf.load(0)
    writes, written = threading.Event(), threading.Event()

    def slowly(manifest: Manifest, stopped: Callable[[], bool]) -> Path:
        if manifest.sequence == 1:
            writes.set()
            written.wait(60.0)
        return shelf.folder / "served" / manifest.version

    for number in (1, 2):
        shelf.answers(number, "-1.0")
    monkeypatch.setattr(shelf.folders, "make", slowly)
    assert "StillStarting" in shelf.said(1)[1]
    assert writes.wait(60.0)
    shelf.load(2)
    assert "its folder is being written" in shelf.said(1)[1]
    written.set()
    shelf.load(1)


def test_one_that_cannot_be_started_again_is_lost(shelf: Shelf) -> None:
    """After some restarts that fail its names are gone, as from an engine that came back empty; who asks for
    the version again has it begun anew."""
    shelf.load(1)
    shelf.answers(1, "dies")
    os.kill(server_of(shelf, "v1"), signal.SIGKILL)
    until(lambda: not shelf.versions.listed() and not shelf.versions.servers, 60.0)
    shelf.answers(1, "-1.0")
    shelf.load(1)


def test_one_that_dies_again_and_again_is_lost(shelf: Shelf) -> None:
    """Each time it came up and was proven; after some such deaths in a row nothing is started any more."""
    shelf.load(1)
    server = shelf.versions.find("v1")
    for death in range(1, RESTARTS + 2):
        until(lambda: bool(shelf.versions.listed()), 60.0)
        os.kill(server_of(shelf, "v1"), signal.SIGKILL)
        until(partial(died, server, death), 60.0)
    until(lambda: not shelf.versions.listed() and not shelf.versions.servers, 60.0)


def test_what_does_not_answer_its_probe_is_never_named(shelf: Shelf) -> None:
    """It is refused with the difference; asked for again it is tried again."""
    shelf.answers(2, "-1.5")
    until(lambda: shelf.said(2)[0] != 503, 60.0)
    shelf.answers(2, "-1.5")
    until(lambda: shelf.said(2)[0] == 400, 60.0)
    assert shelf.versions.listed() == {}
    shelf.answers(2, "dies")
    said = ""

    def refused() -> bool:
        nonlocal said
        status, said = shelf.said(2)
        return status == 400 and "it was told to die" in said

    until(refused, 60.0, told=lambda: said)


def test_a_fault_that_nobody_foresaw_is_told(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asked for the version hears of it, and may ask again: it is not said to be starting for ever."""

    def failing(*_: object) -> Path:
        raise KeyError("unforeseen")

    with monkeypatch.context() as broken:
        broken.setattr(shelf.folders, "make", failing)
        until(lambda: shelf.said(1) == (400, "BadRequestError: v1: KeyError('unforeseen')"), 60.0)
    shelf.load(1)


def test_least_slots_and_words_of_the_routers_own() -> None:
    """Three slots are too few, and a server's port is the router's to say, and so is what its answers record:
    each is named, however it is spelt."""
    with pytest.raises(ValueError, match=r"router\.slots: 3 is below 4"):
        RouterSettings(slots=3)
    with pytest.raises(ValueError, match=r"router\.arguments: --port=1: the router says this"):
        RouterSettings(arguments=("--enforce-eager", "--port=1"))
    for word in ("--served_model_name=x", "--logprobs-mode=raw_logprobs"):
        with pytest.raises(ValueError, match=f"router\\.arguments: {word}: the router says this"):
            RouterSettings(arguments=(word,))
