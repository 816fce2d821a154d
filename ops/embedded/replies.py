"""Replies: how one HTTP request becomes rows of the decoder, and its tokens an HTTP answer."""

import asyncio
import contextlib
import uuid
from collections import Counter
from typing import Any

import orjson
from aiohttp import web

from .completion import Completion, Vocabulary
from .decoder import Decoder
from .openai_api import ParsedRequest, RequestRefused
from .request import Emission, Request

BASE = "base"
"""Name under which the model without an adapter is asked for, where it was given none."""


class Mailbox:
    """Emissions on their way from the decoder's thread to the event loop, in order."""

    def __init__(self, eager: bool) -> None:
        self.loop, self.eager = asyncio.get_running_loop(), eager
        self._held: list[Emission] = []
        self._arrived: asyncio.Queue[list[Emission]] = asyncio.Queue()

    def put(self, emission: Emission) -> None:
        """Take an emission, in the decoder's thread; wake the loop at the end, or always if eager."""
        self._held.append(emission)
        if self.eager or emission.finish:
            held, self._held = self._held, []
            with contextlib.suppress(RuntimeError):  # The loop has closed: nobody waits.
                self.loop.call_soon_threadsafe(self._arrived.put_nowait, held)

    async def get(self) -> Emission:
        """Wait for emissions; return what they say as one."""
        emissions = await self._arrived.get()
        return Emission(
            tokens=tuple(token for one in emissions for token in one.tokens),
            prompt=emissions[0].prompt,
            finish=emissions[-1].finish,
        )


class Replies:
    """Answers requests, streaming or not, and counts how they ended."""

    def __init__(self, decoder: Decoder, vocabulary: Vocabulary, base: str = BASE) -> None:
        self.decoder, self.vocabulary, self.base = decoder, vocabulary, base
        self.finished: Counter[str] = Counter()
        self.tokens_made = 0

    async def reply(self, request: web.Request, asked: ParsedRequest) -> web.StreamResponse:
        """Make an answer; a client that goes away ends its row.

        Raises RequestRefused, also where the policy's log-probabilities are not finite.
        """
        name = asked.model or self.base
        if name != self.base and name not in self.decoder.bank.adapters:
            raise _unknown(name, self.base)
        identity = request.headers.get("X-Request-Id") or uuid.uuid4().hex
        answer = Completion(asked, identity, name, self.vocabulary)
        mailbox = Mailbox(eager=asked.stream or bool(asked.stops))
        row = Request(
            prompt=asked.prompt,
            sampling=asked.sampling,
            adapter=None if name == self.base else name,
            emit=mailbox.put,
        )
        self.decoder.submit(row)
        try:
            if asked.stream:
                return await self._stream(request, answer, mailbox)
            while not answer.finish:
                answer.take(await mailbox.get())
            check(answer)
            return web.Response(body=orjson.dumps(answer.whole()), content_type="application/json")
        finally:
            row.cancelled = True
            self.tokens_made += len(answer.tokens)
            self.finished[answer.finish or "abort"] += 1

    async def _stream(
        self, request: web.Request, answer: Completion, mailbox: Mailbox
    ) -> web.StreamResponse:
        """Send server-sent events; what fails before the first token is a plain error answer."""
        emission = await mailbox.get()
        text = answer.take(emission)
        check(answer)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        if answer.asked.chat:
            await _send(response, answer.opening())
        await _send(response, answer.chunk(text, emission.tokens, first=True))
        while not answer.finish:
            emission = await mailbox.get()
            text = answer.take(emission)
            try:
                check(answer)
            except RequestRefused as refusal:
                await _send(response, refusal.body())
                break
            await _send(response, answer.chunk(text, emission.tokens, first=False))
        if answer.asked.usage:
            await _send(response, answer.closing())
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


async def _send(response: web.StreamResponse, event: dict[str, Any]) -> None:
    await response.write(b"data: " + orjson.dumps(event) + b"\n\n")


def check(answer: Completion) -> None:
    """Raise Refused where the answer ended by a fault."""
    if answer.finish == "missing":
        raise _unknown(answer.model)
    if answer.finish == "nonfinite":
        message = f"The log-probabilities of {answer.model} are not finite."
        raise RequestRefused(500, message, "InternalServerError")
    if answer.finish == "abort":
        raise RequestRefused(503, "The engine is stopping.", "ServiceUnavailableError")


def _unknown(name: str, base: str = "") -> RequestRefused:
    message = f"The model `{name}` does not exist."
    message += f" Valid aliases: {base}." if base else ""
    return RequestRefused(404, message, "NotFoundError", "model")
