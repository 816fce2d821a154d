"""The example of a reward part installs as a package, and a spec weighs it by its name."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from episodes_by_hand import did, episode

from rlwd.rewards.spec.spec import load_spec
from rlwd.streams.events.signals import Accepted

ROOT = Path(__file__).parents[2]


def spec_on_the_page() -> str:
    """Return the spec that docs/connect.md shows for it."""
    page = (ROOT / "docs" / "connect.md").read_text()
    found = re.search(r"```toml\n# a reward spec.*?\n(.*?)```", page, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_counts_beside_the_built_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed by pip, `brief` is worth 1 less a two-hundredth for each token."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / "examples" / "reward_part", source)
    target = tmp_path / "installed"
    told = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", "install", *told, str(source)], check=True)
    monkeypatch.syspath_prepend(str(target))
    (tmp_path / "spec.toml").write_text(spec_on_the_page())
    tokens, logprobs = tuple(range(100)), (-0.1,) * 100
    answer = episode(did(Accepted(), 1.0), completion_token_ids=tokens, logprobs=logprobs)
    reward = load_spec(tmp_path / "spec.toml").reward(answer)
    assert reward is not None
    assert {part.name: part.value for part in reward.parts} == {"accepted": 1.0, "brief": 0.5}
    assert reward.value == pytest.approx((1.0 + 0.2 * 0.5) / 1.2)
