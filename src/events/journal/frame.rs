//! Records as bytes: one line each, with its length and checksum in front, so that what is broken can be passed over.

use std::fmt::Write as _;
use std::ops::Range;

use sha2::{Digest, Sha256};

/// `{length:08x} {checksum:016x} `, in front of each payload.
const HEAD: usize = 26;

/// What was found in the bytes of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// The payloads of all that is whole, in order.
    pub(super) payloads: Vec<Range<usize>>,
    /// How many broken places lie between them.
    pub(super) broken: usize,
    /// Where the last whole record ends; what follows was torn.
    pub(super) end: usize,
}

/// Appends a record. The payload has no line break.
pub(super) fn write(out: &mut Vec<u8>, payload: &[u8]) {
    let mut head = String::with_capacity(HEAD);
    // Writing into a string cannot fail.
    let _ = write!(head, "{:08x} {:016x} ", payload.len(), checksum(payload));
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(payload);
    out.push(b'\n');
}

/// Finds all records that are whole. What is broken ends with the next line break.
pub(super) fn scan(bytes: &[u8]) -> Scan {
    let mut found = Scan::default();
    let (mut at, mut broken) = (0, 0);
    while at < bytes.len() {
        if let Some(payload) = whole(bytes, at) {
            // The byte behind it is its line break, whatever became of that.
            at = payload.end + 1;
            found.end = at;
            found.payloads.push(payload);
            found.broken += std::mem::take(&mut broken);
        } else {
            broken += 1;
            let rest = bytes.get(at..).unwrap_or_default();
            at = rest.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| at + end + 1);
        }
    }
    found
}

/// The payload of the record that begins here, if it is whole to its line break.
fn whole(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let head = std::str::from_utf8(bytes.get(at..at.checked_add(HEAD)?)?).ok()?;
    let (length, sum) = head.strip_suffix(' ')?.split_once(' ')?;
    let (length, sum) = (usize::from_str_radix(length, 16).ok()?, u64::from_str_radix(sum, 16).ok()?);
    let start = at + HEAD;
    let end = start.checked_add(length)?;
    let payload = bytes.get(start..end)?;
    (end < bytes.len() && checksum(payload) == sum).then_some(start..end)
}

/// The first 8 bytes of the SHA-256.
fn checksum(payload: &[u8]) -> u64 {
    let digest = Sha256::digest(payload);
    digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<Range<usize>>) {
        let (mut bytes, mut lines) = (Vec::new(), Vec::new());
        for payload in payloads {
            let start = bytes.len();
            write(&mut bytes, payload);
            lines.push(start..bytes.len());
        }
        (bytes, lines)
    }

    fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, Scan) {
        let scan = scan(bytes);
        (scan.payloads.iter().map(|range| bytes[range.clone()].to_vec()).collect(), scan)
    }

    fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(b' '..b'~', 0..40), 1..12)
    }

    #[test]
    fn records_are_lines_that_people_can_read() {
        let mut bytes = Vec::new();
        write(&mut bytes, b"{}");
        assert_eq!(String::from_utf8(bytes).unwrap(), "00000002 44136fa355b3678a {}\n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(payloads in payloads()) {
            let (bytes, _) = written(&payloads);
            let (found, scan) = read(&bytes);
            prop_assert_eq!((found, scan.broken, scan.end), (payloads, 0, bytes.len()));
        }

        #[test]
        fn a_flipped_bit_costs_the_record_that_it_is_in(payloads in payloads(), place: prop::sample::Index, bit in 0..8_u8) {
            let (mut bytes, lines) = written(&payloads);
            let at = place.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let hit = lines.iter().position(|line| line.contains(&at)).unwrap();
            let (found, _) = read(&bytes);
            let mut others = payloads.clone();
            others.remove(hit);
            // A line break, or the case of a digit, may be flipped without any harm.
            prop_assert!(found == others || found == payloads, "{:?}", found);
        }

        #[test]
        fn a_cut_costs_the_record_that_it_is_in(payloads in payloads(), place: prop::sample::Index) {
            let (bytes, lines) = written(&payloads);
            let at = place.index(bytes.len());
            let (found, scan) = read(&bytes[..at]);
            let whole = lines.iter().filter(|line| line.end <= at).count();
            prop_assert_eq!(&found, &payloads[..whole]);
            prop_assert_eq!((scan.end, scan.broken), (lines.get(whole).map_or(at, |line| line.start), 0));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, close in "[0-9a-f \n]{0,80}") {
            prop_assert!(scan(&bytes).end <= bytes.len());
            prop_assert!(scan(close.as_bytes()).end <= close.len());
        }
    }
}
