"""A parent that learns, and a specialist that began with one of its versions: what the one does to the other.

Two real daemons with their learners, one gateway and one embedded engine. An operator promotes and takes back.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from forked import ForkServer
from street import PARENTS, Street, open_street

from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.ops.engine.http_engine import HttpEngine

pytestmark = pytest.mark.timeout(600)

AT_ONCE = """\
[rollout]
bake_seconds = 0.0
"""


@pytest.fixture
def street(tiny_policy: Path, tmp_path: Path, forks: ForkServer) -> Iterator[Street]:
    """Of the two specialists acme alone has a daemon."""
    with open_street(forks, tiny_policy, tmp_path, more=AT_ONCE) as made:
        yield made


def served(street: Street, tenant: str) -> set[str]:
    """Ask as some of a tenant's people, of whom one may try a candidate; return which versions answered."""
    asked = (street.ask(tenant, f"u{number}") for number in range(4))
    # What follows is the proof of it, for the next turn.
    return {answer.headers["X-Rlwd-Version"].partition(";")[0] for answer in asked}


def promoted(street: Street) -> str:
    """Have the parent's people teach it until an operator can promote what they taught; return the version."""
    before = street.daemons["main"].live["champion"]

    def goes_on() -> bool:
        served(street, PARENTS)
        # Until a candidate meets people there is nothing to promote.
        street.typed("promote", "--reason", "it is time", policy="main")
        return bool(street.daemons["main"].live.get("champion", before) != before)

    street.until(goes_on)
    found = str(street.daemons["main"].live["champion"])
    street.until(lambda: found in served(street, PARENTS))
    return found


def test_a_parent_goes_on_and_its_specialist_stays_with_what_it_began_with(street: Street) -> None:
    """It begins with the parent's champion of its day, makes its versions from that one alone, and is told
    where the parent is now. Where no engine has its versions its people get the parent's champion of now.
    A version that the parent takes back is named to whoever began with it.
    """
    main, acme = street.daemons["main"], street.daemons["acme"]
    street.until(lambda: main.live.get("champion"))
    first = promoted(street)
    for _ in range(2):
        assert served(street, "acme") == {first}, "none of the parent's experiments is theirs"
    acme.spawn()
    street.until(lambda: any(one.startswith("acme@v000000") for one in served(street, "acme")))
    v0 = read_manifests(street.configs["acme"].state_path / "checkpoints")[0]
    assert v0.started_from == first

    second = promoted(street)
    street.until(lambda: served(street, "acme") and street.made("acme"))
    made = street.made("acme")[0]
    assert (made.parent_sequence, made.started_from) == (0, "")
    status, said = street.typed("status", policy="acme")
    assert status == 0
    assert f"began with {first}: main's champion is {second} now" in " ".join(said.split())

    acme.kill()
    with closing(HttpEngine(street.engine.url)) as engine:
        for name in engine.loaded():
            if name.startswith("acme@"):
                engine.unload(name)
    street.until(lambda: second in served(street, "acme"))
    acme.spawn()
    street.until(lambda: any(one.startswith("acme@") for one in served(street, "acme")))

    assert acme.told("parent") == ""
    for taken_back in (second, first):
        typed = ("rollback", taken_back, "--reason", "rude", "--no-wait")
        status, said = street.typed(*typed, policy="main")
        assert (status, taken_back in said) == (0, True), said
    street.until(lambda: acme.told("parent"))
    told = acme.told("parent")
    assert told.startswith(f"acme began with {first}, which main took back (")
    street.until(lambda: any(one.startswith("main@v000000") for one in served(street, PARENTS)))
    assert any(one.startswith("acme@") for one in served(street, "acme"))
