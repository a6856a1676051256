//! Thousands of guests in order.

use std::fmt;
use std::sync::Arc;

use super::guests::{Guest, GuestKind};

/// Guests by number, each once; cheap to clone. They stay where they were put, in small pieces of memory: to move
/// megabytes about in order to sort them, or to have them in one piece, costs more than an index.
#[derive(Clone, Default)]
pub struct GuestList(Arc<Ordered>);

#[derive(Default)]
struct Ordered {
    guests: Unordered,
    /// Places in the order of the numbers.
    order: Vec<u32>,
}

/// Guests as they come in.
#[derive(Default)]
pub(super) struct Unordered {
    pieces: Vec<Vec<Guest>>,
}

/// Guests per piece.
const PIECE: usize = 256;

impl GuestList {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.order.is_empty()
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Guest> {
        self.iter_from(0)
    }

    /// All of them, and those that were told twice, in the order in which they were told.
    pub(super) fn as_told(&self) -> impl Iterator<Item = &Guest> {
        self.0.guests.pieces.iter().flatten()
    }

    /// All but so many of them, by number.
    pub fn iter_from(&self, first: usize) -> impl Iterator<Item = &Guest> {
        let Ordered { guests, order } = &*self.0;
        order.get(first..).unwrap_or_default().iter().filter_map(|place| guests.get(*place))
    }
}

impl Unordered {
    /// Adds one.
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

    /// Changes each of them, in any order.
    pub(super) fn for_each(&mut self, change: impl FnMut(&mut Guest)) {
        self.pieces.iter_mut().flatten().for_each(change);
    }

    /// All of them in order; of those with the same number the first one.
    pub(super) fn sorted(self) -> GuestList {
        let key = |guest: &Guest| (guest.identity.vmid, guest.identity.kind);
        let all = self.pieces.iter().flatten();
        let mut keys: Vec<((u64, GuestKind), u32)> = all.zip(0..).map(|(guest, place)| (key(guest), place)).collect();
        keys.sort_unstable();
        keys.dedup_by_key(|(key, _)| *key);
        let order = keys.into_iter().map(|(_, place)| place).collect();
        GuestList(Arc::new(Ordered { guests: self, order }))
    }

    fn get(&self, place: u32) -> Option<&Guest> {
        let place = place as usize;
        self.pieces.get(place / PIECE)?.get(place % PIECE)
    }
}

impl FromIterator<Guest> for GuestList {
    fn from_iter<I: IntoIterator<Item = Guest>>(guests: I) -> Self {
        let mut list = Unordered::default();
        guests.into_iter().for_each(|guest| list.push(guest));
        list.sorted()
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
        let last = guests.iter_from(count).map(|guest| guest.identity.vmid).collect::<Vec<_>>();
        assert_eq!(last, [99 + count as u64]);
        assert_eq!(guests.iter_from(count + 2).count(), 0);
    }
}
