"""Fetching Kafka: idempotent, and clear where something is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from kafka_server import FETCH, KafkaMissing, KafkaServer, kafka_jars


def fetch(path: str, cache: Path) -> "subprocess.CompletedProcess[str]":
    bash = shutil.which("bash")
    assert bash is not None
    return subprocess.run(
        [bash, str(FETCH)],
        env={**os.environ, "PATH": path, "RLWD_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_missing_tool_is_named_with_what_to_install(tmp_path: Path) -> None:
    """Without Java or Maven it ends at once and says how to get them, and leaves nothing behind."""
    empty = tmp_path / "bin"
    empty.mkdir()
    found = fetch(str(empty), tmp_path / "cache")
    assert found.returncode == 3
    assert "'java' is missing" in found.stderr
    assert "apt-get install" in found.stderr
    (empty / "java").symlink_to("/bin/true")
    assert "'mvn' is missing" in fetch(str(empty), tmp_path / "cache").stderr
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_is_there_is_only_named(tmp_path: Path) -> None:
    """With the jars in place no tool is needed."""
    libs = tmp_path / "kafka-4.3.1" / "libs"
    libs.mkdir(parents=True)
    found = fetch("/nonexistent", tmp_path)
    assert (found.returncode, found.stdout.strip()) == (0, str(libs))


def test_two_fetches_at_once_agree(tmp_path: Path) -> None:
    """A second one waits for the first, or takes its result; half a fetch never shows."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "java").symlink_to("/bin/true")
    # Stands for Maven: slow, and writes one jar where it is told to.
    (tools / "mvn").write_text(
        '#!/bin/bash\nsleep 0.3\nfor word in "$@"; do case $word in -DoutputDirectory=*)'
        ' mkdir -p "${word#*=}"; echo jar > "${word#*=}/kafka.jar";; esac; done\n'
    )
    (tools / "mvn").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "RLWD_CACHE": str(tmp_path / "cache"),
    }
    both = [
        subprocess.Popen(["bash", str(FETCH)], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = {each.communicate(timeout=300)[0].strip() for each in both}
    libs = tmp_path / "cache" / "kafka-4.3.1" / "libs"
    assert answers == {str(libs)}
    assert [file.name for file in libs.iterdir()] == ["kafka.jar"]
    assert not list((tmp_path / "cache").glob("*partial*"))


def test_a_failed_fetch_is_an_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KafkaMissing carries what the script said."""
    monkeypatch.setenv("RLWD_CACHE", str(tmp_path))
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("java", "mvn"):
        (tools / name).symlink_to("/bin/false")
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    with pytest.raises(KafkaMissing, match=r"Maven could not fetch Kafka 4\.3\.1"):
        kafka_jars()


@pytest.mark.kafka
def test_topics_are_made_once(kafka_server: KafkaServer) -> None:
    """Asking again for a topic that exists is no error and changes nothing."""
    kafka_server.create_topics(["made-once"], partitions=3)
    kafka_server.create_topics(["made-once", "made-later"], partitions=5)
    from kafka.admin import KafkaAdminClient

    admin = KafkaAdminClient(bootstrap_servers=kafka_server.bootstrap)
    counts = {
        each["name"]: len(each["partitions"])
        for each in admin.describe_topics(["made-once", "made-later"])
    }
    admin.close()
    assert counts == {"made-once": 3, "made-later": 5}
