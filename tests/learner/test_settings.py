"""Settings and the daemon's side of the learner's files never load torch."""

import subprocess
import sys

import msgspec
import pytest
from tiny_learner import TINY

from rlwd.learner.settings import LearnerProcessSettings, LearnerSettings

TORCH_FREE = (
    "candidate",
    "checkpoint.epoch",
    "checkpoint.folder",
    "digests",
    "ledger.batches_table",
    "ledger.checkpoints_table",
    "ledger.lineage",
    "ledger.seal",
    "process.main",
    "process.protocol",
    "process.supervisor",
    "sealed",
    "settings",
)


def test_no_torch() -> None:
    """The modules that the daemon imports load neither torch nor transformers."""
    imports = "; ".join(f"import rlwd.learner.{module}" for module in TORCH_FREE)
    program = (
        f"import sys; {imports}; print(sorted({{'torch', 'transformers'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.decode().strip() == "[]"


def test_survives_json() -> None:
    """What the daemon writes for its child is what the child reads."""
    asked = LearnerProcessSettings(learner=TINY, policy="policy", folder="/x", lease_epoch=2)
    assert msgspec.json.decode(msgspec.json.encode(asked), type=LearnerProcessSettings) == asked


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"learning_rat": 1e-3}', r"unknown field `learning_rat`"),
        (b'{"passes": 0}', r">= 1 - at `\$.passes`"),
        (b'{"rho_min": 0.97}', r"learner.rho_min: 0.97 is above rho_max 0.96"),
        (b'{"beta1": 1.0}', r"< 1.0 - at `\$.beta1`"),
        (b'{"beta2": 1.0}', r"< 1.0 - at `\$.beta2`"),
        (b'{"dtype": "float16"}', r"Invalid enum value 'float16' - at `\$.dtype`"),
        (
            b'{"weights": "full", "service": {"url": "http://127.0.0.1:9", "model": "m"}}',
            r"learner\.service\.url: .* needs, in \[learner\], .*weights = 'adapter'",
        ),
        (
            b'{"drift": {"probes": "p"}, "service": {"url": "http://127.0.0.1:9", "model": "m"}}',
            r"drift\.probes = ''",
        ),
    ],
)
def test_refuses(raw: bytes, message: str) -> None:
    """A misspelt or impossible setting is refused by name."""
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.json.decode(raw, type=LearnerSettings)
