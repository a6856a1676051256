//! What is wrong with a set of descriptions: asked by tests, so that no page has to.

use std::collections::BTreeMap;

use super::format::base_name;
use super::own::is_own;
use super::{Desc, Kind};

/// Looks at all families that can stand on one page, and says in words what would make the page invalid in either
/// format: malformed names, counters without `_total` (or gauges with it), one name described twice, a gauge `x`
/// beside a counter `x_total`, a name of the process' own metrics. Empty when all is well.
pub fn faults(descs: &[&'static Desc]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut families: BTreeMap<&str, &Desc> = BTreeMap::new();
    for desc in descs {
        let name = desc.name;
        if !is_name(name) {
            faults.push(format!("{name:?} is not a metric name"));
        }
        if (desc.kind == Kind::Counter) != name.ends_with("_total") {
            faults.push(format!("{name} is a {:?}: counters and nothing else end in _total", desc.kind));
        }
        if !desc.help.ends_with('.') || desc.help.contains('\n') {
            faults.push(format!("the help of {name} is not one plain sentence: {:?}", desc.help));
        }
        if is_own(name) {
            faults.push(format!("{name} is a name of the process' own metrics"));
        }
        match families.insert(base_name(**desc), desc) {
            Some(other) if other.name != name => {
                faults.push(format!("{name} and {} are one family in OpenMetrics", other.name));
            }
            Some(other) if other != *desc => faults.push(format!("{name} is described in two ways")),
            _ => {}
        }
    }
    faults
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn desc(name: &'static str, help: &'static str, kind: Kind) -> Desc {
        Desc { name, help, kind }
    }

    #[test]
    fn each_fault_is_named() {
        static UP: Desc = desc("pve_up", "Whether it runs.", Kind::Gauge);
        static READ: Desc = desc("pve_read_total", "Bytes read.", Kind::Counter);
        static OTHER: Desc = desc("pve_up", "Something else.", Kind::Gauge);
        static CLASH: Desc = desc("pve_read", "Clashes.", Kind::Gauge);
        static NAME: Desc = desc("pve-up", "Name.", Kind::Gauge);
        static BARE: Desc = desc("pve_bare", "Counter.", Kind::Counter);
        static GAUGE: Desc = desc("pve_gauge_total", "Gauge.", Kind::Gauge);
        static HELP: Desc = desc("pve_help", "Two\nlines", Kind::Gauge);
        static OWN: Desc = desc("process_open_fds", "Ours.", Kind::Gauge);
        assert_eq!(faults(&[&UP, &READ, &UP]), Vec::<String>::new());
        for (descs, fault) in [
            ([&UP, &OTHER], "pve_up is described in two ways"),
            ([&READ, &CLASH], "pve_read and pve_read_total are one family in OpenMetrics"),
            ([&CLASH, &READ], "pve_read_total and pve_read are one family in OpenMetrics"),
            ([&UP, &NAME], "\"pve-up\" is not a metric name"),
            ([&UP, &BARE], "pve_bare is a Counter: counters and nothing else end in _total"),
            ([&UP, &GAUGE], "pve_gauge_total is a Gauge: counters and nothing else end in _total"),
            ([&UP, &HELP], "the help of pve_help is not one plain sentence: \"Two\\nlines\""),
            ([&UP, &OWN], "process_open_fds is a name of the process' own metrics"),
        ] {
            assert_eq!(faults(&descs), [fault]);
        }
    }
}
