"""Group: several ranks make the step that one process makes, and take up one another's checkpoints."""

import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from forked import ForkServer
from rank_runs import RankRun, made_by_ranks
from safetensors.torch import load_file
from torch import Tensor

from rlwd.learner.candidate import Manifest
from rlwd.learner.checkpoint.folder import checkpoint_path, read_manifests
from rlwd.learner.checkpoint.learner_state import TRAINED
from rlwd.learner.checkpoint.weight_link import WEIGHTS
from rlwd.learner.digests import ADAPTER_FILES
from rlwd.learner.lane_settings import LaneSettings
from rlwd.learner.lanes.model_words import ModelWords
from rlwd.learner.process.learning_of import check_alike
from rlwd.learner.process.protocol import Apply, Command, Prune, RollBackTo, Skip
from rlwd.learner.ranks.group import ALONE, Ranks
from rlwd.learner.replay_settings import ReplaySettings
from rlwd.learner.sealed import Correction, SealedBatch, SealedEpisode
from rlwd.learner.settings import LearnerProcessSettings
from rlwd.learner.staying.learning import Learning
from rlwd.learner.tiny.model import prompt_ids
from rlwd.learner.train.state import MOMENTS

MakeEpisode = Callable[..., SealedEpisode]
MakeBatch = Callable[..., SealedBatch]
CLOSE = 1e-5
PLACE = "rng.safetensors"
"""What a checkpoint has of its process, and not of its batches."""


class Shop:
    """Batches with every lane in them, and checkpoint folders in which ranks worked on these."""

    def __init__(self, folder: Path, settings: LearnerProcessSettings, forks: ForkServer) -> None:
        self.folder, self.settings, self.forks = folder, settings, forks
        self.runs = list[RankRun]()

    def will(self, size: int, name: str, *commands: Command) -> Path:
        """Plan a run of so many ranks in a folder of that name, which is returned."""
        learner = msgspec.structs.replace(self.settings.learner, processes=size)
        folder = self.folder / name
        settings = msgspec.structs.replace(self.settings, learner=learner, folder=str(folder))
        self.runs.append(RankRun(settings=settings, commands=commands))
        return folder

    def make(self) -> None:
        """Make the planned runs."""
        made_by_ranks(self.runs, self.folder, self.forks)
        self.runs.clear()


@pytest.fixture
def shop(child_settings: LearnerProcessSettings, tmp_path: Path, forks: ForkServer) -> Shop:
    """All that adds to a step: each lane, replay, the anchor's KL, an average, prompts' states."""
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"text": "one two"}\n{"text": "three"}\n')
    learner = msgspec.structs.replace(
        child_settings.learner,
        lanes=LaneSettings(kto=1.0, dpo=0.5, sft=0.5, hindsight=0.5),
        replay=ReplaySettings(texts=str(texts), share=0.5),
        estimator="contextual",
        trust_region="decoupled",
        average=0.5,
        pack_tokens=64,
        rows_per_forward=1,
    )
    return Shop(tmp_path, msgspec.structs.replace(child_settings, learner=learner), forks)


def lane_episodes(make_episode: MakeEpisode, model: Path, number: int) -> list[SealedEpisode]:
    """Three greedy answers for each lane beside the ratio lane."""
    said, asked = ModelWords(model).spell("it is bad"), [{"role": "user", "content": "mail"}]
    lanes: dict[str, dict[str, object]] = {
        "kto": {},
        "sft": {},
        "dpo": {"correction": Correction(text="it is good!", first=0, past=len(said))},
        "hindsight": {
            "follow_up": "Say dear.",
            "prompt_token_ids": tuple(prompt_ids(model, asked)),
        },
    }
    return [
        make_episode(
            generation_id=f"{lane}{number}.{index}",
            lane=lane,
            reward=float(index % 2),
            weight=1.0 + index,
            completion_token_ids=(*said, 256) if lane == "dpo" else (*said[index:], 256),
            logprobs=(),
            temperature=0.0,
            **more,
        )
        for lane, more in lanes.items()
        for index in range(3)
    ]


def tensors(folder: Path, manifest: Manifest) -> dict[str, Tensor]:
    """Return all of a checkpoint: weights as trained, their average, moments, estimators."""
    found, root = dict[str, Tensor](), checkpoint_path(folder, manifest.sequence)
    for name in manifest.files:
        if name.endswith(".safetensors") and name != PLACE:
            kind = name.removeprefix(f"{manifest.version}/")
            found |= {f"{kind}/{key}": value for key, value in load_file(root / name).items()}
    return found


def parts_apart(ours: Path, alone: Path, sequence: int) -> dict[str, float]:
    """Return by which share of what one process moved it our checkpoint is apart from its, by kind."""
    start, one = (read_manifests(alone)[place] for place in (0, sequence))
    many = read_manifests(ours)[sequence]
    found, wanted, before = tensors(ours, many), tensors(alone, one), tensors(alone, start)
    assert found.keys() == wanted.keys()
    apart, moved = defaultdict[str, float](float), defaultdict[str, float](float)
    for name, tensor in wanted.items():
        # Weights, average, each of the moments, estimators.
        kind = name.rpartition("/")[2] if "/exp_avg" in name else name.partition("/")[0]
        apart[kind] += float((found[name] - tensor).double().square().sum())
        by = tensor - before[name] if name in before else tensor
        moved[kind] += float(by.double().square().sum())
    return {
        kind: (apart[kind] / squares) ** 0.5 if squares else apart[kind]
        for kind, squares in moved.items()
    }


def assert_same_step(
    ours: Path, alone: Path, sequence: int, offered: str = ADAPTER_FILES[1]
) -> None:
    """Hold what a checkpoint adds to the first one against what one process made it of."""
    one, many = (read_manifests(folder)[sequence] for folder in (alone, ours))
    apart = parts_apart(ours, alone, sequence)
    assert {*apart} >= {TRAINED, offered, *MOMENTS[:2]}
    assert max(apart.values()) <= CLOSE, apart
    assert many.metrics == pytest.approx(one.metrics, rel=1e-3, abs=1e-4)
    assert many.probe.logprobs == pytest.approx(one.probe.logprobs, abs=CLOSE)
    assert (many.left_out, many.applied) == (one.left_out, one.applied)


def test_the_same_step_and_the_same_checkpoint(
    shop: Shop, make_batch: MakeBatch, make_episode: MakeEpisode, sealed: Callable[..., Path]
) -> None:
    """2 and 3 ranks make one process's steps to 1e-5, and go on from one another's state to the bit."""
    batches = list[Apply]()
    for number in (1, 2):
        batch = make_batch(number, parent=number - 1, episodes=14)
        beside = lane_episodes(make_episode, Path(shop.settings.learner.model), number)
        whole = msgspec.structs.replace(batch, episodes=(*batch.episodes, *beside))
        batches.append(Apply(path=str(sealed(whole))))
    applied = {1: batches, 2: batches, 3: batches[:1]}
    folders = [shop.will(size, f"of{size}", *given) for size, given in applied.items()]
    shop.make()
    for folder, given in zip(folders[1:], (2, 1), strict=True):
        for sequence in range(1, given + 1):
            assert_same_step(folder, folders[0], sequence)
    told = read_manifests(folders[2])[1]
    assert told.metrics["steps"] > 2
    assert {name.split("/")[1] for name in told.metrics if name.startswith("lane/")} == {
        *("dpo", "hindsight", "kto", "sft")
    }
    assert told.made_with is not None
    assert told.made_with.machine["processes"] == "3"

    moved = shop.folder / "moved"
    shutil.copytree(folders[1], moved)
    for size in (3, 1, 2):
        shop.will(size, "moved", RollBackTo(to_sequence=2), Skip(path=batches[0].path, reason="x"))
    shop.will(3, "moved", Prune(sequences=(0,)))
    shop.make()
    made = read_manifests(moved)
    # Going back stands on the average, without it; from then on nothing changes, whoever has it.
    kept = [{k: v for k, v in one.files.items() if k != PLACE} for one in made[3:]]
    assert len(kept) == 3
    assert kept == [kept[0]] * 3
    assert not (checkpoint_path(moved, 0) / "optimizer.safetensors").exists()


def test_full_weights(
    shop: Shop, make_batch: MakeBatch, make_episode: MakeEpisode, sealed: Callable[..., Path]
) -> None:
    """Of full weights too: whole embedding and head beside divided layers, their gradients and one norm."""
    learner = msgspec.structs.replace(
        shop.settings.learner, weights="full", learning_rate=1e-4, passes=1, pack_tokens=256
    )
    shop.settings = msgspec.structs.replace(shop.settings, learner=learner)
    batch = make_batch(1, parent=0, episodes=8)
    beside = lane_episodes(make_episode, Path(learner.model), 1)[::2]
    path = sealed(msgspec.structs.replace(batch, episodes=(*batch.episodes, *beside)))
    folders = [shop.will(size, f"of{size}", Apply(path=str(path))) for size in (1, 2, 3)]
    shop.make()
    for folder in folders[1:]:
        assert_same_step(folder, folders[0], 1, WEIGHTS)
    moved = shop.folder / "moved"
    shutil.copytree(folders[1], moved)
    for size in (3, 1):
        shop.will(size, "moved", RollBackTo(to_sequence=1))
    shop.make()
    kept = [one.files for one in read_manifests(moved)[2:]]
    # Each link names the version that it goes back to, and so has the same bytes.
    told = [{k: v for k, v in files.items() if k != PLACE} for files in kept]
    assert told == [told[0]] * 2


@pytest.mark.parametrize("weights", ["adapter", "full"])
def test_in_bfloat16(
    shop: Shop,
    make_batch: MakeBatch,
    sealed: Callable[..., Path],
    weights: str,
) -> None:
    """There the order of sums is worth about a hundredth of a step: no more between two ranks and one process
    than between one process and itself with its answers packed otherwise."""
    learner = msgspec.structs.replace(
        shop.settings.learner, weights=weights, dtype="bfloat16", passes=1
    )
    if weights == "full":
        learner = msgspec.structs.replace(learner, learning_rate=1e-4)
    shop.settings = msgspec.structs.replace(shop.settings, learner=learner)
    batch = Apply(path=str(sealed(make_batch(1, episodes=12))))
    alone, two = (shop.will(size, f"of{size}", batch) for size in (1, 2))
    otherwise = msgspec.structs.replace(learner, pack_tokens=40)
    shop.settings = msgspec.structs.replace(shop.settings, learner=otherwise)
    repacked = shop.will(1, "repacked", batch)
    shop.make()
    by_ranks, by_packs = (parts_apart(folder, alone, 1) for folder in (two, repacked))
    # Seen: 0.003 and 0.005 of an adapter, 0.011 and 0.017 of full weights; of both moments 0.009 and 0.012.
    for kind in (TRAINED, *MOMENTS[:2]):
        assert CLOSE < by_ranks[kind] < 0.05, (kind, by_ranks)
        assert by_ranks[kind] < 2 * by_packs[kind], (kind, by_ranks, by_packs)


class OfAnother(Ranks):
    """A rank whose rank 0 has read something else."""

    def told(self, said: bytes) -> bytes:
        """Return what it read."""
        return said.replace(b"config.json", b"another.json")


def test_a_file_that_is_replaced_while_ranks_start_is_refused(
    child_settings: LearnerProcessSettings,
) -> None:
    """Each would work with another one."""
    learning = Learning(child_settings.learner)
    check_alike(learning, ALONE)
    with pytest.raises(ValueError, match=r"learner\.model: .* was replaced while"):
        check_alike(learning, OfAnother(rank=1))


def test_packs_are_dealt_evenly() -> None:
    """Every rank makes as many passes; who has no pack left keeps company with the first, for nothing."""
    groups = [[0], [1, 2], [3]]
    dealt = [Ranks(rank=rank, size=2).dealt(groups) for rank in range(2)]
    assert dealt == [[([0], True), ([3], True)], [([1, 2], True), ([0], False)]]
    assert Ranks(rank=1, size=2).dealt([]) == []
    assert ALONE.dealt(groups) == [(group, True) for group in groups]
    assert Ranks(size=2).room(5000, 2000) == 1250
    assert ALONE.room(5000, 2000) == 2000


def test_one_process_adds_nothing() -> None:
    """Alone it hands back what it was given, bit for bit, and needs no group."""
    found = [torch.tensor([0.1, -0.0])]
    assert ALONE.spread(found, [2]) is found
    assert ALONE.summed({"a": 0.1}) == {"a": 0.1}
    assert ALONE.all(True) is True
    assert ALONE.told(b"x") == b"x"
