"""Specialists: which policy owns an answer, and how a specialist's config follows from its parent's."""

from pathlib import Path

import pytest

from rlwd.daemon.callers.generation_ids import new_generation_id, served_to, session_of, tag_of
from rlwd.daemon.callers.specialists import Specialists, SpecialistSettings, policy_tag
from rlwd.daemon.config import load_config

PARENT = """\
policy = "main"
[learner]
model = "base"
[batch]
episodes = 64
at_most = 90
[engine]
adapters = 18
[gateway]
user_key = "key"
[mlflow]
experiment = "people"
[triage]
logs = ["all.log"]
webhook = "https://tracker.example/issues"
[privacy.tenants.acme]
redact = false
[specialists.acme]
tenants = ["acme"]
consent = "opt_in"
[specialists.code]
tenants = ["*"]
segments = ["code"]
"""
OWN = 'policy = "acme"\nparent = "rlwd.toml"\n[http]\nport = 8091\n[batch]\nepisodes = 32\n'


def one(*tenants: str, segments: tuple[str, ...] = ()) -> SpecialistSettings:
    return SpecialistSettings(tenants=tenants, segments=segments)


def files(folder: Path, parent: str = PARENT, own: str = OWN) -> Path:
    (folder / "rlwd.toml").write_text(parent)
    path = folder / "acme.toml"
    path.write_text(own)
    return path


def test_the_most_particular_policy_owns_an_answer() -> None:
    """A tenant's for this kind of work, else the tenant's, else that of the kind of work, else the parent."""
    owners = Specialists(
        "main",
        {
            "acme": one("acme"),
            "acme-code": one("acme", segments=("code",)),
            "code": one("*", segments=("code",)),
            "lab-mail": one("lab", segments=("mail",)),
        },
    )
    asked = {
        ("acme", "mail"): "acme",
        ("acme", "code"): "acme-code",
        ("lab", "code"): "code",
        ("lab", "mail"): "lab-mail",
        ("lab", "chat"): "main",
        ("", "default"): "main",
    }
    assert {key: owners.owner(*key) for key in asked} == asked
    assert owners.may_own("acme") == ("acme", "acme-code")
    assert owners.may_own("lab") == ("code", "lab-mail", "main")
    assert owners.may_own("new") == ("code", "main")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('[specialists.other]\ntenants = ["acme"]', r"specialists.other: 'acme' is acme's already"),
        ('[specialists.main]\ntenants = ["b"]', r"specialists.main: .* not the parent's name"),
        ("[specialists.none]\ntenants = []", r"specialists.none.tenants: names of tenants, or"),
        ('[specialists.all]\ntenants = ["*"]', r"specialists.all.segments: needed beside"),
        ('[specialists.b]\ntenants = ["b"]', r"engine.adapters: is 18: .* have 18 .* needs 6"),
        ('[specialists.b]\ntenants = ["b"]\nadapters = 5', r"specialists.b.adapters: 5 is not"),
    ],
)
def test_two_that_own_the_same_or_have_no_room_are_refused(
    tmp_path: Path, more: str, says: str
) -> None:
    """A start ends with the path of the key."""
    with pytest.raises(ValueError, match=says):
        load_config(files(tmp_path, f"{PARENT}{more}\n").with_name("rlwd.toml"))


def test_specialists_need_the_key_that_signs_ids(tmp_path: Path) -> None:
    """Feedback finds the policy that answered by a signed id alone."""
    files(tmp_path, PARENT.replace('user_key = "key"', ""))
    with pytest.raises(ValueError, match=r"gateway.user_key: required with \[specialists\]"):
        load_config(tmp_path / "rlwd.toml")


def test_a_specialist_s_config_follows_from_its_parent_s(tmp_path: Path) -> None:
    """What it says holds, else what the parent says; topics, state, group and flags are of its name."""
    config, parent = load_config(files(tmp_path)), load_config(tmp_path / "rlwd.toml")
    assert (config.policy, config.batch.episodes, config.batch.at_most) == ("acme", 32, 90)
    assert (config.stream.generations, config.gateway.feedback_topic) == (
        "rlwd.generations.acme",
        "rlwd.feedback.acme",
    )
    assert config.stream.kafka.group_id == "rlwd.acme"
    assert config.log_path == parent.log_path
    assert config.spools == parent.spools
    assert config.state_path == parent.state_path / "specialists" / "acme"
    assert str(config.flags_path) == parent.gateway.flags_of("acme")
    # Each policy tells of its own people's problems, and of the machine's log lines one alone.
    assert (config.triage.webhook, config.triage.logs) == (parent.triage.webhook, ())
    assert (config.mlflow.experiment, parent.mlflow.experiment) == ("people/acme", "people")
    # Its people are asked first, those of a tenant with settings of its own too.
    assert config.privacy.of("acme").consent == config.privacy.of("lab").consent == "opt_in"
    assert not config.privacy.of("acme").redact
    assert parent.privacy.of("acme").consent == "opt_out"


@pytest.mark.parametrize(
    ("own", "says"),
    [
        (OWN.replace('"acme"', '"lab"'), r"policy: 'lab' has no \[specialists.lab\] in rlwd.toml"),
        (OWN.replace("[http]\nport = 8091\n", ""), r"http.port: a port of its own is needed"),
        (f'state = "x"\n{OWN}', r"state: stands in rlwd.toml, for all policies; leave it out"),
        (OWN.replace("rlwd.toml", "gone.toml"), r"parent: gone.toml: No such file"),
        (OWN.replace("rlwd.toml", "../rlwd.toml"), r"parent: the name of another config file"),
        (OWN.replace("episodes", "episode"), r"batch.episode: unknown key; did you mean episodes"),
        (OWN.replace('"acme"', '["acme"]'), r"policy: \['acme'\] has no"),
        (
            OWN.replace("[http]\nport = 8091\n", "http = 1\n"),
            r"http: is 1, and a section is needed",
        ),
        (f'{OWN}[stream]\nfeedback = "f"', r"stream.feedback: follows from the policy's name"),
        (f'{OWN}[stream.kafka]\ngroup_id = "rlwd"', r"stream.kafka.group_id: follows from"),
        (f"{OWN}[engine]\nadapters = 18", r"engine.adapters: follows from the policy's name"),
    ],
)
def test_a_specialist_s_config_is_refused_by_key(tmp_path: Path, own: str, says: str) -> None:
    """What it may not say, or its parent does not know, is named."""
    with pytest.raises(ValueError, match=says):
        load_config(files(tmp_path, own=own))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('policy = "main"', 'policy = "main"\nparent = "acme.toml"'), "is a specialist itself"),
        (("[learner]", "stream = 3\n[learner]"), "stream: is 3, and a section is needed"),
        (("[specialists.acme]", "[specialists]\nacme = 3\n[specialists.b]"), "acme: is 3, and"),
        (
            ("[privacy.tenants.acme]\nredact = false", "[privacy.tenants]\nacme = 3"),
            "acme: is 3, and",
        ),
    ],
)
def test_a_parent_that_is_none_is_refused(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    """Two that name one another, and sections that are none, end a specialist's start by their key."""
    with pytest.raises(ValueError, match=says):
        load_config(files(tmp_path, PARENT.replace(*change)))


def test_no_topic_is_another_s(tmp_path: Path) -> None:
    """A name by which a specialist's answers would stand among its parent's feedback is refused."""
    stream = '[stream]\ngenerations = "rlwd"\nfeedback = "rlwd.code"\n'
    with pytest.raises(ValueError, match=r"specialists.code: its topic rlwd.code is another's"):
        load_config(files(tmp_path, f"{PARENT}{stream}").with_name("rlwd.toml"))


def test_a_signed_id_says_whose_answer_it_is() -> None:
    """The tag is part of what is signed; ids without one are the parent's, and foreign ids nobody's."""
    tag = policy_tag("acme")
    own = new_generation_id("s.1", 1e9, "acme", b"key", tag)
    parents = new_generation_id("s.1", 1e9, "acme", b"key")
    assert [tag_of(each) for each in (own, parents, "chatcmpl-1")] == [tag, "", None]
    assert session_of(own) == session_of(parents) == "s.1"
    assert served_to(own, "acme", b"key")
    forged = own.replace(tag, policy_tag("lab"))
    assert served_to(forged, "acme", b"key") is False
