"""Models that are not Qwen: exact, exact with one answer to a row, or refused by name; never wrong."""

from collections.abc import Callable
from pathlib import Path

import model_families
import msgspec
import pytest
import torch
from model_families import FAMILIES, make_family, tried
from peft import PeftModel
from transformers import AutoModelForCausalLM

from rlwd.learner.sealed import SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.load import load_policy
from rlwd.learner.train.policy import Policy
from rlwd.learner.train.score import score
from rlwd.learner.train.state import Learner
from rlwd.learner.train.update import apply_batch

MakeBatch = Callable[..., SealedBatch]
PAGE = Path(__file__).parents[3] / "docs" / "models.md"
ODD = ("gpt_oss", "granite", "cohere2", "qwen3_next", "lfm2", "falcon", "bloom", "mixtral")
"""Families that were read wrongly before they were proven."""


def rows_of_page() -> dict[str, tuple[str, ...]]:
    text = PAGE.read_text().partition(model_families.BEGIN)[2].partition(model_families.END)[0]
    rows = [line.strip("| ").split(" | ") for line in text.strip().splitlines()[2:]]
    return {row[0]: tuple(cell.strip() for cell in row) for row in rows}


def test_the_page_has_every_family() -> None:
    """No family is tried that the page does not tell of, and none told of that is not tried."""
    assert list(rows_of_page()) == list(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_page_says_what_the_code_does(family: str) -> None:
    """Loading a tiny model of the family has the outcome that docs/models.md names."""
    wanted = tuple(cell for cell in rows_of_page()[family] if cell)
    assert tuple(cell for cell in tried(family) if cell) == wanted


def within(vocabulary: int, episodes: tuple[SealedEpisode, ...]) -> tuple[SealedEpisode, ...]:
    """The same episodes with tokens that a small vocabulary has."""
    return tuple(
        msgspec.structs.replace(
            e,
            prompt_token_ids=tuple(3 + t % (vocabulary - 3) for t in e.prompt_token_ids),
            completion_token_ids=tuple(3 + t % (vocabulary - 3) for t in e.completion_token_ids),
        )
        for e in episodes
    )


@pytest.mark.parametrize("family", ODD)
def test_every_log_probability_is_the_models_own(
    family: str, settings: LearnerSettings, make_batch: MakeBatch, tmp_path: Path
) -> None:
    """After an update what the learner says of each answer is what transformers and PEFT say."""
    make_family(family, tmp_path / "base")
    learner = Learner(msgspec.structs.replace(settings, model=str(tmp_path / "base")))
    batch = make_batch(episodes=10, temperature=0.7)
    batch = msgspec.structs.replace(
        batch, episodes=within(96, batch.episodes), held_out=within(96, batch.held_out)
    )
    apply_batch(learner, batch)
    learner.policy.save_adapter(tmp_path / "adapter")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    theirs = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    for episode, logp in zip(batch.episodes, score(learner, batch.episodes).logp, strict=True):
        ids = torch.tensor([[*episode.prompt_token_ids, *episode.completion_token_ids]])
        with torch.no_grad():
            logits = theirs(input_ids=ids, use_cache=False).logits[0] / episode.temperature
        targets = torch.tensor(episode.completion_token_ids)
        places = torch.arange(len(episode.prompt_token_ids) - 1, ids.shape[1] - 1)
        wanted = logits[places].log_softmax(-1).gather(1, targets[:, None])[:, 0]
        torch.testing.assert_close(logp, wanted, rtol=0, atol=5e-4)


def test_a_leak_is_found_in_bfloat16(settings: LearnerSettings, tmp_path: Path) -> None:
    """Rounding hides no leak: in bfloat16 too some families pack and others do not."""
    found = {}
    for family in ("llama", "falcon", "lfm2", "gpt_oss"):
        make_family(family, tmp_path / family)
        given = msgspec.structs.replace(settings, model=str(tmp_path / family), dtype="bfloat16")
        found[family] = load_policy(given).packs
    assert found == {"llama": True, "falcon": False, "lfm2": False, "gpt_oss": False}


def test_an_adapter_that_is_read_otherwise_is_refused(
    settings: LearnerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where PEFT makes something else of the adapter, the model is refused by the setting's name."""
    save = Policy.save_adapter

    def save_otherwise(policy: Policy, folder: Path) -> None:
        save(policy, folder)
        config = folder / "adapter_config.json"
        config.write_text(config.read_text().replace('"lora_alpha": 8.0', '"lora_alpha": 16.0'))

    monkeypatch.setattr(Policy, "save_adapter", save_otherwise)
    with pytest.raises(
        ValueError, match=r"learner.model: .* PEFT reads its adapter back otherwise"
    ):
        load_policy(settings)
