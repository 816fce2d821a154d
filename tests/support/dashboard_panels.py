"""Dashboard panels: what each shows, what to look for in it, and what it asks Prometheus for."""

from typing import NamedTuple

RATE = "$__rate_interval"


class Shown(NamedTuple):
    """One panel."""

    title: str
    """What it shows, in a few words."""
    said: str
    """What to look for in it."""
    unit: str
    """Grafana's name of the unit."""
    queries: dict[str, str]
    """PromQL, by how its series are named."""
    now: bool = False
    """Whether it is the number of now, and no curve."""


def rate_of(metric: str, by: str) -> str:
    """Return the query of a counter's rate in the interval that Grafana finds fit."""
    return f"sum by ({by}) (rate({metric}[{RATE}]))"


def quantile_of(share: float, metric: str, by: str) -> str:
    """Return the query of a histogram's quantile."""
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket[{RATE}])))"


def since(metric: str) -> str:
    """Return the query of how long ago something was."""
    return f"time() - max({metric})"


HOSTS: dict[str, tuple[Shown, ...]] = {
    "Gateways": (
        Shown(
            "Requests by status",
            "503 is no engine or no flags, 502 and 504 an engine that failed.",
            "reqps",
            {"{{status}}": rate_of("rlwd_gateway_requests_total", "status")},
        ),
        Shown(
            "Time to the last byte",
            "Half of the answers, and 95 in a hundred, by variant.",
            "s",
            {
                "{{variant}} 50 %": quantile_of(0.5, "rlwd_gateway_latency_seconds", "variant"),
                "{{variant}} 95 %": quantile_of(0.95, "rlwd_gateway_latency_seconds", "variant"),
            },
        ),
        Shown(
            "The gateway's own share",
            "From a request's last byte to the engine's being asked, 99 in a hundred.",
            "s",
            {"{{instance}}": quantile_of(0.99, "rlwd_gateway_before_engine_seconds", "instance")},
        ),
        Shown(
            "Spool",
            "Bytes that the log does not have yet, against the limit.",
            "bytes",
            {
                "{{instance}}": "sum by (instance) (rlwd_gateway_spool_bytes)",
                "limit": "max(sum by (instance) (rlwd_gateway_spool_limit_bytes))",
            },
        ),
        Shown(
            "Lost",
            "Records that a full spool dropped or the disk did not take, in the last hour.",
            "short",
            {"{{instance}}": "sum by (instance) (increase(rlwd_gateway_spool_dropped_total[1h]))"},
        ),
        Shown(
            "Workers that died",
            "Started again by their parent, in the last half hour, by worker (`gateway.workers`).",
            "short",
            {
                "{{instance}} {{worker}}": "sum by (instance, worker) (increase(rlwd_gateway_worker_starts_total[30m]))"
            },
        ),
        Shown(
            "Flags",
            "Generation that each gateway serves, and the one that was decided last.",
            "short",
            {
                "{{instance}}": "max by (instance) (rlwd_gateway_flag_generation)",
                "decided": "max(rlwd_flag_generation)",
            },
        ),
    ),
    "Processes": (
        Shown(
            "Processor time",
            "Cores that each process uses; learner and engine are processes of their own.",
            "short",
            {
                "{{job}} {{instance}}": 'sum by (job, instance) (rate(process_cpu_seconds_total{job=~"rlwd.*"}[$__rate_interval]))'
            },
        ),
        Shown(
            "Memory",
            "Resident.",
            "bytes",
            {
                "{{job}} {{instance}}": 'sum by (job, instance) (process_resident_memory_bytes{job=~"rlwd.*"})'
            },
        ),
        Shown(
            "Room on disks",
            "Share that is left of the state's disk and the spools'.",
            "percentunit",
            {
                "{{instance}} {{folder}}": "min by (instance, folder) (rlwd_disk_free_bytes / rlwd_disk_size_bytes)"
            },
        ),
        Shown(
            "Log lines",
            "By level; an error or critical line is an alert.",
            "cps",
            {"{{job}} {{level}}": rate_of("rlwd_log_lines_total", "job, level")},
        ),
        Shown(
            "A turn of the loop",
            "Without waiting for records, 95 in a hundred.",
            "s",
            {"{{instance}}": quantile_of(0.95, "rlwd_tick_seconds", "instance")},
        ),
        Shown(
            "Files open",
            "Share of the file descriptors that a process may have.",
            "percentunit",
            {
                "{{job}} {{instance}}": 'max by (job, instance) (process_open_fds{job=~"rlwd.*"} / process_max_fds{job=~"rlwd.*"})'
            },
        ),
    ),
}
"""Gateways and processes, by row."""
