#!/usr/bin/env bash
# Fetches Debian's nginx into the cache, and prints the program.
#
#   tests/support/fetch_nginx.sh      -> ~/.cache/rlwd/nginx/usr/sbin/nginx, or the one that is installed
#
# Nothing is installed and no service begins: the package is only unpacked. Run again it only prints.
set -euo pipefail

if command -v nginx >/dev/null; then
    command -v nginx
    exit 0
fi
cache="${RLWD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rlwd}"
folder="$cache/nginx"
mkdir -p "$cache"
if command -v flock >/dev/null; then
    exec 9>"$cache/nginx.lock"
    flock 9
fi
if [ -x "$folder/usr/sbin/nginx" ]; then
    echo "$folder/usr/sbin/nginx"
    exit 0
fi
for tool in apt-get dpkg; do
    if ! command -v "$tool" >/dev/null; then
        echo "fetch_nginx: '$tool' is missing. Where Debian's package cannot be unpacked, put nginx on the PATH." >&2
        exit 3
    fi
done
partial="$(mktemp -d "$cache/nginx.partial.XXXXXX")"
trap 'rm -rf "$partial"' EXIT
cd "$partial"
# Package lists may be missing or old, as in a fresh container.
if ! apt-get download -qq nginx >&2; then
    apt-get update -qq >&2 || true
    if ! apt-get download -qq nginx >&2; then
        echo "fetch_nginx: apt-get could not fetch Debian's nginx (its lines are above)." >&2
        exit 4
    fi
fi
dpkg -x nginx_*.deb unpacked
# Its libraries are Debian's own; elsewhere it does not start, and is not kept.
unpacked/usr/sbin/nginx -v >&2
rm -rf "$folder"
mv -T unpacked "$folder"
echo "$folder/usr/sbin/nginx"
