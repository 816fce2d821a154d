"""Model words: texts as the model's tokenizer spells them, and where its chat template ends a user's turn."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import TemplateError
from transformers import AutoTokenizer

from ..sealed import SealedEpisode


class ModelWords:
    """The tokenizer of a model's folder; read when it is first asked."""

    def __init__(self, model: Path) -> None:
        self._model = model

    def spell(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a text, without any at its beginning or end that stand for these."""
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def said(self, text: str) -> tuple[int, ...]:
        """Return the tokens of what somebody wrote: `<|im_end|>` in it is ten characters and no end."""
        given = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)
        return tuple(given["input_ids"])

    @property
    def end(self) -> int:
        """The token that ends an answer."""
        return int(self._tokenizer.eos_token_id)

    def spelt(self, episode: SealedEpisode) -> SealedEpisode | None:
        """Return an episode of texts with the tokens that the model reads and writes them as.

        None where its chat template takes no such conversation, as one with a role that it does not know.
        """
        if not episode.messages:
            return episode
        told = [{"role": one.role, "content": one.text} for one in episode.messages]
        try:
            prompt = self._prompt(told)
        except TemplateError:
            return None
        return msgspec.structs.replace(
            episode,
            prompt_token_ids=prompt,
            completion_token_ids=(*self.said(episode.text), self.end),
        )

    def said_to_user(self, prompt: tuple[int, ...], block: str) -> tuple[int, ...] | None:
        """Return a prompt with a text at the end of its last turn, or None where that is no user's."""
        end = self._end_of_turn
        if not end or prompt[-len(end) :] != end:
            return None
        return (*prompt[: -len(end)], *self.said(block), *end)

    @cached_property
    def _tokenizer(self) -> Any:
        return AutoTokenizer.from_pretrained(self._model)

    @cached_property
    def _end_of_turn(self) -> tuple[int, ...]:
        """What follows on a user's words in a prompt: the end of the turn, and the answer's beginning."""
        one, other = (self._prompt([{"role": "user", "content": word}]) for word in ("1", "2"))
        same = 0
        while same < min(len(one), len(other)) and one[-1 - same] == other[-1 - same]:
            same += 1
        return one[len(one) - same :]

    def _prompt(self, messages: Sequence[dict[str, str]]) -> tuple[int, ...]:
        return self.spell(
            self._tokenizer.apply_chat_template(
                list(messages), add_generation_prompt=True, tokenize=False
            )
        )
