"""Command line: what `rlwd` does, one function for each command.

Heavy imports stay inside the commands: `rlwd --help` answers at once, and the daemon and gateway
never import torch.
"""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .cli_by_hand import BY_HAND
from .cli_demo import demo_command
from .cli_experiments import add_experiments
from .cli_state import ON_STATE
from .commands.client import client_command
from .commands.keep import keep_command
from .commands.plan import plan_command
from .exit_status import FAULT, REPORTED, say_last, starting, told
from .init.init_command import init_command
from .profile.profile_command import profile_command
from .rewards.rewards_app import rewards

app = typer.Typer(
    help="Keeps a served language model learning from the work people do with it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("init")(init_command)
app.command("plan")(plan_command)
app.command("profile")(profile_command)
app.command("client")(client_command)
app.command("demo")(demo_command)
app.command("keep")(keep_command)
app.add_typer(rewards, name="rewards")

EXTRAS = dict.fromkeys(("torch", "transformers", "peft", "safetensors"), "learner") | {
    "matplotlib": "plot",
    "psycopg": "postgres",
}
"""Which extra installs a package that may be absent."""

ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="The TOML config file.")]


class Role(StrEnum):
    """What a daemon does."""

    CONTROL = "control"
    """Everything; one for each policy, under a lease."""
    INGEST = "ingest"
    """Consume, join, score; any number, on PostgreSQL."""


class ExportFormat(StrEnum):
    """What `rlwd export` writes."""

    ATIF = "atif"
    """A trajectory a line (ATIF 1.7), with tokens and rewards."""
    OTEL_GENAI = "otel-genai"
    """OTLP JSON a line: spans, and evaluation results for rewards."""


@app.command()
def run(
    config: ConfigFile = Path("rlwd.toml"),
    role: Annotated[
        Role, typer.Option(help="control does everything and is one; ingest only consumes.")
    ] = Role.CONTROL,
    member: Annotated[
        str, typer.Option(help="Name in the consumer group; one for each ingest daemon.")
    ] = "",
    port: Annotated[
        int | None,
        typer.Option(
            min=1, max=65535, help="Port of this ingest daemon's pages, not the config's."
        ),
    ] = None,
) -> None:
    """Run the daemon: consume, join, score, learn, let out."""
    from ..streams.log.ports import MemberFenced
    from ..streams.logs import log_to_stderr
    from .config import load_config

    ingest = role is Role.INGEST
    own = () if ingest else ("triage",)
    loaded = load_config(config).with_secrets("http", "engine", *own)
    log_to_stderr("ingest" if ingest else "daemon", loaded.log_level, loaded.log_format)
    from .supervisor.notify import notify_building
    from .wire import build_control, build_ingest

    notify_building()
    with starting():
        loop = (
            build_ingest(loaded, member=member, port=port)
            if ingest
            else build_control(loaded, config)
        )
    # Started again it would fence the other, and so by turns; in control the lease decides on one.
    with starting(lambda: loop.turned, for_good=(MemberFenced,) if ingest else ()):
        loop.run()


@app.command()
def gateway(
    config: ConfigFile = Path("rlwd.toml"),
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="Port of this gateway, where several share a config; it has its own spool.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes that share its port, not the config's gateway.workers."),
    ] = None,
) -> None:
    """Run a gateway: an OpenAI-compatible proxy in front of the engines."""
    from ..streams.logs import log_to_stderr
    from .config import load_config

    loaded = load_config(config).with_secrets("gateway")
    if loaded.parent:
        raise ValueError(f"parent: start the gateway with {loaded.parent}: it serves all policies")
    log_to_stderr("gateway", loaded.log_level, loaded.log_format)
    from .parent.gateway_workers import run_processes
    from .wire_log import event_sink

    run_processes(loaded, loaded.gateway_as(port, workers), lambda: event_sink(loaded))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def engine(context: typer.Context) -> None:
    """Run the embedded engine: --model FOLDER --port N [--host H] [--threads N]."""
    from ..ops.embedded.main import main as serve

    serve(context.args)


@app.command()
def router(config: ConfigFile = Path("rlwd.toml")) -> None:
    """Run a router: a server for each version of full weights, behind one port."""
    from ..streams.logs import log_to_stderr
    from .commands.router import run_router
    from .config import load_config

    loaded = load_config(config).with_secrets("engine")
    log_to_stderr("router", loaded.log_level, loaded.log_format)
    with starting():
        run_router(loaded)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="Recorded feedback, JSON lines.")],
    format: Annotated[
        str, typer.Option(help="events, or a format of docs/traces.md or an installed package.")
    ] = "events",
    report: Annotated[Path | None, typer.Option(help="Where to write the JSON report.")] = None,
    spec: Annotated[
        Path | None, typer.Option(help="Reward spec; the default where absent.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Keep the state database here; a temporary one otherwise.")
    ] = None,
) -> None:
    """Feed recorded events through ingest, join and rewards, and report what came out."""
    from .commands.replay import run_replay

    run_replay(file, format, report=report, spec=spec, state=state)


@app.command()
def export(
    format: Annotated[ExportFormat, typer.Option(help="What to write, a document a line.")],
    to: Annotated[Path | None, typer.Option(help="The file; standard output otherwise.")] = None,
    session: Annotated[str | None, typer.Option(help="This session alone.")] = None,
    config: ConfigFile = Path("rlwd.toml"),
) -> None:
    """Write sessions as traces: only what people consented to and retention has left."""
    from .commands.export import run_export
    from .config import load_config

    raise typer.Exit(run_export(load_config(config), format.value, to, session))


@app.command()
def status(
    config: ConfigFile = Path("rlwd.toml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what the state database says: records, fates, batches, versions."""
    from .commands.status import print_status
    from .config import load_config

    print_status(load_config(config), as_json=as_json)


@app.command()
def audit(
    config: ConfigFile = Path("rlwd.toml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    answers: Annotated[
        bool, typer.Option("--answers", help="Name each answer that a version learned from.")
    ] = False,
) -> None:
    """Print both accounting identities and whose answers made each version; exit 1 where one is wrong."""
    from .commands.audit_report import run_audit
    from .config import load_config

    raise typer.Exit(run_audit(load_config(config), as_json=as_json, answers=answers))


for command in (*BY_HAND, *ON_STATE):
    app.command()(command)
add_experiments(app)


@app.command()
def explain(
    generation_id: Annotated[str, typer.Argument(help="The id of the answer.")],
    config: ConfigFile = Path("rlwd.toml"),
) -> None:
    """Tell one generation's whole story, as JSON."""
    from .commands.explain import run_explain
    from .config import load_config

    run_explain(load_config(config), generation_id)


@app.command()
def doctor(config: ConfigFile = Path("rlwd.toml")) -> None:
    """Check every dependency and say what to do about what is wrong."""
    from .doctor.doctor import examine

    raise typer.Exit(examine(config))


def main() -> None:
    """Run the command line; what the caller got wrong is one line and not a stack trace."""
    os.umask(0o077)  # What it or its children make is its owner's alone, whatever the umask was.
    # numpy's matrices are small here: on a busy machine a second thread burns more than it computes.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        app()
    except ModuleNotFoundError as missing:
        extra = EXTRAS.get(missing.name or "")
        if extra is None:
            raise
        say_last(f"{missing}: pip install 'rlwd[{extra}]'")
        raise SystemExit(2) from missing
    except REPORTED as problem:
        say_last(told(problem))
        raise SystemExit(FAULT) from problem
