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
# What npm installs, where it is there: Node's clients, and axe, which looks at the daemon's pages.
# Without them their tests say so and are left out.
for set in node doors coding axe; do
    if command -v npm > /dev/null && ! cmp -s "$set/package.json" "$CACHE/$set/installed.json"; then
        rm -rf "${CACHE:?}/$set"
        mkdir "$CACHE/$set"
        cp "$set/package.json" "$CACHE/$set/"
        if (cd "$CACHE/$set" && npm install --silent --no-audit --no-fund); then
            cp "$set/package.json" "$CACHE/$set/installed.json"
        else
            echo "npm could not install $set" >&2
        fi
    fi
done
echo "$CACHE"
