#!/usr/bin/env bash
# Installs the clients that the gateway's tests speak through, each set in an environment of its own,
# since two versions of one package cannot be in one. They are kept in the cache and made once.
set -euo pipefail
cd "$(dirname "$0")/clients"
PYTHON=${PYTHON:-python3}
CACHE=${RLWD_CLIENTS:-${XDG_CACHE_HOME:-$HOME/.cache}/rlwd/clients}
mkdir -p "$CACHE"
exec 9>"$CACHE/lock"
flock 9
for list in *.txt; do
    name=${list%.txt}
    if cmp -s "$list" "$CACHE/$name/installed.txt"; then
        continue
    fi
    rm -rf "${CACHE:?}/$name"
    "$PYTHON" -m venv "$CACHE/$name"
    "$CACHE/$name/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$list"
    cp "$list" "$CACHE/$name/installed.txt"
done
# Node's clients, where npm is there; without them their tests say so and are left out.
if command -v npm > /dev/null && ! cmp -s node/package.json "$CACHE/node/installed.json"; then
    rm -rf "${CACHE:?}/node"
    mkdir "$CACHE/node"
    cp node/package.json "$CACHE/node/"
    if (cd "$CACHE/node" && npm install --silent --no-audit --no-fund); then
        cp node/package.json "$CACHE/node/installed.json"
    else
        echo "npm could not install Node's clients" >&2
    fi
fi
echo "$CACHE"
