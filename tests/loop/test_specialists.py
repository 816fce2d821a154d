"""Two tenants through one gateway, each with a policy of its own: neither's answers reach the other's weights.

Real daemons, learners, gateway and embedded engine on one machine; one daemon is killed on its way.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from forked import ForkServer
from ledger_by_hand import generation
from street import ADAPTERS, TENANTS, Street, open_street

from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.streams.log.embedded_log import EmbeddedSink

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def street(tiny_policy: Path, tmp_path: Path, forks: ForkServer) -> Iterator[Street]:
    with open_street(forks, tiny_policy, tmp_path) as made:
        yield made


def forge(street: Street) -> None:
    """Write onto acme's topic what is of another tenant, and what says that it is of another policy."""
    config, now = street.configs["acme"], time.time()
    sink = EmbeddedSink(config.log_path)
    for name, more in (
        ("forged.tenant", {"tenant": "globex"}),
        ("forged.policy", {"tenant": "acme", "policy": "globex"}),
    ):
        record = generation(name, now, session_id=name, variant="candidate", **more)
        sink.send(config.stream.generations, name, record)
    sink.flush(10.0)
    sink.close()


def test_two_tenants_learn_side_by_side_and_neither_from_the_other(street: Street) -> None:
    """Each begins with its parent's weights, learns from its own people alone, and serves them, also after a
    kill in the middle; its first version can be made again from there. What is forged onto a topic is excluded by name; the engine never holds more than
    each one's share.
    """
    for number in range(8):
        for tenant in TENANTS:
            answer = street.ask(tenant, f"u{number}")
            assert answer.headers["X-Rlwd-Version"].startswith("main@v000000")
    forge(street)
    for tenant in TENANTS:
        street.daemons[tenant].spawn()
    state = street.configs["acme"].state_path
    street.until(lambda: (state / "checkpoints" / "000000").is_dir() or street.made("acme"))
    street.daemons["acme"].kill()
    street.daemons["acme"].spawn()
    street.until(lambda: all(street.made(tenant) for tenant in TENANTS))
    for tenant in TENANTS:
        street.until(
            lambda tenant=tenant: (
                street.ask(tenant, "u1").headers["X-Rlwd-Version"].startswith(f"{tenant}@v")
            )
        )
        street.until(lambda tenant=tenant: street.daemons[tenant].live.get("champion"))
    with closing(HttpEngine(street.engine.url)) as engine:
        held = [name.partition("@")[0] for name in engine.loaded()]
    assert {name: held.count(name) <= ADAPTERS - 1 for name in ("main", *TENANTS)} == dict.fromkeys(
        ("main", *TENANTS), True
    )
    street.stop()

    for tenant in TENANTS:
        found = street.audit(tenant)
        first, *later = found["learned_from"]
        assert first["parent"].startswith("main@v000000")
        assert later, "it learned"
        assert {one["tenant"] for one in later} == {tenant}
        learned = [name for one in later for name in one["answers"]]
        assert len(learned) == len(set(learned)) > 0
        assert set(learned) <= set(street.given[tenant])
    made = street.made("acme")[0].version
    command = [
        sys.executable,
        "-m",
        "rlwd.daemon",
        "rebuild",
        made,
        "-c",
        str(street.files["acme"]),
    ]
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    fates = [row["fates"] for row in street.audit("acme")["generations"]]
    assert sum(one.get("excluded:other_policy", 0) for one in fates) == 2
    parent = street.audit("main")
    assert [one["answers"] for one in parent["learned_from"]] == [[]]
    assert parent["generations"] == []
    assert msgspec.to_builtins(street.made("main")) == []
