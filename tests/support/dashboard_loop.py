"""Dashboard loop: the panels of what the daemon does."""

from dashboard_panels import Shown, rate_of, since

LOOP: dict[str, tuple[Shown, ...]] = {
    "At a glance": (
        Shown(
            "Processes up",
            "Daemons, ingest members and gateways that answer Prometheus.",
            "short",
            {"{{job}}": 'sum by (job) (up{job=~"rlwd.*"})'},
            now=True,
        ),
        Shown(
            "Problems",
            "Each name that is 1 has its heading in docs/runbook.md.",
            "short",
            {"{{name}}": "max by (name) (rlwd_problem)"},
        ),
        Shown(
            "Serves everybody",
            "The champion.",
            "short",
            {"{{version}}": "max by (version) (rlwd_champion_info)"},
            now=True,
        ),
        Shown(
            "Mean reward by variant",
            "Of the last hour's answers that somebody decided on; noisy where they are few.",
            "percentunit",
            {"{{variant}}": "max by (variant) (rlwd_recent_reward_mean)"},
        ),
        Shown(
            "Feedback by variant",
            "Nothing for a while means that the product does not send it, or that it does not arrive.",
            "cps",
            {"{{variant}}": rate_of("rlwd_feedback_total", "variant")},
        ),
        Shown(
            "Answers by variant",
            "As gateways gave them; the shares are those of the flags.",
            "reqps",
            {"{{variant}}": rate_of("rlwd_gateway_generations_total", "variant")},
        ),
    ),
    "Taking in": (
        Shown(
            "Lag",
            "Records that are not read yet, by topic. Horizons wait for it.",
            "short",
            {"{{topic}}": "sum by (topic) (max by (topic, partition) (rlwd_log_lag_records))"},
        ),
        Shown(
            "Records",
            "What became of them; dead letters have each a reason.",
            "cps",
            {"{{outcome}}": "max by (outcome) (rate(rlwd_records_total[$__rate_interval]))"},
        ),
        Shown(
            "Ages",
            "How far every partition was read, and how long the oldest answer has waited.",
            "s",
            {
                "read to": since("rlwd_watermark_timestamp_seconds"),
                "oldest waiting": "time() - max(rlwd_oldest_waiting_timestamp_seconds) or vector(0)",
            },
        ),
        Shown(
            "Fates",
            "How generations ended, of all time.",
            "short",
            {"{{fate}}": 'max by (fate) (rlwd_generations{fate!~"excluded:.+"})'},
        ),
        Shown(
            "Excluded",
            "Generations that nothing is learned from, by rule (docs/fates.md).",
            "short",
            {"{{fate}}": 'max by (fate) (rlwd_generations{fate=~"excluded:.+"})'},
        ),
        Shown(
            "Kinds of feedback",
            "What people and products say.",
            "cps",
            {"{{kind}}": rate_of("rlwd_feedback_total", "kind")},
        ),
    ),
    "Learning and release": (
        Shown(
            "Since the last",
            "How long ago a batch was sealed, a version made, a champion promoted.",
            "s",
            {
                "batch": since("rlwd_last_batch_timestamp_seconds"),
                "version": since("rlwd_last_update_timestamp_seconds"),
                "promotion": since("rlwd_last_promotion_timestamp_seconds"),
            },
        ),
        Shown(
            "Versions",
            "Numbers of the newest checkpoint and of the champion: the space between is undecided.",
            "short",
            {"learner": "max(rlwd_learner_sequence)", "champion": "max(rlwd_champion_sequence)"},
        ),
        Shown(
            "Learner",
            "Whether it lives, how often it died in the last hour, and what it could learn from next.",
            "short",
            {
                "up": "max(rlwd_learner_up)",
                "deaths": "sum(increase(rlwd_learner_deaths_total[1h]))",
                "ready answers": "max(rlwd_ready_answers)",
            },
        ),
        Shown(
            "Stage",
            "Where the rollout under way is.",
            "short",
            {"{{stage}}": "max by (stage) (rlwd_rollout_stage)"},
        ),
        Shown(
            "Verdicts",
            "What gate, shadow and the look at people said last of the rollout under way.",
            "short",
            {"{{by}}: {{verdict}}": "max by (by, verdict) (rlwd_rollout_verdict)"},
        ),
        Shown(
            "Rollouts ended",
            "By how, of all time.",
            "short",
            {"{{end}}": "max by (end) (rlwd_rollouts_ended_total)"},
        ),
        Shown(
            "Engines",
            "Versions that each proved and holds, and proofs that it did not pass.",
            "short",
            {
                "{{engine}}: versions": "max by (engine) (rlwd_engine_versions)",
                "{{engine}}: refused": 'sum by (engine) (rlwd_engine_proofs_total{outcome="refused"})',
            },
        ),
        Shown(
            "Gateways",
            "By whether they act on the newest flags.",
            "short",
            {"{{acting_on}}": "max by (acting_on) (rlwd_gateways)"},
        ),
        Shown(
            "MLflow",
            "What waits for it. Nothing but MLflow lacks it.",
            "short",
            {"{{what}}": "max by (what) (rlwd_mlflow_waiting)"},
        ),
    ),
}
"""What the daemon does, by row."""
