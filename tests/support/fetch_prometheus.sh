#!/usr/bin/env bash
# Fetches Debian's Prometheus into the cache, and prints the folder that holds prometheus and promtool.
#
#   tests/support/fetch_prometheus.sh      -> ~/.cache/rlwd/prometheus/usr/bin, or /usr/bin where it is installed
#
# Nothing is installed and no service begins: the package is only unpacked. Run again it only prints.
set -euo pipefail

if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
    dirname "$(command -v promtool)"
    exit 0
fi
cache="${RLWD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rlwd}"
folder="$cache/prometheus"
mkdir -p "$cache"
if command -v flock >/dev/null; then
    exec 9>"$cache/prometheus.lock"
    flock 9
fi
if [ -x "$folder/usr/bin/promtool" ]; then
    echo "$folder/usr/bin"
    exit 0
fi
for tool in apt-get dpkg; do
    if ! command -v "$tool" >/dev/null; then
        echo "fetch_prometheus: '$tool' is missing. Where Debian's package cannot be unpacked, put" \
            "prometheus and promtool on the PATH." >&2
        exit 3
    fi
done
partial="$(mktemp -d "$cache/prometheus.partial.XXXXXX")"
trap 'rm -rf "$partial"' EXIT
cd "$partial"
# Package lists may be missing or old, as in a fresh container.
if ! apt-get download -qq prometheus >&2; then
    apt-get update -qq >&2 || true
    if ! apt-get download -qq prometheus >&2; then
        echo "fetch_prometheus: apt-get could not fetch Debian's prometheus (its lines are above)." >&2
        exit 4
    fi
fi
dpkg -x prometheus_*.deb unpacked
rm -rf "$folder"
mv -T unpacked "$folder"
echo "$folder/usr/bin"
