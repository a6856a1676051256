//! What happens in a storm: steps drawn from a seed, as plain data. Whatever is left out, the others mean the same.

use serde::{Deserialize, Serialize};

/// Nodes of the cluster: the first two are asked.
pub const NODES: usize = 5;
/// Backup jobs run there, and no guest of it stops by itself: a stop there is taken for the job's.
pub const BACKUPS: usize = 2;
/// From this one on, nodes go away and return.
pub const MOBILE: usize = 3;
/// Those who are told.
pub const MEMBERS: usize = 2;

/// One thing that happens, or time that goes by. Nodes, members and guests are counted from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// So many tasks begin on a node within so many seconds from now on; what they are and when they end, the seed says.
    Tasks {
        node: usize,
        count: u64,
        seconds: u64,
        seed: u64,
    },
    /// A backup job of so many guests fails for these of them.
    Backup {
        guests: u64,
        failed: u64,
    },
    /// A guest stops by itself. Each does so once.
    Crash {
        guest: usize,
    },
    /// A guest begins anew by itself. Each does so once.
    Restart {
        guest: usize,
    },
    /// Somebody stops a guest. Each is stopped once.
    Stop {
        guest: usize,
    },
    /// A node goes away, works on alone, and comes back with what it did.
    Away {
        node: usize,
    },
    Back {
        node: usize,
    },
    /// The cluster has a quorum, or none.
    Quorum {
        there: bool,
    },
    /// SIGKILL, so many milliseconds later.
    Kill {
        ms: u64,
    },
    Start,
    Alertmanager {
        member: usize,
        mood: Mood,
    },
    /// PVE answers so many milliseconds late.
    Late {
        path: Path,
        ms: u64,
    },
    /// PVE answers with an error.
    Failing {
        path: Path,
    },
    /// PVE answers as it should.
    OnTime,
    /// The API of the second node refuses connections, or not any more.
    Refuses {
        does: bool,
    },
    /// The clock of a node is set.
    Clock {
        node: usize,
        by: i64,
    },
    /// So many seconds of the cluster and milliseconds of ours go by.
    Pass {
        seconds: u64,
        ms: u64,
    },
}

/// How an Alertmanager is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mood {
    Well,
    /// It takes nothing.
    Away,
    /// It takes what it is told, and the connection breaks before it can say so.
    Speechless,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Path {
    Tasks,
    Status,
    Resources,
    /// Archives and logs.
    Nodes,
    /// The archive of the first node.
    Archive,
}

impl Path {
    pub fn text(self) -> &'static str {
        match self {
            Self::Tasks => "/cluster/tasks",
            Self::Status => "/cluster/status",
            Self::Resources => "/cluster/resources",
            Self::Nodes => "/nodes",
            Self::Archive => "/nodes/pve1/tasks",
        }
    }
}

impl Step {
    /// The same with less of it, the least first.
    pub fn simpler(&self) -> Vec<Self> {
        let less = |number: u64, least: u64| {
            let all = [least, number / 2, number.saturating_sub(1)];
            all.into_iter().filter(move |less| *less >= least && *less < number)
        };
        match *self {
            Self::Tasks { node, count, seconds, seed } => {
                less(count, 1).map(|count| Self::Tasks { node, count, seconds, seed }).collect()
            }
            Self::Backup { guests, failed } => less(failed, 1).map(|failed| Self::Backup { guests, failed }).collect(),
            Self::Pass { seconds, ms } => less(ms, 0).map(|ms| Self::Pass { seconds, ms }).collect(),
            Self::Kill { ms } => less(ms, 0).map(|ms| Self::Kill { ms }).collect(),
            Self::Late { path, ms } => less(ms, 500).map(|ms| Self::Late { path, ms }).collect(),
            _ => Vec::new(),
        }
    }
}

/// Numbers that are the same at each run.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        let mut dice = Self(seed);
        // Seeds that are near to each other begin alike.
        (0..8).for_each(|_| {
            dice.below(2);
        });
        dice
    }

    pub fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    pub fn index(&mut self, sides: usize) -> usize {
        usize::try_from(self.below(sides as u64)).unwrap()
    }

    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }
}

/// What was drawn so far, so that what is drawn next makes sense.
#[derive(Default)]
struct Drawn {
    away: [bool; NODES],
    no_quorum: bool,
    killed: bool,
    unwell: bool,
    refuses: bool,
    refused: bool,
    guest: usize,
}

/// The steps of a seed.
pub fn draw(seed: u64, steps: usize) -> Vec<Step> {
    let (mut dice, mut drawn) = (Dice::new(seed), Drawn::default());
    (0..steps).map(|_| step(&mut dice, &mut drawn)).collect()
}

fn step(dice: &mut Dice, drawn: &mut Drawn) -> Step {
    match dice.below(100) {
        0..28 => {
            let many = if dice.below(5) == 0 { 90 } else { 0 };
            let (count, seconds) = (1 + dice.below(30) + many, 1 + dice.below(80));
            Step::Tasks { node: dice.index(NODES), count, seconds, seed: dice.below(1 << 31) }
        }
        28..56 => Step::Pass { seconds: 5 + dice.below(75), ms: dice.below(700) },
        56..60 => {
            let guests = 1 + dice.below(6);
            Step::Backup { guests, failed: dice.below(guests + 1) }
        }
        60..68 => {
            drawn.guest += 1;
            let guest = drawn.guest;
            match dice.below(3) {
                0 => Step::Crash { guest },
                1 => Step::Restart { guest },
                _ => Step::Stop { guest },
            }
        }
        68..82 => {
            drawn.killed = !drawn.killed;
            if drawn.killed { Step::Kill { ms: dice.below(1300) } } else { Step::Start }
        }
        82..87 => {
            let mood = dice.one(&[Mood::Well, Mood::Well, Mood::Away, Mood::Away, Mood::Speechless]);
            Step::Alertmanager { member: dice.index(MEMBERS), mood }
        }
        87..92 => trouble(dice, drawn),
        92..95 => {
            Step::Clock { node: dice.index(MOBILE), by: dice.one(&[-7200, -3600, -600, -45, 45, 600, 3600, 7200]) }
        }
        95..97 if !drawn.refused || drawn.refuses => {
            (drawn.refused, drawn.refuses) = (true, !drawn.refuses);
            Step::Refuses { does: drawn.refuses }
        }
        97 => {
            drawn.no_quorum = !drawn.no_quorum;
            Step::Quorum { there: !drawn.no_quorum }
        }
        _ => {
            let node = MOBILE + dice.index(NODES - MOBILE);
            drawn.away[node] = !drawn.away[node];
            if drawn.away[node] { Step::Away { node } } else { Step::Back { node } }
        }
    }
}

fn trouble(dice: &mut Dice, drawn: &mut Drawn) -> Step {
    drawn.unwell = !drawn.unwell;
    let of_cluster = [Path::Tasks, Path::Status, Path::Resources];
    match (drawn.unwell, dice.below(8)) {
        (false, _) => Step::OnTime,
        (true, 0..3) => Step::Failing { path: dice.one(&of_cluster) },
        (true, 3) => Step::Failing { path: Path::Archive },
        (true, 4) => Step::Late { path: Path::Nodes, ms: dice.one(&[500, 2500]) },
        // Some are later than a look waits.
        (true, _) => Step::Late { path: dice.one(&of_cluster), ms: dice.one(&[500, 1200, 2500, 5600]) },
    }
}
