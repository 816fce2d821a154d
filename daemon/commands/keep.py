"""Keep: `rlwd keep` measures how much of an agent's edits a git work tree keeps, and posts it.

Runs where the code is, beside the person, and needs nothing of the daemon but the gateway's address.
"""

import codecs
import os
import signal
import sqlite3
import sys
import threading
import time
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import httpx

    from ..keep.written_edit import WrittenEdit

URL = "http://127.0.0.1:8080"


class KeepAction(StrEnum):
    """What `rlwd keep` does."""

    WATCH = "watch"
    """Look at the work tree again and again, and post what is due."""
    RECORD = "record"
    """Note what an edit wrote, read as JSON from standard input."""


class Hook(StrEnum):
    """Whose hook calls `rlwd keep record`, and so what it is given."""

    NONE = ""
    """Written edits: `{"generation_id": …, "file": …, "text": …, "old_text": …}`, one or a list."""
    CLAUDE_CODE = "claude-code"
    """What Claude Code's PostToolUse hook is told."""


def keep_command(
    action: Annotated[
        KeepAction, typer.Argument(help="watch the work tree, or record an edit from stdin.")
    ] = KeepAction.WATCH,
    once: Annotated[bool, typer.Option("--once", help="watch: take one look and end.")] = False,
    repo: Annotated[Path, typer.Option(help="A folder of the git work tree.")] = Path(),
    url: Annotated[str, typer.Option(help="The gateway; $RLWD_URL where it is left out.")] = "",
    token: Annotated[
        str, typer.Option(help="$NAME or file:PATH of its token; else that in $RLWD_TOKEN.")
    ] = "",
    horizon: Annotated[
        list[float] | None, typer.Option(help="Seconds after an edit; may be given again.")
    ] = None,
    spec: Annotated[
        Path | None, typer.Option(help="Take the horizons of this reward spec's kept@SECONDS.")
    ] = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 5.0,
    hook: Annotated[Hook, typer.Option(help="record: whose hook calls.")] = Hook.NONE,
) -> None:
    """Measure how much of what an agent wrote into a git work tree is kept, and post it."""
    if action is KeepAction.RECORD:
        raise typer.Exit(run_record(repo, hook))
    raise typer.Exit(
        run_watch(repo, url, token, _horizons(horizon, spec), every=None if once else every)
    )


def run_watch(
    repo: Path, url: str, token: str, horizons: tuple[float, ...], *, every: float | None
) -> int:
    """Watch until told to end, or look once; return 1 where feedback waits for the gateway then."""
    from ...streams.ending_signals import ending_signals
    from ...streams.logs import log_to_stderr
    from ..keep.keep_watch import open_watch

    log_to_stderr("keep")
    with _client(url, token) as client:
        watch = open_watch(repo, horizons, client)
        with closing(watch.store):
            if every is None:
                return 1 if watch.turn(time.time()) else 0
            stop = threading.Event()
            for number in ending_signals():
                signal.signal(number, lambda *_: stop.set())
            watch.watch(every, stop)
    return 0


def run_record(repo: Path, hook: Hook) -> int:
    """Note edits from standard input; a harness's hook is told on stderr, and never stopped."""
    from ...streams.logs import log_to_stderr
    from ..keep.claude_code_hook import edits_of_hook
    from ..keep.written_edit import decode_edits

    problems: list[ValueError] = []
    log_to_stderr("keep")
    # Some shells put a mark before what they pipe.
    raw = sys.stdin.buffer.read().removeprefix(codecs.BOM_UTF8)
    try:
        for edit in edits_of_hook(raw) if hook is Hook.CLAUDE_CODE else decode_edits(raw):
            problems += _record_one(repo, edit)
        if problems:
            raise problems[0]
    except (ValueError, RuntimeError, OSError, sqlite3.Error) as problem:
        if hook is Hook.NONE:
            raise
        # Status 2 would be the tool's failure in the eyes of the harness.
        print(f"rlwd: {problem}", file=sys.stderr)
        return 1
    return 0


def _record_one(repo: Path, edit: "WrittenEdit") -> list[ValueError]:
    """Note one edit; what is wrong with it costs none of the others, and is returned."""
    from ..keep.keep_watch import open_watch

    # A harness may work in another work tree than the one that it was started in, or in one inside it.
    folder = (repo / edit.file).parent
    try:
        watch = open_watch(folder if folder.is_dir() else repo, ())
    except ValueError as problem:
        return [problem]
    with closing(watch.store):
        for line in watch.record([edit], repo.absolute(), time.time()):
            print(line, file=sys.stderr)
    return []


def _horizons(given: list[float] | None, spec: Path | None) -> tuple[float, ...]:
    from ...rewards.spec.spec import reward_spec
    from ..keep.keep_watch import spec_horizons

    if given and spec is not None:
        raise ValueError("--horizon: given beside --spec, which has its own")
    wrong = [one for one in given or () if not one > 0.0]
    if wrong:
        raise ValueError(f"--horizon: {wrong[0]:g} is not above 0")
    found = tuple(sorted(set(given or ()))) or spec_horizons(
        reward_spec("" if spec is None else str(spec))
    )
    if not found:
        raise ValueError(f"--spec: {spec}: counts no kept at any of its horizons")
    return found


def _client(url: str, token: str) -> "httpx.Client":
    import httpx

    from ...streams.authorities import authorities
    from ...streams.secret_values import read_secret

    found = read_secret("--token", token) if token else os.environ.get("RLWD_TOKEN", "")
    headers = {"Authorization": f"Bearer {found}"} if found else {}
    base = url or os.environ.get("RLWD_URL", "") or URL
    return httpx.Client(base_url=base, headers=headers, timeout=30.0, verify=authorities())
