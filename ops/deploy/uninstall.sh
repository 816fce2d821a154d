#!/bin/sh
# Takes away what install.sh brought: units, command, every release in /opt/rlwd. Run it as root.
#
#     sh ops/deploy/uninstall.sh [--purge]
#
# Config, secrets, state and the user stay, so that install.sh finds them again; --purge takes those
# away too, and with them all that was learned.
set -eu
test "$(id -u)" = 0 || { echo "uninstall.sh: run it as root" >&2; exit 1; }
case ${1:-} in
    "" | --purge) ;;
    *) echo "uninstall.sh: $1 is not --purge" >&2; exit 1 ;;
esac

units=/usr/local/lib/systemd/system
if test -d /opt/rlwd; then
    exec 9> /opt/rlwd/.lock
    flock -n 9 || { echo "uninstall.sh: install.sh is at work" >&2; exit 1; }
fi
# Patterns, which may find nothing: it may have been run before. Ingest members are units of the operator's.
if test -d /run/systemd/system; then systemctl stop 'rlwd-*.service' 'rlwd.service*'; fi
for unit in /etc/systemd/system/rlwd-*.service; do
    test ! -e "$unit" || echo "$unit is your own, and starts what is gone: systemctl disable $(basename "$unit")" >&2
done
rm -f /etc/systemd/system/*.wants/rlwd.service /etc/systemd/system/*.wants/rlwd-gateway@*.service \
    /etc/systemd/system/*.wants/rlwd-router.service
rm -f "$units/rlwd.service" "$units/rlwd-gateway@.service" "$units/rlwd-router.service"
rm -f /usr/local/bin/rlwd /usr/local/lib/sysusers.d/rlwd.conf
rm -rf /opt/rlwd /var/cache/rlwd
if test -d /run/systemd/system; then systemctl daemon-reload; fi

if test "${1:-}" = --purge; then
    # First of all: it fails while a process of the user's runs, such as vLLM, and nothing is lost yet.
    if getent passwd rlwd > /dev/null; then userdel rlwd; fi
    rm -rf /etc/rlwd /var/lib/rlwd \
        /etc/systemd/system/rlwd.service.d /etc/systemd/system/rlwd-gateway@*.service.d \
        /etc/systemd/system/rlwd-router.service.d
    echo "rlwd is gone, with its config and its state."
else
    echo "rlwd is gone. /etc/rlwd, /var/lib/rlwd and the user rlwd stay: --purge takes them away."
fi
