"""What `rlwd doctor` says of flags that a gateway fetches over a network."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from gateway_rig import version

from rlwd.daemon.config import load_config
from rlwd.daemon.doctor.doctor_flags import check_flags_url
from rlwd.daemon.http.access import Access
from rlwd.daemon.status.flag_page import FlagPage
from rlwd.daemon.status.metrics import Metrics
from rlwd.daemon.status.server import StatusServer, Vitals
from rlwd.ops.flags.assignment import Shares
from rlwd.ops.flags.flag_state import FlagState
from rlwd.ops.servers.process import LOOPBACK, free_port

KEY = "a key of 16 characters"
STATE = FlagState(
    policy="policy",
    generation=7,
    salt="salt-1",
    champion=version(2),
    anchor=version(0),
    candidate=version(3),
    shares=Shares(candidate=5000),
)


@pytest.fixture
def url() -> Iterator[str]:
    """Where a daemon serves flags to those who have the key."""
    port = free_port()
    server = StatusServer(
        Vitals(),
        Metrics().registry,
        dict,
        host=LOOPBACK,
        port=port,
        access=Access("token"),
        flags=FlagPage(KEY, lambda: STATE),
    )
    server.start()
    yield f"http://{LOOPBACK}:{port}/flags"
    server.stop()


def said(folder: Path, url: str, key: str = KEY, policy: str = "policy") -> str:
    path = folder / "rlwd.toml"
    path.write_text(
        f'policy = "{policy}"\nstate = "."\n[learner]\nmodel = "base"\n'
        f'[gateway]\nflags_url = "{url}"\nflags_key = "{key}"\n'
    )
    return "\n".join(finding.line for finding in check_flags_url(load_config(path)))


def test_flags_that_can_be_acted_on(tmp_path: Path, url: str) -> None:
    """It says which generation, and who is served."""
    told = said(tmp_path, url)
    assert told.startswith("ok")
    assert "generation 7" in told
    assert version(2).version in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"key": "another key of 16"}, "FAIL.*401"),
        ({"policy": "other"}, "FAIL.*policy is 'policy' and not 'other'"),
        ({"key": "short"}, "FAIL.*gateway.flags_key: must have 16"),
        ({"url": f"http://{LOOPBACK}:1/flags"}, "warn.*no answer"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, url: str, change: dict[str, str], told: str
) -> None:
    """Key, policy and address each have their own words."""
    found = said(tmp_path, **{"url": url, **change})
    assert re.search(told, found), found


def test_where_the_file_is_read_nothing_is_asked(tmp_path: Path) -> None:
    """Without a URL there is no finding."""
    path = tmp_path / "rlwd.toml"
    path.write_text('state = "."\n[learner]\nmodel = "base"\n')
    assert not list(check_flags_url(load_config(path)))
