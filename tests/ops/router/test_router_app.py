"""What a router lets through: who has the token, the paths of answers, and none of a client's own headers.

And what it says to those whose request cannot be handed on.
"""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from lone_daemon import lives
from router_process import child_of
from waiting import until

from rlwd.ops.engine.engine_load import load_of
from rlwd.ops.router.router_app import RouterApp
from tests.ops.router.conftest import Shelf

KEY = {"Authorization": "Bearer secret"}


def test_only_answers_reach_a_server(shelf: Shelf) -> None:
    """Without the token 401, but for health; other paths and headers of a client's stay here; the load is the
    sum of all servers'; a version whose server is gone is unknown, which sends a gateway to another."""
    (shelf.folder / "config.json").write_text('{"max_position_embeddings": 4096}')
    shelf.load(0)
    shelf.load(1)
    pid = child_of(shelf.versions.find("v1").pid or 0)
    assert pid is not None

    async def ask() -> None:
        app = RouterApp(shelf.versions, Path(shelf.folder), token="secret").application()
        async with TestClient(TestServer(app)) as client:

            async def post(path: str, **headers: str) -> tuple[int, dict[str, Any]]:
                body = {"model": "v1", "prompt": [1, 2]}
                async with client.post(path, json=body, headers={**KEY, **headers}) as answer:
                    return answer.status, await answer.json(content_type=None)

            assert (await client.get("/health")).status == 200
            for path in ("/v1/models", "/metrics"):
                assert (await client.get(path)).status == 401
            status, said = await post("/v1/completions", **{"X-Vllm-Priority": "1"})
            assert (status, said["pid"], said["model"]) == (200, pid, "policy@v000001-00000000")
            assert not {"X-Vllm-Priority", "Authorization"} & set(said["headers"])
            assert (await client.post("/update_weights", json={}, headers=KEY)).status == 404
            page = await (await client.get("/metrics", headers=KEY)).read()
            load = load_of(page)
            assert load is not None
            assert (load.waiting, load.running) == (2.0, 4.0)
            models = await (await client.get("/v1/models", headers=KEY)).json()
            assert models["data"][0]["max_model_len"] == 4096
            os.kill(pid, signal.SIGKILL)
            until(lambda: not lives(pid), 30.0)
            status, said = await post("/v1/completions")
            assert (status, said["error"]["type"]) == (404, "NotFoundError")

    asyncio.run(ask())


async def first_line(client: TestClient[Any, Any], raw: bytes) -> bytes:
    """Send bytes as they are, and return the first line of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(raw)
    line = await reader.readline()
    writer.close()
    return line


def test_what_no_client_would_send_is_refused_by_name(shelf: Shelf) -> None:
    """A token of bytes that are no text is a wrong token, and a body that is nested too deep to be written
    again is the caller's fault."""
    (shelf.folder / "config.json").write_text("{}")
    shelf.load(1)

    async def ask() -> None:
        app = RouterApp(shelf.versions, Path(shelf.folder), token="secret").application()
        async with TestClient(TestServer(app)) as client:
            head = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\n\r\n"
            assert b" 401 " in await first_line(client, head)
            deep = b'{"model": "v1", "prompt": ' + b"[" * 300 + b"]" * 300 + b"}"
            async with client.post("/v1/completions", data=deep, headers=KEY) as answer:
                assert answer.status == 400
                assert "cannot be written" in (await answer.json())["error"]["message"]

    asyncio.run(ask())


def test_a_connection_that_a_server_closed_is_no_server_that_is_away(shelf: Shelf) -> None:
    """vLLM closes connections that were idle, which may be as the next request is sent: that is asked again."""
    (shelf.folder / "config.json").write_text("{}")
    shelf.load(1)
    answered = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for last in (False, True):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            if not last:
                writer.write(answered)
        writer.close()

    async def ask() -> None:
        app = RouterApp(shelf.versions, Path(shelf.folder)).application()
        server = await asyncio.start_server(once, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        shelf.versions.find("v1").url = f"http://127.0.0.1:{port}"
        async with server, TestClient(TestServer(app)) as client:
            for _ in range(3):
                body = {"model": "v1", "prompt": [1]}
                async with client.post("/v1/completions", json=body) as answer:
                    assert answer.status == 200

    asyncio.run(ask())
