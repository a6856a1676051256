//! The address of a network card.

use std::fmt;

/// Six bytes, printed as `aa:bb:cc:dd:ee:ff`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Reads six pairs of hexadecimal digits with `:` or `-` between them, in either case. `None` also for addresses that no
    /// single card has: of groups, and all zeros.
    pub fn parse(text: &str) -> Option<Self> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut bytes = [0; 6];
        let mut parts = text.split(separator);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2)?;
            *byte = u8::from_str_radix(part, 16).ok().filter(|_| part.bytes().all(|b| b.is_ascii_hexdigit()))?;
        }
        let is_of_one = bytes[0] & 1 == 0 && bytes != [0; 6];
        (parts.next().is_none() && is_of_one).then_some(Self(bytes))
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_ways_to_write_it_are_read() {
        for text in ["AA:bb:cc:dd:ee:0f", "aa-bb-cc-dd-ee-0f"] {
            let read = MacAddress::parse(text).unwrap();
            assert_eq!((read.0, read.to_string().as_str()), ([0xaa, 0xbb, 0xcc, 0xdd, 0xee, 15], "aa:bb:cc:dd:ee:0f"));
        }
        for wrong in
            ["", "aa:bb:cc:dd:ee", "aa:bb:cc:dd:ee:ff:00", "aa:bb:cc:dd:ee:f", "aa:bb:cc:dd:ee:+f", "aabb.ccdd.eeff"]
        {
            assert_eq!(MacAddress::parse(wrong), None, "{wrong}");
        }
        assert!(
            ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", "00:00:00:00:00:00"]
                .iter()
                .all(|text| MacAddress::parse(text).is_none())
        );
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_and_nothing_panics(bytes: [u8; 6], text in "[0-9a-f:é-]{0,20}") {
            let is_of_one = bytes[0] & 1 == 0 && bytes != [0; 6];
            prop_assert_eq!(MacAddress::parse(&MacAddress(bytes).to_string()).is_some(), is_of_one);
            let _ = MacAddress::parse(&text);
        }
    }
}
