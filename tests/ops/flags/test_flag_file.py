"""Flags: what is written says exactly what it should, in every reader, or is not written at all."""

import copy
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from structlog.testing import capture_logs
from waiting import until

from rlwd.ops.flags.assignment import (
    BUCKETS,
    ServedVersion,
    Shares,
    Variant,
    bucket,
    hash_user,
    holdout_salt,
)
from rlwd.ops.flags.evaluator import FlagEvaluator, FlagsUnavailable
from rlwd.ops.flags.flag_file import named_in, read_flags, write_flags
from rlwd.ops.flags.flag_state import FlagState, to_document, to_state
from rlwd.ops.flags.harness_flag import HarnessFlag


def version(number: int) -> ServedVersion:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return ServedVersion(version=f"policy@v{number:06d}-{digest[:8]}", digest=digest)


def state(generation: int = 1, candidate: int = 500, anchor: int = 100) -> FlagState:
    return FlagState(
        policy="policy",
        generation=generation,
        salt=f"policy-{generation}",
        holdout_salt=holdout_salt("policy"),
        champion=version(2),
        previous=version(1),
        anchor=version(0),
        candidate=version(3),
        shares=Shares(candidate=candidate, anchor=anchor),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flags.json"


@pytest.fixture
def flagd(path: Path) -> Iterator[str]:
    """The unmodified flagd provider on our file, in FILE mode; yields its domain."""
    write_flags(path, to_document(state()))
    provider = FlagdProvider(
        resolver_type=ResolverType.FILE, offline_flag_source_path=str(path), deadline_ms=50
    )
    api.set_provider_and_wait(provider, domain="unmodified")
    yield "unmodified"
    provider.shutdown()
    provider.resolver.connector.thread.join(5)


def test_unmodified_flagd_reads_our_file_as_we_do(flagd: str, path: Path) -> None:
    """For all 10,000 buckets, of experiment and holdout, flagd's own file mode returns the variant and value that we meant."""
    client = api.get_client(flagd)
    shares, variants = state().shares, to_document(state())["flags"]["policy"]["variants"]
    pairs = [(number, 0) for number in range(BUCKETS)] + [(0, n) for n in range(BUCKETS)]
    for number, held_out in pairs:
        context = {"bucket": number, "holdout_bucket": held_out}
        details = client.get_object_details("policy", {}, EvaluationContext("someone", context))
        assert details.variant == shares.of(number, holdout_bucket=held_out)
        assert details.value == variants[details.variant]
    assert details.flag_metadata["generation"] == 1


TRIED = HarnessFlag(
    name="prompt",
    salt="experiment/prompt",
    arms=("old", "new", "newer"),
    share=1000,
    served=version(1),
)


def tried(generation: int = 1, **more: Any) -> FlagState:
    """Return a state with an experiment on the product beside a rollout."""
    return msgspec.structs.replace(state(generation), experiment=TRIED, **more)


def test_unmodified_flagd_deals_an_experiment_as_we_do(flagd: str, path: Path) -> None:
    """Its users get one policy and their arm; the holdout is in none, and the rollout has the rest."""
    client = api.get_client(flagd)
    write_flags(path, to_document(tried(2)))
    evaluator = FlagEvaluator(path)
    until(lambda: client.get_string_value("prompt", "", EvaluationContext("u")) == "old")
    for number in [*range(1100), *range(1100, BUCKETS, 97)]:
        arm = TRIED.arm_of(number)
        for held_out in (0, BUCKETS // 2):
            context = EvaluationContext(
                "u", {"bucket": 0, "holdout_bucket": held_out, "experiment_bucket": number}
            )
            apart = held_out != 0
            expected = "anchor" if apart else "candidate" if arm is None else "experiment"
            assert client.get_object_details("policy", {}, context).variant == expected
            told = client.get_string_value("prompt", "", context)
            assert told == ("old" if apart or arm is None else arm)
    seen = set()
    for user in (hash_user(str(i), b"k") for i in range(600)):
        got, answer = evaluator.evaluate(user, 0.0), evaluator.evaluate_arm(user, 0.0)
        assert answer is not None
        assert (got.variant is Variant.EXPERIMENT) == bool(got.arm)
        assert answer.arm == (got.arm or "old")
        if got.arm:
            assert (got.salt, got.bucket) == (TRIED.salt, bucket(TRIED.salt, user))
            assert got.served == TRIED.served
        seen.add(got.recorded)
    assert {"arm:old", "arm:new", "arm:newer", "champion", "anchor"} <= seen
    # 999 of the 1,000 buckets: three equal arms.
    assert (TRIED.size, TRIED.taken) == (333, 999)


@pytest.mark.parametrize(
    ("spoiled", "says"),
    [
        (lambda document: document["metadata"].update(experiment_share=900), "targeting"),
        (lambda document: document["metadata"].update(experiment_arms="old"), "arms"),
        (lambda document: document["metadata"].update(experiment=""), "prompt"),
        (lambda document: document["flags"].pop("prompt"), "prompt"),
        (lambda document: document["flags"]["prompt"].update(defaultVariant="new"), "prompt"),
        (lambda document: document["metadata"].update(experiment_version="x-1"), "8 digits"),
    ],
)
def test_an_experiment_says_one_thing_or_is_refused(
    spoiled: Callable[[dict[str, Any]], None], says: str
) -> None:
    """Rules, arms and metadata agree, and a document that is whole gives back its state."""
    document = to_document(tried())
    assert to_state(document) == tried()
    spoiled(document)
    with pytest.raises(ValueError, match=says):
        to_state(document)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Prompt"},
        {"name": "policy"},
        {"arms": ("old",)},
        {"arms": ("old", "old")},
        {"arms": ("old", "a b")},
        {"share": 2},
    ],
)
def test_an_experiment_that_no_flag_can_say_is_refused(wrong: dict[str, Any]) -> None:
    """Names that no flag has, arms that are none, a share without a bucket for each."""
    with pytest.raises(ValueError, match="experiment"):
        msgspec.structs.replace(
            state(), experiment=HarnessFlag(**{**msgspec.structs.asdict(TRIED), **wrong})
        )


def test_a_copy_of_old_knows_no_experiment(path: Path, tmp_path: Path) -> None:
    """It may have ended since, and badly."""
    copy = tmp_path / "copy.json"
    write_flags(copy, to_document(tried()))
    evaluator = FlagEvaluator(path, copy=copy)
    assert not any(evaluator.evaluate(hash_user(str(i), b"k"), 0.0).arm for i in range(100))
    assert evaluator.evaluate_arm("u", 0.0) is None


def test_nobody_without_a_bucket_meets_a_candidate(flagd: str) -> None:
    """A context without a bucket, or with one that is out of range, gets the champion."""
    client = api.get_client(flagd)
    for attributes in ({}, {"bucket": -1}, {"bucket": BUCKETS}):
        details = client.get_object_details("policy", {}, EvaluationContext("x", attributes))
        assert details.variant == "champion"


@pytest.mark.parametrize(
    "wanted",
    [
        state(),
        state(candidate=0, anchor=0),
        state(candidate=5000, anchor=0),
        state(candidate=0, anchor=BUCKETS),
        FlagState(policy="p", generation=7, salt="s", champion=version(0), anchor=version(0)),
    ],
)
def test_document_gives_back_its_state(wanted: FlagState, path: Path) -> None:
    """What was written is what is read, shares, salt, versions and all."""
    assert write_flags(path, to_document(wanted)) == wanted
    assert read_flags(path) == wanted


def test_no_file_is_no_state(path: Path) -> None:
    """A file that is not there yet reads as None, not as an error."""
    assert read_flags(path) is None


def spoil(document: dict[str, Any], how: str) -> None:
    flag, metadata = document["flags"]["policy"], document["metadata"]
    if how == "unknown variant":
        flag["variants"]["canary"] = flag["variants"].pop("candidate")
    elif how == "rule names nothing":
        flag["targeting"]["if"][1] = "canary"
    elif how == "no digest":
        del flag["variants"]["candidate"]["digest"]
    elif how == "short digest":
        flag["variants"]["candidate"]["digest"] = "abc"
    elif how == "half a bucket":
        metadata["candidate_share"] = 0.5
    elif how == "half a bucket in a rule":
        flag["targeting"]["if"][0]["<="][2] = 0.5
    elif how == "control differs":
        flag["variants"]["control"] = flag["variants"]["candidate"]
    elif how == "too much":
        metadata["candidate_share"] = 5001
    elif how == "generation in words":
        metadata["generation"] = "2"
    elif how == "other flag":
        document["flags"]["other"] = copy.deepcopy(flag)
    elif how == "disabled":
        flag["state"] = "DISABLED"
    else:
        assert how == "extra key"
        document["$evaluators"] = {}


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("unknown variant", "canary"),
        ("rule names nothing", "targeting"),
        ("no digest", "digest"),
        ("short digest", "digest"),
        ("half a bucket", "candidate_share"),
        ("half a bucket in a rule", "targeting"),
        ("control differs", "variants"),
        ("too much", "shares"),
        ("generation in words", "generation"),
        ("other flag", "other"),
        ("disabled", "state"),
        ("extra key", "evaluators"),
    ],
)
def test_a_document_that_flagd_would_swallow_is_refused(how: str, says: str, path: Path) -> None:
    """Each way to say something else than was meant is a ValueError, and the file stays."""
    write_flags(path, to_document(state()))
    before = path.read_bytes()
    document = to_document(state(2))
    spoil(document, how)
    with pytest.raises(ValueError, match=says):
        write_flags(path, document)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["flags.json"]


@pytest.mark.parametrize("generation", [1, 4, 5])
def test_generation_only_grows(generation: int, path: Path) -> None:
    """A document of the same or an older generation is refused, and a rollback is a new one."""
    write_flags(path, to_document(state(5)))
    with pytest.raises(ValueError, match="would not grow"):
        write_flags(path, to_document(state(generation)))
    assert write_flags(path, to_document(state(6, candidate=0))).generation == 6


def test_every_write_is_a_new_file_of_now(path: Path) -> None:
    """A write replaces the file by another one, with the present time, readable by others."""
    write_flags(path, to_document(state(1)))
    os.utime(path, (time.time() + 3600, time.time() + 3600))
    old = path.stat()
    write_flags(path, to_document(state(2)))
    new = path.stat()
    assert new.st_ino != old.st_ino
    assert abs(new.st_mtime - time.time()) < 60
    assert new.st_mode & 0o444 == 0o444


def test_evaluator_deals_as_the_shares_say(path: Path) -> None:
    """Every user gets the variant of its bucket, with version, digest and fallbacks of that variant."""
    write_flags(path, to_document(state(candidate=3000, anchor=1000)))
    evaluator = FlagEvaluator(path)
    served = {"champion": 2, "control": 2, "candidate": 3, "anchor": 0}
    back = {"champion": [1, 0], "control": [1, 0], "candidate": [2, 0], "anchor": [2]}
    seen = set()
    for user in (hash_user(str(i), b"k") for i in range(400)):
        got = evaluator.evaluate(user, 0.0)
        seen.add(got.variant)
        number, held_out = bucket("policy-1", user), bucket("holdout/policy", user)
        wanted = Shares(candidate=3000, anchor=1000).of(number, holdout_bucket=held_out)
        apart = wanted is Variant.ANCHOR
        assert got.variant is wanted
        assert got.bucket == (held_out if apart else number)
        assert got.served == version(served[got.variant])
        assert list(got.fallbacks) == [version(n) for n in back[got.variant]]
        assert (got.generation, got.salt) == (1, "holdout/policy" if apart else "policy-1")
    assert seen == set(Variant) - {Variant.SHADOW, Variant.EXPERIMENT}


def test_the_holdout_is_the_same_whatever_experiment_comes(path: Path) -> None:
    """New salts and growing candidates move nobody into the holdout or out of it."""
    users = [hash_user(str(i), b"k") for i in range(400)]
    evaluator, found = FlagEvaluator(path), []
    for generation, candidate in enumerate((0, 100, 2500, 5000, 1000), 1):
        write_flags(path, to_document(state(generation, candidate=candidate, anchor=1000)))
        dealt = [(user, evaluator.evaluate(user, float(generation))) for user in users]
        found.append({user for user, got in dealt if got.variant is Variant.ANCHOR})
    assert 20 < len(found[0]) < 65
    assert all(one == found[0] for one in found)


def before(state: FlagState) -> FlagState:
    """Return a state as 0.1.0 wrote it."""
    return msgspec.structs.replace(state, holdout_salt="")


def test_a_file_of_0_1_0_says_what_it_said(path: Path) -> None:
    """A gateway before its daemon's upgrade: the anchor has the experiment's buckets, as then."""
    document = to_document(before(state(candidate=500, anchor=100)))
    assert "holdout_salt" not in document["metadata"]
    path.write_text(json.dumps(document))
    evaluator, middle = FlagEvaluator(path), range(500, 600)
    seen = [evaluator.evaluate(hash_user(str(i), b"k"), 0.0) for i in range(1000)]
    assert any(got.variant is Variant.ANCHOR for got in seen)
    for got in seen:
        assert (got.variant is Variant.ANCHOR) == (got.bucket in middle)
        assert got.salt == "policy-1"
    with pytest.raises(ValueError, match="shares"):
        before(state(candidate=5000, anchor=1))


def test_a_copy_of_old_keeps_the_holdout(path: Path, tmp_path: Path) -> None:
    """Without a flag file the copy's champion answers everybody, but those who are held out."""
    copy = tmp_path / "copy.json"
    write_flags(copy, to_document(state(candidate=5000, anchor=1000)))
    evaluator = FlagEvaluator(path, copy=copy)
    seen = {evaluator.evaluate(hash_user(str(i), b"k"), 0.0).variant for i in range(100)}
    assert seen == {Variant.CHAMPION, Variant.ANCHOR}


def test_no_file_yet_is_said(path: Path) -> None:
    """Without a flag file nobody is assigned, and the reason names the file."""
    evaluator = FlagEvaluator(path)
    assert not evaluator.ready
    with pytest.raises(FlagsUnavailable, match=r"flags\.json: No such file"):
        evaluator.evaluate("u", 0.0)
    write_flags(path, to_document(state()))
    assert evaluator.evaluate("u", 1.0).generation == 1


def test_a_restored_file_with_its_old_time_is_seen(path: Path) -> None:
    """A file put back with an older time, also of the same length, is taken over all the same."""
    write_flags(path, to_document(state(1)))
    first, when = path.read_bytes(), path.stat()
    evaluator = FlagEvaluator(path)
    evaluator.refresh(0.0)
    write_flags(path, to_document(state(2)))
    evaluator.refresh(1.0)
    assert evaluator.state == state(2)
    path.write_bytes(first)
    os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns - 10**12))
    evaluator.refresh(2.0)
    assert evaluator.state == state(1)


def test_the_file_is_looked_at_once_in_a_while(path: Path) -> None:
    """Within `reload_seconds` of a look, the file is not opened again."""
    write_flags(path, to_document(state(1)))
    evaluator = FlagEvaluator(path, reload_seconds=0.15)
    evaluator.refresh(10.0)
    write_flags(path, to_document(state(2)))
    assert evaluator.evaluate("u", 10.1).generation == 1
    assert evaluator.evaluate("u", 10.2).generation == 2


@pytest.mark.parametrize("bad", ['{"flags": {"pol', "[]", "{}", "null", None])
def test_a_bad_file_leaves_the_rules_and_is_said_once(bad: str | None, path: Path) -> None:
    """Broken, foreign or missing content keeps the old rules, counts once, and recovers."""
    write_flags(path, to_document(state(1)))
    good = path.read_bytes()
    evaluator = FlagEvaluator(path)
    evaluator.refresh(0.0)
    if bad is None:
        path.unlink()
    else:
        path.write_text(bad)
    with capture_logs() as logged:
        for now in range(1, 5):
            assert evaluator.evaluate("u", float(now)).generation == 1
    assert evaluator.bad_reads == 1
    assert len(logged) == 1
    assert evaluator.problem
    path.write_bytes(good)
    evaluator.refresh(9.0)
    assert evaluator.problem == ""


def test_two_evaluators_in_one_process_do_not_mix(tmp_path: Path) -> None:
    """Each evaluator reads its own file."""
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for number, file in enumerate(paths, 1):
        write_flags(file, to_document(state(number)))
    evaluators = [FlagEvaluator(file) for file in paths]
    assert [e.evaluate("u", 0.0).generation for e in evaluators] == [1, 2]


def test_document_is_plain_json(path: Path) -> None:
    """The file is JSON that anyone can parse into the document again."""
    document = to_document(state())
    write_flags(path, document)
    assert json.loads(path.read_text()) == document
    assert to_state(json.loads(path.read_text())) == state()


def test_a_shadow_is_told_and_nobodys_variant(path: Path) -> None:
    """The document says it beside the rules, and a copy of an old one mirrors nothing."""
    mirroring = msgspec.structs.replace(state(), shadow=version(3), shadow_share=500)
    assert to_state(to_document(mirroring)) == mirroring
    assert to_document(mirroring)["flags"] == to_document(state())["flags"]
    assert version(3).version in named_in(mirroring)
    write_flags(path, to_document(mirroring))
    evaluator = FlagEvaluator(path, copy=path.with_name("copy.json"))
    evaluator.refresh(0.0)
    assert evaluator.state == mirroring
    path.unlink()
    again = FlagEvaluator(path, copy=path.with_name("copy.json"))
    again.refresh(0.0)
    assert again.state is not None
    assert (again.state.shadow, again.state.shadow_share) == (None, 0)
    for wrong in ({"shadow_share": 0}, {"shadow": None}, {"shadow_share": 10_001}):
        with pytest.raises(ValueError, match="shadow"):
            to_state(to_document(msgspec.structs.replace(mirroring, **wrong)))
