"""Drift probe: how far the policy is from the base model, on texts that stay the same."""

import math
from pathlib import Path

from torch import Tensor

from ..lanes.reference import score_reference
from ..ranks.shards import number
from ..train.state import Learner
from .sequences import read_sequences, spelt

TEXTS = (
    "The river rises in the hills above the town and reaches the sea after two hundred miles.",
    "Water boils at 100 degrees Celsius at sea level; on a high mountain it boils sooner.",
    "Dear Ms Jensen, thank you for your letter of 4 May. We will send the parts on Monday.",
    "Question: If a train covers 180 km in 2 hours, how fast is it?\nAnswer: 90 km per hour.",
    'def mean(values):\n    """Return the arithmetic mean."""\n    return sum(values) / len(values)\n',
    '{"name": "example", "version": 3, "tags": ["a", "b"], "enabled": true}',
    "SELECT city, COUNT(*) FROM customers WHERE active = 1 GROUP BY city ORDER BY 2 DESC;",
    "I am sorry, but I cannot help with that. I can explain how the law sees it, if you like.",
)
"""The built-in set: prose, fact, letter, question, code, data, query, refusal."""


class DriftProbe:
    """A fixed set of sequences, teacher-forced."""

    def __init__(self, learner: Learner) -> None:
        settings, vocabulary = learner.settings, learner.policy.vocabulary
        model = Path(settings.model)
        if settings.drift.probes:
            self.sequences = read_sequences(
                Path(settings.drift.probes),
                model,
                key="learner.drift.probes",
                vocabulary=vocabulary,
                longest=settings.max_episode_tokens,
            )
        else:
            self.sequences = spelt(model, TEXTS, vocabulary=vocabulary)
        budget = settings.drift.version_kl or settings.drift.day_kl
        if budget and not self.sequences:
            raise ValueError(
                "learner.drift.probes: the model has no tokenizer for the built-in texts, name a file"
            )

    def kl(self, learner: Learner) -> float:
        """Return KL(what is offered to base) a token, exact over the vocabulary; 0 without texts."""
        if not self.sequences:
            return 0.0
        with learner.offered():
            apart = score_reference(learner, self.sequences).kl
        return math.fsum(apart) / sum(len(one.completion_token_ids) for one in self.sequences)


def update_norm(before: dict[str, Tensor], after: dict[str, Tensor]) -> float:
    """Return the L2 length of a change of what learns over its own length before it."""
    moved = math.fsum(number((after[n].detach() - t).square().sum()) for n, t in before.items())
    length = math.fsum(number(tensor.square().sum()) for tensor in before.values())
    return math.sqrt(moved / length)
