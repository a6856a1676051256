//! `vmstat`. Try: `grep -E '^(oom_kill|pgpg|pswp|pg.*fault)' /proc/vmstat`

use super::lines::{Probe, whole};
use super::sink::{Sink, plain};
use crate::metrics::{Desc, Kind};

const PATH: &str = "/proc/vmstat";

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    let mut any = false;
    for line in probe.file(PATH) {
        let Some((field, number)) = line.split_once(' ') else { continue };
        any = true;
        if wanted(field) {
            match whole(number) {
                Some(value) => {
                    let help = format!("{field} of /proc/vmstat.");
                    sink.put_made(
                        Desc { name: &format!("node_vmstat_{field}"), help: &help, kind: Kind::Untyped },
                        &plain(),
                        value,
                    );
                }
                None => sink.malformed(PATH, line),
            }
        }
    }
    if !any {
        sink.missing(PATH);
    }
}

/// node_exporter's choice.
fn wanted(field: &str) -> bool {
    let fault = field.starts_with("pg") && field.contains("fault");
    fault || ["oom_kill", "pgpg", "pswp"].iter().any(|prefix| field.starts_with(prefix))
}
