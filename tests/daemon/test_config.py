"""The config file: checked whole, and every complaint names the key."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from rlwd.daemon.config import Config, load_config
from rlwd.rewards.spec.spec import reward_spec

KEYS = [
    "policy",
    "parent",
    "state",
    "database",
    "erasures",
    "reward_spec",
    "stop_seconds",
    "retention_days",
    "keep_checkpoints",
    "look_seconds",
    "log_level",
    "log_format",
    "stream.kind",
    "stream.file",
    "stream.generations",
    "stream.feedback",
    "stream.dead_letters",
    "stream.poll_seconds",
    "stream.poll_records",
    "stream.data_folder",
    "stream.kafka.bootstrap_servers",
    "stream.kafka.group_id",
    "stream.kafka.group_instance_id",
    "stream.kafka.session_timeout_seconds",
    "stream.kafka.max_poll_interval_seconds",
    "stream.kafka.fetch_max_wait_seconds",
    "stream.kafka.fetch_max_bytes",
    "stream.kafka.max_partition_fetch_bytes",
    "stream.kafka.max_record_bytes",
    "stream.kafka.max_queued_bytes",
    "stream.kafka.connect_seconds",
    "stream.kafka.security",
    "join.cut_answers",
    "join.switched_answers",
    "join.outage_answers",
    "join.leaving_interrupts",
    "join.feedback_per_kind",
    "privacy.redact",
    "privacy.exempt",
    "privacy.consent",
    "privacy.purposes",
    "privacy.own_words",
    "privacy.tenants",
    "satisfaction.reader",
    "satisfaction.key",
    "satisfaction.least_labels",
    "satisfaction.max_error",
    "satisfaction.most_labels",
    "satisfaction.retrain_seconds",
    "satisfaction.give_up_seconds",
    "satisfaction.rubrics",
    "satisfaction.rubric_share",
    "satisfaction.judge.url",
    "satisfaction.judge.model",
    "satisfaction.judge.token",
    "satisfaction.judge.tenants",
    "satisfaction.judge.votes",
    "satisfaction.judge.concurrency",
    "satisfaction.judge.timeout_seconds",
    "satisfaction.judge.retries",
    "satisfaction.judge.retry_seconds",
    "satisfaction.judge.max_tokens",
    "satisfaction.judge.calls_per_day",
    "satisfaction.judge.tokens_per_day",
    "satisfaction.judge.cache",
    "batch.episodes",
    "batch.at_most",
    "batch.held_out",
    "batch.user_share",
    "batch.users",
    "batch.max_lead",
    "trust.user_share",
    "trust.user_times",
    "trust.agreement",
    "trust.unnamed_share",
    "trust.tenant_share",
    "trust.prompt_share",
    "trust.reading_speed",
    "trust.pace_seconds",
    "trust.burst_answers",
    "trust.burst_seconds",
    "trust.copies",
    "trust.one_sided",
    "trust.machine_spread",
    "trust.responses",
    "trust.response_floor",
    "trust.confounds",
    "trust.memory_batches",
    "learner.model",
    "learner.device",
    "learner.dtype",
    "learner.weights",
    "learner.whole_every",
    "learner.lora_rank",
    "learner.lora_alpha",
    "learner.learning_rate",
    "learner.warmup_steps",
    "learner.beta1",
    "learner.beta2",
    "learner.eps",
    "learner.clip_norm",
    "learner.passes",
    "learner.minibatch_episodes",
    "learner.trust_region",
    "learner.ratio_cap",
    "learner.ratio_mask",
    "learner.probability_mask",
    "learner.sequence_limit",
    "learner.ess_floor",
    "learner.negative_weight",
    "learner.token_credit",
    "learner.kl_weight",
    "learner.max_policy_age",
    "learner.pack_tokens",
    "learner.rows_per_forward",
    "learner.max_episode_tokens",
    "learner.estimator",
    "learner.mean_decay",
    "learner.parent_count",
    "learner.context_features",
    "learner.context_half_life",
    "learner.half_life",
    "learner.rho_min",
    "learner.rho_max",
    "learner.prior_count",
    "learner.advantage_floor",
    "learner.average",
    "learner.mismatch_difference",
    "learner.probe_tokens",
    "learner.processes",
    "learner.threads",
    "learner.hang_seconds",
    "learner.nice",
    "learner.seed",
    "learner.lanes.top_p",
    "learner.lanes.kto",
    "learner.lanes.kto_beta",
    "learner.lanes.dpo",
    "learner.lanes.dpo_beta",
    "learner.lanes.dpo_sft",
    "learner.lanes.sft",
    "learner.lanes.sft_from",
    "learner.lanes.hindsight",
    "learner.lanes.max_age",
    "learner.drift.probes",
    "learner.drift.version_kl",
    "learner.drift.version_norm",
    "learner.drift.day_kl",
    "learner.replay.texts",
    "learner.replay.share",
    "learner.replay.weight",
    "learner.service.url",
    "learner.service.model",
    "learner.service.key",
    "learner.service.timeout_seconds",
    "learner.yielding.above_seconds",
    "learner.yielding.batch_seconds",
    "engine.urls",
    "engine.token",
    "engine.adapters",
    "engine.request_seconds",
    *(f"router.{key}" for key in ("host", "port", "slots", "server", "arguments", "devices")),
    *("router.folder", "router.start_seconds"),
    "gate.margin",
    "gate.z",
    "gate.min_effective",
    "gate.weak_first_step",
    "gate.require_held_out",
    "gate.probe_tolerance",
    "gate.replicas",
    "gate.max_drift",
    "gate.planted",
    "gate.max_exposure",
    "gate.probe_rounds",
    "gate.probe_most_rounds",
    "gate.probes",
    "gate.probe_tokens",
    "gate.probe_alpha",
    "gate.suites",
    "benchmark.name",
    "benchmark.size",
    "benchmark.per_person",
    "benchmark.people_share",
    "benchmark.segments",
    "benchmark.overlap",
    "benchmark.shared",
    "benchmark.refresh_days",
    "benchmark.refreshed",
    "benchmark.prompt_tokens",
    "benchmark.answer_tokens",
    "benchmark.at_once",
    "benchmark.beside",
    "benchmark.request_seconds",
    "benchmark.least",
    "benchmark.alpha",
    "benchmark.bounds",
    "benchmark.total",
    "benchmark.total_bounds",
    "rollout.steps",
    "rollout.anchor_share",
    "rollout.step_users",
    "rollout.step_seconds",
    "rollout.min_users",
    "rollout.min_days",
    "rollout.margin",
    "rollout.alpha_promote",
    "rollout.planned_users",
    "rollout.gate_seconds",
    "rollout.deadline_seconds",
    "rollout.bake_seconds",
    "rollout.bake_share",
    "rollout.linger_seconds",
    "rollout.guardrail.alpha_harm",
    "rollout.guardrail.harm_users",
    "rollout.guardrail.harm_planned_users",
    "rollout.guardrail.harm_tolerance",
    "rollout.guardrail.srm_alpha",
    "rollout.guardrail.srm_action",
    "rollout.guardrail.max_error_share",
    "rollout.guardrail.max_empty_share",
    "rollout.guardrail.min_bad",
    "rollout.shadow.share",
    "rollout.shadow.answers",
    "rollout.shadow.seconds",
    "rollout.shadow.longer",
    "rollout.shadow.starved",
    "rollout.watch.bars",
    "rollout.watch.total",
    "rollout.watch.alpha",
    "rollout.watch.users",
    "rollout.watch.planned_users",
    "rollout.watch.seconds",
    "rollout.watch.on_alarm",
    "rollout.watch.on_doubt",
    "rollout.mismatch.k3",
    "rollout.mismatch.chi2",
    "rollout.mismatch.mean_low",
    "rollout.mismatch.mean_high",
    "rollout.mismatch.beyond",
    "rollout.mismatch.tokens",
    "rollout.mismatch.on_alarm",
    "rollout.metric",
    "comparison.undecided",
    "comparison.horizon_seconds",
    "comparison.request_seconds",
    "comparison.user_weight",
    "comparison.stratum_users",
    "tool_errors.unknown_bar",
    "tool_errors.least_calls",
    "tool_errors.window_seconds",
    "tool_errors.baseline_days",
    "profile.currency",
    "profile.value",
    "profile.person_hour",
    "profile.recorded",
    "profile.lift",
    "profile.patience_days",
    "profile.train_gpu_hour",
    "profile.serve_gpu_hour",
    "profile.serve_tokens_second",
    "profile.storage_gb_month",
    "profile.engineer_week",
    "profile.lora.gpus",
    "profile.lora.tokens_second",
    "profile.lora.version_hours",
    "profile.lora.tokens",
    "profile.lora.version_gb",
    "profile.lora.serve_gpus",
    "profile.lora.serve_overhead",
    "profile.lora.engineers",
    "profile.full.gpus",
    "profile.full.tokens_second",
    "profile.full.version_hours",
    "profile.full.tokens",
    "profile.full.version_gb",
    "profile.full.serve_gpus",
    "profile.full.serve_overhead",
    "profile.full.engineers",
    "profile.levels.volume",
    "profile.levels.value",
    "profile.levels.decided",
    "profile.levels.noise",
    "profile.levels.horizon",
    "profile.segments",
    "triage.every",
    "triage.logs",
    "triage.baseline_days",
    "triage.least",
    "triage.false_share",
    "triage.keep_days",
    "triage.webhook",
    "triage.token",
    "triage.labels",
    "triage.most_issues",
    "triage.timeout_seconds",
    "triage.retries",
    "gateway.host",
    "gateway.port",
    "gateway.name",
    "gateway.workers",
    "gateway.policy",
    "gateway.model",
    "gateway.engines",
    "gateway.engine_token",
    "gateway.flags",
    "gateway.flags_url",
    "gateway.flags_token",
    "gateway.flags_key",
    "gateway.flags_seconds",
    "gateway.spool",
    "gateway.spool_max_bytes",
    "gateway.token",
    "gateway.clients",
    "gateway.privacy",
    "gateway.specialists",
    "gateway.specialists_state",
    "gateway.allowed_origins",
    "gateway.show_variant",
    "gateway.user_key",
    "gateway.keep_seconds",
    "gateway.generations_topic",
    "gateway.feedback_topic",
    "gateway.base_digest",
    "gateway.tokenizer_digest",
    "gateway.logprobs_mode",
    "gateway.harness",
    "gateway.references",
    "gateway.request_seconds",
    "gateway.stop_seconds",
    "gateway.hang_seconds",
    "gateway.empty_engine_seconds",
    "gateway.max_body_bytes",
    "gateway.max_feedback_bytes",
    "gateway.max_connections",
    "gateway.header_seconds",
    "gateway.body_seconds",
    "gateway.idle_seconds",
    "gateway.oversize_days",
    "gateway.shadow_concurrency",
    "gateway.shadow_beside",
    "gateway.strip_seed",
    "clients",
    "specialists",
    "mlflow.tracking_uri",
    "mlflow.experiment",
    "mlflow.flush_seconds",
    "mlflow.waiting_points",
    "mlflow.retry_seconds",
    "mlflow.request_seconds",
    "mlflow.request_retries",
    "mlflow.trace_share",
    "mlflow.traces_per_second",
    "mlflow.waiting_traces",
    "telemetry.otlp_endpoint",
    "telemetry.share",
    "telemetry.queue",
    "http.host",
    "http.port",
    "http.token",
    "http.user_header",
    "http.proxies",
    "http.names",
    "http.flags_key",
]
"""The surface: who adds, renames or drops a key changes this list, and says so in the changelog."""


def write(folder: Path, text: str) -> Path:
    path = folder / "rlwd.toml"
    path.write_text(text if "[learner]" in text else f'{text}\n[learner]\nmodel = "base"\n')
    return path


def keys_of(kind: type[msgspec.Struct], path: str = "") -> Iterator[str]:
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from keys_of(field.type, f"{path}{field.name}.")
        else:
            yield f"{path}{field.name}"


def test_the_keys_are_these() -> None:
    """No key comes or goes without this list."""
    assert list(keys_of(Config)) == KEYS


def test_a_file_that_names_a_model_is_enough() -> None:
    """Every other key has its production default."""
    config = msgspec.convert({"learner": {"model": "base"}}, Config)
    assert (config.batch.episodes, config.stream.kind, config.rollout.margin) == (
        256,
        "embedded",
        0.02,
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('polcy = "p"', "polcy: unknown key; did you mean policy?"),
        ("[btach]\nepisodes = 3", "btach: unknown key; did you mean batch?"),
        ("[batch]\nepisode = 3", "batch.episode: unknown key; did you mean episodes?"),
        (
            '[learner]\nmodel = "base"\nlearningrate = 1.0',
            "learner.learningrate: unknown key; did you mean learning_rate?",
        ),
        (
            "[rollout.guardrail]\nharm_user = 3",
            "rollout.guardrail.harm_user: unknown key; did you mean harm_users?",
        ),
        (
            '[[rollout.metric]]\nname = "reward"\nmargn = 0.1',
            "rollout.metric[0].margn: unknown key; did you mean margin?",
        ),
        (
            '[stream.kafka]\nbootstrap_server = ["a:1"]',
            "stream.kafka.bootstrap_server: unknown key; did you mean bootstrap_servers?",
        ),
    ],
)
def test_a_misspelt_key_gets_its_path_and_the_nearest_one(
    tmp_path: Path, text: str, says: str
) -> None:
    """In any depth a misspelt key is named with its path, and the key that was meant."""
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=r"unknown key") as refused:
        load_config(path)
    assert str(refused.value) == f"{path}: {says}"


def test_a_key_like_no_other_is_only_named(tmp_path: Path) -> None:
    """Nothing is guessed where nothing is near."""
    with pytest.raises(ValueError, match=r"rlwd\.toml: xyzzy: unknown key$"):
        load_config(write(tmp_path, "xyzzy = 1"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("policy = 3", r"Expected `str`, got `int` - at `policy`"),
        ('[batch]\nepisodes = "many"', r"Expected `int`, got `str` - at `batch.episodes`"),
        ('[stream]\nkind = "pigeons"', r"Invalid enum value 'pigeons' - at `stream.kind`"),
        ("[rollout]\nsteps = [0.4, 0.2]", r"it must be shares above 0 that rise - at `rollout`"),
        ("[rollout]\nsteps = [0.6]", r"must fit into 1 - at `rollout`"),
        ("[rollout]\nmin_days = 7", r"min_days is 7: it must .* - at `rollout`"),
        (
            "[rollout.guardrail]\nsrm_alpha = 2.0",
            r"rollout.guardrail.srm_alpha: 2.0 is not between",
        ),
        ('[learner]\nmodel = ""', r"learner.model: names no folder"),
        ('[http]\nhost = "0.0.0.0"', r"http.token: required, because http.host is 0.0.0.0"),
        ('[http]\nuser_header = "X User"', r"http.user_header: 'X User' is no name of a header"),
        ('[http]\nuser_header = "X-User"\nproxies = []', r"nobody could get in - at `http`"),
        (
            "[rollout.shadow]\nshare = 0.1\n[gateway]\nshadow_concurrency = 0",
            r"gateway.shadow_concurrency: 0 mirrors none; rollout.shadow waits",
        ),
        ('[http]\nproxies = ["proxy"]', r"http.proxies\[0\]: 'proxy' is no IP address"),
        ('[http]\nnames = ["https://a.b"]', r"http.names\[0\]: 'https://a.b' is no host name"),
        ('[http]\nnames = ["a.b:443"]', r"http.names\[0\]: 'a.b:443' is no host name"),
        ('database = "mysql://x"', r"database: must be empty, postgresql://…, \$NAME or file:PATH"),
        ("policy = ", r"Invalid value"),
    ],
)
def test_a_wrong_value_is_named_by_its_path(tmp_path: Path, text: str, says: str) -> None:
    """A value of a wrong type, or out of range, is refused with file and path."""
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=says) as refused:
        load_config(path)
    assert str(refused.value).startswith(f"{path}: ")


def test_no_file_is_a_clear_error(tmp_path: Path) -> None:
    """A path to nothing says so."""
    with pytest.raises(ValueError, match=r"gone\.toml: No such file"):
        load_config(tmp_path / "gone.toml")


def test_paths_are_those_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths begin at the config file's folder, wherever the process stands."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    text = 'policy = "mail"\nstate = "kept"\nreward_spec = "spec.toml"\n'
    write(home, text + '[learner]\nmodel = "base"\n[stream]\ngenerations = "g"\nfeedback = "f"\n')
    monkeypatch.chdir(elsewhere)
    config = load_config(Path("../home/rlwd.toml"))
    paths: dict[str, str | Path] = {
        "state": config.state,
        "log": config.log_path,
        "flags": config.flags_path,
        "spool": config.gateway.spool,
        "model": config.learner.model,
        "spec": config.reward_spec,
    }
    assert {name: Path(path).resolve() for name, path in paths.items()} == {
        "state": home / "kept",
        "log": home / "kept" / "log.db",
        "flags": home / "kept" / "flags.json",
        "spool": home / "kept" / "spool",
        "model": home / "base",
        "spec": home / "spec.toml",
    }
    assert Path(config.state).is_absolute()
    assert (config.gateway.policy, config.gateway.generations_topic) == ("mail", "g")
    assert config.gateway.feedback_topic == "f"


def test_paths_that_are_given_stay(tmp_path: Path) -> None:
    """An absolute path is taken as it is, and an empty one is not turned into the folder."""
    text = f'state = "{tmp_path}/else"\n[gateway]\nflags = "/run/flags.json"\nspool = "own"\n'
    config = load_config(write(tmp_path, text))
    assert config.state == f"{tmp_path}/else"
    assert config.gateway.flags == "/run/flags.json"
    assert config.gateway.spool == str(tmp_path / "own")
    assert config.reward_spec == ""


def test_a_path_that_is_given_as_its_default_stays(tmp_path: Path) -> None:
    """What stands in the file is taken as it is, also where it reads like the default elsewhere."""
    text = 'state = "kept"\n[gateway]\nflags = "state/flags.json"\nspool = "state/spool"\n'
    config = load_config(write(tmp_path, text))
    assert config.gateway.flags == str(tmp_path / "state" / "flags.json")
    assert config.gateway.spool == str(tmp_path / "state" / "spool")


@pytest.mark.parametrize(
    ("key", "value"), [("policy", "q"), ("generations_topic", "g"), ("feedback_topic", "f")]
)
def test_what_the_gateway_must_share_is_not_overruled_in_silence(
    tmp_path: Path, key: str, value: str
) -> None:
    """A gateway's key that contradicts the daemon's is refused by its path and not ignored."""
    with pytest.raises(ValueError, match=rf"gateway\.{key}: is not '.*', which the daemon uses"):
        load_config(write(tmp_path, f'[gateway]\n{key} = "{value}"\n'))


def test_clients_need_the_key_that_signs_ids(tmp_path: Path) -> None:
    """With unsigned ids one tenant's feedback could be about another's answers."""
    client = f'[clients.a]\ntokens = ["sha256:{"0" * 64}"]\ntenant = "a"\n'
    with pytest.raises(ValueError, match=r"gateway\.user_key: required with \[clients\]"):
        load_config(write(tmp_path, client))
    load_config(write(tmp_path, f'{client}[gateway]\nuser_key = "k"\n'))


def test_a_shipped_reward_spec_is_named_without_a_path(tmp_path: Path) -> None:
    """Wherever the configuration lies; any other name is a file beside it."""
    path = tmp_path / "rlwd.toml"
    for named, found in (("coding-agent", "coding-agent"), ("mine.toml", "mine")):
        (tmp_path / "mine.toml").write_text('name = "mine"\n[parts]\naccepted = 1.0\n')
        path.write_text(f'reward_spec = "{named}"\n[learner]\nmodel = "base"\n')
        assert reward_spec(load_config(path).reward_spec).name == found


def test_a_config_of_an_editor_on_windows_is_read_and_one_too_deep_is_named(tmp_path: Path) -> None:
    """A byte order mark is no part of it; what nests too deeply is an error with the file's name."""
    path = tmp_path / "rlwd.toml"
    path.write_bytes(b'\xef\xbb\xbfpolicy = "p"\r\n[learner]\r\nmodel = "m"\r\n')
    assert load_config(path).policy == "p"
    path.write_text("policy = " + "[" * 5000)
    with pytest.raises(ValueError, match=r"rlwd\.toml: .*recursion"):
        load_config(path)
