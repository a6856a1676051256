//! Names of the reference exporter's modules.

use super::fault::{At, Report};
use super::words;

/// The modules of a cluster, each once; other clusters may have the same. `None` only after a fault was reported.
pub(super) fn modules(raw: Option<&At<Vec<At<&str>>>>, report: &mut Report<'_>) -> Option<Vec<String>> {
    let Some(raw) = raw else { return Some(Vec::new()) };
    let mut modules: Vec<String> = Vec::new();
    for found in &raw.value {
        let wrong = words::no_name(found.value, "default").or_else(|| {
            if words::hidden(found.value) {
                return Some(format!("expected the name of a module, found {}", words::shown(found.value)));
            }
            let again = modules.iter().any(|module| module == found.value);
            again.then(|| format!("expected each module once, found {} again", words::shown(found.value)))
        });
        match wrong {
            None => modules.push(found.value.to_owned()),
            Some(message) => report.fault(&found.place, message),
        }
    }
    Some(modules).filter(|modules| modules.len() == raw.value.len())
}
