#!/bin/sh
# Installs rlwd on a Debian machine with systemd: user, command, config and units. Run it as root.
#
#     sh ops/deploy/install.sh [WHAT]     installs; again, it is the upgrade
#     sh ops/deploy/install.sh --back     the release before is started next; once more, and the newer one is
#     sh ops/deploy/install.sh --list     the releases, and which processes run which
#
# WHAT is what pip installs: a wheel, a folder, or `rlwd`; this checkout where it is left out. EXTRAS come
# with it: those of the last time, at first `learner`; `learner,postgres` where a server holds the state,
# none (EXTRAS=) on a host that only runs gateways. What /etc/rlwd/packages.txt lists comes with every
# release. PIP_OPTIONS are passed on to pip.
#
# Each release is an environment of its own in /opt/rlwd/releases, and /opt/rlwd/current a link to the one
# that is started next. It is switched once all is there: what fails before leaves everything as it was, and
# what runs goes on with its own release until it is restarted. Config, drop-ins and state stay as they are.
set -eu
# Whatever root's is: the user rlwd has to read what is installed.
umask 022
# Nor does what root's shell, or the folder that this is typed in, has of Python's get in: hence `-I`.
unset PYTHONPATH PYTHONHOME
here=$(cd "$(dirname "$0")" && pwd)
folder=/opt/rlwd
packages=/etc/rlwd/packages.txt
units=/usr/local/lib/systemd/system

releases() { sh "$here/releases.sh" "$folder" "$@"; }

place() {
    # By rename: nobody reads half of a file.
    install -D -m 644 "$1" "$2.next"
    mv -f "$2.next" "$2"
}

deployed() {
    # The files that came with a release: its own units, and not those beside this script.
    for found in "$folder/$1"/lib/python3*/site-packages/rlwd/ops/deploy; do
        test ! -e "$found/rlwd.service" || { echo "$found"; return; }
    done
    echo "install.sh: $folder/$1 holds no units" >&2
    return 1
}

start_next() {
    # Called once the link is switched: units of one release, and the command.
    from=$(deployed current)
    for unit in rlwd.service rlwd-gateway@.service rlwd-router.service; do
        test ! -e "/etc/systemd/system/$unit" || echo "/etc/systemd/system/$unit is used in place of ours" >&2
        # A release before the first with a router has no unit of one.
        test -e "$from/$unit" || { rm -f "$units/$unit"; continue; }
        place "$from/$unit" "$units/$unit"
    done
    ln -sfn "$folder/current/bin/rlwd" /usr/local/bin/.rlwd.next
    mv -fT /usr/local/bin/.rlwd.next /usr/local/bin/rlwd
    if test -d /run/systemd/system; then systemctl daemon-reload; fi
}

beside() {
    # What an environment has that nothing in it asks for: what somebody added.
    "$1/bin/python" -I -m pip list --disable-pip-version-check --local --not-required --format=freeze \
        --exclude rlwd --exclude pip --exclude setuptools --exclude wheel | sed 's/==.*//' | sort
}

lacking() {
    # Of what was added to the release before, what this one has not.
    "$release/bin/python" -I -m pip list --disable-pip-version-check --format=freeze \
        | sed 's/==.*//' | sort > "$release/has"
    beside "$folder/$before" | comm -23 - "$release/has"
    rm "$release/has"
}

as_it_was() {
    # As pip names it: with its version, or with the file that it came from.
    "$folder/$before/bin/python" -I -m pip freeze --disable-pip-version-check --local --all \
        | grep -iE "^$1( @|==)" || echo "$1"
}

test "$(id -u)" = 0 || { echo "install.sh: run it as root" >&2; exit 1; }
systemctl --version > /dev/null || { echo "install.sh: systemd is needed" >&2; exit 1; }
if test "${1:-}" = --list; then
    releases list
    exit
fi
install -d -m 755 "$folder" "$folder/releases"
exec 9> "$folder/.lock"
flock -n 9 || { echo "install.sh: another one is at work" >&2; exit 1; }
releases adopt
case ${1:-} in
    --back)
        test ! -L "$folder/previous" || deployed previous > /dev/null
        trap '' INT TERM HUP
        releases back
        start_next
        releases list
        echo "What runs goes on until it is restarted: systemctl restart rlwd, then one gateway after the other."
        exit
        ;;
    --*) echo "install.sh: $1 is neither --back nor --list" >&2; exit 1 ;;
esac

command -v python3 > /dev/null || { echo "install.sh: python3 is needed" >&2; exit 1; }
# By its own name, such as python3.11: a later python3 of the system's finds nothing in it.
python=$(readlink -f "$(command -v python3)")
case $python in
    /home/* | /root/* | /run/user/*)
        echo "install.sh: $python: the units see nothing there; put the system's first: PATH=/usr/bin:\$PATH" >&2
        exit 1
        ;;
esac
"$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || { echo "install.sh: $python: Python 3.11 or later is needed" >&2; exit 1; }

before=$(readlink "$folder/current" || true)
# What an upgrade left that was cut off with its machine takes room that this one needs.
releases sweep
name=$(date -u +%Y%m%d-%H%M%S)
# Where the clock was set back: what is there already is never written to.
test ! -e "$folder/releases/$name" || name=$name-$$
release=$folder/releases/$name
mkdir "$release"
ended() {
    test $? != 0 || return 0
    if releases abandon "$name"; then
        echo "install.sh: stopped: what is installed and what runs are as they were" >&2
    else
        echo "install.sh: stopped once $name was what is started next: run it again, or --back" >&2
    fi
}
trap ended EXIT
trap 'exit 130' INT TERM HUP

extras=${EXTRAS-$(cat "$folder/current/extras" 2> /dev/null || echo learner)}
what=${1:-"$here/../.."}
case $what in
    *"["*) ;;
    *) what=$what${extras:+"[$extras]"} ;;
esac
"$python" -I -m venv "$release"
listed=
if test -e "$packages"; then listed="--requirement $packages"; fi
# shellcheck disable=SC2086  # several options
"$release/bin/python" -I -m pip install --disable-pip-version-check ${PIP_OPTIONS:-} $listed "$what"
echo "$extras" > "$release/extras"

install -D -m 644 "$here/rlwd.sysusers" /usr/local/lib/sysusers.d/rlwd.conf
systemd-sysusers rlwd.conf
install -d -m 750 -o root -g rlwd /etc/rlwd
install -d -m 700 /etc/rlwd/secrets
install -d -m 700 -o rlwd -g rlwd /var/lib/rlwd
# By who has that folder: a link that lies there would lead root to any other.
test -L /var/lib/rlwd/models \
    || setpriv --reuid=rlwd --regid=rlwd --clear-groups mkdir -p -m 700 /var/lib/rlwd/models

if test -n "$before"; then
    left=$(lacking)
    if test -n "$left" && test ! -e "$packages"; then
        # An environment that was changed in place: what was added to it by hand comes along.
        for one in $left; do as_it_was "$one"; done > "$packages.next"
        echo "installed beside rlwd, and from now on with every release: see $packages"
        mv -f "$packages.next" "$packages"
        # shellcheck disable=SC2086
        "$release/bin/python" -I -m pip install --disable-pip-version-check ${PIP_OPTIONS:-} \
            --requirement "$packages" || { echo "install.sh: correct $packages" >&2; exit 1; }
    elif test -n "$left"; then
        echo "not in $packages, and so not in this release:" $left >&2
    fi
fi
test -e "$packages" || cat > "$packages" << 'PACKAGES'
# What install.sh installs into every release beside rlwd: your plug-ins, as pip's requirements, one a line.
# Paths are absolute.
PACKAGES

deployed "releases/$name" > /dev/null
test -e /etc/rlwd/rlwd.toml \
    || install -m 640 -o root -g rlwd "$(deployed "releases/$name")/rlwd.toml" /etc/rlwd/rlwd.toml
# It would end with status 2 at the next start, and stay down.
"$release/bin/python" -I -c 'import pathlib, sys; from rlwd.daemon.config import load_config
try: load_config(pathlib.Path("/etc/rlwd/rlwd.toml"))
except ValueError as problem: sys.exit(f"install.sh: this release does not take the config: {problem}")'
# Nothing of it may be lost with the power once a link names it.
sync -f "$release"
# From here to the end it is done in a moment, and half of it would be neither release.
trap '' INT TERM HUP
releases switch "$name"
start_next
releases sweep

echo "Installed. First time: put a model into /var/lib/rlwd/models/base, edit /etc/rlwd/rlwd.toml, then"
echo "    sudo -u rlwd rlwd doctor --config /etc/rlwd/rlwd.toml"
echo "    systemctl enable --now rlwd rlwd-gateway@8080"
echo "After an upgrade: systemctl restart rlwd, then one gateway after the other; --list says who runs what."
