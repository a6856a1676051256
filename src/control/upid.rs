//! Names of tasks.

/// What the name of a task says: `UPID:pve1:0000075D:00037E4D:6B00B167:qmstart:102:operator@pve!power:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upid {
    /// The name itself.
    pub(super) text: String,
    /// The node that it runs on.
    pub(super) node: String,
    /// When it began, in seconds since 1970 by its node's clock.
    pub(super) begun: u64,
    /// Such as `qmstart`.
    pub(super) kind: String,
    /// What it is about: a guest's number, or another word.
    pub(super) id: String,
    /// `user@realm` or `user@realm!token`.
    pub(super) user: String,
}

/// The longest one that is read.
const LONGEST: usize = 300;

impl Upid {
    /// Reads a name; `None` where it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let ["UPID", node, pid, pstart, begun, kind, id, user, _] = parts.as_slice() else { return None };
        let is_node =
            (1..=63).contains(&node.len()) && node.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_hex = |text: &&str| (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let is_plain =
            text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/%\\?#".contains(&byte));
        let fits =
            is_plain && is_node && [pid, pstart, begun].into_iter().all(is_hex) && !kind.is_empty() && is_word(kind);
        let begun = u64::from_str_radix(begun, 16).ok().filter(|_| fits)?;
        let [node, kind, id, user] = [node, kind, id, user].map(|text| (*text).to_owned());
        Some(Self { text: text.to_owned(), node, begun, kind, id, user })
    }

    /// Whether HA was asked.
    pub(super) fn is_of_ha(&self) -> bool {
        self.kind.starts_with("ha")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_tells_where_and_what() {
        let text = "UPID:pve-lab:00000748:00037E4D:6B00B167:qmstart:102:operator@pve!nosep:";
        let upid = Upid::parse(text).expect("a name");
        let told = (upid.node.as_str(), upid.begun, upid.kind.as_str(), upid.id.as_str(), upid.user.as_str());
        assert_eq!(told, ("pve-lab", 0x6B00_B167, "qmstart", "102", "operator@pve!nosep"));
        assert!(
            !upid.is_of_ha() && Upid::parse(&text.replace("qmstart", "hastart")).is_some_and(|upid| upid.is_of_ha())
        );
        for wrong in [
            "",
            "UPID",
            &text[1..],
            &text.replace("pve-lab", "../.."),
            &text.replace("pve-lab", ""),
            &text.replace("6B00B167", "x"),
            &text.replace("6B00B167", "FFFFFFFFFFFFFFFFF"),
            &text.replace("nosep", "no/sep"),
            &text.replace("nosep", "no%2fsep"),
            &text.replace(":qmstart", "::"),
            &text.replace("102", &"1".repeat(400)),
        ] {
            assert_eq!(Upid::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(UPID)?[:a-zA-Z0-9/%.é-]{0,80}") {
            if let Some(upid) = Upid::parse(&text) {
                prop_assert!(!upid.node.contains(['/', '.', '%']) && upid.text == text);
            }
        }
    }
}
