#!/bin/sh
# What pve-sentinel asks of a host over SSH: one POSIX shell program, one round trip, read-only.
#
# It is sent to the stdin of `sh -s -- MODE`. It can be installed as a forced command instead, so that a key can do
# nothing else (authorized_keys):  command="sh /usr/local/lib/pve-sentinel/probe.sh",restrict ssh-ed25519 AAAA...
#
# MODE     tells                                             needs
# probe    /proc, /sys, file systems, clock, kernels         nothing but a user
# updates  packages that apt would upgrade (seconds of CPU)  nothing but a user
# smart    smartctl of each disk, without waking any         sudoers: NAME ALL=(root) NOPASSWD: /usr/sbin/smartctl --json=c -n standby -i -H -A /dev/sd[a-z]
#                                                            (one such line per form of name; never with a *, which matches further options too)
# zpool    errors and scrubs of ZFS pools                    where /dev/zfs is closed, sudoers: NAME ALL=(root) NOPASSWD: /usr/sbin/zpool status -p
#
# The answer is framed, so that what a login shell prints around it and a cut-off answer are told apart:
#
#   @pve-sentinel 1 begin MODE
#   @pve-sentinel 1 open SECTION        then its lines; in most sections PATH:LINE, as grep prints them
#   @pve-sentinel 1 close SECTION
#   @pve-sentinel 1 absent SECTION WHY  what the host could not or would not tell
#   @pve-sentinel 1 end MODE
#
# Whatever changes the meaning of a line makes the 1 a 2. Each marker begins with a line feed of its own.
# Programs are started as few times as can be (one grep reads hundreds of files), what may hang comes last, and
# no program may read our stdin, which the rest of this text may still be in.

# Whole words only: nothing that a client sends is run, or even looked at further.
choose() {
    case "$1" in
        'sh -s -- smart') mode=smart ;;
        'sh -s -- zpool') mode=zpool ;;
        'sh -s -- updates') mode=updates ;;
        *) mode=probe ;;
    esac
}

mark() { printf '\n@pve-sentinel 1 %s\n' "$*"; }

# The first line of what a program said, as a reason.
absent() {
    case "$2" in *"$newline"*) set -- "$1" "${2%%"$newline"*}" ;; esac
    mark absent "$1" "$2"
}

# Whether the programs are there, or why SECTION is not.
has() {
    section=$1
    shift
    for program; do
        command -v "$program" >/dev/null 2>&1 || { absent "$section" "no $program"; return 1; }
    done
}

# Lines as PATH:LINE, of the files that are there; 5000 lines of each, for whatever a file may have become.
lines() { grep -s -H -m 5000 "$@" </dev/null; }

# A program that may wait for a sick device or disk. Some shells have a word to say when it is killed.
patiently() {
    if [ -n "$timeout" ]; then timeout -s KILL 5 "$@"; else "$@"; fi </dev/null 2>/dev/null
}

# First of all, so that the time between the question and this answer is the way there and back.
tell_clock() {
    mark open clock
    date '+%s.%N %z %Z'
    mark close clock
}

tell_proc() {
    mark open proc
    lines . /proc/stat /proc/loadavg /proc/meminfo /proc/vmstat /proc/diskstats /proc/mdstat \
        /proc/pressure/cpu /proc/pressure/io /proc/pressure/memory /proc/pressure/irq \
        /proc/net/dev /proc/net/arp /proc/net/netstat /proc/net/snmp /proc/net/snmp6 \
        /proc/net/sockstat /proc/net/sockstat6 /proc/net/softnet_stat /proc/net/stat/nf_conntrack \
        /proc/sys/net/netfilter/nf_conntrack_count /proc/sys/net/netfilter/nf_conntrack_max \
        /proc/sys/fs/file-nr /proc/sys/kernel/random/entropy_avail /proc/sys/kernel/random/poolsize \
        /proc/sys/kernel/ostype /proc/sys/kernel/osrelease /proc/sys/kernel/version \
        /proc/sys/kernel/hostname /proc/sys/kernel/domainname /etc/os-release /usr/lib/os-release
    # Beside these lines the file has one per scheduling domain, which on a large machine are most of a megabyte.
    [ ! -r /proc/schedstat ] || lines '^cpu' /proc/schedstat
    mark close proc
}

# What is no file, one fact a line.
tell_facts() {
    mark open facts
    # The file is there since Linux 6.1.
    machine=
    [ ! -r /proc/sys/kernel/arch ] || read -r machine </proc/sys/kernel/arch
    [ -n "$machine" ] || machine=$(uname -m)
    printf 'machine %s\n' "$machine"
    case "$machine" in
        x86_64 | i?86) printf 'page_size 4096\n' ;;
        *) printf 'page_size %s\n' "$(getconf PAGESIZE)" ;;
    esac
    for flag in /run/reboot-required /var/run/reboot-required; do
        [ ! -e "$flag" ] || printf 'reboot_required %s\n' "$flag"
    done
    for kernel in /boot/vmlinuz-*; do
        [ ! -e "$kernel" ] || printf 'kernel %s\n' "${kernel#/boot/vmlinuz-}"
    done
    for pin in /etc/kernel/next-boot-pin /etc/kernel/proxmox-boot-pin; do
        pinned=
        [ ! -r "$pin" ] || read -r pinned <"$pin"
        [ -z "$pinned" ] || printf 'pinned %s\n' "$pinned"
    done
    mark close facts
}

# The network devices, without those of guests (there may be thousands of files of them; /proc/net/dev counts for all).
network_files() {
    files= devices=0
    for device in /sys/class/net/*; do
        case "${device##*/}" in
            tap[0-9]*i[0-9]* | veth[0-9]*i[0-9]* | fwbr[0-9]*i[0-9]* | fwln[0-9]*i[0-9]* | fwpr[0-9]*p[0-9]*) continue ;;
        esac
        devices=$((devices + 1))
        [ "$devices" -le 256 ] || break
        for file in addr_assign_type address broadcast carrier carrier_changes carrier_down_count carrier_up_count dev_id \
            dormant duplex flags ifalias ifindex iflink link_mode mtu name_assign_type netdev_group operstate speed \
            tx_queue_len type statistics/rx_nohandler bonding/slaves bonding_slave/mii_status; do
            files="$files$device/$file$newline"
        done
    done
}

tell_sys() {
    network_files
    mark open sys
    cpu='/sys/devices/system/cpu/cpu[0-9]*'
    edac='/sys/devices/system/edac/mc/mc[0-9]*'
    nvme='/sys/class/nvme/nvme[0-9]*'
    power='/sys/class/powercap/*'
    # Split at line feeds only. The names of devices are not to be taken for patterns: that is what the second set is for.
    IFS=$newline
    set -f
    # shellcheck disable=SC2086
    set -- $files
    set +f
    IFS=' '
    # shellcheck disable=SC2086
    lines . "$@" $cpu/cpufreq/scaling_cur_freq $cpu/cpufreq/scaling_min_freq $cpu/cpufreq/scaling_max_freq \
        $cpu/cpufreq/cpuinfo_cur_freq $cpu/cpufreq/cpuinfo_min_freq $cpu/cpufreq/cpuinfo_max_freq \
        $cpu/cpufreq/scaling_governor $cpu/cpufreq/scaling_available_governors \
        $edac/ce_count $edac/ue_count $edac/ce_noinfo_count $edac/ue_noinfo_count \
        $edac/csrow[0-9]*/ce_count $edac/csrow[0-9]*/ue_count \
        $nvme/model $nvme/serial $nvme/firmware_rev $nvme/state $power/name $power/energy_uj \
        /sys/devices/system/clocksource/clocksource[0-9]*/available_clocksource \
        /sys/devices/system/clocksource/clocksource[0-9]*/current_clocksource \
        /sys/class/dmi/id/bios_* /sys/class/dmi/id/board_* /sys/class/dmi/id/chassis_* /sys/class/dmi/id/product_* \
        /sys/class/dmi/id/sys_vendor
    mark close sys
}

# What udev knows of disks.
tell_udev() {
    mark open udev
    set -- /run/udev/data/b[0-9]*
    [ "$#" -le 1000 ] || shift "$(($# - 1000))"
    [ ! -e "$1" ] || lines -E \
        '^E:(ID_(PATH|WWN|MODEL|SERIAL_SHORT|REVISION|ATA_[A-Z_]*|FS_(TYPE|USAGE|UUID|VERSION))|SCSI_IDENT_SERIAL|DM_(NAME|UUID|VG_NAME|LV_NAME|LV_LAYER))=' "$@"
    mark close udev
}

# The clock's discipline has no file, only the system call adjtimex, here with nothing to change.
tell_timex() {
    case "$machine" in
        x86_64) call=159 ;;
        aarch64) call=171 ;;
        *) absent timex "the number of adjtimex on $machine is not known"; return ;;
    esac
    has timex perl || return 0
    mark open timex
    perl -e '$t = "\0" x 256; $r = syscall('"$call"', $t);
        print join(" ", $r, (unpack("l x4 q4 l x4 q3 q2 q q2 l x4 q5 l", $t))[1 .. 20]), "\n" if $r != -1' </dev/null
    mark close timex
}

tell_zfs() {
    [ -d /proc/spl/kstat/zfs ] || return
    mark open zfs
    zfs=/proc/spl/kstat/zfs
    lines . $zfs/abdstats $zfs/arcstats $zfs/dbufstats $zfs/dmu_tx $zfs/dnodestats $zfs/fm $zfs/vdev_cache_stats \
        $zfs/vdev_mirror_stats $zfs/xuio_stats $zfs/zfetchstats $zfs/zil $zfs/*/state $zfs/*/io
    # One file per mounted file system and volume.
    set -- $zfs/*/objset-*
    [ "$#" -le 1000 ] || shift "$(($# - 1000))"
    [ ! -e "$1" ] || lines -E '^(dataset_name|reads|writes|nread|nwritten|nunlinks|nunlinked) ' "$@"
    mark close zfs
}

# Left out: what has no size, and what asks another machine or a daemon, which may never answer (network, cluster and FUSE
# file systems). Asking about an autofs would mount it.
tell_mounts() {
    mark open mounts
    mounts=$(grep -s -v -m 2000 -E '^[^ ]+ [^ ]+ (autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|efivarfs|fusectl|hugetlbfs|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|sysfs|tracefs|nfs4?|nfsd|cifs|smb3|smbfs|ncpfs|afs|coda|ceph|glusterfs|lustre|beegfs|gpfs|ocfs2|gfs2|orangefs|9p|virtiofs|vboxsf|fuse|fuse\.[^ ]*) ' /proc/self/mounts </dev/null)
    printf '%s\n' "$mounts"
    mark close mounts
    points=
    IFS=$newline
    set -f
    for mount in $mounts; do
        mount=${mount#* }
        mount=${mount%% *}
        # Blanks and backslashes are written in octal there.
        case "$mount" in *\\*) mount=$(printf '%b' "$mount") ;; esac
        points="$points$mount$newline"
    done
    # shellcheck disable=SC2086
    set -- $points
    set +f
    IFS=' '
    [ "$#" -le 500 ] || shift "$(($# - 500))"
    [ "$#" -gt 0 ] || return
    said=$(patiently stat -f -c '%S %b %f %a %c %d %n' "$@")
    status=$?
    # timeout says 124, or 137 for a kill.
    if [ "$status" -ge 124 ] && [ "$status" -ne 127 ]; then
        absent statfs 'a file system did not answer within 5 s'
    elif [ -n "$said" ]; then
        mark open statfs
        printf '%s\n' "$said"
        mark close statfs
    else
        # Not every BusyBox has stat, and not every stat knows file systems.
        mark open df
        patiently df -P -k "$@"
        mark close df
    fi
}

# Last, because sensors sit behind slow and sometimes sick buses. Where a chip hangs is part of its name: cd tells it without
# starting a program.
tell_sensors() {
    mark open chips
    for chip in /sys/class/hwmon/hwmon*; do
        if cd -P "$chip/device" 2>/dev/null; then
            printf '%s device %s\n' "${chip##*/}" "$PWD"
        elif cd -P "$chip" 2>/dev/null; then
            printf '%s itself %s\n' "${chip##*/}" "$PWD"
        fi
    done
    cd /
    mark close chips
    mark open sensors
    # Old drivers keep the figures with the device.
    old='/sys/class/hwmon/hwmon*/device'
    # shellcheck disable=SC2086
    set -- /sys/class/hwmon/hwmon*/name /sys/class/hwmon/hwmon*/vrm /sys/class/hwmon/hwmon*/*[0-9] /sys/class/hwmon/hwmon*/*_* \
        $old/temp[0-9]*_* $old/fan[0-9]*_* $old/in[0-9]*_* $old/power[0-9]*_* $old/curr[0-9]*_* $old/energy[0-9]*_*
    [ "$#" -le 3000 ] || shift "$(($# - 3000))"
    patiently grep -s -H -m 1 . "$@" /sys/class/thermal/thermal_zone*/temp /sys/class/thermal/thermal_zone*/type \
        /sys/class/thermal/cooling_device*/type /sys/class/thermal/cooling_device*/cur_state \
        /sys/class/thermal/cooling_device*/max_state
    # Killed, it may have stopped in the middle of a number: a section that stays open does not count.
    [ "$?" -ge 124 ] || mark close sensors
}

tell_smart() {
    has smart sudo smartctl || return 0
    for device in /sys/block/sd* /sys/block/hd* /sys/block/nvme*n*; do
        [ -e "$device/device" ] || continue
        disk=${device##*/}
        said=$(sudo -n smartctl --json=c -n standby -i -H -A "/dev/$disk" 2>&1 </dev/null)
        case "$said" in
            *'{'*'}'*)
                mark open "smart.$disk"
                printf '%s\n' "$said"
                mark close "smart.$disk"
                ;;
            # Each refused sudo is a line in the host's log: one is enough.
            *) absent smart "${said:-nothing was said}"; return ;;
        esac
    done
}

tell_zpool() {
    has zpool zpool || return 0
    # Dates are written in local time.
    TZ=UTC0
    export TZ
    said=$(zpool status -p 2>&1 </dev/null) || said=$(sudo -n zpool status -p 2>&1 </dev/null) || {
        absent zpool "${said:-nothing was said}"
        return
    }
    mark open zpool
    printf '%s\n' "$said"
    mark close zpool
}

tell_updates() {
    has updates apt-get || return 0
    # As root apt would write its caches; without them it is slower.
    set --
    [ ! -w /var/cache/apt ] || set -- -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
    said=$(apt-get -s -qq -o Debug::NoLocking=1 "$@" dist-upgrade 2>&1 </dev/null) || { absent updates "$said"; return; }
    mark open updates
    stat -c 'lists %Y' /var/lib/apt/lists/partial 2>/dev/null
    printf '%s\n' "$said" | grep -m 5000 '^Inst '
    mark close updates
}

# In a function, so that a text that was cut off on its way here does nothing at all.
main() {
    # sudo, smartctl and zpool often are where users do not look.
    PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
    LC_ALL=C
    export PATH LC_ALL
    unset CDPATH GREP_OPTIONS
    newline='
'
    IFS=' '
    cd /
    choose "${SSH_ORIGINAL_COMMAND-sh -s -- ${1-}}"
    timeout=
    ! command -v timeout >/dev/null 2>&1 || timeout=yes

    mark begin "$mode"
    if [ "$mode" = probe ]; then
        tell_clock
        tell_proc
        tell_facts
        tell_sys
        tell_udev
        tell_timex
        tell_zfs
        tell_mounts
        tell_sensors
    else
        "tell_$mode"
    fi
    mark end "$mode"
}

main "$@"
