//! What waits to be asked: per node and shelf, the oldest first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use crate::collectors::{Slow, Subject};

/// One question.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// Which collector's shelf it is for.
    pub(super) shelf: usize,
    pub(super) subject: Subject,
}

/// Where a job is asked: at a node, or at the one that answers for the cluster.
pub(super) type Place = Option<Arc<str>>;

#[derive(Default)]
pub(super) struct Queue {
    /// One line for each shelf that has jobs there: with thousands of jobs, nobody looks beyond the first of a line.
    places: BTreeMap<Place, Vec<Line>>,
}

/// The jobs of one shelf at one place.
struct Line {
    shelf: usize,
    /// Whether they can hold their worker on the node for long.
    blocks: bool,
    /// So many of the shelf's are asked at once; none: as many as the gates allow.
    max_in_flight: Option<usize>,
    /// Sorted by the time at which they were last asked; those that never were come first.
    jobs: VecDeque<(Option<Instant>, Subject)>,
}

impl Queue {
    pub(super) fn push(&mut self, since: Option<Instant>, job: Job, slow: &Slow) {
        let Job { shelf, subject } = job;
        let &Slow { blocks, max_in_flight, .. } = slow;
        let lines = self.places.entry(place(&subject)).or_default();
        let line = lines.iter().position(|line| line.shelf == shelf).unwrap_or_else(|| {
            lines.push(Line { shelf, blocks, max_in_flight, jobs: VecDeque::new() });
            lines.len() - 1
        });
        if let Some(Line { jobs, .. }) = lines.get_mut(line) {
            let at = jobs.partition_point(|(other, _)| *other <= since);
            jobs.insert(at, (since, subject));
        }
    }

    /// The oldest job for which `enter` finds a place, with what it gave; `in_flight` is how many of a shelf are asked
    /// just now. At each node only the first of either kind (that can block, or not) is tried: the others of its kind have
    /// no better chance.
    pub(super) fn pop<T>(
        &mut self,
        in_flight: impl Fn(usize) -> usize,
        enter: impl Fn(&Place, bool) -> Option<T>,
    ) -> Option<(Job, T)> {
        let is_its_turn = |line: &&Line| line.max_in_flight.is_none_or(|most| in_flight(line.shelf) < most);
        let mut heads: Vec<(Option<Instant>, &Place, &Line)> = Vec::new();
        for (place, lines) in &self.places {
            for blocks in [false, true] {
                let turns = lines.iter().filter(|line| line.blocks == blocks).filter(is_its_turn);
                let firsts = turns.filter_map(|line| Some((line.jobs.front()?.0, place, line)));
                heads.extend(firsts.min_by_key(|(since, ..)| *since));
            }
        }
        heads.sort_by_key(|(since, ..)| *since);
        let enter = |(_, place, line): (Option<Instant>, &Place, &Line)| {
            Some((Place::clone(place), line.shelf, enter(place, line.blocks)?))
        };
        let (place, shelf, entered) = heads.into_iter().find_map(enter)?;
        let subject = self.take(&place, shelf)?;
        Some((Job { shelf, subject }, entered))
    }

    /// The first of a line.
    fn take(&mut self, place: &Place, shelf: usize) -> Option<Subject> {
        let lines = self.places.get_mut(place)?;
        let line = lines.iter_mut().find(|line| line.shelf == shelf)?;
        let (_, subject) = line.jobs.pop_front()?;
        lines.retain(|line| !line.jobs.is_empty());
        if lines.is_empty() {
            self.places.remove(place);
        }
        Some(subject)
    }

    /// Takes out the jobs of shelves that are not wanted any more.
    pub(super) fn drain_unless(&mut self, wanted: impl Fn(usize) -> bool) -> Vec<Job> {
        let mut dropped = Vec::new();
        for lines in self.places.values_mut() {
            for line in lines.iter_mut().filter(|line| !wanted(line.shelf)) {
                let jobs = line.jobs.drain(..);
                dropped.extend(jobs.map(|(_, subject)| Job { shelf: line.shelf, subject }));
            }
            lines.retain(|line| !line.jobs.is_empty());
        }
        self.places.retain(|_, lines| !lines.is_empty());
        dropped
    }

    pub(super) fn len(&self) -> usize {
        self.places.values().flatten().map(|line| line.jobs.len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

fn place(subject: &Subject) -> Place {
    match subject {
        Subject::Cluster => None,
        Subject::Node(node) | Subject::Guest { node, .. } => Some(Arc::clone(node)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::Per;
    use crate::inventory::GuestKind;
    use std::cell::Cell;
    use std::time::Duration;

    const QUICK: Slow = Slow {
        ttl: Duration::from_secs(30),
        per: Per::Guest,
        blocks: false,
        max_in_flight: None,
        sees_all: false,
        fetch: |_| Box::pin(async { Ok(Vec::new()) }),
    };
    const SLOW: Slow = Slow { blocks: true, ..QUICK };

    fn job(shelf: usize, node: &str, vmid: u64) -> Job {
        Job { shelf, subject: Subject::Guest { kind: GuestKind::Lxc, vmid, node: node.into() } }
    }

    fn vmid(job: &Job) -> u64 {
        match &job.subject {
            Subject::Guest { vmid, .. } => *vmid,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_oldest_comes_first_and_a_full_node_holds_up_no_other() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let at = |seconds| Some(start + Duration::from_secs(seconds));
        for (since, job, slow) in [
            (at(5), job(0, "a", 1), QUICK),
            (at(1), job(0, "a", 2), QUICK),
            (None, job(0, "b", 3), QUICK),
            (at(3), job(1, "b", 4), SLOW),
            (at(1), job(2, "a", 5), QUICK),
        ] {
            queue.push(since, job, &slow);
        }
        assert_eq!(queue.len(), 5);
        let only = |node: &'static str, what: bool| {
            move |place: &Place, blocks: bool| (place.as_deref() == Some(node) && blocks == what).then_some(())
        };
        assert_eq!(queue.pop(|_| 0, |_, _| None::<()>).map(|(job, ())| vmid(&job)), None);
        assert_eq!(
            queue.pop(|_| 0, only("b", true)).map(|(job, ())| vmid(&job)),
            Some(4),
            "others of its node are full"
        );
        let order: Vec<u64> =
            std::iter::from_fn(|| queue.pop(|_| 0, |_, _| Some(()))).map(|(job, ())| vmid(&job)).collect();
        assert_eq!(order, [3, 2, 5, 1]);
        assert!(queue.is_empty());
    }

    #[test]
    fn who_waits_for_a_turn_holds_up_no_other() {
        let mut queue = Queue::default();
        queue.push(None, job(0, "a", 1), &Slow { max_in_flight: Some(1), ..SLOW });
        queue.push(None, job(1, "a", 2), &SLOW);
        let mut next = |busy: usize| {
            queue.pop(|shelf| if shelf == 0 { busy } else { 9 }, |_, _| Some(())).map(|(job, ())| vmid(&job))
        };
        assert_eq!([next(1), next(1), next(0)], [Some(2), None, Some(1)]);
    }

    /// Thousands wait, and one asks which is next after each answer.
    #[test]
    fn nobody_looks_beyond_the_first_of_a_line() {
        let mut queue = Queue::default();
        for vmid in 0..5000 {
            queue.push(None, job(0, if vmid % 2 == 0 { "a" } else { "b" }, vmid), &QUICK);
            queue.push(None, job(1, "a", vmid), &Slow { max_in_flight: Some(1), ..QUICK });
        }
        let looks = Cell::new(0);
        let busy = |shelf| {
            looks.set(looks.get() + 1);
            shelf
        };
        let popped = std::iter::from_fn(|| queue.pop(busy, |_, _| Some(()))).count();
        assert_eq!((popped, queue.len()), (5000, 5000));
        assert!(looks.get() <= 2 * 5001, "{looks:?}");
    }

    #[test]
    fn what_nobody_wants_is_taken_out() {
        let mut queue = Queue::default();
        queue.push(None, job(0, "a", 1), &QUICK);
        queue.push(None, job(1, "a", 2), &QUICK);
        queue.push(None, job(1, "b", 3), &QUICK);
        let dropped = queue.drain_unless(|shelf| shelf == 0);
        assert_eq!((dropped.iter().map(vmid).collect::<Vec<_>>(), queue.len()), (vec![2, 3], 1));
    }
}
