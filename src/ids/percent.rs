//! Percent-encoding of addresses, decoded strictly: what was garbled on the way must not name something else.

/// The text that was encoded; none where an escape is cut off or no hexadecimal number, or what comes out is no UTF-8.
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let value = digit().zip(digit()).map(|(high, low)| high * 16 + low)?;
            u8::try_from(value).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_taken_as_they_are_meant_or_not_at_all() {
        assert_eq!(percent_decoded("a%20b%C3%a9+"), Some("a bé+".to_owned()));
        for text in ["%", "%4", "%zz", "%+1", "%ff", "%C3", "%é"] {
            assert_eq!(percent_decoded(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn encoded_texts_read_back(text in ".{0,40}", bent in "[%a-f0-9é]{0,20}") {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(percent_decoded(&encoded), Some(text));
            let _ = percent_decoded(&bent);
        }
    }
}
