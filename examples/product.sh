#!/usr/bin/env bash
# A product in curl: one answer, and what the person did with it. Needs curl and python3.
set -euo pipefail
URL=${RLWD_URL:-http://127.0.0.1:8080}
TOKEN=${RLWD_TOKEN:-none}

answer=$(curl --silent --show-error --fail-with-body "$URL/v1/chat/completions" \
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
  -H 'X-Rlwd-User: ada@example.com' -H 'X-Rlwd-Session: ticket-4714' -H 'X-Rlwd-Segment: reply' \
  -d '{"model": "rlwd", "max_tokens": 24,
       "messages": [{"role": "user", "content": "Write a reply to the customer."}]}')
id=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])' <<<"$answer")
echo "$id"

curl --silent --show-error --fail-with-body "$URL/v1/feedback" \
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
  -d '[{"feedback_id": "'"$id"':accepted", "generation_id": "'"$id"'", "signal": {"kind": "accepted"}},
       {"feedback_id": "'"$id"':kept", "generation_id": "'"$id"'",
        "signal": {"kind": "kept", "fraction": 0.9, "horizon_seconds": 300}}]'
