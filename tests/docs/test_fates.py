"""docs/fates.md explains every fate that the code knows, and none besides."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("streams", "rewards", "learner", "ops", "daemon")

_RULE = re.compile(r'"((?:excluded|censored):[a-z_]+)"')


def test_every_fate_is_explained() -> None:
    """Each rule that is written anywhere in the code has a row, and each row a rule."""
    known = {"waiting", "trained", "dead_lettered"}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            known |= set(_RULE.findall(path.read_text()))
    page = (ROOT / "docs" / "fates.md").read_text()
    assert set(re.findall(r"^\| `([a-z_:]+)` \|", page, re.MULTILINE)) == known
