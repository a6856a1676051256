//! Logs of `vzdump` tasks: what became of each guest of a backup job.
//!
//! PVE writes them for people: in English whatever the node's language, with times of the node's own zone, and sizes that
//! are rounded. A line that is not known is passed over.

use super::date::date_and_time;

/// Guests of one log; PVE has no more in a cluster than a few thousand.
const MOST_GUESTS: usize = 10_000;

/// Bytes of a job's name; PVE allows fewer.
const LONGEST_NAME: usize = 200;

/// A line that tells something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum VzdumpLine<'a> {
    /// The job begins, and is named where PVE's scheduler began it (since PVE 8.2).
    Job(Option<&'a str>),
    /// It waits until another one on the node is over.
    Waits,
    /// The turn of a guest begins.
    Started(u64),
    /// Begin or end of the guest's turn, in seconds since 1970 as if the node's zone were UTC.
    Clock(i64),
    /// A snapshot of Proxmox Backup Server, named by its begin: seconds since 1970.
    Snapshot(i64),
    /// Bytes of a disk that is part of it.
    Disk(f64),
    /// Bytes of the file.
    File(f64),
    /// Bytes read of the guest.
    Read(f64),
    /// Bytes of a directory tree that were sent to Proxmox Backup Server, and of the whole tree.
    Tree {
        /// Those that it did not have.
        sent: f64,
        /// All.
        whole: f64,
    },
    /// The guest's turn ended well after so many seconds.
    Finished(u64, i64),
    /// It ended badly.
    Failed(u64, &'a str),
}

/// What a log has told so far, line by line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VzdumpLog {
    /// The scheduled job's name, where the log has it.
    pub job: Option<String>,
    /// Whether it waited for another job before its first guest.
    pub waited: bool,
    /// In the order of their turns.
    pub guests: Vec<VzdumpGuest>,
}

/// The turn of one guest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VzdumpGuest {
    /// Its number.
    pub vmid: u64,
    /// Whether it ended well; `None` where the log ends before.
    pub ok: Option<bool>,
    /// When its turn began and ended by the node's clock on the wall: seconds since 1970 as if its zone were UTC.
    pub begun: Option<i64>,
    /// See `begun`.
    pub ended: Option<i64>,
    /// How long it took, in seconds; only where it ended well.
    pub took: Option<i64>,
    /// When its snapshot of Proxmox Backup Server began, in seconds since 1970.
    pub snapshot: Option<i64>,
    /// Bytes read of its disks, or written to the archive, or sent.
    pub transferred: Option<f64>,
    /// Bytes of the file.
    pub file: Option<f64>,
    /// Bytes of the disks that are part of it.
    pub disks: Option<f64>,
    /// Bytes of the directory trees that are part of it.
    pub trees: Option<f64>,
}

impl VzdumpGuest {
    /// Bytes of the file. Proxmox Backup Server shares what is equal between backups: there, of all that is in the backup.
    pub fn bytes(&self) -> Option<f64> {
        let whole = self.trees.or(self.disks).filter(|_| self.snapshot.is_some());
        self.file.or(whole)
    }
}

impl VzdumpLog {
    /// Takes the next line.
    pub fn take(&mut self, line: &str) {
        let Some(told) = vzdump_line(line) else { return };
        match told {
            // PVE says it before any guest has its turn.
            VzdumpLine::Job(job) if self.guests.is_empty() && self.job.is_none() => self.job = job.map(str::to_owned),
            VzdumpLine::Waits => self.waited |= self.guests.is_empty(),
            VzdumpLine::Started(vmid) => self.begin(vmid),
            VzdumpLine::Finished(vmid, took) => self.end(vmid, true, Some(took)),
            VzdumpLine::Failed(vmid, _) => self.end(vmid, false, None),
            _ => {
                if let Some(guest) = self.guests.last_mut() {
                    guest.take(told);
                }
            }
        }
    }

    /// Says that no more lines are read although there are some: of a turn that has no end yet, nothing is known.
    pub fn cut(&mut self) {
        self.guests.pop_if(|guest| guest.ok.is_none());
    }

    fn begin(&mut self, vmid: u64) {
        if self.guests.len() < MOST_GUESTS {
            self.guests.push(VzdumpGuest { vmid, ..VzdumpGuest::default() });
        }
    }

    /// A guest that could not even begin has no turn before its end. In the turn of another one it is not told: what an
    /// agent inside of a guest answers stands in the log too.
    fn end(&mut self, vmid: u64, ok: bool, took: Option<i64>) {
        if self.guests.last().is_some_and(|guest| guest.vmid != vmid && guest.ok.is_none()) {
            return;
        }
        if self.guests.last().is_none_or(|guest| guest.vmid != vmid || guest.ok.is_some()) {
            self.begin(vmid);
        }
        if let Some(guest) = self.guests.last_mut().filter(|guest| guest.vmid == vmid) {
            (guest.ok, guest.took) = (Some(ok), took);
        }
    }
}

impl VzdumpGuest {
    fn take(&mut self, told: VzdumpLine<'_>) {
        let add = |sum: &mut Option<f64>, bytes: f64| *sum = Some(sum.unwrap_or_default() + bytes);
        match told {
            VzdumpLine::Clock(at) if self.ok.is_none() => self.begun = self.begun.or(Some(at)),
            VzdumpLine::Clock(at) => self.ended = self.ended.or(Some(at)),
            VzdumpLine::Snapshot(at) => self.snapshot = Some(at),
            VzdumpLine::Disk(bytes) => add(&mut self.disks, bytes),
            VzdumpLine::File(bytes) => self.file = Some(bytes),
            VzdumpLine::Read(bytes) => self.transferred = Some(bytes),
            VzdumpLine::Tree { sent, whole } => {
                add(&mut self.transferred, sent);
                add(&mut self.trees, whole);
            }
            VzdumpLine::Job(_)
            | VzdumpLine::Waits
            | VzdumpLine::Started(_)
            | VzdumpLine::Finished(..)
            | VzdumpLine::Failed(..) => {}
        }
    }
}

/// What a line of a log tells, if it does.
pub fn vzdump_line(line: &str) -> Option<VzdumpLine<'_>> {
    if let Some(rest) = line.strip_prefix("ERROR: Backup of VM ") {
        let (vmid, why) = rest.split_once(" failed - ")?;
        return Some(VzdumpLine::Failed(vmid.parse().ok()?, why));
    }
    let text = line.strip_prefix("INFO: ")?.trim();
    if let Some(command) = text.strip_prefix("starting new backup job: ") {
        return Some(VzdumpLine::Job(word_after(command, "--job-id")));
    }
    if text.starts_with("trying to get global lock") {
        return Some(VzdumpLine::Waits);
    }
    if let Some(rest) = text.strip_prefix("Starting Backup of VM ") {
        return Some(VzdumpLine::Started(rest.split(' ').next()?.parse().ok()?));
    }
    if let Some(rest) = text.strip_prefix("Finished Backup of VM ") {
        let (vmid, took) = rest.split_once(" (")?;
        return Some(VzdumpLine::Finished(vmid.parse().ok()?, clock(took.strip_suffix(')')?)?));
    }
    for beginning in ["Backup started at ", "Backup finished at ", "Failed at "] {
        if let Some(time) = text.strip_prefix(beginning) {
            return date_and_time(time, b' ').map(VzdumpLine::Clock);
        }
    }
    if let Some(rest) = text.strip_prefix("creating Proxmox Backup Server archive '") {
        let (_, name) = rest.strip_suffix("Z'")?.rsplit_once('/')?;
        return date_and_time(name, b'T').map(VzdumpLine::Snapshot);
    }
    sizes(text)
}

fn sizes(text: &str) -> Option<VzdumpLine<'_>> {
    if let Some(rest) = text.strip_prefix("include disk '") {
        return bytes(rest.rsplit_once("' ")?.1).map(VzdumpLine::Disk);
    }
    if let Some(rest) = text.strip_prefix("archive file size: ") {
        return bytes(rest).map(VzdumpLine::File);
    }
    if let Some(rest) = text.strip_prefix("Total bytes written: ") {
        return bytes(rest.split(' ').next()?).map(VzdumpLine::Read);
    }
    if let Some(rest) = text.strip_prefix("transferred ") {
        return bytes(rest.split_once(" in ")?.0).map(VzdumpLine::Read);
    }
    // Such as `root.pxar: had to backup 44.2 MiB of 640 MiB (compressed 9 MiB) in 4.1s`.
    let (sent, rest) = text.split_once(": had to backup ")?.1.split_once(" of ")?;
    let whole = rest.split(" in ").next()?.split(" (").next()?;
    Some(VzdumpLine::Tree { sent: bytes(sent)?, whole: bytes(whole)? })
}

/// What follows an option of a command line that is quoted for a shell: what stands in quotation marks is one word,
/// whatever it looks like, as who begins a backup may write what he likes into its notes.
fn word_after<'a>(command: &'a str, option: &str) -> Option<&'a str> {
    let (mut quoted, mut escaped) = (false, false);
    let mut words = command.split(move |char| {
        let is_end = char == ' ' && !quoted && !escaped;
        quoted ^= char == '\'' && !escaped;
        escaped = char == '\\' && !quoted && !escaped;
        is_end
    });
    words.find(|word| *word == option)?;
    words.next().map(|word| word.trim_matches('\'')).filter(|word| (1..=LONGEST_NAME).contains(&word.len()))
}

/// Seconds of `00:01:34`; hours may have more digits.
fn clock(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let mut next = || parts.next()?.parse::<u32>().ok();
    let (hours, minutes, seconds) = (next()?, next()?, next()?);
    Some(i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds))
}

/// Bytes of `1.58GB`, `640 MiB`, `32G` or `1024`: PVE counts in steps of 1024 whatever it calls them.
fn bytes(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let power = match unit.trim_start().trim_end_matches('B').trim_end_matches('i') {
        "" => 0,
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        "P" => 5,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    Some((number * 1024_f64.powi(power)).round()).filter(|bytes| bytes.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GIB: f64 = 1_073_741_824.0;

    fn log(text: &str) -> VzdumpLog {
        let mut log = VzdumpLog::default();
        text.lines().for_each(|line| log.take(line.trim_start()));
        log
    }

    /// As qemu-server and pve-container write them; not recorded.
    const FILES: &str =
        "INFO: starting new backup job: vzdump 100 201 --job-id backup-6d1c --mode snapshot --storage local
        INFO: Starting Backup of VM 100 (qemu)
        INFO: Backup started at 2026-11-20 22:18:00
        INFO: status = running
        INFO: include disk 'scsi0' 'local:100/vm-100-disk-0.raw' 32G
        INFO: creating vzdump archive '/var/lib/vz/dump/vzdump-qemu-100-2026_11_20-22_18_00.vma.zst'
        INFO:  100% (32.0 GiB of 32.0 GiB) in 1m 30s, read: 580.0 MiB/s, write: 0 B/s
        INFO: transferred 32.00 GiB in 90 seconds (364.1 MiB/s)
        INFO: archive file size: 1.50GB
        INFO: Finished Backup of VM 100 (00:01:34)
        INFO: Backup finished at 2026-11-20 22:19:34
        INFO: Starting Backup of VM 201 (lxc)
        INFO: Backup started at 2026-11-20 22:19:34
        INFO: Total bytes written: 789749760 (754MiB, 48MiB/s)
        ERROR: Backup of VM 201 failed - command 'set -o pipefail && tar' failed: exit code 2
        INFO: Failed at 2026-11-20 22:20:01
        INFO: Backup job finished with errors
        TASK ERROR: job errors";

    #[test]
    fn a_log_is_split_by_guest() {
        let log = log(FILES);
        assert_eq!(log.job.as_deref(), Some("backup-6d1c"));
        let [web, box_] = log.guests.as_slice() else { panic!("{log:?}") };
        assert_eq!((web.vmid, web.ok, web.took), (100, Some(true), Some(94)));
        assert_eq!((web.begun, web.ended), (Some(1_795_213_080), Some(1_795_213_174)));
        assert_eq!((web.bytes(), web.transferred), (Some(1.5 * GIB), Some(32.0 * GIB)));
        assert_eq!((box_.vmid, box_.ok, box_.took), (201, Some(false), None));
        assert_eq!((box_.ended, box_.bytes(), box_.transferred), (Some(1_795_213_201), None, Some(789_749_760.0)));
    }

    #[test]
    fn a_backup_server_has_sizes_of_what_is_in_it() {
        let log = log("INFO: starting new backup job: vzdump --all 1 --storage pbs
            INFO: Starting Backup of VM 100 (qemu)
            INFO: Backup started at 2026-11-20 22:18:00
            INFO: include disk 'scsi0' 'local-zfs:vm-100-disk-0' 32G
            INFO: include disk 'efidisk0' 'local-zfs:vm-100-disk-1' 1M
            INFO: creating Proxmox Backup Server archive 'vm/100/2026-11-20T21:18:00Z'
            INFO: using fast incremental mode (dirty-bitmap), 64.0 MiB dirty of 32.0 GiB total
            INFO: backup was done incrementally, reused 31.94 GiB (99%)
            INFO: transferred 64.00 MiB in <1 seconds
            INFO: Finished Backup of VM 100 (00:00:03)
            INFO: Starting Backup of VM 200 (lxc)
            INFO: creating Proxmox Backup Server archive 'ct/200/2026-11-20T21:18:04Z'
            INFO: root.pxar: had to backup 44 MiB of 640 MiB (compressed 9.5 MiB) in 4.10 s (average 10.7 MiB/s)
            INFO: catalog.pcat1: had to backup 1 MiB of 2 MiB in 4.10 s (average 1 MiB/s)
            INFO: Finished Backup of VM 200 (25:00:05)");
        let [web, box_] = log.guests.as_slice() else { panic!("{log:?}") };
        assert_eq!(log.job, None);
        assert_eq!((web.snapshot, web.transferred), (Some(1_795_209_480), Some(64.0 * 1_048_576.0)));
        assert_eq!(web.bytes(), Some(32.0 * GIB + 1_048_576.0));
        assert_eq!((box_.bytes(), box_.transferred), (Some(642.0 * 1_048_576.0), Some(45.0 * 1_048_576.0)));
        assert_eq!(box_.took, Some(90_005));
    }

    #[test]
    fn guests_whose_turn_is_not_complete_are_told_all_the_same() {
        let log = log("ERROR: Backup of VM 7 failed - unable to find VM '7'
            INFO: Starting Backup of VM 8 (qemu)
            INFO: Starting Backup of VM 9 (qemu)
            INFO: Finished Backup of VM 9 (00:00:01)
            ERROR: Backup of VM 9 failed - job hook failed");
        let ends: Vec<(u64, Option<bool>)> = log.guests.iter().map(|guest| (guest.vmid, guest.ok)).collect();
        assert_eq!(ends, [(7, Some(false)), (8, None), (9, Some(true)), (9, Some(false))]);
    }

    #[test]
    fn what_stands_in_quotation_marks_is_no_option() {
        let told = |command: &str| log(&format!("INFO: starting new backup job: vzdump {command}")).job;
        for (command, job) in [
            ("7 --notes-template 'x --job-id nightly y'", None),
            ("7 --notes-template 'x --job-id nightly' --job-id weekly", Some("weekly")),
            (r"7 --notes-template 'it'\''s --job-id nightly '", None),
            (r"7 --notes-template it\'s --job-id weekly", Some("weekly")),
            ("7 --job-id 'weekly'", Some("weekly")),
            ("7 --job-id", None),
            ("7 --job-id ''", None),
            (format!("7 --job-id {}", "x".repeat(201)).as_str(), None),
        ] {
            assert_eq!(told(command).as_deref(), job, "{command}");
        }
        let long = format!("{} --job-id weekly", "100 ".repeat(20_000));
        assert_eq!(told(&long).as_deref(), Some("weekly"));
        // Said again later, by a script of the administrator or what looks like it, it is another's.
        let twice = log("INFO: trying to get global lock - waiting...
            INFO: starting new backup job: vzdump 7 --job-id weekly
            INFO: Starting Backup of VM 7 (qemu)
            INFO: starting new backup job: vzdump 7 --job-id nightly
            INFO: trying to get global lock - waiting...");
        assert_eq!((twice.job.as_deref(), twice.waited), (Some("weekly"), true));
    }

    #[test]
    fn no_guest_can_tell_of_another() {
        let log = log("INFO: Starting Backup of VM 7 (qemu)
            ERROR: VM 7 qmp command 'guest-fsfreeze-freeze' failed - no
            ERROR: Backup of VM 8 failed - so says the agent of 7
            INFO: Finished Backup of VM 7 (00:00:01)
            ERROR: Backup of VM 9 failed - unable to find VM '9'");
        let ends: Vec<(u64, Option<bool>)> = log.guests.iter().map(|guest| (guest.vmid, guest.ok)).collect();
        assert_eq!(ends, [(7, Some(true)), (9, Some(false))]);
    }

    #[test]
    fn a_turn_of_which_the_end_was_not_read_is_not_told() {
        let mut log = log("INFO: Starting Backup of VM 7 (qemu)
            INFO: Finished Backup of VM 7 (00:00:01)
            INFO: Starting Backup of VM 8 (qemu)");
        log.cut();
        log.cut();
        assert_eq!(log.guests.len(), 1);
    }

    #[test]
    fn other_lines_say_nothing() {
        for line in [
            "",
            "INFO: ",
            "Starting Backup of VM 1 (qemu)",
            "INFO: Starting Backup of VM x (qemu)",
            "INFO: Finished Backup of VM 1 (ages)",
            "INFO: Finished Backup of VM 1 (1:2)",
            "INFO: Backup started at noon",
            "INFO: Backup started at 2026-02-30 00:00:00",
            "INFO: creating Proxmox Backup Server archive 'vm/100'",
            "INFO: archive file size: much",
            "INFO: transferred 1 XB in 1 seconds",
            "ERROR: Backup of VM x failed - no",
            "ERROR: Backup of VM 1 hung",
        ] {
            assert_eq!(vzdump_line(line), None, "{line}");
        }
        assert_eq!(vzdump_line("INFO: archive file size: 1023KB"), Some(VzdumpLine::File(1023.0 * 1024.0)));
        assert_eq!(vzdump_line("INFO: archive file size: 3.00 TiB"), Some(VzdumpLine::File(3072.0 * GIB)));
    }

    proptest! {
        #[test]
        fn no_log_panics(lines in prop::collection::vec(prop_oneof![
            ".{0,60}",
            "(INFO|ERROR): (Starting|Finished) Backup of VM [0-9]{1,25}( \\(.{0,12}\\))?",
            "ERROR: Backup of VM [0-9]{0,3}( failed - .{0,9})?",
            "INFO: (Backup started at|Failed at) [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}",
            "INFO: (transferred|archive file size:|include disk 'a' 'b') [0-9.]{0,30} ?[KMGTP]?i?B?( in .)?",
            "INFO: .{0,4}: had to backup .{0,9} of .{0,9}( \\(.)?",
            "INFO: creating Proxmox Backup Server archive '.{0,9}/[0-9T:Z-]{0,22}'",
            "INFO: Finished Backup of VM 1 \\([0-9]{1,12}:[0-9]{1,12}:[0-9]{1,12}\\)",
        ], 0..20)) {
            let mut log = VzdumpLog::default();
            lines.iter().for_each(|line| log.take(line));
            for guest in &log.guests {
                prop_assert!(guest.bytes().is_none_or(f64::is_finite));
            }
        }
    }
}
