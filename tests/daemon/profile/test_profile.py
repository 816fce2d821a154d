"""`rlwd profile`: from weeks of events through ingest to what they argue for."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import work_weeks as weeks
from reward_shop import Finished, open_reward_shop, rlwd_in

from rlwd.streams.events.signals import Accepted
from rlwd.streams.open import open_store

WEEK = ("--since", weeks.SINCE, "--until", weeks.UNTIL)


def profiled(folder: Path, *arguments: str) -> dict[str, Any]:
    """Return the command's JSON."""
    done = rlwd_in(folder, "profile", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("kind", "segment", "levels", "choice", "reward"),
    [
        ("coding", "agent", ("high", "high", "moderate", "long"), "full", "composite"),
        ("support", "chat", ("high", "moderate", "clean", "short"), "lora", "single"),
        ("legal", "draft", ("moderate", "high", "moderate", "medium"), "undecided", "composite"),
    ],
)
def test_the_archetypes_come_out_as_they_are_known(
    week_folders: Mapping[str, Path],
    kind: str,
    segment: str,
    levels: tuple[str, ...],
    choice: str,
    reward: str,
) -> None:
    """A coding agent's week argues for full weights, support's for LoRA, and a legal one's for neither."""
    one = profiled(week_folders[kind], *WEEK)["segments"][segment]
    assert tuple(one["levels"].values()) == levels
    advice = one["advice"]
    assert (advice["choice"], advice["enough_known"], advice["reward"]) == (choice, True, reward)
    assert any("begin with LoRA" in note for note in advice["notes"]) == (choice == "full")
    about = {reason["about"] for reason in advice["reasons"]}
    assert set(advice["decided_by"]) <= about
    assert all(reason["say"] and reason["figures"] for reason in advice["reasons"])


def test_what_it_counts_of_coding(week_folders: Mapping[str, Path]) -> None:
    """Subagents belong to the session that started them, tokens count once, sessions grow over the week."""
    one = profiled(week_folders["coding"], *WEEK)["segments"]["agent"]
    horizon, checked, cost = one["horizon"], one["verification"], one["cost"]
    assert horizon["sessions"] == 84
    assert horizon["switches"] == pytest.approx(1.0)
    assert horizon["growth_turns"] > 0.1
    assert checked["noise_by"] == "later words"
    kept = next(word for word in checked["later"] if word["later"] == "kept")
    assert checked["noise"] == pytest.approx(1 - kept["agree"])
    assert 0 < checked["taken_back"] < checked["noise"]
    # The last prompt of a session has all that came before it, and a subagent's is its own.
    tokens = cost["full"]["version_tokens"] / cost["full"]["version_answers"] / 4
    decided = checked["decided_count"] / horizon["sessions"]
    assert 32_000 / decided < tokens < 45_000 / decided


@pytest.mark.parametrize("method", ["lora", "full"])
def test_costs_and_values_add_up(week_folders: Mapping[str, Path], method: str) -> None:
    """A week's cost is its parts, and breaks even where a lift of the week's value pays for it."""
    told = profiled(week_folders["support"], *WEEK, "--lift", "1%")
    cost = told["segments"]["chat"]["cost"]
    one = cost[method]
    parts = sum(one[f"week_{name}"] for name in ("training", "serving", "storage", "engineers"))
    assert one["week"] == pytest.approx(parts)
    assert one["week_training"] == pytest.approx(one["version"] * 7 / one["version_days"])
    assert one["break_even_lift"] == pytest.approx(one["week"] / cost["value_week"])
    assert one["net_week"] == pytest.approx(cost["lift_week"] - one["week"])
    assert (told["lift"], cost["lift"]) == (0.01, 0.01)
    # A version takes a day and more, and a rollout ends after six hours unless it is told otherwise.
    notes = told["segments"]["chat"]["advice"]["notes"]
    assert any("rollout.deadline_seconds ends a rollout after 6.0 h" in note for note in notes)
    # Each conversation is settled once, whatever its answers; 5 in 10,000 users are recorded.
    settled = told["segments"]["chat"]["value"]["taken"]
    assert cost["value_week"] == pytest.approx(settled * 4.0 / told["days"] * 7 / 0.0005)
    assert 350 < settled < 450


def test_people_with_alike_requests_are_compared(week_folders: Mapping[str, Path]) -> None:
    """Four kinds of request, two mostly settled and two mostly not: people agree more than by chance."""
    between = profiled(week_folders["support"], *WEEK)["segments"]["chat"]["verification"][
        "between_people"
    ]
    assert between["pairs"] > 1000
    assert 0.6 < between["agree"] < 0.95
    assert 0.3 < between["beyond_chance"] < 0.8


def test_a_recording_alone_is_profiled_as_its_state_is(week_folders: Mapping[str, Path]) -> None:
    """The file through ingest in a temporary place gives the same document."""
    folder = week_folders["support"]
    alone = ("week.jsonl", "--spec", "spec.toml", "-c", "rlwd.toml")
    assert profiled(folder, *alone, *WEEK) == profiled(folder, *WEEK)


def test_traces_without_any_signal_say_what_is_missing(tmp_path: Path) -> None:
    """Nobody's config, nobody's feedback: undecided, since not enough is known, and by what."""
    said = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hello you"}]
    rows = [json.dumps({"messages": said, "id": f"m{number}"}) for number in range(5)]
    (tmp_path / "chats.jsonl").write_text("\n".join(rows))
    told = profiled(tmp_path, "chats.jsonl", "--format", "openai-chat")
    (one,) = told["segments"].values()
    assert (one["advice"]["choice"], one["advice"]["enough_known"]) == ("undecided", False)
    assert {"volume", "value", "verification"} <= set(one["advice"]["decided_by"])
    unknown = " ".join(one["advice"]["unknown"])
    assert "no signal is recorded" in unknown
    assert "set profile.segments.NAME.value" in unknown


def test_without_a_value_not_enough_is_known(week_folders: Mapping[str, Path]) -> None:
    """The same week, and nothing says what a taken answer is worth."""
    folder = week_folders["support"]
    (folder / "poor.toml").write_text(weeks.config_text({"profile.recorded": 0.0005}, "spec.toml"))
    advice = profiled(folder, *WEEK, "-c", "poor.toml")["segments"]["chat"]["advice"]
    assert (advice["choice"], advice["enough_known"]) == ("undecided", False)
    assert advice["decided_by"] == ["value"]


def test_few_answers_argue_for_the_harness_alone(week_folders: Mapping[str, Path]) -> None:
    """A few hundred dear answers a week tell no two versions apart."""
    folder = week_folders["legal"]
    text = weeks.config_text(weeks.LEGAL, "spec.toml")
    (folder / "few.toml").write_text(f"{text}[profile.levels]\nvolume = [5000, 100000]\n")
    advice = profiled(folder, *WEEK, "-c", "few.toml")["segments"]["draft"]["advice"]
    assert (advice["choice"], advice["decided_by"]) == ("harness", ["volume"])


def test_a_number_of_ones_own_gives_the_value(week_folders: Mapping[str, Path]) -> None:
    """A segment's own value goes before the one for all."""
    folder = week_folders["legal"]
    text = weeks.config_text(weeks.LEGAL, "spec.toml")
    (folder / "own.toml").write_text(f"{text}[profile.segments.draft]\nvalue = 7.0\n")
    value = profiled(folder, *WEEK, "-c", "own.toml")["segments"]["draft"]["value"]
    assert (value["of_answer"], value["by"]) == (7.0, "setting")


def test_what_it_counts_is_what_was_recorded(tmp_path: Path) -> None:
    """Sixty answers after forty, each taken after 30 s and worth two minutes; a tenth undone, all of it told."""
    weeks.write_week(tmp_path / "weeks.jsonl", weeks.saving_weeks())
    (tmp_path / "own.toml").write_text(weeks.config_text({"profile.person_hour": 60.0}))
    told = profiled(tmp_path, "weeks.jsonl", "--since", weeks.SINCE, "-c", "own.toml")
    one = told["segments"]["title"]
    volume, value, checked = one["volume"], one["value"], one["verification"]
    assert (told["answers"], volume["answers"], volume["side_requests"]) == (60, 60, 30)
    # The recording ends with the last answer, and the time before is as long: without its first one.
    assert (volume["growth_answers"], volume["growth_users"]) == (60 / 39 - 1, 0.0)
    assert volume["users"] == 10
    assert (value["of_answer"], value["by"]) == (2.0, "seconds_saved")
    assert (value["taken"], value["taken_share"]) == (54, 0.9)
    assert value["numbers"] == {"seconds_saved": 120.0}
    assert (value["tokens_answer"], value["tokens_read"]) == (10.0, 200.0)
    assert value["person_seconds"] == 30.0
    assert (checked["decided"], checked["delay_median"]) == (1.0, 30.0)
    assert checked["deciding"] == {"accepted": 1.0}
    assert (checked["taken_back"], checked["noise"], checked["noise_by"]) == (
        0.1,
        0.1,
        "taken back",
    )
    assert one["horizon"]["turns"] == 1.0
    assert one["pace"]["fill_days"] == pytest.approx(256 / (60 / told["days"]))
    assert one["cost"]["value_week"] == pytest.approx(54 * 2.0 / told["days"] * 7)


def test_all_segments_together_are_the_sum_of_them(tmp_path: Path) -> None:
    """Two kinds of work in one recording: counts add up, and the worth is the mean of theirs, or unknown."""
    records = [*weeks.saving_weeks(before=0), *weeks.legal_week(sessions=40)]
    weeks.write_week(tmp_path / "both.jsonl", iter(records))
    (tmp_path / "spec.toml").write_text(weeks.LEGAL_SPEC)
    text = weeks.config_text({"profile.person_hour": 60.0}, "spec.toml")
    (tmp_path / "poor.toml").write_text(text)
    (tmp_path / "rich.toml").write_text(f"{text}[profile.segments.draft]\nvalue = 100.0\n")
    rich = profiled(tmp_path, "both.jsonl", "-c", "rich.toml")
    title, draft, both = *(rich["segments"][name] for name in ("title", "draft")), rich["all"]
    assert both["volume"]["answers"] == 60 + 240
    assert both["horizon"]["sessions"] == 60 + 40
    worth = sum(one["cost"]["value_week"] for one in (title, draft))
    assert both["cost"]["value_week"] == pytest.approx(worth)
    assert (draft["value"]["by"], both["value"]["by"]) == ("setting", "segments")
    poor = profiled(tmp_path, "both.jsonl", "-c", "poor.toml")
    assert poor["segments"]["title"]["value"]["by"] == "seconds_saved"
    assert (poor["all"]["value"]["of_answer"], poor["all"]["value"]["by"]) == (None, "unknown")


def test_nobodys_words_are_in_it(week_folders: Mapping[str, Path]) -> None:
    """Neither texts nor names of people, sessions or answers are printed, in either form."""
    for kind, words in (
        ("legal", "parties|ten working|lawyer1|l1\\."),
        ("support", "parcel|customer1|s1\\."),
    ):
        for form in ([], ["--json"]):
            done = rlwd_in(week_folders[kind], "profile", *WEEK, *form)
            assert done.returncode == 0, done.stderr
            assert not re.search(words, done.stdout)


def test_it_fits_a_terminal(week_folders: Mapping[str, Path]) -> None:
    """In 80 columns, with the choice, the days and the costs."""
    for kind, choice in (("coding", "full weights"), ("support", "LoRA"), ("legal", "undecided")):
        shown = rlwd_in(week_folders[kind], "profile", *WEEK).stdout
        assert max(map(len, shown.splitlines())) <= 80
        assert choice in shown
        assert "days a version" in shown
        assert "value a week: " in shown


def test_it_only_reads_beside_a_daemon_that_writes(week_folders: Mapping[str, Path]) -> None:
    """While a transaction is open that has written, it says what was committed, and changes no byte."""
    folder = week_folders["legal"]
    file = folder / "state" / "rlwd.db"
    before = profiled(folder, *WEEK)
    store = open_store(file)
    with store.transaction() as tx:
        tx.execute("DELETE FROM episodes WHERE generation_id LIKE 'l1%'")
        digest = hashlib.sha256(file.read_bytes()).digest()
        assert profiled(folder, *WEEK) == before
        assert hashlib.sha256(file.read_bytes()).digest() == digest
        tx.execute("ROLLBACK")
        tx.execute("BEGIN")
    store.close()


def test_a_server_gives_what_a_file_gives(tmp_path: Path, postgres_url: str) -> None:
    """The same answers on PostgreSQL have the same profile."""
    from places_by_hand import new_schema

    told = []
    for name, url in (("file", ""), ("server", new_schema(postgres_url))):
        (tmp_path / name).mkdir()
        shop = open_reward_shop(tmp_path / name, url)
        document = profiled(shop.folder, "--since", "", "--until", "2100-01-01")
        shop.ledger.store.close()
        for key in ("begin", "end", "days"):
            del document[key]
        told.append(
            json.loads(json.dumps(document), parse_float=lambda text: round(float(text), 2))
        )
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("config", "arguments", "says"),
    [
        ("", ["--lift", "much"], "--lift: much: write it like 2.28% or 0.0228"),
        ("", ["--lift", "0"], "--lift: '0' is not above 0"),
        ("", ["--since", "x"], "--since: 'x' is not a number with s, m, h, d or w"),
        ("", ["--until", "x"], "--until: 'x' is not a number with s, m, h, d or w"),
        ("", ["--since", "2026-11-23", "--until", "2026-11-16"], "is not after --since"),
        ("", ["--since", "2020-01-01", "--until", "2020-02-01"], "holds no answer of the time"),
        ("", ["--since", "2026-12-24", "--until", "2100-01-01"], "holds no answer of the time"),
        ("", ["--spec", "spec.toml"], "--spec: is of a file"),
        ("", ["gone.jsonl"], "gone.jsonl"),
        ("", ["week.jsonl", "--format", "papyrus"], "papyrus"),
        ("recorded = 0", [], "profile.recorded: 0 is not between 1e-09 and 1"),
        ("train_gpu_hour = nan", [], "profile.train_gpu_hour: nan is not between"),
        ("[profile.full]\ngpus = 0", [], "profile.full.gpus: 0 is not between 1 and 100000"),
        (
            "[profile.segments.a.b]\nvalue = 1",
            [],
            "profile.segments[...].b: unknown key",
        ),
        ("[profile.segments.x]\nvalue = -1", [], "profile.segments.x.value: -1 is not between"),
        ("[profile.levels]\nnoise = [0.2, 0.1]", [], "noise is [0.2, 0.1]"),
        ("prise = 2", [], "profile.prise: unknown key"),
    ],
)
def test_bad_input_is_named_by_its_path(
    week_folders: Mapping[str, Path], config: str, arguments: list[str], says: str
) -> None:
    """An option or a key that cannot be is told in a line, with status 2."""
    folder = week_folders["legal"]
    text = weeks.config_text({}, "spec.toml") + config
    (folder / "bad.toml").write_text(text)
    done: Finished = rlwd_in(folder, "profile", "-c", "bad.toml", *arguments)
    assert done.returncode == 2, done.stdout
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_recording_without_answers_is_named(tmp_path: Path) -> None:
    """Feedback alone: the file is told, and not the place that it was taken into."""
    said = weeks.said("f", "g", "s", Accepted(), weeks.BEGIN)
    weeks.write_week(tmp_path / "acts.jsonl", iter([said]))
    done = rlwd_in(tmp_path, "profile", "acts.jsonl")
    assert (done.returncode, done.stderr) == (
        2,
        "rlwd: acts.jsonl: holds no answer of the time asked for\n",
    )


def test_no_state_is_named(tmp_path: Path) -> None:
    """Where no daemon ever ran, nothing is made."""
    (tmp_path / "rlwd.toml").write_text(weeks.config_text({}))
    done = rlwd_in(tmp_path, "profile")
    assert done.returncode == 2
    assert "there is no state database" in done.stderr
    assert not (tmp_path / "state").exists()
