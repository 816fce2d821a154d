"""`rlwd rewards`: what answers are worth, and why, and what another spec would make of them."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ...rewards.spec.spec import Spec

rewards = typer.Typer(
    help="What answers are worth: why, how sure, and under another spec.", no_args_is_help=True
)

ConfigFile = Annotated[Path, typer.Option("--config", "-c", help="The TOML config file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Since = Annotated[
    str, typer.Option(help="How far back: 7d, 12h, a date; empty is all that is held.")
]
OtherSpec = Annotated[
    Path | None, typer.Option("--spec", help="Under this spec, and not the config's.")
]
TOML = Path("rlwd.toml")


@rewards.command("what-if")
def what_if_command(
    new: Annotated[Path, typer.Argument(help="The reward spec that is tried.")],
    since: Since = "7d",
    picture: Annotated[
        Path | None, typer.Option(help="Write a picture here too: .svg, .png or .pdf.")
    ] = None,
    config: ConfigFile = TOML,
    as_json: AsJson = False,
) -> None:
    """Work out what the answers of a state would be worth under another spec; nothing is written."""
    from ...rewards.spec.spec import reward_spec
    from ..config import load_config
    from ..status.spec_doubts import spec_doubts
    from .held_answers import held_answers, since_of, state_name
    from .reward_tables import what_if_tables
    from .what_if import what_if
    from .what_if_picture import check_picture, draw_what_if

    loaded = load_config(config)
    begin = since_of(since, time.time())
    if picture is not None:
        check_picture(picture)
    specs = reward_spec(loaded.reward_spec), reward_spec(str(new))
    for doubt in spec_doubts(specs[1], loaded.satisfaction.rubrics):
        typer.echo(f"warning: {doubt}", err=True)
    pages = held_answers(loaded.state_database, loaded.policy, begin, specs)
    found = what_if(*specs, pages, loaded.trust, loaded.batch.episodes)
    document = found.document()
    if not document["answers"]:
        raise ValueError(
            f"{state_name(loaded.state_database)}: holds no answer since {since or 'ever'}"
        )
    if picture is not None:
        draw_what_if(found, picture)
        document["picture"] = str(picture)
    _show(document, what_if_tables, as_json, *specs)


@rewards.command("explain")
def explain_command(
    generation_id: Annotated[str, typer.Argument(help="The answer's generation id.")],
    spec: OtherSpec = None,
    config: ConfigFile = TOML,
    as_json: AsJson = False,
) -> None:
    """Print how an answer's reward comes about: which signals count, every part and cost, the sum."""
    from ...rewards.spec.spec import reward_spec
    from ..config import load_config
    from ..explain.explain_reward import explain_reward
    from .explain_tables import explain_tables
    from .held_answers import readable

    loaded = load_config(config)
    asked = reward_spec(loaded.reward_spec if spec is None else str(spec))
    with readable(loaded.state_database) as view:
        story = explain_reward(view, loaded.policy, generation_id, asked, ruled=spec is not None)
    _show(story, explain_tables, as_json, asked)


@rewards.command("report")
def report_command(
    since: Since = "",
    spec: OtherSpec = None,
    config: ConfigFile = TOML,
    as_json: AsJson = False,
) -> None:
    """Print how much of each signal there is, whether signals agree, how rewards drift, and who is held back."""
    from ...learner.ledger.weighed_users import weighed_users
    from ...rewards.spec.spec import reward_spec
    from ..config import load_config
    from .held_answers import held_answers, readable, since_of, state_name
    from .report_tables import report_tables
    from .reward_report import read_specs, report_document

    loaded = load_config(config)
    begin = since_of(since, time.time())
    asked = reward_spec(loaded.reward_spec if spec is None else str(spec))
    pages = held_answers(loaded.state_database, loaded.policy, begin, [asked])
    document = report_document(asked, pages)
    with readable(loaded.state_database) as view:
        document["specs"] = read_specs(view, loaded.policy)
        document["held_back"] = weighed_users(view, loaded.policy, begin)
    if not document["answers"]:
        raise ValueError(
            f"{state_name(loaded.state_database)}: holds no answer since {since or 'ever'}"
        )
    _show(document, report_tables, as_json, asked)


@rewards.command("calibrate")
def calibrate_command(
    file: Annotated[Path, typer.Argument(help="Labelled messages, JSON lines.")],
    reader: Annotated[
        str,
        typer.Option(help="learned (the newest of this state), judge, or fit: learn from FILE."),
    ] = "learned",
    config: ConfigFile = TOML,
    as_json: AsJson = False,
) -> None:
    """Hold a reader against labelled messages: accuracy, kappa, calibration error, reliability."""
    from .calibrate import calibrate, calibration_tables, read_lines

    _show(calibrate(config, read_lines(file), reader), calibration_tables, as_json)


def _show(
    document: dict[str, Any],
    tables: Callable[[Any], Iterable[Any]],
    as_json: bool,
    *specs: "Spec",
) -> None:
    from rich.console import Console

    from ...rewards.spec.scorer import Scorer
    from ..shown_json import shown_json

    for problem in dict.fromkeys(Scorer(spec).problem for spec in specs):
        if problem:
            typer.echo(f"warning: {problem}", err=True)
    if as_json:
        print(shown_json(document))
        return
    console = Console()
    for table in tables(document):
        console.print(table)
