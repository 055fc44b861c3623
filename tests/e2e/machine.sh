# One real machine: systemd as process 1 of namespaces of its own (pid, mount, cgroup, network, ipc, uts) on this kernel, a
# lingering user alice with her user manager, rootless Podman, /home on a filesystem of its own. Sourced. Needs root.
#
#   AIDB_E2E_DIR    images and machines (default ${XDG_CACHE_HOME:-~/.cache}/aidb-e2e)
#   AIDB_E2E_NAME   the machine's name; machines of different names run side by side (default: a new one each run)
#
# What it does not show: another kernel or its crash, udev, a real network. At a power cut /home on XFS or ext4 loses what was
# not synced (FS_IOC_SHUTDOWN); Btrfs has no such call and keeps its page cache; a disk's own write cache is never lost.

here=${here:?the folder of this file}
. "$here/../packages.sh"
cache=${AIDB_E2E_DIR:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/aidb-e2e}

# Images are named for what they are made of: another recipe is another image.
recipe() { find "$@" -type f | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-12; }
image=$cache/image-$(recipe "$here/machine/packages" "$here/machine/setup")
homes=$image/homes-$(recipe "$here/applications" "$here/guest/images")
machine=$cache/machines/${AIDB_E2E_NAME:-run-$$}

now_ms() { echo $(($(date +%s%N) / 1000000)); }

# Installs the Debian packages that make and run a machine. Says what is missing, and fails, if it cannot.
install_machine_packages() { install_packages mmdebstrap btrfs-progs xfsprogs e2fsprogs xz-utils util-linux uidmap jq; }

# Makes the tree of Debian trixie that every machine starts from, unless it is there: about a minute, half a GiB.
make_image() (
  set -euo pipefail
  [ ! -e "$image/done" ] || exit 0
  rm -rf "$image"
  mkdir -p "$image"
  tree=$image/tree
  mmdebstrap --quiet --mode=root --variant=minbase --include="$(grep -v '^#' "$here/machine/packages" | paste -sd,)" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt=force-unsafe-io \
    --aptopt='Acquire::Languages "none"' trixie "$tree"
  install -m 755 "$here/machine/setup" "$tree/setup"
  mount -t proc proc "$tree/proc"
  trap 'umount "$tree/proc"' EXIT
  chroot "$tree" /setup
  umount "$tree/proc"
  trap - EXIT
  rm "$tree/setup"
  # /home is a filesystem of its own.
  mv "$tree/home" "$image/home"
  mkdir "$tree/home"
  touch "$image/done"
)

# Makes the homes that machines start with: alice's, with the applications' container images, on Btrfs and on XFS.
make_homes() (
  set -euo pipefail
  [ ! -e "$homes/done" ] || exit 0
  rm -rf "$homes"
  mkdir -p "$homes/.from"
  truncate -s 12G "$homes/btrfs.img" "$homes/xfs.img"
  mkfs.btrfs -q --rootdir "$image/home" "$homes/btrfs.img" > /dev/null 2>&1
  machine_boot btrfs
  machine_push "$here/applications" /e2e
  for first in "$here"/../fixtures/webui-*.db.xz; do xz -dc "$first" > "$machine/e2e/applications/$(basename "$first" .xz)"; done
  guest images
  machine_halt
  from=$(mktemp -d) to=$(mktemp -d)
  trap 'umount "$from" "$to"; rmdir "$from" "$to"' EXIT
  cp --sparse=always "$machine/home.img" "$homes/btrfs.img"
  mkfs.xfs -q "$homes/xfs.img"
  mount -o loop,ro "$homes/btrfs.img" "$from"
  mount -o loop "$homes/xfs.img" "$to"
  cp -a "$from/." "$to/"
  rm -rf "$homes/.from"
  touch "$homes/done"
)

is_up() { local pid; pid=$(cat "$machine/pid" 2> /dev/null) && kill -0 "$pid" 2> /dev/null; }

# machine_boot [btrfs|xfs]: boots; with a filesystem, a new machine with a clean home. Returns when alice's manager is up.
machine_boot() {
  local fs=${1:-} cgroups options=noatime
  if [ -n "$fs" ]; then
    machine_end
    mkdir -p "$machine/e2e/bin"
    cp --sparse=always --reflink=auto "$homes/$fs.img" "$machine/home.img"
    cp "$here"/guest/* "$machine/e2e/bin/"
    # A user may delete the subvolumes that she made.
    [ "$fs" != btrfs ] || options=$options,user_subvol_rm_allowed
    echo "$fs" > "$machine/home-fs"
    echo "$options" > "$machine/home-options"
  fi
  cgroups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
  if [ -z "$cgroups" ]; then
    cgroups=$cache/cgroup2
    mkdir -p "$cgroups"
    mount -t cgroup2 cgroup2 "$cgroups"
  fi
  rm -f "$machine/init.pid"
  setsid "$here/machine/supervise" "$image" "$machine" "$cgroups/aidb-e2e-$(basename "$machine")" \
    < /dev/null >> "$machine/supervise.log" 2>&1 &
  echo $! > "$machine/pid"
  disown
  machine_wait
}

# Waits until the machine is usable.
machine_wait() {
  local init tries=600
  while [ $((tries -= 1)) -gt 0 ] && is_up; do
    init=$(cat "$machine/init.pid" 2> /dev/null) || init=
    [ -z "$init" ] || [ ! -e "/proc/$init/root/run/e2e-ready" ] || return 0
    sleep 0.1
  done
  echo "the machine did not boot; see $machine/console.log" >&2
  return 1
}

# guest LINE: runs a shell line as alice, in a login session of hers; input, output and status are real.
guest() { enter --uid=alice -p PAMName=login -p 'WorkingDirectory=~' -E DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus /bin/bash -c "$guest_path$1"; }
# guest_root LINE: the same as root.
guest_root() { enter -E HOME=/root /bin/bash -c "$guest_path$1"; }
# What a user has in PATH, with the scenarios' own words.
guest_path='PATH=~/.config/aidb/bin:/e2e/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin; '
enter() {
  local init
  init=$(cat "$machine/init.pid") || { echo "the machine is not up" >&2; return 1; }
  # By systemd: a process that merely entered the namespaces would be in the wrong cgroup.
  nsenter -t "$init" --mount --pid --ipc --uts --net --cgroup --root --wdns=/ \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    systemd-run -q --pipe --wait --collect --expand-environment=no -E LANG=C.UTF-8 "$@"
}

# machine_push PATH FOLDER: copies a file or folder into the machine, alice's from then on (below /e2e: root's).
machine_push() {
  case $2 in
    /e2e*) mkdir -p "$machine$2" && cp -rL "$1" "$machine$2/" ;;
    *) tar -C "$(dirname "$1")" --owner=0 --group=0 -chf - "$(basename "$1")" | guest "mkdir -p '$2' && tar -C '$2' --no-same-owner -xf -" ;;
  esac
}

# machine_reboot: an orderly reboot.
machine_reboot() {
  local before tries=600
  before=$(cat "$machine/init.pid")
  # The connection goes down with the machine.
  guest_root 'systemctl reboot --no-block' > /dev/null 2>&1 || :
  while [ $((tries -= 1)) -gt 0 ] && [ "$(cat "$machine/init.pid" 2> /dev/null)" = "$before" -o ! -s "$machine/init.pid" ]; do sleep 0.05; done
  machine_wait
}

# machine_power_cut: ends it at once; nothing is told, and on XFS what was not synced is lost. Boots again.
machine_power_cut() {
  local init tries=200
  init=$(cat "$machine/init.pid")
  # As root outside, so that no process of the machine learns of it.
  [ "$(cat "$machine/home-fs")" != xfs ] || xfs_io -x -c shutdown "/proc/$init/root/home" || return 1
  kill -9 "$init"
  while [ $((tries -= 1)) -gt 0 ] && is_up; do sleep 0.05; done
  machine_boot
}

# machine_halt: an orderly power off.
machine_halt() {
  local tries=600
  is_up || return 0
  guest_root 'systemctl poweroff --no-block' > /dev/null 2>&1 || :
  while [ $((tries -= 1)) -gt 0 ] && is_up; do sleep 0.05; done
  ! is_up
}

# machine_end: ends it without ceremony and forgets its disks.
machine_end() {
  local tries=200
  if is_up; then
    kill -9 "$(cat "$machine/init.pid")"
    while [ $((tries -= 1)) -gt 0 ] && is_up; do sleep 0.05; done
  fi
  rm -rf "${machine:?}"
}
