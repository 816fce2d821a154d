"""Look around: which of the things that a config names are here already, asked and not guessed."""

import json
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from ...streams.log.kafka_settings import KafkaSettings
from ...streams.log.kafka_topics import connecting
from .asked import SECONDS, ask, one_line

ENGINES = tuple(f"http://127.0.0.1:{port}" for port in (8000, 8001, 8002, 8003))
KAFKA = ("127.0.0.1:9092",)
MLFLOW = ("http://127.0.0.1:5000",)
MODELS = ("models/base", "base", "model", "/var/lib/rlwd/models/base")


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedFor:
    """Something that was looked for at one address."""

    address: str
    """URL, host:port or folder."""
    there: bool
    """Whether it is what was looked for."""
    says: str = ""
    """What it said of itself, or why it is not it; empty where nothing answers."""
    names: tuple[str, ...] = ()
    """What it has: an engine's base models, a broker's topics."""
    root: str = ""
    """Folder or name that an engine's model was loaded from."""
    asks_for_key: bool = False
    """Whether it answers only to who has a key."""


def look_for_engine(url: str, key: str = "") -> LookedFor:
    """Ask for an OpenAI-compatible engine's models; where it wants a key, with the one that is given."""
    asked = f"{url.rstrip('/')}/v1/models"
    answer = ask(asked)
    closed = not isinstance(answer, str) and answer.status in (401, 403)
    if closed and key:
        answer = ask(asked, key)
    if isinstance(answer, str):
        return LookedFor(address=url, there=False, says=answer)
    if answer.status in (401, 403):
        says = "asks for another key than the one that is given" if key else "asks for a key"
        return LookedFor(address=url, there=True, says=says, asks_for_key=True)
    try:
        bases = [one for one in json.loads(answer.body)["data"] if not one.get("parent")]
        names = tuple(str(one["id"]) for one in bases)
        root = str(bases[0].get("root") or names[0])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return LookedFor(
            address=url, there=False, says="answers, and is no OpenAI-compatible engine"
        )
    says = f"serves {one_line(' and '.join(names))}"
    return LookedFor(
        address=url, there=True, says=says, names=names, root=root, asks_for_key=closed
    )


def look_for_kafka(server: str) -> LookedFor:
    """Ask a broker for its topics, without encryption or a password."""
    try:
        settings = KafkaSettings(bootstrap_servers=(server,), connect_seconds=SECONDS)
        with connecting(settings):
            admin = KafkaAdminClient(**settings.connection())
            try:
                topics = tuple(sorted(admin.list_topics()))
            finally:
                admin.close()
    except ConnectionError as problem:
        silent = "nothing answers" in str(problem)
        return LookedFor(address=server, there=False, says="" if silent else str(problem))
    except (ValueError, OverflowError, OSError, KafkaError) as problem:
        return LookedFor(address=server, there=False, says=str(problem) or type(problem).__name__)
    return LookedFor(address=server, there=True, says=f"{len(topics)} topics", names=topics)


def look_for_mlflow(url: str) -> LookedFor:
    """Ask a tracking server for its version."""
    answer = ask(f"{url.rstrip('/')}/version")
    if isinstance(answer, str):
        return LookedFor(address=url, there=False, says=answer)
    if answer.status in (401, 403):
        return LookedFor(address=url, there=True, says="asks for a user", asks_for_key=True)
    version = answer.body.decode(errors="replace").strip()
    if answer.status != 200 or not version[:1].isdigit() or len(version) > 40:
        return LookedFor(address=url, there=False, says="answers, and is no MLflow server")
    return LookedFor(address=url, there=True, says=f"version {one_line(version)}")


def look_for_model(folder: Path, given: Path | None, roots: Sequence[str]) -> LookedFor:
    """Look for the base model: where it was given, where the engines have it, at the usual places."""
    of_engines = [] if given is not None else list(_of_engines(roots))
    tried = [str(given)] if given is not None else [*of_engines, *MODELS]
    says = "no folder with config.json and *.safetensors" if given is not None else ""
    for name in tried:
        path = folder / Path(name).expanduser()
        try:
            # Not by is_file: it takes a folder that may not be looked into for one that is not there.
            (path / "config.json").stat()
            weighs = any(path.glob("*.safetensors"))
        except PermissionError:
            says = f"{one_line(name)} may not be looked into by this user"
        except (OSError, ValueError):
            continue  # There is none, or its name is none that a folder can have.
        else:
            if weighs:
                other = bool(roots) and given is None and name not in of_engines
                says = f"has to be what the engine serves, {one_line(roots[0])}" if other else ""
                return LookedFor(address=name, there=True, says=says)
    return LookedFor(address=tried[0] if given is not None else MODELS[0], there=False, says=says)


def free_ports(begin: int, taken: frozenset[int] = frozenset()) -> Iterator[int]:
    """Yield ports of loopback that nobody listens on, from the usual one upwards, and that at last."""
    for port in range(begin, begin + 100):
        if port in taken:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port
    # All of them are taken: whoever starts there is told so, with the key.
    yield begin


def _of_engines(roots: Iterable[str]) -> Iterator[str]:
    """Yield where the engines' models lie: a folder, or one of Hugging Face's cache."""
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    for root in roots:
        if root.startswith("/"):
            yield root
            continue
        cached = Path(home).expanduser() / "hub" / f"models--{root.replace('/', '--')}"
        try:
            yield str(cached / "snapshots" / (cached / "refs" / "main").read_text().strip())
        except (OSError, ValueError):
            continue  # It is not in the cache, or its name is none that a folder can have.
