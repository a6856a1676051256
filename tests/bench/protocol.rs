//! What the benchmark and the processes that it starts from its own binary tell each other: a line of JSON each.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Outcome;

/// The token that the simulated API accepts, and its secret, which protects nothing.
pub(crate) const TOKEN_ID: &str = "monitor@pve!bench";
pub(crate) const TOKEN_SECRET: &str = "00000000-0000-4000-8000-0000000bec40";

/// The argument that makes the binary a process of another role; what follows it is the role.
pub(crate) const ROLE: &str = "--role";

/// The first line to the simulated API.
#[derive(Serialize, Deserialize)]
pub(crate) struct SimulatorOrder {
    pub(crate) nodes: usize,
    pub(crate) guests: usize,
    pub(crate) latency_ms: u64,
    pub(crate) token_id: String,
    pub(crate) secret: String,
    /// 0: its time stands still; else tasks begin and end, and nothing else happens.
    pub(crate) tasks_per_minute: u64,
    /// Whether the token may do everything; else it is an auditor's.
    pub(crate) all_rights: bool,
}

/// Its first answer.
#[derive(Serialize, Deserialize)]
pub(crate) struct SimulatorReady {
    /// `127.0.0.1:PORT`.
    pub(crate) address: String,
    pub(crate) fingerprint: String,
    pub(crate) ca_pem: String,
}

/// The simulated API's answer to every further line: what it has counted so far.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) by_path: BTreeMap<String, u64>,
    /// TLS handshakes, and how many of them resumed a session.
    pub(crate) handshakes: u64,
    pub(crate) resumed: u64,
    /// Heads and bodies, without TLS.
    pub(crate) bytes: u64,
    /// The most calls of the slow lane at once on a node, and of these, such as can block.
    pub(crate) most: [u32; 2],
}

/// The first line to the simulated machines: how many, and where to write what is needed to log in to them.
#[derive(Serialize, Deserialize)]
pub(crate) struct MachinesOrder {
    pub(crate) count: usize,
    pub(crate) folder: String,
    /// How long each command takes.
    pub(crate) latency_ms: u64,
}

/// Their answer to this and each further line: their ports, and what they have seen in all.
#[derive(Serialize, Deserialize)]
pub(crate) struct MachinesReady {
    pub(crate) ports: Vec<u16>,
    pub(crate) logins: u64,
    pub(crate) commands: u64,
}

/// The first line to the floor client.
#[derive(Serialize, Deserialize)]
pub(crate) struct FloorOrder {
    pub(crate) url: String,
    pub(crate) ca_pem: String,
    pub(crate) token_id: String,
    pub(crate) secret: String,
}

/// Each further line to the floor client.
#[derive(Serialize, Deserialize)]
pub(crate) enum FloorTask {
    /// Ask, parse, write the series; through gzip if so.
    Scrape { gzip: bool },
    /// Write the series to a file instead of nowhere.
    Page(String),
    /// Keep the contents of this file in memory.
    Load(String),
    /// Compress them.
    Compress,
}

/// The floor client's answer to a task.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct FloorReport {
    pub(crate) wall_us: u64,
    /// Until the last byte of the API's answer.
    pub(crate) fetch_us: u64,
    pub(crate) series: u64,
}

/// A process in another role; it ends when dropped.
pub(crate) struct Helper {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts this binary again in a role. Secrets go through stdin: command lines are there for all to read.
    #[expect(clippy::disallowed_methods, reason = "each part is measured as a process of its own")]
    pub(crate) fn start(role: &str) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([ROLE, role])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a process without pipes".into());
        };
        Ok(Self { child, orders, answers: BufReader::new(answers) })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a line and waits for the answer.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, order: &impl Serialize) -> Outcome<T> {
        let mut line = serde_json::to_string(order)?;
        line.push('\n');
        self.orders.write_all(line.as_bytes())?;
        line.clear();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).map_err(|error| format!("a helper process failed: {error}: {line:?}").into())
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next line from the benchmark; `None` at its end.
pub(crate) fn next_order<T: DeserializeOwned>() -> Outcome<Option<T>> {
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line)? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&line)?))
}

/// Answers the benchmark.
pub(crate) fn answer(answer: &impl Serialize) -> Outcome<()> {
    let mut line = serde_json::to_string(answer)?;
    line.push('\n');
    let mut stdout = std::io::stdout();
    stdout.write_all(line.as_bytes())?;
    stdout.flush()?;
    Ok(())
}
