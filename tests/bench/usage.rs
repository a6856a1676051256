//! What a process and its children have used up, as Linux tells it in `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::Outcome;

/// Linux tells the times of `/proc/PID/stat` in hundredths of a second, whatever its own tick is.
const TICK: Duration = Duration::from_millis(10);

/// CPU time at one moment.
pub(crate) struct Cpu {
    /// Nanoseconds by thread: exact, but gone with the thread.
    threads: BTreeMap<u32, u64>,
    /// Of all threads there ever were, to a tick.
    ticks: u64,
}

/// Bytes of memory.
#[derive(Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Resident now.
    pub(crate) resident: u64,
    /// The most that was resident since [`reset_peak`].
    pub(crate) peak: u64,
}

impl Cpu {
    /// Of a process and its children.
    pub(crate) fn of(pid: u32) -> Outcome<Self> {
        let mut cpu = Self { threads: BTreeMap::new(), ticks: 0 };
        for pid in family(pid) {
            for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
                let thread = thread?;
                let id = thread.file_name().to_string_lossy().parse()?;
                // A thread that ends meanwhile is missed at the next look.
                if let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) {
                    cpu.threads.insert(id, field(&text, 0)?);
                }
            }
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            // The name, which may hold anything, ends at the last parenthesis; the times are fields 14 and 15.
            let (_, fields) = stat.rsplit_once(')').ok_or("a strange /proc/PID/stat")?;
            cpu.ticks += field(fields, 11)? + field(fields, 12)?;
        }
        Ok(cpu)
    }

    /// What was used since an earlier moment.
    pub(crate) fn since(&self, earlier: &Self) -> Duration {
        let all_still_there = earlier.threads.keys().all(|id| self.threads.contains_key(id));
        if all_still_there && !self.threads.is_empty() {
            let before = |id| earlier.threads.get(id).copied().unwrap_or(0);
            Duration::from_nanos(self.threads.iter().map(|(id, used)| used.saturating_sub(before(id))).sum())
        } else {
            TICK * u32::try_from(self.ticks.saturating_sub(earlier.ticks)).unwrap_or(u32::MAX)
        }
    }
}

/// CPU time of all children of this process that have ended, to a tick.
pub(crate) fn of_the_ended() -> Outcome<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("a strange /proc/self/stat")?;
    Ok(TICK * u32::try_from(field(fields, 13)? + field(fields, 14)?)?)
}

/// Of a process and its children.
pub(crate) fn memory(pid: u32) -> Outcome<Memory> {
    let mut memory = Memory::default();
    for pid in family(pid) {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kibibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            field(line.ok_or("a strange /proc/PID/status")?, 0)
        };
        memory.resident += kibibytes("VmRSS:")? * 1024;
        memory.peak += kibibytes("VmHWM:")? * 1024;
    }
    Ok(memory)
}

/// From now on the peak is counted anew.
pub(crate) fn reset_peak(pid: u32) -> Outcome<()> {
    for pid in family(pid) {
        fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
    }
    Ok(())
}

/// The process and all below it.
fn family(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        next += 1;
    }
    found
}

fn field(text: &str, index: usize) -> Outcome<u64> {
    Ok(text.split_whitespace().nth(index).ok_or("a field is missing in /proc")?.parse()?)
}
