//! Who holds up a node is asked there seldom: what hangs costs those that are well a third of the node's time at most.
//!
//! A call that takes long, or is given up, keeps the place of all that can block on its node: a dead NFS or a few agents
//! that hang would soon take every turn there is. So, after such a call,
//!
//! * no other that was slow before is asked on that node for twice as long as the place was taken, and meanwhile
//! * what its collector asks there comes after what others ask: where one agent hangs, the next one may, too.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::queue::Turn;

/// No answer of a node that is well takes so long.
const LONG: Duration = Duration::from_secs(5);
/// So many times as long as its place was taken, a slow call is followed by none of its sort.
const REST: u32 = 2;

/// The nodes that were held up lately.
#[derive(Default)]
pub(super) struct Rests(BTreeMap<String, Rest>);

/// What is asked: for which shelf, and whether it was slow the last time.
type Sort = (usize, bool);

struct Rest {
    /// Whose call held the node up.
    shelf: usize,
    /// Absent while something that was slow before is under way.
    until: Option<Instant>,
}

impl Rests {
    /// Whose turn it is on a node.
    pub(super) fn turn(&self, node: &str, (shelf, is_slow): Sort, now: Instant) -> Turn {
        match self.0.get(node).filter(|rest| rest.until.is_none_or(|until| until > now)) {
            Some(_) if is_slow => Turn::Later,
            Some(rest) if rest.shelf == shelf => Turn::AfterOthers,
            _ => Turn::Now,
        }
    }

    /// One is asked on a node.
    pub(super) fn begin(&mut self, node: &str, (shelf, is_slow): Sort) {
        if is_slow {
            self.0.insert(node.to_owned(), Rest { shelf, until: None });
        }
    }

    /// It was answered or given up, and its place was taken from `asked` until `free`. Says whether that was long.
    pub(super) fn end(&mut self, node: &str, (shelf, is_slow): Sort, (asked, free): (Instant, Instant)) -> bool {
        let held = free.duration_since(asked);
        if held >= LONG {
            self.0.insert(node.to_owned(), Rest { shelf, until: Some(free + REST * held) });
        } else if is_slow {
            self.0.remove(node);
        }
        held >= LONG
    }

    /// Forgets what is over; says when the next one is.
    pub(super) fn next_end(&mut self, now: Instant) -> Option<Instant> {
        self.0.retain(|_, rest| rest.until.is_none_or(|until| until > now));
        self.0.values().filter_map(|rest| rest.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn turns(rests: &Rests, node: &str, now: Instant) -> [Turn; 4] {
        [(0, false), (1, false), (0, true), (1, true)].map(|sort| rests.turn(node, sort, now))
    }

    #[test]
    fn what_is_slow_has_a_third_of_its_node_and_no_more() {
        let (mut rests, start) = (Rests::default(), Instant::now());
        let anybody = [Turn::Now; 4];
        assert_eq!(turns(&rests, "a", start), anybody);
        assert!(!rests.end("a", (0, false), (start, start + 4 * SECOND)), "that is not long");
        assert_eq!(turns(&rests, "a", start), anybody);
        let free = start + 90 * SECOND;
        assert!(rests.end("a", (0, false), (start, free)));
        let held = [Turn::AfterOthers, Turn::Now, Turn::Later, Turn::Later];
        let over = free + 180 * SECOND;
        assert_eq!((turns(&rests, "a", over - SECOND), turns(&rests, "a", over)), (held, anybody));
        assert_eq!(turns(&rests, "b", free), anybody, "another node");
        assert_eq!(rests.next_end(free), Some(over));
        assert_eq!(rests.next_end(over), None);
    }

    #[test]
    fn one_that_is_slow_is_asked_at_a_time_and_the_next_one_at_once_if_it_is_well() {
        let (mut rests, now) = (Rests::default(), Instant::now());
        rests.begin("a", (0, false));
        assert_eq!(turns(&rests, "a", now), [Turn::Now; 4]);
        rests.begin("a", (0, true));
        assert_eq!(turns(&rests, "a", now), [Turn::AfterOthers, Turn::Now, Turn::Later, Turn::Later]);
        assert_eq!(rests.next_end(now), None, "it is under way");
        assert!(!rests.end("a", (1, false), (now, now)));
        assert_eq!(rests.turn("a", (0, true), now), Turn::Later, "of another call that is nothing new");
        assert!(!rests.end("a", (0, true), (now, now + SECOND)));
        assert_eq!(turns(&rests, "a", now), [Turn::Now; 4]);
    }
}
