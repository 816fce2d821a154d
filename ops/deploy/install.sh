#!/bin/sh
# Installs rlwd on a Debian machine with systemd: user, command, config and units. Run it as root.
#
#     sh ops/deploy/install.sh [WHAT]
#
# WHAT is what pip installs: a wheel, a folder, or `rlwd`; this checkout where it is left out. EXTRAS
# come with it: `learner` by default, `learner,postgres` where a server holds the state, none (EXTRAS=)
# on a host that only runs gateways. PIP_OPTIONS are passed on to pip. It may be run again, which is the
# upgrade: config, drop-ins and state stay as they are, and what runs goes on until it is restarted.
set -eu
# Whatever root's is: the user rlwd has to read what is installed.
umask 022
here=$(cd "$(dirname "$0")" && pwd)
what=${1:-"$here/../.."}
extras=${EXTRAS-learner}
case $what in
    *"["*) ;;
    *) what=$what${extras:+"[$extras]"} ;;
esac

test "$(id -u)" = 0 || { echo "install.sh: run it as root" >&2; exit 1; }
systemctl --version > /dev/null || { echo "install.sh: systemd is needed" >&2; exit 1; }
install -D -m 644 "$here/rlwd.sysusers" /usr/local/lib/sysusers.d/rlwd.conf
systemd-sysusers rlwd.conf

test -x /opt/rlwd/bin/python || python3 -m venv /opt/rlwd
# shellcheck disable=SC2086  # several options
/opt/rlwd/bin/pip install --upgrade ${PIP_OPTIONS:-} "$what"
ln -sf /opt/rlwd/bin/rlwd /usr/local/bin/rlwd

install -d -m 750 -o root -g rlwd /etc/rlwd
test -e /etc/rlwd/rlwd.toml || install -m 640 -o root -g rlwd "$here/rlwd.toml" /etc/rlwd/rlwd.toml
install -d -m 700 /etc/rlwd/secrets
install -d -m 700 -o rlwd -g rlwd /var/lib/rlwd /var/lib/rlwd/models
for unit in rlwd.service rlwd-gateway@.service; do
    test ! -e "/etc/systemd/system/$unit" || echo "/etc/systemd/system/$unit is used in place of ours" >&2
done
install -D -m 644 -t /usr/local/lib/systemd/system "$here/rlwd.service" "$here/rlwd-gateway@.service"
if test -d /run/systemd/system; then systemctl daemon-reload; fi

echo "Installed. First time: put a model into /var/lib/rlwd/models/base, edit /etc/rlwd/rlwd.toml, then"
echo "    sudo -u rlwd rlwd doctor --config /etc/rlwd/rlwd.toml"
echo "    systemctl enable --now rlwd rlwd-gateway@8080"
echo "After an upgrade: systemctl restart 'rlwd*'"
