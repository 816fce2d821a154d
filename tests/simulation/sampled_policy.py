"""SampledPolicy: a model and its learner in one process, which answers by draws and learns from sealed batches."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from transformers import AutoTokenizer
from transformers.cache_utils import DynamicCache

from rlwd.learner.sealed import SealedBatch
from rlwd.learner.settings import LearnerSettings
from rlwd.learner.train.state import Learner
from rlwd.learner.train.update import Update, apply_batch

Tokens = tuple[int, ...]


class DrawnAnswer(NamedTuple):
    """What was drawn for one prompt."""

    prompt: Tokens
    """Tokens read."""
    completion: Tokens
    """Tokens written, the end among them."""
    logprobs: tuple[float, ...]
    """Of each of these."""


class SampledPolicy:
    """A policy of the folder that the settings name."""

    def __init__(
        self, settings: LearnerSettings, *, longest: int, temperature: float = 1.0
    ) -> None:
        """`longest` is how many tokens an answer has at most; `temperature` is of its draws."""
        torch.manual_seed(settings.seed)
        self.learner, self.longest, self.temperature = Learner(settings), longest, temperature
        self.tokenizer = AutoTokenizer.from_pretrained(settings.model)
        self.draw = torch.Generator().manual_seed(settings.seed)

    def learn(self, batch: SealedBatch) -> None:
        """Apply one sealed batch, as the learner process does."""
        self.apply(batch)

    def apply(self, batch: SealedBatch) -> Update:
        """Return what the update says of itself, too."""
        return apply_batch(self.learner, batch)

    def spelt(self, completion: Tokens) -> str:
        """Return what tokens spell, without the markers."""
        text: str = self.tokenizer.decode(completion, skip_special_tokens=True)
        return text

    def draw_answers(self, prompts: Sequence[Tokens], *, greedy: bool = False) -> list[DrawnAnswer]:
        """Answer at the temperature, or at 0; prompts of one length go through the model together."""
        by_length = defaultdict[int, list[int]](list)
        for place, prompt in enumerate(prompts):
            by_length[len(prompt)].append(place)
        found: dict[int, DrawnAnswer] = {}
        for places in by_length.values():
            drawn = self._sample([prompts[place] for place in places], greedy=greedy)
            found |= dict(zip(places, drawn, strict=True))
        return [found[place] for place in range(len(prompts))]

    @torch.no_grad()
    def _sample(self, prompts: Sequence[Tokens], *, greedy: bool) -> list[DrawnAnswer]:
        ids_BT, end = torch.tensor(prompts), self.tokenizer.eos_token_id
        told, start = torch.zeros(len(prompts), 0), ids_BT.shape[1]
        open_B, cache, read_BT = torch.ones(len(prompts), dtype=torch.bool), DynamicCache(), ids_BT
        for _ in range(self.longest):
            made = self.learner.policy.decoder(
                input_ids=read_BT, past_key_values=cache, use_cache=True
            )
            head_VD = self.learner.policy.head_VD
            last_BD = made.last_hidden_state[:, -1].to(head_VD.dtype)
            logits_BV = (last_BD @ head_VD.T).float() / self.temperature
            logp_BV = logits_BV.log_softmax(-1)
            if greedy:
                read_BT = logp_BV.argmax(-1, keepdim=True)
            else:
                read_BT = torch.multinomial(logp_BV.exp(), 1, generator=self.draw)
            told = torch.cat([told, logp_BV.gather(1, read_BT)], dim=1)
            ids_BT = torch.cat([ids_BT, read_BT], dim=1)
            open_B &= read_BT[:, 0] != end
            if not open_B.any():
                break
        answers = []
        for row, prompt in enumerate(prompts):
            written = ids_BT[row, start:].tolist()
            length = written.index(end) + 1 if end in written else len(written)
            logprobs = tuple(min(one, 0.0) for one in told[row, :length].tolist())
            answers.append(DrawnAnswer(prompt, tuple(written[:length]), logprobs))
        return answers
