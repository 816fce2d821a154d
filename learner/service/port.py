"""Port: what a learner has done for it where the tensors are; who decides stands before it.

Which episodes count, what each is worth, how hard each token is pulled, in which order steps are made,
and what is kept of them is ours. Behind the port lie the weights, their gradients and the optimizer.
A loss of any trust region is, at its gradient, -sum(w log pi) with weights that we work out
(`learner/pulls.py`), so that the port knows no loss but that one.

Promises of every implementation, which tests/learner/service/test_contract.py holds it to:
- A call is done once or not at all, however often its request had to be sent. Where that cannot be told
  any more the call raises ServiceAway, and what was begun is lost: `begin` starts it again.
- Steps change nothing that was saved. What `save` named is whole, and `begin` from it goes on with its
  weights and its optimizer.
- ContentsRefused, ServiceClosed: nothing was done.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class ServiceAway(Exception):
    """No answer, or one that says to come back: what was begun is lost, nothing saved is."""


class ContentsRefused(Exception):
    """These contents are refused for cause, and would be again: no fault of the service's."""


class ServiceClosed(ValueError):
    """Nothing is done for us until somebody changes something: the key, the model, the account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Datum:
    """A sequence with a span of tokens that are looked at: the last ones."""

    prompt_token_ids: tuple[int, ...]
    """What stands before; at least one token."""
    token_ids: tuple[int, ...]
    """What is looked at; at least one token."""
    weights: tuple[float, ...] = ()
    """In the loss -sum(w log pi), one for each of `token_ids`; empty where there is no loss."""

    def __post_init__(self) -> None:
        if not self.prompt_token_ids or not self.token_ids:
            raise ValueError("$.prompt_token_ids, $.token_ids: neither may be empty")
        if self.weights and len(self.weights) != len(self.token_ids):
            raise ValueError(
                f"$.weights: {len(self.weights)} values for {len(self.token_ids)} tokens"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamStep:
    """One step of Adam (no weight decay) on the gradients that were added up."""

    learning_rate: float
    """Of this step."""
    beta1: float
    """Decay of the first moment."""
    beta2: float
    """Decay of the second moment."""
    eps: float
    """Floor below the square root of the second moment."""
    clip_norm: float
    """Gradients longer than this are shortened to it."""


Logprobs = list[list[float]]
"""Of each datum, of each of its `token_ids`; at temperature 1."""


class TrainingService(Protocol):
    """The tensors' part of learning one policy; one caller at a time."""

    def begin(self, state: str | None) -> None:
        """Go on from what `save` named, weights and optimizer; None begins with a zero adapter.

        What was begun before and not saved is dropped. Raises ServiceClosed where that state is gone.
        """
        ...

    def logprobs(self, data: Sequence[Datum]) -> Logprobs:
        """Return log-probabilities under the present weights, and change nothing."""
        ...

    def base_logprobs(self, data: Sequence[Datum]) -> Logprobs:
        """Return those under the base model."""
        ...

    def forward_backward(self, data: Sequence[Datum]) -> Logprobs:
        """Add the gradients of -sum(w log pi) to those since the last step; return as `logprobs`."""
        ...

    def step(self, adam: AdamStep) -> None:
        """Move the weights by the gradients that were added up, and clear these."""
        ...

    def save(self, name: str) -> str:
        """Keep weights and optimizer for as long as they are not forgotten; return what `begin` takes."""
        ...

    def export(self, name: str, folder: Path) -> None:
        """Write the present adapter into a new folder, as PEFT and vLLM read it."""
        ...

    def forget(self, states: Sequence[str]) -> None:
        """Give up what `save` named; what is not there any more is none of its business."""
        ...
