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
    /// It took long the last time.
    pub(super) is_slow: bool,
}

/// When a job may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Now,
    /// Unless others of its kind wait at its node.
    AfterOthers,
    Later,
}

/// Where a job is asked: at a node, or at the one that answers for the cluster.
pub(super) type Place = Option<Arc<str>>;

#[derive(Default)]
pub(super) struct Queue {
    /// One line for each shelf that has jobs there, and another one for its slow ones: with thousands of jobs, nobody looks
    /// beyond the first of a line.
    places: BTreeMap<Place, Vec<Line>>,
}

/// The jobs of one shelf at one place, either those that took long the last time or the others.
pub(super) struct Line {
    pub(super) shelf: usize,
    pub(super) is_slow: bool,
    /// Whether they can hold their worker on the node for long.
    blocks: bool,
    /// So many of the shelf's are asked at once; none: as many as the gates allow.
    pub(super) max_in_flight: Option<usize>,
    /// Sorted by the time at which they were last asked; those that never were come first.
    jobs: VecDeque<(Option<Instant>, Subject)>,
}

impl Queue {
    pub(super) fn push(&mut self, since: Option<Instant>, job: Job, slow: &Slow) {
        let Job { shelf, subject, is_slow } = job;
        let &Slow { blocks, max_in_flight, .. } = slow;
        let lines = self.places.entry(place(&subject)).or_default();
        let line = lines.iter().position(|line| line.is_of(shelf, is_slow)).unwrap_or_else(|| {
            lines.push(Line { shelf, is_slow, blocks, max_in_flight, jobs: VecDeque::new() });
            lines.len() - 1
        });
        if let Some(Line { jobs, .. }) = lines.get_mut(line) {
            let at = jobs.partition_point(|(other, _)| *other <= since);
            jobs.insert(at, (since, subject));
        }
    }

    /// The oldest job for which `enter` finds a place, with what it gave. At each node only the first of either kind (that
    /// can block, or not) whose turn it is is tried: the others of its kind have no better chance.
    pub(super) fn pop<T>(
        &mut self,
        turn: impl Fn(&Place, &Line) -> Turn,
        enter: impl Fn(&Place, bool) -> Option<T>,
    ) -> Option<(Job, T)> {
        let mut heads: Vec<(Option<Instant>, &Place, &Line)> = Vec::new();
        for (place, lines) in &self.places {
            for blocks in [false, true] {
                let of_kind = lines.iter().filter(|line| line.blocks == blocks);
                let turns = of_kind.map(|line| (turn(place, line), line)).filter(|(turn, _)| *turn != Turn::Later);
                let firsts = turns.filter_map(|(turn, line)| Some((turn, line.jobs.front()?.0, line)));
                let first = firsts.min_by_key(|(turn, since, _)| (*turn == Turn::AfterOthers, *since));
                heads.extend(first.map(|(_, since, line)| (since, place, line)));
            }
        }
        heads.sort_by_key(|(since, ..)| *since);
        let enter = |(_, place, line): (Option<Instant>, &Place, &Line)| {
            Some((Place::clone(place), (line.shelf, line.is_slow), enter(place, line.blocks)?))
        };
        let (place, (shelf, is_slow), entered) = heads.into_iter().find_map(enter)?;
        let subject = self.take(&place, shelf, is_slow)?;
        Some((Job { shelf, subject, is_slow }, entered))
    }

    /// The first of a line.
    fn take(&mut self, place: &Place, shelf: usize, is_slow: bool) -> Option<Subject> {
        let lines = self.places.get_mut(place)?;
        let line = lines.iter_mut().find(|line| line.is_of(shelf, is_slow))?;
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
                dropped.extend(jobs.map(|(_, subject)| Job { shelf: line.shelf, subject, is_slow: line.is_slow }));
            }
            lines.retain(|line| !line.jobs.is_empty());
        }
        self.places.retain(|_, lines| !lines.is_empty());
        dropped
    }

    /// How many wait for no other reason than that there are others before them.
    pub(super) fn waiting(&self) -> usize {
        self.places.values().flatten().filter(|line| !line.is_slow).map(|line| line.jobs.len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

impl Line {
    fn is_of(&self, shelf: usize, is_slow: bool) -> bool {
        (self.shelf, self.is_slow) == (shelf, is_slow)
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
        Job { shelf, subject: Subject::Guest { kind: GuestKind::Lxc, vmid, node: node.into() }, is_slow: false }
    }

    fn now(_: &Place, _: &Line) -> Turn {
        Turn::Now
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
        assert_eq!(queue.waiting(), 5);
        let only = |node: &'static str, what: bool| {
            move |place: &Place, blocks: bool| (place.as_deref() == Some(node) && blocks == what).then_some(())
        };
        assert_eq!(queue.pop(now, |_, _| None::<()>).map(|(job, ())| vmid(&job)), None);
        assert_eq!(queue.pop(now, only("b", true)).map(|(job, ())| vmid(&job)), Some(4), "others of its node are full");
        let order: Vec<u64> =
            std::iter::from_fn(|| queue.pop(now, |_, _| Some(()))).map(|(job, ())| vmid(&job)).collect();
        assert_eq!(order, [3, 2, 5, 1]);
        assert!(queue.is_empty());
    }

    #[test]
    fn who_waits_for_a_turn_holds_up_no_other() {
        let mut queue = Queue::default();
        queue.push(None, job(0, "a", 1), &Slow { max_in_flight: Some(1), ..SLOW });
        queue.push(None, job(1, "a", 2), &SLOW);
        let mut next = |busy: usize| {
            let is_free = |line: &Line| line.max_in_flight.is_none_or(|most| busy < most);
            let turn = |_: &Place, line: &Line| if is_free(line) { Turn::Now } else { Turn::Later };
            queue.pop(turn, |_, _| Some(())).map(|(job, ())| vmid(&job))
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
        let busy = |_: &Place, line: &Line| {
            looks.set(looks.get() + 1);
            if line.shelf == 0 { Turn::Now } else { Turn::Later }
        };
        let popped = std::iter::from_fn(|| queue.pop(busy, |_, _| Some(()))).count();
        assert_eq!((popped, queue.waiting()), (5000, 5000));
        assert!(looks.get() <= 3 * 5001, "{looks:?}");
    }

    #[test]
    fn who_comes_after_others_comes_when_there_are_none() {
        let mut queue = Queue::default();
        for (shelf, node) in [(1, "a"), (2, "a"), (3, "b"), (4, "a")] {
            queue.push(None, job(shelf, node, shelf as u64), &SLOW);
        }
        let turn = |_: &Place, line: &Line| match line.shelf {
            1 | 3 => Turn::AfterOthers,
            2 => Turn::Now,
            _ => Turn::Later,
        };
        let order: Vec<u64> =
            std::iter::from_fn(|| queue.pop(turn, |_, _| Some(()))).map(|(job, ())| vmid(&job)).collect();
        assert_eq!((order, queue.waiting()), (vec![2, 1, 3], 1));
    }

    #[test]
    fn what_is_slow_waits_on_purpose_in_a_line_of_its_own() {
        let mut queue = Queue::default();
        queue.push(None, Job { is_slow: true, ..job(0, "a", 1) }, &SLOW);
        assert_eq!((queue.waiting(), queue.is_empty()), (0, false));
        queue.push(None, job(0, "a", 2), &SLOW);
        let turn = |_: &Place, line: &Line| if line.is_slow { Turn::Later } else { Turn::Now };
        let next = queue.pop(turn, |_, _| Some(())).map(|(job, ())| (vmid(&job), job.is_slow));
        assert_eq!((next, queue.is_empty()), (Some((2, false)), false));
        let last = queue.pop(now, |_, _| Some(())).map(|(job, ())| (vmid(&job), job.is_slow));
        assert_eq!((last, queue.is_empty()), (Some((1, true)), true));
    }

    #[test]
    fn what_nobody_wants_is_taken_out() {
        let mut queue = Queue::default();
        queue.push(None, job(0, "a", 1), &QUICK);
        queue.push(None, job(1, "a", 2), &QUICK);
        queue.push(None, job(1, "b", 3), &QUICK);
        let dropped = queue.drain_unless(|shelf| shelf == 0);
        assert_eq!((dropped.iter().map(vmid).collect::<Vec<_>>(), queue.waiting()), (vec![2, 3], 1));
    }
}
