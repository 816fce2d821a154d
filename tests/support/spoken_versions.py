"""Versions that say one text, whatever they are asked: written as the learner writes what it made.

A real engine serves them and answers differently by each. They are for engines on `tiny_policy`, whose
random head is never sure of a token: people ask at `TEMPERATURE`, where it is.
"""

import time
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer

from rlwd.daemon.config import Config
from rlwd.learner.candidate import Manifest
from rlwd.learner.checkpoint.epoch import read_epoch
from rlwd.learner.checkpoint.folder import read_manifests
from rlwd.learner.checkpoint.write import Checkpoints, Origin
from rlwd.learner.tiny.model import prompt_ids
from rlwd.learner.train.state import Learner

TEMPERATURE = 0.05
"""Of the requests: half of what a text is learned at, so that none slips."""
LEARNED = 0.002
"""Nats a token, at twice that temperature, at which a text is known by heart."""
MOST_STEPS = 200
IGNORED = -100


def question(number: int) -> str:
    """Return what somebody asks."""
    return f"question {number % 16}"


class SpokenVersions:
    """Makes the next version of a policy whose daemon is stopped."""

    def __init__(self, config: Config) -> None:
        torch.set_num_threads(1)
        self.config, self.model = config, Path(config.learner.model)
        self.folder = config.state_path / "checkpoints"
        self.learner = Learner(config.learner)
        self.tokenizer = AutoTokenizer.from_pretrained(self.model)

    def write(self, text: str) -> Manifest:
        """Write a checkpoint whose adapter says the text, as the child of the newest one.

        The first one is v0; the others bear a batch that no table knows. An empty text is nothing
        but the end token.
        """
        self._learn(text)
        known = read_manifests(self.folder)
        parent = known[-1] if known else None
        batch = len(known)
        origin = Origin(probe=self.learner.probe(), metrics={})
        if parent is not None:
            origin = Origin(
                parent_sequence=parent.sequence,
                applied=(*parent.applied, batch),
                reverted=parent.reverted,
                batch_id=batch,
                probe=self.learner.probe(),
                metrics={},
            )
        epoch = read_epoch(self.folder)
        written = Checkpoints(self.folder, policy=self.config.policy, lease_epoch=epoch)
        return written.write(self.learner, origin, now=time.time())

    def _learn(self, text: str) -> None:
        """Begin with an adapter that does nothing, and learn the text by heart."""
        weights = self.learner.policy.trainable()
        for name, weight in weights.items():
            if "lora_B" in name:
                torch.nn.init.zeros_(weight)
        optimizer = torch.optim.Adam(weights.values(), lr=5e-3)
        ids_BT, targets_BT = self._examples(text)
        positions_BT = torch.arange(ids_BT.shape[1]).expand_as(ids_BT)
        wanted_BT = targets_BT != IGNORED
        policy = self.learner.policy
        for _ in range(MOST_STEPS):
            states = policy.hidden(ids_BT, positions_BT)[wanted_BT]
            logits = (states @ policy.head_VD.T) / (2 * TEMPERATURE)
            loss = cross_entropy(logits, targets_BT[wanted_BT])
            if loss.item() < LEARNED:
                return
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        raise AssertionError(f"{text!r} was not learned: {loss.item():.3f} nats a token")

    def _examples(self, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tokens of all questions with the answer, and what each position predicts."""
        answer = [
            *self.tokenizer(text, add_special_tokens=False)["input_ids"],
            self.tokenizer.eos_token_id,
        ]
        asked = [
            prompt_ids(self.model, [{"role": "user", "content": question(number)}])
            for number in range(16)
        ]
        length = max(map(len, asked)) + len(answer)
        ids_BT = torch.zeros(len(asked), length, dtype=torch.long)
        targets_BT = torch.full((len(asked), length), IGNORED)
        for row, before in enumerate(asked):
            whole = [*before, *answer]
            ids_BT[row, : len(whole)] = torch.tensor(whole)
            targets_BT[row, len(before) - 1 : len(whole) - 1] = torch.tensor(answer)
        return ids_BT, targets_BT
