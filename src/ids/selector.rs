//! Which guests are meant: `tag:dev`, `pool:lab`, `100-199`, `150`, and `!…` to take away.

use std::fmt;

/// The highest number that PVE gives.
const HIGHEST: u64 = 999_999_999;
/// The longest name of a tag or pool, in bytes.
const LONGEST: usize = 128;

/// Some guests: those that one of the selectors means and none takes away. Where there are only some to take away, all
/// others are meant; where there is none at all, nobody is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestSelection {
    means: Vec<Guests>,
    takes_away: Vec<Guests>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Guests {
    Tag(String),
    Pool(String),
    /// Numbers, both included.
    Range(u64, u64),
}

impl GuestSelection {
    /// Reads selectors. The error names the one that is none, and says what was expected.
    pub fn parse<'a>(selectors: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut selection = Self::default();
        for text in selectors {
            let (list, rest) = match text.strip_prefix('!') {
                None => (&mut selection.means, text),
                Some(rest) => (&mut selection.takes_away, rest),
            };
            list.push(Guests::parse(rest)?);
        }
        Ok(selection)
    }

    /// Whether a guest is meant, by its number, tags and pool.
    pub fn has<'a>(&self, vmid: u64, tags: impl Iterator<Item = &'a str> + Clone, pool: Option<&str>) -> bool {
        let some = |list: &[Guests]| list.iter().any(|guests| guests.has(vmid, tags.clone(), pool));
        let all_others = self.means.is_empty() && !self.takes_away.is_empty();
        (all_others || some(&self.means)) && !some(&self.takes_away)
    }

    /// The same where the number alone decides it; `None`: tags or pool matter.
    pub fn by_number(&self, vmid: u64) -> Option<bool> {
        let named = |list: &[Guests]| list.iter().any(|guests| !matches!(guests, Guests::Range(..)));
        let some = |list: &[Guests]| list.iter().any(|guests| guests.has(vmid, std::iter::empty(), None));
        let all_others = self.means.is_empty() && !self.takes_away.is_empty();
        if some(&self.takes_away) {
            return Some(false);
        }
        match (all_others || some(&self.means), named(&self.means), named(&self.takes_away)) {
            (false, true, _) | (true, _, true) => None,
            (is_meant, _, _) => Some(is_meant),
        }
    }
}

impl Guests {
    fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            let shown: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
            format!("expected a selector such as tag:dev, pool:lab, 100-199, 150 or !tag:prod, found \"{shown}\"")
        };
        let name = |name: &str, more: &[u8]| {
            let fits = (1..=LONGEST).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte));
            if fits { Ok(name.to_owned()) } else { Err(expected()) }
        };
        if let Some(tag) = text.strip_prefix("tag:") {
            return Ok(Self::Tag(name(tag, b"_-+.")?));
        }
        if let Some(pool) = text.strip_prefix("pool:") {
            return Ok(Self::Pool(name(pool, b"_-./")?));
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = number(first).zip(number(last)).filter(|(first, last)| first <= last).ok_or_else(expected)?;
        Ok(Self::Range(range.0, range.1))
    }

    fn has<'a>(&self, vmid: u64, mut tags: impl Iterator<Item = &'a str>, pool: Option<&str>) -> bool {
        match self {
            Self::Tag(tag) => tags.any(|other| other == tag),
            Self::Pool(name) => pool == Some(name),
            Self::Range(first, last) => (first..=last).contains(&&vmid),
        }
    }
}

impl fmt::Display for GuestSelection {
    /// As it is read, joined by commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let means = self.means.iter().map(|guests| ("", guests));
        let all = means.chain(self.takes_away.iter().map(|guests| ("!", guests)));
        for (index, (sign, guests)) in all.enumerate() {
            f.write_str(if index > 0 { "," } else { "" })?;
            match guests {
                Guests::Tag(name) => write!(f, "{sign}tag:{name}")?,
                Guests::Pool(name) => write!(f, "{sign}pool:{name}")?,
                Guests::Range(first, last) if first == last => write!(f, "{sign}{first}")?,
                Guests::Range(first, last) => write!(f, "{sign}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// A number of a guest, as people write it.
fn number(text: &str) -> Option<u64> {
    let is_plain = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = is_plain && !text.starts_with('0');
    is_number.then(|| text.parse().ok()).flatten().filter(|number| *number <= HIGHEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn has(selectors: &[&str], vmid: u64, tags: &[&str], pool: Option<&str>) -> bool {
        let selection = GuestSelection::parse(selectors.iter().copied()).expect("selectors");
        selection.has(vmid, tags.iter().copied(), pool)
    }

    #[test]
    fn selectors_mean_guests_and_what_takes_away_wins() {
        for (selectors, expected) in [
            (&["tag:web"][..], true),
            (&["tag:we"], false),
            (&["pool:lab"], true),
            (&["pool:Lab"], false),
            (&["150"], true),
            (&["100-150"], true),
            (&["151-199"], false),
            (&["151-199", "tag:web"], true),
            (&["tag:web", "!150"], false),
            (&["!150", "tag:web"], false),
            (&["!tag:db"], true),
            (&["!tag:web"], false),
            (&["!pool:lab", "100-199"], false),
            (&[], false),
        ] {
            assert_eq!(has(selectors, 150, &["prod", "web"], Some("lab")), expected, "{selectors:?}");
        }
        assert!(!has(&["pool:lab"], 150, &[], None));
    }

    #[test]
    fn numbers_may_decide_alone() {
        for (selectors, expected) in [
            (&["100-199"][..], Some(true)),
            (&["200-299"], Some(false)),
            (&["200-299", "tag:web"], None),
            (&["100-199", "tag:web"], Some(true)),
            (&["100-199", "!tag:web"], None),
            (&["200-299", "!tag:web"], Some(false)),
            (&["tag:web", "!150"], Some(false)),
            (&["!151"], Some(true)),
            (&["!pool:lab"], None),
            (&[], Some(false)),
        ] {
            let selection = GuestSelection::parse(selectors.iter().copied()).expect("selectors");
            assert_eq!(selection.by_number(150), expected, "{selectors:?}");
        }
    }

    #[test]
    fn what_is_odd_is_refused() {
        for text in [
            "",
            "!",
            "!!150",
            "tag:",
            "tag:a b",
            "tag:*",
            "tag:é",
            "pool:",
            "pool:a;b",
            "web",
            "199-100",
            "100-",
            "-100",
            "+150",
            "0150",
            "1000000000",
            "1-2-3",
            "150 ",
            "Tag:web",
            "tag:a\n",
        ] {
            let error = GuestSelection::parse([text]).expect_err(text);
            assert!(error.starts_with("expected a selector such as tag:dev") && !error.contains('\n'), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_is_written_alike(text in prop_oneof![".{0,20}", "!?(tag|pool):[a-z/.+-]{0,5}", "!?[0-9]{0,4}-?[0-9]{0,4}"], vmid: u64) {
            if let Ok(selection) = GuestSelection::parse([text.as_str()]) {
                prop_assert_eq!(GuestSelection::parse(selection.to_string().split(',')), Ok(selection.clone()));
                let by_number = selection.by_number(vmid);
                prop_assert!(by_number.is_none_or(|meant| selection.has(vmid, ["a"].into_iter(), Some("b")) == meant));
                prop_assert!(!selection.has(vmid, ["a"].into_iter(), None) || text.starts_with('!') || !text.starts_with("pool"));
            }
        }

        #[test]
        fn what_is_taken_away_is_never_meant(vmid in 100_u64..200, first in 100_u64..200, last in 100_u64..200) {
            prop_assume!(first <= last);
            let selection = GuestSelection::parse(["100-199", format!("!{first}-{last}").as_str()]).expect("selectors");
            prop_assert_eq!(selection.has(vmid, std::iter::empty(), None), !(first..=last).contains(&vmid));
        }
    }
}
