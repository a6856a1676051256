//! What the black-box tests share: the real binary as a process, a small HTTP client, goldens.

mod cluster;
mod exporter;
mod golden;
mod http;
mod page;
mod shell;

pub use cluster::{Cluster, SECRET, TOKEN_ID, recorded, recorded_body};
pub use exporter::{Exporter, binary, run_to_end, write_private};
pub use golden::{check_golden, repository};
pub use http::{get, request};
pub use page::{Page, Series};
pub use shell::{probe, run};
