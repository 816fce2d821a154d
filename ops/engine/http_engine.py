"""HttpEngine: an engine behind vLLM 0.32's HTTP, be it vLLM or the embedded one."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from ...streams.authorities import authorities
from .engine_load import EngineLoad, load_of
from .port import Draw, EngineAnswer, EngineCall, StillStarting

LOAD_SECONDS = 120.0
"""A load waits for the engine's step in progress: 2.5 s was measured on a small model."""

STARTING = "StillStarting"
"""What `rlwd router` calls its answer to a load while it starts a server for the version."""


class HttpEngine:
    """One server. `load_inplace` is never sent: it mixes two policies inside one answer."""

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        timeout_seconds: float = 30.0,
        load_seconds: float = LOAD_SECONDS,
    ) -> None:
        self._url, self._load_seconds = url.rstrip("/"), max(load_seconds, timeout_seconds)
        self._client = httpx.Client(
            base_url=self._url,
            headers={"Authorization": f"Bearer {token}"} if token else None,
            timeout=timeout_seconds,
            verify=authorities(),
            trust_env=False,  # A proxy named in the environment has no business between us.
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        return self._url

    def load(self, name: str, path: Path) -> None:
        """Load an adapter; see Engine.load."""
        wanted = path.absolute()
        body = {"lora_name": name, "lora_path": str(wanted)}
        answer = self._ask("POST", "/v1/load_lora_adapter", body, self._load_seconds)
        if answer.status_code == 200:
            return
        if answer.status_code == 503 and error_kind(answer) == STARTING:
            raise StillStarting(f"{self.url}: {error_of(answer)}")
        held = self.loaded().get(name)
        if held is not None and Path(held) == wanted:
            return
        if held is not None:
            raise ValueError(f"{self.url}: {name} is loaded already, from {held}, not {wanted}")
        raise ValueError(f"{self.url}: {name} from {wanted} was refused: {error_of(answer)}")

    def unload(self, name: str) -> None:
        """Forget an adapter; see Engine.unload."""
        answer = self._ask("POST", "/v1/unload_lora_adapter", {"lora_name": name})
        if answer.status_code not in (200, 404):
            raise ValueError(f"{self.url}: {name} was not unloaded: {error_of(answer)}")

    def loaded(self) -> dict[str, str]:
        """Return adapter name to path; base models have no parent and are left out."""
        answer = self._ask("GET", "/v1/models")
        if answer.status_code != 200:
            raise ConnectionError(f"{self.url}: /v1/models: {error_of(answer)}")
        return {one["id"]: one["root"] for one in answer.json()["data"] if one.get("parent")}

    def logprobs(self, name: str, token_ids: Sequence[int]) -> tuple[float, ...]:
        """Score tokens as a prompt; see Engine.logprobs."""
        body = {
            "model": name,
            "prompt": list(token_ids),
            "max_tokens": 1,
            "prompt_logprobs": 0,
            "temperature": 0,
        }
        answer = self._ask("POST", "/v1/completions", body)
        if answer.status_code != 200:
            raise ValueError(f"{self.url}: {name} was not scored: {error_of(answer)}")
        try:
            entries = answer.json()["choices"][0]["prompt_logprobs"][1:]
            scored = tuple(
                float(entry[str(token)]["logprob"])
                for entry, token in zip(entries, token_ids[1:], strict=True)
            )
        except (KeyError, TypeError, IndexError) as problem:
            raise ValueError(f"{self.url}: {name} was not scored: {problem!r} missing") from problem
        if not all(map(math.isfinite, scored)):
            raise ValueError(f"{self.url}: {name} has log-probabilities that are not finite")
        return scored

    def encode(self, name: str, text: str, *, chat: bool = False) -> tuple[int, ...]:
        """Return a text as tokens; see Engine.encode."""
        path, asked = "/v1/completions", {"prompt": text, "add_special_tokens": False}
        if chat:
            path, asked = "/v1/chat/completions", {"messages": [{"role": "user", "content": text}]}
        body = {"model": name, "max_tokens": 1, "temperature": 0, "return_token_ids": True}
        answer = self._ask("POST", path, {**body, **asked})
        if answer.status_code != 200:
            raise ValueError(f"{self.url}: {name} read nothing: {error_of(answer)}")
        told = answer.json()
        ids = told.get("prompt_token_ids") or told["choices"][0].get("prompt_token_ids")
        if not ids:
            raise ValueError(f"{self.url}: {name} told no prompt_token_ids")
        return tuple(ids)

    def chat(
        self,
        name: str,
        message: str,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        max_tokens: int,
        seed: int,
    ) -> EngineAnswer:
        """Ask a version; see Engine.chat."""
        body: dict[str, Any] = {
            "model": name,
            "messages": [{"role": "user", "content": message}],
            "max_tokens": max_tokens,
            "temperature": 1.0,
            "seed": seed,
        }
        if tools:
            body["tools"] = list(tools)
        answer = self._ask("POST", "/v1/chat/completions", body)
        if answer.status_code >= 500:
            raise ConnectionError(f"{self.url}: {name} answered nothing: {error_of(answer)}")
        if answer.status_code != 200:
            raise ValueError(f"{self.url}: {name} answered nothing: {error_of(answer)}")
        try:
            choice = answer.json()["choices"][0]
            said = choice["message"]
            calls = [one["function"] for one in said.get("tool_calls") or ()]
            return EngineAnswer(
                text=said.get("content") or "",
                calls=tuple(
                    EngineCall(name=str(one["name"]), arguments=str(one["arguments"]))
                    for one in calls
                ),
                finish_reason=str(choice.get("finish_reason") or ""),
            )
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as problem:
            raise ValueError(f"{self.url}: {name} gave no answer: {problem!r}") from problem

    def complete(self, name: str, prompt: Sequence[int], draw: Draw) -> EngineAnswer:
        """Go on from tokens; see Engine.complete."""
        body = {
            "model": name,
            "prompt": list(prompt),
            "max_tokens": draw.max_tokens,
            "temperature": draw.temperature,
            "top_p": draw.top_p,
            "top_k": draw.top_k,
            "min_p": draw.min_p,
            "seed": draw.seed,
        }
        answer = self._ask("POST", "/v1/completions", body, draw.seconds)
        if answer.status_code >= 500:
            raise ConnectionError(f"{self.url}: {name} answered nothing: {error_of(answer)}")
        if answer.status_code != 200:
            raise ValueError(f"{self.url}: {name} answered nothing: {error_of(answer)}")
        try:
            told = answer.json()
            choice = told["choices"][0]
            tokens = (told.get("usage") or {}).get("completion_tokens")
            return EngineAnswer(
                text=str(choice["text"]),
                calls=(),
                finish_reason=str(choice.get("finish_reason") or ""),
                tokens=None if tokens is None else int(tokens),
            )
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as problem:
            raise ValueError(f"{self.url}: {name} gave no answer: {problem!r}") from problem

    def busy(self) -> EngineLoad | None:
        """Return the load by `/metrics`; see Engine.busy."""
        answer = self._ask("GET", "/metrics")
        return load_of(answer.content) if answer.status_code == 200 else None

    def healthy(self) -> bool:
        """True where `/health` says 200."""
        try:
            return self._ask("GET", "/health").status_code == 200
        except OSError:
            return False

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(
        self, method: str, path: str, body: Any = None, seconds: float | None = None
    ) -> httpx.Response:
        """Ask, and once more where a kept connection turned out to be closed.

        Safe, because all that is asked here may be asked twice.
        """
        timeout = httpx.USE_CLIENT_DEFAULT if seconds is None else httpx.Timeout(seconds)
        for last in (False, True):
            try:
                return self._client.request(method, path, json=body, timeout=timeout)
            except httpx.TimeoutException as error:
                raise TimeoutError(f"{self.url}{path}: no answer in time") from error
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError) as error:
                if last:
                    raise ConnectionError(f"{self.url}{path}: {error}") from error
            except httpx.HTTPError as error:
                raise ConnectionError(f"{self.url}{path}: {error}") from error
        raise AssertionError("not reached")


def error_of(answer: httpx.Response) -> str:
    """Return status and message of an error answer."""
    try:
        message = answer.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = answer.text[:200]
    return f"{answer.status_code} {message}"


def error_kind(answer: httpx.Response) -> str:
    """Return the type that an error answer names; empty where it names none."""
    try:
        return str(answer.json()["error"]["type"])
    except (ValueError, KeyError, TypeError):
        return ""
