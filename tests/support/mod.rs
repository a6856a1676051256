//! What the black-box tests share: the real binary as a process, a small HTTP client, goldens.

mod cluster;
mod exporter;
mod golden;
mod http;
mod machine;
mod page;
mod pki;
mod service;
mod shell;
mod simulated;

pub use cluster::{Cluster, SECRET, TOKEN_ID, recorded, recorded_body};
pub use exporter::{Exporter, Finished, binary, of_clusters, run_to_end, send_signal, within, write_private};
pub use golden::{check_file, check_golden, check_section, repository};
pub use http::{Kept, Reply, connect, exchange, get, parse, request};
pub use machine::{Machine, recorded_host};
pub use page::{Page, Series};
pub use pki::{Pki, shown};
pub use service::{BlackHole, Refusing, Service};
pub use shell::{probe, run};
pub use simulated::Simulated;
