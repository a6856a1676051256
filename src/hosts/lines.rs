//! The lines of a probe by the file that they stand in.

use super::frame::{Frame, Gap};
use super::{Clock, Options};

/// What the subjects read.
pub(super) struct Probe<'a> {
    frame: &'a Frame,
    /// Path and line, by path, the lines of a file in their order.
    lines: Vec<(&'a str, &'a str)>,
    pub(super) clock: Option<Clock>,
    pub(super) options: &'a Options,
}

/// A folder that stands for a thing, such as `/sys/class/net/eth0`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thing<'p, 'a> {
    pub(super) name: &'a str,
    /// How much of each path is the folder's.
    skip: usize,
    lines: &'p [(&'a str, &'a str)],
}

/// The sections whose lines are PATH:LINE.
const FILES: [&str; 5] = ["proc", "sys", "udev", "zfs", "sensors"];

/// Files in folders whose own names may hold a colon: powercap zones and ZFS pools. The last may go on.
const BEHIND_COLONS: [&str; 5] = ["/name:", "/energy_uj:", "/state:", "/io:", "/objset-"];

impl<'a> Probe<'a> {
    pub(super) fn new(frame: &'a Frame, clock: Option<Clock>, options: &'a Options) -> Self {
        let sections = FILES.iter().filter_map(|name| frame.get(name).ok());
        let mut lines: Vec<_> = sections.flat_map(str::lines).filter_map(split).collect();
        // Stable: the lines of a file stay in order.
        lines.sort_by_key(|(path, _)| *path);
        Self { frame, lines, clock, options }
    }

    /// The lines of a file, none where it is not there.
    pub(super) fn file(&self, path: &str) -> impl Iterator<Item = &'a str> + use<'a, '_> {
        self.range(|found| found < path, |found| found == path).iter().map(|(_, line)| *line)
    }

    /// The first line of a file, without blanks around it.
    pub(super) fn value(&self, path: &str) -> Option<&'a str> {
        self.file(path).next().map(str::trim)
    }

    /// The folders in `folder`, which ends in a slash.
    pub(super) fn things(&self, folder: &str) -> Vec<Thing<'_, 'a>> {
        let mut things = Vec::new();
        let mut rest = self.range(|found| found < folder, |found| found.starts_with(folder));
        while let Some((path, _)) = rest.first() {
            let Some((name, _)) = path.get(folder.len()..).and_then(|below| below.split_once('/')) else {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            };
            let skip = folder.len() + name.len() + 1;
            let count = rest.iter().take_while(|(other, _)| other.get(..skip) == path.get(..skip)).count();
            let (lines, others) = rest.split_at(count);
            things.push(Thing { name, skip, lines });
            rest = others;
        }
        things
    }

    /// A section that is not made of files.
    pub(super) fn section(&self, name: &str) -> Result<&'a str, Gap> {
        self.frame.get(name)
    }

    /// The facts of a name, each without it.
    pub(super) fn facts(&self, name: &'static str) -> impl Iterator<Item = &'a str> + use<'a> {
        let lines = self.frame.get("facts").unwrap_or_default().lines();
        lines.filter_map(move |line| {
            line.split_once(' ').filter(|(found, _)| *found == name).map(|(_, fact)| fact.trim())
        })
    }

    fn range(&self, before: impl Fn(&str) -> bool, inside: impl Fn(&str) -> bool) -> &[(&'a str, &'a str)] {
        let start = self.lines.partition_point(|(path, _)| before(path));
        let rest = self.lines.get(start..).unwrap_or_default();
        let count = rest.partition_point(|(path, _)| inside(path));
        rest.get(..count).unwrap_or_default()
    }
}

impl<'p, 'a> Thing<'p, 'a> {
    /// The first line of a file in the folder, without blanks around it.
    pub(super) fn get(&self, file: &str) -> Option<&'a str> {
        self.files().find(|(name, _)| *name == file).map(|(_, line)| line.trim())
    }

    /// The lines of a file in the folder.
    pub(super) fn lines(self, file: &'p str) -> impl Iterator<Item = &'a str> + 'p
    where
        'a: 'p,
    {
        self.files().filter(move |(name, _)| *name == file).map(|(_, line)| line)
    }

    /// Each line with the path of its file inside the folder.
    pub(super) fn files(self) -> impl Iterator<Item = (&'a str, &'a str)> + 'p
    where
        'a: 'p,
    {
        self.lines.iter().map(move |(path, line)| (path.get(self.skip..).unwrap_or_default(), *line))
    }
}

/// Path and line. What does not begin as a path does is noise.
fn split(line: &str) -> Option<(&str, &str)> {
    if !line.starts_with('/') {
        return None;
    }
    if line.starts_with("/run/udev/data/") {
        return line.split_once(":E:");
    }
    let from = match line {
        _ if line.starts_with("/sys/class/powercap/") || line.starts_with("/proc/spl/kstat/zfs/") => {
            BEHIND_COLONS.iter().filter_map(|file| line.find(file)).min().unwrap_or(0)
        }
        _ => 0,
    };
    let colon = from + line.get(from..)?.find(':')?;
    Some((line.get(..colon)?, line.get(colon + 1..)?))
}

/// A whole number, exact up to 2^53 as a float.
pub(super) fn whole(text: &str) -> Option<f64> {
    text.trim().parse::<u64>().ok().map(|number| number as f64)
}

/// A whole number, perhaps negative or hexadecimal.
pub(super) fn integer(text: &str) -> Option<f64> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(|number| number as f64),
        None => text.parse::<i64>().ok().map(|number| number as f64).or_else(|| whole(text)),
    }
}

/// Any finite number.
pub(super) fn float(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_colons_stay_whole() {
        for (line, expected) in [
            ("/proc/stat:cpu0 1: 2", Some(("/proc/stat", "cpu0 1: 2"))),
            (
                "/sys/class/powercap/intel-rapl:0:1/energy_uj:12",
                Some(("/sys/class/powercap/intel-rapl:0:1/energy_uj", "12")),
            ),
            ("/proc/spl/kstat/zfs/arcstats:size 4 1:2", Some(("/proc/spl/kstat/zfs/arcstats", "size 4 1:2"))),
            ("/proc/spl/kstat/zfs/a:b/state:ONLINE", Some(("/proc/spl/kstat/zfs/a:b/state", "ONLINE"))),
            ("/run/udev/data/b8:0:E:ID_MODEL=A:B", Some(("/run/udev/data/b8:0", "ID_MODEL=A:B"))),
            ("/proc/stat", None),
            ("noise:1", None),
            ("", None),
        ] {
            assert_eq!(split(line), expected, "{line}");
        }
    }

    #[test]
    fn numbers_of_each_kind() {
        assert_eq!((whole(" 12\n"), whole("-1"), whole("1.5"), whole("")), (Some(12.0), None, None, None));
        assert_eq!((integer("-1"), integer("0x1003"), integer("x")), (Some(-1.0), Some(4099.0), None));
        assert_eq!(integer("18446744073709551615"), Some(18_446_744_073_709_551_615.0));
        assert_eq!((float("0.25"), float("inf"), float("NaN"), float("1e999")), (Some(0.25), None, None, None));
    }
}
