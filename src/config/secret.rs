//! A text that cannot print itself.

use std::fmt;

use zeroize::Zeroizing;

/// A secret: wiped from memory when dropped, hidden in `Debug`, without `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{SECRET, cluster, parsed};

    #[test]
    fn clusters_are_equal_where_all_of_them_is_also_what_is_not_shown() {
        let read = |more: &str| parsed(&cluster(more)).unwrap().config.clusters;
        let inline = |secret: &str| format!("token_secret = \"{secret}\"");
        assert!(read(&inline(SECRET)) == read("token_secret_env = \"PVE_TOKEN\""), "the same secret");
        assert!(read(&inline(SECRET)) != read(&inline("other")));
        assert!(read(&inline(SECRET)) != read(&format!("{}\ntls.insecure_skip_verify = true", inline(SECRET))));
    }
}
