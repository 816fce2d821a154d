"""Completion: one answer as it grows, and the JSON that tells it, shaped as vLLM 0.32's."""

import time
from collections.abc import Sequence
from typing import Any

from .openai_api import ParsedRequest
from .request import Emission, PromptLogprob
from .sampling import Token
from .tool_calls import message_of

CHUNK = "chat.completion.chunk"
UNFINISHED = "\ufffd"
"""What a tokenizer writes for bytes that are not a character yet."""


class Vocabulary:
    """Tokens as text."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._single: dict[int, str] = {}

    def text(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, special ones left out."""
        text: str = self.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def single(self, token: int) -> str:
        """Return one token's own text; empty where it is only part of a character."""
        if token not in self._single:
            text: str = self.tokenizer.decode([token], clean_up_tokenization_spaces=False)
            self._single[token] = "" if UNFINISHED in text else text
        return self._single[token]


class Completion:
    """Tokens so far, and how much of their text may be told."""

    def __init__(
        self, asked: ParsedRequest, identity: str, model: str, vocabulary: Vocabulary
    ) -> None:
        self.asked, self.model, self.vocabulary = asked, model, vocabulary
        self.id = f"{'chatcmpl' if asked.chat else 'cmpl'}-{identity}"
        self.created = int(time.time())
        self.tokens: list[Token] = []
        self.scored: tuple[PromptLogprob, ...] = ()
        self.text = ""
        self.finish: str | None = None
        self.stop_reason: str | None = None
        # Tokens before `_settled` are in `_known`; those before `_context` help to decode the rest.
        self._known, self._context, self._settled, self._told = "", 0, 0, 0
        self._offset = 0
        self._wary = max((len(stop) for stop in asked.stops), default=1) - 1

    def take(self, emission: Emission) -> str:
        """Take tokens in; return the text that may now be told."""
        self.tokens += emission.tokens
        self.scored = self.scored or emission.prompt
        self.finish = emission.finish
        if not self.asked.stream and not self.asked.stops:
            if self.finish:
                self.text = self.vocabulary.text([token.id for token in self.tokens])
            return ""
        self._decode()
        return self._tell()

    def _decode(self) -> None:
        """Move whole characters into `_known`, decoding only the newest tokens."""
        ids = [token.id for token in self.tokens[self._context :]]
        before = self.vocabulary.text(ids[: self._settled - self._context])
        after = self.vocabulary.text(ids)
        if after.endswith(UNFINISHED) and not self.finish:
            return
        self._known += after[len(before) :]
        self._context, self._settled = self._settled, len(self.tokens)

    def _tell(self) -> str:
        """Return what no stop text can take back any more."""
        found = [(self._known.find(stop), stop) for stop in self.asked.stops]
        hits = [(where, stop) for where, stop in found if where >= 0]
        if hits:
            where, self.stop_reason = min(hits)
            self._known, self.finish = self._known[:where], "stop"
        if self.asked.tools and not self.finish:
            return ""  # What looks like text may be the beginning of a call.
        sure = len(self._known) if self.finish else max(len(self._known) - self._wary, self._told)
        told, self._told = self._known[self._told : sure], sure
        self.text += told
        return told

    @property
    def usage(self) -> dict[str, int]:
        """OpenAI's usage object."""
        prompt, made = len(self.asked.prompt), len(self.tokens)
        told = {"prompt_tokens": prompt, "completion_tokens": made}
        return told | {"total_tokens": prompt + made}

    def whole(self) -> dict[str, Any]:
        """Return the answer to a request without stream."""
        choice: dict[str, Any] = {
            "index": 0,
            "logprobs": self.logprobs(self.tokens),
            "finish_reason": self.finish,
            "stop_reason": self.stop_reason,
            "token_ids": self.ids(self.tokens),
        }
        prompt_ids = self.asked.prompt if self.asked.token_ids else None
        body = {**self._head("chat.completion"), "choices": [choice], "usage": self.usage}
        scores = self.prompt_logprobs()
        if self.asked.chat:
            choice["message"] = {"role": "assistant", **self._said(choice, self.text)}
            return {**body, "prompt_logprobs": scores, "prompt_token_ids": prompt_ids}
        choice.update(text=self.text, prompt_logprobs=scores, prompt_token_ids=prompt_ids)
        return body

    def opening(self) -> dict[str, Any]:
        """Return a chat stream's first chunk: the role, and the prompt's token ids."""
        delta = {"role": "assistant", "content": ""}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        ids = self.asked.prompt if self.asked.token_ids else None
        return {**self._head(CHUNK), "choices": [choice], "prompt_token_ids": ids}

    def chunk(self, text: str, tokens: Sequence[Token], first: bool) -> dict[str, Any]:
        """Return a stream's chunk with these tokens."""
        choice: dict[str, Any] = {
            "index": 0,
            "logprobs": self.logprobs(tokens),
            "finish_reason": self.finish,
            "stop_reason": self.stop_reason,
            "token_ids": self.ids(tokens),
        }
        if self.asked.chat:
            choice["delta"] = self._said(choice, text) if self.finish else {"content": text}
        else:
            told = first and self.asked.token_ids
            choice.update(text=text, prompt_token_ids=self.asked.prompt if told else None)
        return {**self._head(CHUNK), "choices": [choice]}

    def _said(self, choice: dict[str, Any], text: str) -> dict[str, Any]:
        """Return an answer's text and calls; the choice says that it ended with calls."""
        if not self.asked.tools:
            return {"content": text}
        said = message_of(text)
        calls = said.get("tool_calls", [])
        if calls and self.finish == "stop":
            choice["finish_reason"] = "tool_calls"
        if calls and self.asked.stream:
            said["tool_calls"] = [{"index": place, **call} for place, call in enumerate(calls)]
        return said

    def closing(self) -> dict[str, Any]:
        """Return a stream's last chunk: the usage, and no choice."""
        return {**self._head(CHUNK), "choices": [], "usage": self.usage}

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind if self.asked.chat else "text_completion",
            "created": self.created,
            "model": self.model,
        }

    def ids(self, tokens: Sequence[Token]) -> list[int] | None:
        """Return token ids for those who asked."""
        return [token.id for token in tokens] if self.asked.token_ids else None

    def logprobs(self, tokens: Sequence[Token]) -> dict[str, Any] | None:
        """Return log-probabilities for those who asked, in the endpoint's shape."""
        if self.asked.logprobs is None:
            return None
        if self.asked.chat:
            return {"content": [self._chat_logprob(token) for token in tokens]}
        single = self.vocabulary.single
        offsets = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(single(token.id))
        return {
            "text_offset": offsets,
            "token_logprobs": [token.logprob for token in tokens],
            "tokens": [single(token.id) for token in tokens],
            "top_logprobs": [
                {single(one): value for one, value in ((token.id, token.logprob), *token.top)}
                for token in tokens
            ],
        }

    def _chat_logprob(self, token: Token) -> dict[str, Any]:
        return {
            **self._entry(token.id, token.logprob),
            "top_logprobs": [self._entry(one, value) for one, value in token.top],
        }

    def _entry(self, token: int, logprob: float) -> dict[str, Any]:
        text = self.vocabulary.single(token)
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}

    def prompt_logprobs(self) -> list[dict[str, Any] | None] | None:
        """Return what the policy thinks of the prompt; the first token has no such thing."""
        if not self.asked.sampling.score_prompt:
            return None
        single = self.vocabulary.single
        told = [
            {"logprob": one.logprob, "rank": one.rank, "decoded_token": single(one.id)}
            for one in self.scored
        ]
        return [None, *({str(one.id): entry} for one, entry in zip(self.scored, told, strict=True))]
