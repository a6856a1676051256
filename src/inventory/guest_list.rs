//! Thousands of guests in order.

use std::fmt;

use super::guests::{Guest, GuestKind};

/// Guests by number, each once. They stay where they were put, in small pieces of memory: to move megabytes about in
/// order to sort them, or to have them in one piece, costs more than an index.
#[derive(Clone, Default)]
pub struct GuestList {
    pieces: Vec<Vec<Guest>>,
    /// Places in the order of the numbers.
    order: Vec<u32>,
}

/// Guests per piece.
const PIECE: usize = 256;

impl GuestList {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Guest> {
        self.order.iter().filter_map(|place| get(&self.pieces, *place))
    }

    /// Adds one, which is not seen before [`Self::sort`].
    pub(super) fn push(&mut self, guest: Guest) {
        match self.pieces.last_mut().filter(|piece| piece.len() < PIECE) {
            Some(piece) => piece.push(guest),
            None => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(guest);
                self.pieces.push(piece);
            }
        }
    }

    /// Puts all of them in order; of those with the same number the first one is seen.
    pub(super) fn sort(&mut self) {
        let key = |guest: &Guest| (guest.identity.vmid, guest.identity.kind);
        let all = self.pieces.iter().flatten();
        let mut keys: Vec<((u64, GuestKind), u32)> = all.zip(0..).map(|(guest, place)| (key(guest), place)).collect();
        keys.sort_unstable();
        keys.dedup_by_key(|(key, _)| *key);
        self.order = keys.into_iter().map(|(_, place)| place).collect();
    }

    /// Changes each of them, in any order.
    pub(super) fn for_each(&mut self, change: impl FnMut(&mut Guest)) {
        self.pieces.iter_mut().flatten().for_each(change);
    }
}

fn get(pieces: &[Vec<Guest>], place: u32) -> Option<&Guest> {
    let place = place as usize;
    pieces.get(place / PIECE)?.get(place % PIECE)
}

impl FromIterator<Guest> for GuestList {
    fn from_iter<I: IntoIterator<Item = Guest>>(guests: I) -> Self {
        let mut list = Self::default();
        guests.into_iter().for_each(|guest| list.push(guest));
        list.sort();
        list
    }
}

impl PartialEq for GuestList {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for GuestList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Resources;
    use super::*;
    use std::fmt::Write;

    #[test]
    fn guests_of_many_pieces_are_in_order_and_each_there_once() {
        let count = 3 * PIECE + 5;
        let mut entries = r#"{"type":"node","node":"a","status":"online"}"#.to_owned();
        for place in 0..2 * count {
            let vmid = 100 + (place * 7919) % count;
            let status = if place < count { "first" } else { "second" };
            let _ = write!(entries, r#",{{"type":"qemu","vmid":{vmid},"node":"a","status":"{status}"}}"#);
        }
        entries.push_str(r#",{"type":"lxc","vmid":100,"node":"a"}"#);
        let guests = Resources::read(&format!("{{\"data\":[{entries}]}}")).guests;
        assert_eq!((guests.len(), guests.is_empty()), (count + 1, false));
        let numbers: Vec<u64> = guests.iter().map(|guest| guest.identity.vmid).collect();
        assert_eq!(numbers[..2], [100, 100]);
        assert!(numbers[1..].iter().copied().eq((100..).take(count)));
        let vms = guests.iter().filter(|guest| guest.identity.kind == GuestKind::Qemu);
        assert!(vms.into_iter().all(|guest| guest.status.as_deref() == Some("first")));
        assert_eq!(guests, guests.iter().cloned().collect());
        assert_ne!(guests, GuestList::default());
    }
}
