#!/bin/sh
# Runs a line of shell in the files of an image, as its container would: as user 10001, with a read-only
# root, /tmp and the state folder apart, and no network but loopback. For where no container runtime is.
#
#     unshare --mount --pid --fork --net sh image_run.sh FILES FOLDER CONFIG LINE
#
# FILES is where the image's files are, FOLDER an empty one, CONFIG what stands at /etc/rlwd/rlwd.toml.
set -eu
files=$1 folder=$2 config=$3 line=$4
mount --make-rprivate /
mount --bind "$files" "$folder"
cd "$folder"
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o uid=10001,gid=10001,mode=700 tmpfs var/lib/rlwd
mount -t tmpfs -o mode=755 tmpfs etc/rlwd
install -m 644 "$config" etc/rlwd/rlwd.toml
mount -t proc proc proc
mount -t tmpfs tmpfs dev
for device in null zero random urandom; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mount -o remount,bind,ro .
ip link set lo up
exec chroot --userspec=10001:10001 . /usr/bin/env -i PATH=/opt/rlwd/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 HOME=/var/lib/rlwd sh -c "cd /var/lib/rlwd; $line"
