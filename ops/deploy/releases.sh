#!/bin/sh
# The releases of rlwd on a machine. Each is an environment of its own, FOLDER/releases/NAME, which is never
# changed once something ran from it. FOLDER/current is a link to the one that is started next, and
# FOLDER/previous to the one before. install.sh calls this.
#
#     sh releases.sh FOLDER adopt          an environment that stands in FOLDER itself becomes a release
#     sh releases.sh FOLDER switch NAME    NAME is started next
#     sh releases.sh FOLDER abandon NAME   take NAME away; status 1, and it stays, where it is started next
#     sh releases.sh FOLDER back           the one before is started next; twice, and nothing has changed
#     sh releases.sh FOLDER sweep          take away what is neither of both and is run by nobody
#     sh releases.sh FOLDER list           each release, what it is, and which processes run it
set -eu
folder=$(cd "$1" && pwd -P) action=$2 name=${3:-}
in_place=in-place

point() {
    # By rename(2): who starts at this moment finds the old link or the new one. `ln -sf` alone may take
    # the old one away first.
    ln -sfn "$2" "$folder/.$1.next"
    mv -fT "$folder/.$1.next" "$folder/$1"
}

pointed() {
    if test -L "$folder/$1"; then basename "$(readlink "$folder/$1")"; fi
}

switch() {
    test -x "$folder/releases/$1/bin/rlwd" || { echo "$folder/releases/$1: is no release" >&2; exit 1; }
    before=$(pointed current)
    if test "$before" = "$1"; then return; fi
    # This one first: cut off in between, it says too little, and nothing wrong.
    if test -n "$before" && ! is_untried "$before"; then point previous "releases/$before"; fi
    point current "releases/$1"
    sync -f "$folder"
}

processes() {
    # A process has its environment's Python as first argument, and its libraries mapped. The pattern comes
    # by a pipe: as an argument of grep's it would find itself.
    place=$folder/releases/$1
    if test -L "$place"; then place=$folder; fi
    printf '%s\n' "$place/bin/" "$place/lib/" \
        | { grep -lasF -f - /proc/[0-9]*/cmdline /proc/[0-9]*/maps || true; } \
        | cut -d / -f 3 | sort -nu
}

is_untried() {
    # Nobody runs it, and what was there before it runs still: that is what one wants to go back to.
    known=$(pointed previous)
    test -n "$known" && test "$known" != "$1" && test "$action" = switch \
        && test -z "$(processes "$1")" && test -n "$(processes "$known")"
}

take_away() {
    if test "$1" = "$in_place"; then
        find "$folder" -mindepth 1 -maxdepth 1 ! -name releases ! -name current ! -name previous \
            ! -name .lock -exec rm -rf {} +
    fi
    rm -rf "${folder:?}/releases/$1"
    echo "taken away: $folder/releases/$1"
}

each() {
    for place in "$folder"/releases/*; do
        if test -e "$place"; then basename "$place"; fi
    done
}

what() {
    # As pip wrote it down: rlwd-0.1.0.dist-info.
    for info in "$folder/releases/$1"/lib/python3*/site-packages/rlwd-*.dist-info; do
        test ! -d "$info" || basename "$info" .dist-info | tr - ' '
    done
}

case $action in
    adopt)
        test -e "$folder/pyvenv.cfg" && test ! -L "$folder/releases/$in_place" || exit 0
        mkdir -p "$folder/releases"
        ln -s .. "$folder/releases/$in_place"
        switch "$in_place"
        ;;
    switch) switch "$name" ;;
    abandon)
        test "$(pointed current)" != "$name" || exit 1
        rm -rf "${folder:?}/releases/${name:?}"
        ;;
    back)
        before=$(pointed previous)
        test -n "$before" || { echo "$folder/previous: there is no release before this one" >&2; exit 1; }
        switch "$before"
        ;;
    sweep)
        for one in $(each); do
            if test "$one" = "$(pointed current)" || test "$one" = "$(pointed previous)"; then continue; fi
            if test -z "$(processes "$one")"; then take_away "$one"; fi
        done
        ;;
    list)
        for one in $(each); do
            role=
            if test "$one" = "$(pointed previous)"; then role=" (previous)"; fi
            if test "$one" = "$(pointed current)"; then role=" (current)"; fi
            echo "$one$role: $(what "$one")"
            for pid in $(processes "$one"); do
                echo "    $pid $(sed -n 's|.*/\([^/]*\.service\).*|\1|p' "/proc/$pid/cgroup" | head -n 1)"
            done
        done
        ;;
    *) echo "releases.sh: $action is none of adopt, switch, abandon, back, sweep, list" >&2; exit 1 ;;
esac
