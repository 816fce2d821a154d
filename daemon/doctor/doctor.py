"""Doctor: looks at everything that the loop needs, and says what to do about what is wrong."""

from collections.abc import Iterator
from pathlib import Path

from ..config import load_config
from ..exit_status import REPORTED, told
from ..status.shown_text import shown
from .doctor_benchmark import check_benchmark
from .doctor_engine import check_engine
from .doctor_finding import Finding, Grade, fail, ok
from .doctor_flags import check_flags_url
from .doctor_log import check_log
from .doctor_machine import check_installed, check_machine
from .doctor_model import check_model, check_texts, check_weights
from .doctor_readers import check_readers
from .doctor_services import check_services


def examine(config_path: Path) -> int:
    """Print one line for each thing looked at; return 1 if any of them stops the loop, else 0.

    Nothing is changed: no folder, database or topic is made.
    """
    worst = 0
    for finding in findings(config_path):
        print(shown(finding.line).plain, flush=True)
        worst = max(worst, int(finding.grade is Grade.FAIL))
    print("something has to be done first" if worst else "the loop can run")
    return worst


def findings(config_path: Path) -> Iterator[Finding]:
    """Yield what is seen, one thing at a time; what is here first, then what is around."""
    yield from check_installed()
    try:
        config = load_config(config_path)
    except ValueError as problem:
        yield fail("config", str(problem), "correct it; nothing else can be looked at before")
        return
    yield ok("config", str(config_path.absolute()))
    try:
        config = config.with_secrets("engine", "triage")
    except ValueError as problem:
        remedy = "run doctor as the daemon's user and with its environment, or put the secret there"
        yield fail("secrets", str(problem), remedy)
    checks = [
        ("machine", check_machine(config)),
        ("model", check_model(Path(config.learner.model))),
        ("weights", check_weights(config)),
        ("texts", check_texts(config.learner)),
        ("readers", check_readers(config)),
        ("log", check_log(config)),
        *((f"engine {url}", check_engine(url, config)) for url in config.engine.urls),
        ("benchmark", check_benchmark(config)),
        ("flags", check_flags_url(config)),
        ("services", check_services(config)),
    ]
    for what, found in checks:
        try:
            yield from found
        except REPORTED as problem:
            # Not only what a check looks for: a folder that this user may not read, for one.
            yield fail(what, told(problem), "see docs/runbook.md, errors at start")
