"""Decoder: all requests and all adapters in one running batch of one model.

Requests join between two tokens and leave when they end (continuous batching).
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeVar

import torch
from torch import Tensor

from .causal_lm import CausalModel, prompt_scores
from .kv_batch import Batch, Row
from .request import Emission, PromptLogprob, Request
from .sampling import draw, drawing

Result = TypeVar("Result")


class Decoder:
    """A model and its running batch.

    `submit`, `call` and `close` may be used from any thread; all else runs in the decoder's own.
    """

    def __init__(
        self,
        folder: Path,
        *,
        threads: int = 1,
        max_rows: int = 64,
        prefill_tokens: int = 8192,
        device: str = "cpu",
    ) -> None:
        torch.set_num_threads(threads)
        self.causal = CausalModel(folder, torch.device(device))
        self.bank = self.causal.bank
        self.max_rows, self.prefill_tokens = max_rows, prefill_tokens
        self._inbox: SimpleQueue[Request | Callable[[], None] | None] = SimpleQueue()
        self._waiting: deque[Request] = deque()
        self._batch = Batch()
        self._closing = False
        self.ended: Future[None] = Future()
        self.thread = threading.Thread(target=self._run, name="decoder", daemon=True)

    @property
    def running(self) -> int:
        """Requests in the batch."""
        return len(self._batch.rows)

    @property
    def waiting(self) -> int:
        """Requests that no step has taken yet."""
        return len(self._waiting) + self._inbox.qsize()

    def submit(self, request: Request) -> None:
        """Queue a request; its `emit` is called until an emission with `finish`."""
        self._inbox.put(request)

    def call(self, function: Callable[[], Result]) -> "Future[Result]":
        """Run a function in the decoder's thread, between two steps."""
        future: Future[Result] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return  # Whoever asked has gone.
            try:
                future.set_result(function())
            except (ValueError, OSError, KeyError) as error:
                future.set_exception(error)

        self._inbox.put(run)
        return future

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def close(self) -> None:
        """End what runs as `abort`, and the thread."""
        self._inbox.put(None)
        if self.thread.is_alive():
            self.thread.join()

    def _run(self) -> None:
        """Make tokens until closed.

        Consumes the inbox; waits for it only while nothing is under way; unblocked by submit, call
        and close; produces emissions.
        """
        try:
            with torch.inference_mode():
                while not self._closing:
                    self._receive(block=not (self._batch.rows or self._waiting))
                    self.step()
        except Exception as error:  # noqa: BLE001
            # The batch's state is unknown now; whoever waits on `ended` ends the process.
            self.ended.set_exception(error)
            return
        for request in (*(row.request for row in self._batch.rows), *self._waiting):
            request.emit(Emission(finish="abort"))
        self.ended.set_result(None)

    def _receive(self, block: bool) -> None:
        """Take all that has come in."""
        while True:
            try:
                item = self._inbox.get(block=block)
            except Empty:
                return
            block = False
            if item is None:
                self._closing = True
            elif isinstance(item, Request):
                self._waiting.append(item)
            else:
                item()

    def step(self) -> None:
        """Give every row its next token, then let in who waits."""
        self._advance()
        self._admit()

    def _admit(self) -> None:
        """Read the prompts of those who fit, draw their first tokens, and let them join."""
        while newcomers := self._next_newcomers():
            arrivals = Batch()
            arrivals.rows = [self._row(request) for request in newcomers]
            logits_BTV = self.causal.prefill(arrivals)
            scores = list(map(prompt_scores, arrivals.rows, logits_BTV))
            self._settle(arrivals, logits_BTV[:, -1], scores)
            self._batch.join(arrivals)

    def _next_newcomers(self) -> list[Request]:
        """Take from the queue what fits: rows, padded tokens, and one kind (scored or not)."""
        taken: list[Request] = []
        longest = 0
        while self._waiting and len(self._batch.rows) + len(taken) < self.max_rows:
            request = self._waiting[0]
            longest = max(longest, len(request.prompt))
            if taken and (
                longest * (len(taken) + 1) > self.prefill_tokens
                or request.sampling.score_prompt != taken[0].sampling.score_prompt
            ):
                break
            self._waiting.popleft()
            if request.cancelled:
                request.emit(Emission(finish="abort"))
            elif request.adapter is not None and request.adapter not in self.bank.adapters:
                request.emit(Emission(finish="missing"))
            else:
                taken.append(request)
        return taken

    def _row(self, request: Request) -> Row:
        return Row(
            request=request,
            adapter=None if request.adapter is None else self.bank.adapters[request.adapter],
            drawing=drawing(request.sampling),
            length=len(request.prompt),
        )

    def _advance(self) -> None:
        """Give every running row its next token."""
        self._drop_cancelled()
        if self._batch.rows:
            logits_BV = self.causal.advance(self._batch)
            self._settle(self._batch, logits_BV, [()] * len(self._batch.rows))

    def _drop_cancelled(self) -> None:
        rows = self._batch.rows
        kept = [index for index, row in enumerate(rows) if not row.request.cancelled]
        if len(kept) < len(rows):
            self._batch.keep(kept)
        for row in rows:
            if row.request.cancelled:
                row.request.emit(Emission(finish="abort"))

    def _settle(
        self, batch: Batch, logits_BV: Tensor, scores: Sequence[tuple[PromptLogprob, ...]]
    ) -> None:
        """Draw a token a row, tell the requests, and drop the rows that ended."""
        finite = logits_BV.isfinite().all(-1).tolist()
        if not all(finite):
            logits_BV = torch.where(logits_BV.isfinite().all(-1, keepdim=True), logits_BV, 0.0)
        tokens = draw(logits_BV, [row.drawing for row in batch.rows])
        kept: list[int] = []
        for index, (row, token, sound) in enumerate(zip(batch.rows, tokens, finite, strict=True)):
            finish = row.take(token) if sound else "nonfinite"
            made = (token,) if sound else ()
            row.request.emit(Emission(tokens=made, prompt=scores[index], finish=finish))
            if finish is None:
                kept.append(index)
        if len(kept) < len(batch.rows):
            batch.keep(kept)
