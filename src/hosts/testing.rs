//! What the tests of this room share.

use std::path::PathBuf;

use crate::metrics::Family;

/// Each sample as text, without HELP and TYPE.
pub(super) fn lines(families: &[Family]) -> Vec<String> {
    let line = |family: &Family, labels: &str, value: f64| format!("{}{{{labels}}} {value}", family.desc.view().name);
    families
        .iter()
        .flat_map(|family| family.samples.iter().map(move |sample| line(family, sample.labels.as_str(), sample.value)))
        .collect()
}

/// A recorded answer.
pub(super) fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hosts").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
