"""Chaos at instants: the daemon dies once at each place between two durable writes, one by one.

At one of them the files of the version on offer are spoilt while the daemon is dead, and at two of
them an operator's rollback is left half done: by the command, then by the daemon that finishes it.
"""

import asyncio
import os
import subprocess
import sys
from collections import Counter

from kafka_server import KafkaServer
from waiting import until

from rlwd.daemon.config import load_config
from rlwd.daemon.demo.crowd import Crowd
from rlwd.daemon.demo.processes import DemoProcesses
from rlwd.daemon.sections import StreamSettings
from rlwd.daemon.store import state_store
from rlwd.learner.checkpoint.folder import checkpoint_path, newest_valid
from rlwd.ops.rollout import rollouts_table
from rlwd.ops.rollout.publish_flags import is_current
from rlwd.streams.log.kafka_source import KafkaSettings, KafkaSink
from rlwd.streams.state.crash_points import CrashPoint

CRASH_AT = "RLWD_CRASH_AT"
INSTANT_SECONDS = HEALTHY_SECONDS = 400.0
KILLED = 137

Kills = Counter[str]


async def run_instants(
    loop: DemoProcesses, broker: KafkaServer, crowd: Crowd, kills: Kills
) -> None:
    """End the daemon once at each instant while the crowd goes on; each one finishes what the last left."""
    crowding = asyncio.create_task(crowd.run())
    try:
        await asyncio.to_thread(loop.daemon.stop)
        for instant in CrashPoint:
            if instant not in (CrashPoint.TAKEN_BACK, CrashPoint.RETURNED):
                await asyncio.to_thread(_die_at, loop, broker, instant, kills)
        await asyncio.to_thread(_die_while_taking_back, loop, kills)
    finally:
        crowd.stopping.set()
    await asyncio.to_thread(recover, loop, broker)
    await asyncio.to_thread(
        until, lambda: _is_undone(loop), HEALTHY_SECONDS, told=lambda: "the rollback's end"
    )
    await crowding


def _die_at(loop: DemoProcesses, broker: KafkaServer, instant: CrashPoint, kills: Kills) -> None:
    _start(loop, instant)
    if instant is CrashPoint.FORWARDED:
        _poison(broker)
    _await_death(loop, instant, kills)
    if instant is CrashPoint.OFFERED:
        _spoil_newest(loop)


def _die_while_taking_back(loop: DemoProcesses, kills: Kills) -> None:
    """Take back what is under way: the command dies half-way, and so does who finishes it."""
    _start(loop, CrashPoint.RETURNED)
    until(
        lambda: _take_back(loop) == KILLED, INSTANT_SECONDS, told=lambda: "a version to take back"
    )
    kills[f"rollback at {CrashPoint.TAKEN_BACK}"] += 1
    _await_death(loop, CrashPoint.RETURNED, kills)


def _start(loop: DemoProcesses, instant: CrashPoint) -> None:
    """Start the daemon that is to die at an instant, as the supervisor of a dead one does."""
    loop.daemon.environment[CRASH_AT] = instant
    loop.daemon.spawn()


def _await_death(loop: DemoProcesses, instant: CrashPoint, kills: Kills) -> None:
    until(lambda: not loop.daemon.alive, INSTANT_SECONDS, told=lambda: f"instant {instant}")
    loop.daemon.environment.pop(CRASH_AT)
    kills[f"daemon at {instant}"] += 1


def _take_back(loop: DemoProcesses) -> int | None:
    """Run the operator's command, to die once the tables say so; return its exit status.

    None where nothing is under way. It names the version: `candidate` may mean one that was refused
    in the last minutes.
    """
    config = load_config(loop.config)
    store = state_store(config)
    with store.reading() as view:
        rollout = rollouts_table.current(view, config.policy)
    store.close()
    if rollout is None:
        return None
    command = [sys.executable, "-m", "rlwd.daemon", "rollback", rollout.version]
    return subprocess.run(
        [*command, "--reason", "chaos", "--config", str(loop.config)],
        env={**os.environ, CRASH_AT: CrashPoint.TAKEN_BACK},
        capture_output=True,
        check=False,
    ).returncode


def _is_undone(loop: DemoProcesses) -> bool:
    """Return whether the learner came back and the flag file says what the tables say."""
    config = load_config(loop.config)
    store = state_store(config)
    with store.reading() as view:
        undone = rollouts_table.must_return(view, config.policy) is None and is_current(
            view, config.policy, config.rollout
        )
    store.close()
    return undone


def _spoil_newest(loop: DemoProcesses) -> None:
    """Change one bit of the adapter on offer, as a bad disk does."""
    checkpoints = load_config(loop.config).state_path / "checkpoints"
    newest = newest_valid(checkpoints)
    assert newest is not None, "something was offered"
    folder = checkpoint_path(checkpoints, newest.sequence) / newest.version
    weights = folder / "adapter_model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)


def _poison(broker: KafkaServer) -> None:
    """Write a record that is no event, so that there is a dead letter to forward."""
    sink = KafkaSink(KafkaSettings(bootstrap_servers=(broker.bootstrap,)))
    sink.send(StreamSettings().generations, "poison", b"no event")
    sink.flush(30.0)
    sink.close()


def recover(loop: DemoProcesses, broker: KafkaServer) -> None:
    """Start whatever is dead, and wait until all of it is well."""
    for server in (broker, loop.engine, loop.daemon, loop.gateway):
        if not server.alive:
            server.spawn()
        until(server.healthy, server.start_seconds, told=server.tail)
