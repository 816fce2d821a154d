#!/bin/sh
# Boots a Debian with systemd as process 1, rlwd installed as docs/install.md says; run it in namespaces of
# its own (process ids, mounts, IPC, host name, network, cgroups): nothing of it is left afterwards.
#
#     systemd_boot.sh DEBIAN FOLDER WHEEL DEPLOY PACKAGES MODEL
#
# DEBIAN is what debootstrap made, and stays as it is; PACKAGES holds what rlwd depends on. The wheels that
# lie beside WHEEL come along; packages_by_path is installed with it, and names /packages to Python.
set -eu
debian=$1 folder=$2 wheel=$3 deploy=$4 packages=$5 model=$6
root=$folder/root
mount --make-rprivate /
mount -t tmpfs tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$root"
mount -t overlay overlay -o "lowerdir=$debian,upperdir=$folder/upper,workdir=$folder/work" "$root"

mkdir "$root/src" "$root/packages" "$root/old"
cp "$(dirname "$wheel")"/*.whl "$root/src/"
cp -r "$deploy" "$root/src/deploy"
mount --bind -o ro "$packages" "$root/packages"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

# As docs/install.md says, but for the packages, which come by path instead of from an index.
mkdir "$root/etc/rlwd"
echo /src/packages_by_path-1.0-py3-none-any.whl > "$root/etc/rlwd/packages.txt"
# Some administrators' root has a umask of its own.
chroot "$root" env PIP_OPTIONS="--no-deps --no-index --quiet" \
    sh -c 'umask 077; sh /src/deploy/install.sh "$1"' sh "/src/$(basename "$wheel")"
cp -r "$model" "$root/var/lib/rlwd/models/base"
chroot "$root" chown -R rlwd: /var/lib/rlwd/models
# The daemon's secret is a credential, the gateway's a variable.
umask 077
echo hunter2 > "$root/etc/rlwd/secrets/http-token"
echo GATEWAY_TOKEN=hunter3 > "$root/etc/rlwd/secrets/gateway.env"
umask 022
for unit in rlwd.service rlwd-gateway@.service; do mkdir "$root/etc/systemd/system/$unit.d"; done
printf '[Service]\nLoadCredential=http-token:/etc/rlwd/secrets/http-token\n' \
    > "$root/etc/systemd/system/rlwd.service.d/secrets.conf"
printf '[Service]\nEnvironmentFile=/etc/rlwd/secrets/gateway.env\n' \
    > "$root/etc/systemd/system/rlwd-gateway@.service.d/secrets.conf"
# shellcheck disable=SC2016  # systemd's variables, and not ours
sed -i -e 's|^\[http\]$|&\ntoken = "file:$CREDENTIALS_DIRECTORY/http-token"|' \
    -e 's|^\[gateway\]$|&\ntoken = "$GATEWAY_TOKEN"|' "$root/etc/rlwd/rlwd.toml"
cat > "$root/etc/systemd/system/engine.service" << 'ENGINE'
[Service]
User=rlwd
Environment=OMP_NUM_THREADS=1
ExecStart=/usr/local/bin/rlwd engine --model /var/lib/rlwd/models/base --port 8000
ENGINE
chroot "$root" systemctl --quiet enable rlwd rlwd-gateway@8080 rlwd-gateway@8081

mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
mkdir "$root/sys/fs/cgroup/systemd"
mount -t cgroup -o none,name=systemd,xattr cgroup "$root/sys/fs/cgroup/systemd"
cd "$root"
# Not chroot: from inside one, units could have no user namespace.
pivot_root . old
umount -l /old
# In a container systemd leaves this to whoever boots it; credentials are mounts that have to spread.
mount --make-rshared /
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=other /lib/systemd/systemd --system \
    --show-status=no systemd.unified_cgroup_hierarchy=0
