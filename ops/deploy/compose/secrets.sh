#!/bin/sh
# Makes the secrets of compose.yaml, and of router.yaml, in ./secrets, once: what is there stays as it is.
#
# The folder is its owner's alone. The files in it can be read by every user, since a container sees
# them with the host's owner and mode, and its own user has to read them.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
made() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }
for name in gateway_token user_key http_token postgres_password grafana_password engine_token; do
    test -s "secrets/$name" || made > "secrets/$name"
done
test -s secrets/database_url \
    || printf 'postgresql://rlwd:%s@postgres:5432/rlwd' "$(cat secrets/postgres_password)" > secrets/database_url
chmod 444 secrets/*
