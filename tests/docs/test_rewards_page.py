"""docs/rewards.md names every part, cost and key of a spec, and its examples are specs."""

import re
from pathlib import Path

import msgspec
import pytest
from reward_tables import PAGE, with_reward_tables

from rlwd.daemon.init.setting_notes import field_notes
from rlwd.rewards.spec.registry import COSTS, PARTS
from rlwd.rewards.spec.spec import DEFAULT_SPEC, Spec, load_spec, reward_spec
from rlwd.rewards.spec.term import CostTable

HOW = "run `make docs`, and look at what changed: specs name these"


def test_the_tables_are_those_of_the_registry() -> None:
    """Every part and cost stands on the page with what it says of itself and its options."""
    assert PAGE.read_text() == with_reward_tables(PAGE.read_text()), HOW
    shown = set(re.findall(r"^\| `(\w+)` \| [A-Z0-9]", PAGE.read_text(), re.MULTILINE))
    assert shown >= {*PARTS, *COSTS}


@pytest.mark.parametrize("kind", [Spec, CostTable])
def test_every_key_of_a_spec_is_explained(kind: type[msgspec.Struct]) -> None:
    """The page and the default spec name every key, and the code says what it is."""
    notes = field_notes(kind)
    for name in kind.__struct_fields__:
        assert notes.get(name), name
        assert f"| `{name}` |" in PAGE.read_text(), name
        assert re.search(rf"^#? ?\[?{name}\b", DEFAULT_SPEC.read_text(), re.MULTILINE), name


def test_the_pages_specs_can_be_loaded(tmp_path: Path) -> None:
    """What the page shows as a spec is one."""
    shown = re.findall(r"```toml\n(name = .*?)```", PAGE.read_text(), re.DOTALL)
    assert shown
    versions = set()
    for text in shown:
        path = tmp_path / "spec.toml"
        path.write_text(text)
        versions.add(load_spec(path).version)
    assert reward_spec("coding-agent").version in versions, "the shipped one is shown as it is"
