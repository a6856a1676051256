//! What a host is asked.
//!
//! The program is a file of its own, `probe.sh`, with everything that an administrator wants to know before it runs:
//! what it reads, what it needs, and how its answer is framed. What becomes of the answer is the room `hosts`.

use bytes::Bytes;

use super::run::Command;

/// The program that a host runs, for `sh -s -- MODE` or as a forced command.
pub const PROBE: &str = include_str!("probe.sh");

/// What a host is asked for; each is one round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Everything that needs no privilege and costs little.
    Probe,
    /// Packages that apt would upgrade: no privilege, but seconds of CPU time.
    Updates,
    /// The disks' own opinion of their health: needs `sudo smartctl`.
    Smart,
    /// Errors and scrubs of ZFS pools: needs `sudo zpool status` where `/dev/zfs` is closed to users.
    Zpool,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Probe, Self::Updates, Self::Smart, Self::Zpool];

    /// The word in the frame of the answer.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Updates => "updates",
            Self::Smart => "smart",
            Self::Zpool => "zpool",
        }
    }

    /// What is executed on the host, with [`PROBE`] on its stdin. An installed probe knows exactly these texts.
    pub fn command(self) -> &'static str {
        match self {
            Self::Probe => "sh -s -- probe",
            Self::Updates => "sh -s -- updates",
            Self::Smart => "sh -s -- smart",
            Self::Zpool => "sh -s -- zpool",
        }
    }
}

impl From<Mode> for Command {
    fn from(mode: Mode) -> Self {
        Self { line: mode.command(), stdin: Bytes::from_static(PROBE.as_bytes()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_knows_every_command() {
        for mode in Mode::ALL {
            assert_eq!(mode.command(), format!("sh -s -- {}", mode.as_str()));
            let case = format!("'{}') mode={} ;;", mode.command(), mode.as_str());
            let known = PROBE.contains(&case) || (mode == Mode::Probe && PROBE.contains("*) mode=probe ;;"));
            assert!(known, "{case}");
        }
    }

    #[test]
    fn no_line_of_the_script_looks_like_an_answer() {
        // A host whose shell repeats what it reads must not be taken for one that answers.
        assert!(PROBE.is_ascii() && !PROBE.contains('\r') && PROBE.ends_with("main \"$@\"\n"));
        assert!(PROBE.lines().all(|line| !line.starts_with("@pve-sentinel")));
    }
}
