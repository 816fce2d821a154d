"""TokenCapture: token ids and log-probabilities of one answer, or why there are none."""

from typing import Any

from ...streams.events.generation import check_logprobs
from ...streams.routed_experts import RoutedExperts
from .npy_experts import read_routed_experts

MOST_TOKEN_ID = 2**31 - 1


class TokenCapture:
    """Gathers what the learner needs; one doubtful piece, and none of it is believed."""

    def __init__(self, *, chat: bool) -> None:
        self.chat = chat
        self.prompt_token_ids: list[int] | None = None
        """What the model read."""
        self.token_ids: list[int] | None = None
        """What the model wrote."""
        self.logprobs: list[float] | None = None
        """Log-probability of each token; None where they do not belong to the tokens."""
        self.routed_experts: RoutedExperts | None = None
        """Which experts prompt and answer went to; None where the engine does not tell."""
        self.problem = ""
        """Why something is missing; empty where nothing is."""
        self._logprobs: list[Any] = []
        self._spoilt = False

    def spoil(self, problem: str) -> None:
        """Believe no token of this answer, for a reason."""
        self._spoilt = True
        self.problem = self.problem or problem

    def take_prompt(self, piece: dict[str, Any]) -> None:
        """Keep the prompt's ids, which come with the first piece or its choice."""
        ids = piece.get("prompt_token_ids")
        if ids is None:
            return
        if _are_token_ids(ids):
            self.prompt_token_ids = ids
        else:
            self.spoil("prompt_token_ids: are no token ids")

    def take_choice(self, choice: dict[str, Any]) -> None:
        """Keep the ids and log-probabilities of one piece."""
        ids = choice.get("token_ids")
        if ids is not None:
            if _are_token_ids(ids):
                self.token_ids = (self.token_ids or []) + ids if ids else self.token_ids or []
            else:
                self.spoil("token_ids: are no token ids")
        if (routed := choice.get("routed_experts")) is not None:
            try:
                self.routed_experts = read_routed_experts(routed)
            except ValueError as problem:
                self.spoil(str(problem))
        given = choice.get("logprobs")
        if not given:
            return
        try:
            if self.chat:
                self._logprobs += [token["logprob"] for token in given.get("content") or ()]
            else:
                self._logprobs += given.get("token_logprobs") or ()
        except (AttributeError, KeyError, TypeError):
            self._logprobs.append(None)

    def settle(self, told_tokens: int, *, said_something: bool) -> None:
        """Decide what is believed; `told_tokens` is the engine's own count, 0 where it told none."""
        if self._spoilt:
            self.prompt_token_ids = self.token_ids = self.routed_experts = None
            return
        if self.token_ids is None:
            if said_something:
                self.problem = "token_ids: the engine told none"
            return
        if told_tokens and told_tokens != len(self.token_ids):
            # Some were never told, so the next ones follow on others than they seem to.
            self.problem = f"token_ids: {len(self.token_ids)}, and the usage counts {told_tokens}"
            self.token_ids = None
            return
        try:
            check_logprobs(self.token_ids, self._logprobs)
        except (ValueError, TypeError) as problem:
            self.problem = f"logprobs: {str(problem).removeprefix('$.data.logprobs: ')}"[:200]
            return
        self.logprobs = self._logprobs


def _are_token_ids(ids: Any) -> bool:
    return isinstance(ids, list) and all(
        type(one) is int and 0 <= one <= MOST_TOKEN_ID for one in ids
    )
