"""A rollback that is asked for twice takes one version back: two people are paged, and both type."""

from pathlib import Path

import pytest
from daemon_by_hand import open_daemon_ledger
from releases_by_hand import promote, register, version

from rlwd.daemon.by_hand import decisions
from rlwd.daemon.by_hand.decisions import take_back
from rlwd.daemon.commands.by_hand import run_rollback
from rlwd.daemon.config import Config, load_config
from rlwd.ops.flags.flag_file import read_flags
from rlwd.ops.rollout import champions_table
from rlwd.ops.rollout.controller import RolloutController
from rlwd.streams.state.store import Store


class Champions:
    """Tables where v2 serves, and v1 and v0 served before it."""

    def __init__(self, folder: Path) -> None:
        path = folder / "rlwd.toml"
        path.write_text('state = "."\n[learner]\nmodel = "base"\n')
        self.config: Config = load_config(path)
        self.store: Store = open_daemon_ledger(folder / "rlwd.db").store
        controller = RolloutController("policy", self.config.rollout)
        made = [version(number, folder) for number in range(3)]
        register(self.store, controller, made[0])
        for one in made[1:]:
            promote(self.store, controller, one)
        self.v0, self.v1, self.v2 = (one.version for one in made)

    @property
    def now(self) -> str:
        with self.store.reading() as view:
            return champions_table.champion(view, "policy").version


@pytest.fixture
def champions(tmp_path: Path) -> Champions:
    """Three champions, one after another."""
    return Champions(tmp_path)


@pytest.mark.parametrize("by_name", [False, True])
def test_done_again_it_changes_nothing(
    champions: Champions, capsys: pytest.CaptureFixture[str], by_name: bool
) -> None:
    """The version before it, which did nothing, stays until somebody names it."""
    assert run_rollback(champions.config, "champion", "it shouts", by="ann") == 0
    before = read_flags(champions.config.flags_path)
    again = champions.v2 if by_name else "champion"
    assert run_rollback(champions.config, again, "it shouts", by="bob") == 0
    assert f"{champions.v2} was taken back already (ann: it shouts)" in capsys.readouterr().out
    assert champions.now == champions.v1
    assert read_flags(champions.config.flags_path) == before
    assert run_rollback(champions.config, champions.v1, "it shouts too", by="bob") == 0
    assert champions.now == champions.v0


def test_a_while_later_the_champion_is_the_one_that_serves(
    champions: Champions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says `champion` the next day means today's."""
    take_back(champions.config, champions.store, "champion", "it shouts")
    monkeypatch.setattr(decisions, "AGAIN_SECONDS", 0.0)
    done = take_back(champions.config, champions.store, "champion", "this one too")
    assert done.version == champions.v1
