"""Versions of the tiny policy to serve, and the embedded engine to serve them."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from adapter_by_hand import write_adapter
from router_process import RouterProcess, full_versions, load, router_for

from rlwd.learner.candidate import Candidate, Probe
from rlwd.ops.engine.http_engine import HttpEngine
from rlwd.ops.servers.embedded_server import EmbeddedServer

PROBE = tuple(range(60, 100))


@pytest.fixture(scope="session")
def engine_server(
    tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedServer]:
    """One embedded engine on the tiny policy."""
    with EmbeddedServer(tiny_policy, tmp_path_factory.mktemp("engine")) as server:
        yield server


@pytest.fixture(scope="session")
def whole_versions(
    tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Candidate, Candidate]:
    """Two versions of full weights that differ; the first is the base model."""
    return full_versions(tmp_path_factory.mktemp("whole"), tiny_policy)


@pytest.fixture(scope="session")
def router_server(
    tiny_policy: Path, whole_versions: tuple[Candidate, Candidate]
) -> Iterator[RouterProcess]:
    """One router on those, the embedded engine behind it; the first one's server is up."""
    # state/checkpoints/000000/weights
    folder = whole_versions[0].path.parents[3]
    with router_for(folder, tiny_policy) as server:
        engine = HttpEngine(server.url)
        load(engine, whole_versions[0])
        engine.close()
        yield server


class Truth:
    """What transformers and PEFT say of a version: the reference for every engine."""

    def __init__(self, policy: Path, adapter: Path | None) -> None:
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        model: Any = AutoModelForCausalLM.from_pretrained(policy, dtype="float32")
        self.model = model if adapter is None else PeftModel.from_pretrained(model, adapter)
        self.model.eval()

    def logprobs(self, token_ids: Sequence[int], temperature: float = 1.0) -> list[float]:
        """Log-probability of each token but the first, by one plain forward pass."""
        import torch

        with torch.no_grad():
            logits_TV = self.model(torch.tensor([list(token_ids)])).logits[0, :-1]
        logprobs_TV = (logits_TV / temperature).log_softmax(-1)
        chosen_T = logprobs_TV.gather(1, torch.tensor(token_ids[1:])[:, None])[:, 0]
        return [float(value) for value in chosen_T]

    def greedy(self, token_ids: Sequence[int], count: int) -> list[int]:
        """The likeliest next tokens, one at a time, never stopping."""
        import torch

        ids = list(token_ids)
        with torch.no_grad():
            for _ in range(count):
                ids.append(int(self.model(torch.tensor([ids])).logits[0, -1].argmax()))
        return ids[len(token_ids) :]


def make_version(policy: Path, folder: Path, number: int) -> Candidate:
    """Write an adapter with weights of its own, as the learner does, and return it."""
    served, path = write_adapter(policy, folder, number)
    told = tuple(Truth(policy, path).logprobs(PROBE))
    return Candidate(
        version=served.version,
        sequence=number,
        digest=served.digest,
        path=path,
        probe=Probe(token_ids=PROBE, logprobs=told),
        held_out=None,
        metrics={},
    )


@pytest.fixture(scope="session")
def versions(
    tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Candidate, Candidate]:
    """Two versions that differ."""
    folder = tmp_path_factory.mktemp("versions")
    return make_version(tiny_policy, folder, 1), make_version(tiny_policy, folder, 2)


@pytest.fixture
def scratch_version(versions: tuple[Candidate, Candidate], tmp_path: Path) -> Path:
    """A copy of a version's folder that a test may damage."""
    return Path(shutil.copytree(versions[0].path, tmp_path / versions[0].version))
