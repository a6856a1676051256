//! The query of a request, decoded strictly: a name that was garbled on the way must not select something else.

use std::fmt;

use crate::ids::percent_decoded;

/// A piece of a query that is no percent-encoded UTF-8.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the query holds {:?}, which is not percent-encoded UTF-8 (a literal % is written %25)", self.0)
    }
}

/// Splits a query into names and values; a name without `=` has an empty value.
pub(super) fn pairs(query: &str) -> Result<Vec<(String, String)>, Malformed> {
    let pieces = query.split('&').filter(|piece| !piece.is_empty());
    pieces
        .map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

/// All values of one parameter, in order.
pub(super) fn values(pairs: &[(String, String)], name: &str) -> Vec<String> {
    pairs.iter().filter(|pair| pair.0 == name).map(|pair| pair.1.clone()).collect()
}

fn decode(piece: &str) -> Result<String, Malformed> {
    percent_decoded(&piece.replace('+', " ")).ok_or_else(|| Malformed(piece.chars().take(64).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pairs_are_decoded() {
        let pairs = pairs("collect[]=guest&collect%5B%5D=node&&cluster=my+home%2B%C3%A9&cluster=&x&=y").unwrap();
        assert_eq!(values(&pairs, "collect[]"), ["guest", "node"]);
        assert_eq!(values(&pairs, "cluster"), ["my home+é", ""]);
        assert_eq!(values(&pairs, "x"), [""]);
        assert_eq!(values(&pairs, "collect"), Vec::<String>::new());
    }

    #[test]
    fn malformed_pieces_are_named() {
        for piece in ["%", "%4", "%zz", "a%+1", "%ff", "%C3", "%é"] {
            assert_eq!(pairs(&format!("ok=1&cluster={piece}")), Err(Malformed(piece.to_owned())), "{piece}");
        }
        assert_eq!(
            pairs("%zz").unwrap_err().to_string(),
            "the query holds \"%zz\", which is not percent-encoded UTF-8 (a literal % is written %25)"
        );
    }

    proptest! {
        #[test]
        fn no_query_panics(query in ".{0,60}", bent in "[%a-f0-9&=+]{0,30}") {
            let _ = pairs(&query);
            let _ = pairs(&bent);
        }

        #[test]
        fn encoded_values_read_back(value in ".{0,40}") {
            let encoded: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(pairs(&format!("cluster={encoded}")).unwrap(), [("cluster".to_owned(), value)]);
        }
    }
}
