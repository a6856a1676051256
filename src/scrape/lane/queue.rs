//! What waits to be asked: per node, the oldest first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::shelf::Key;
use crate::collectors::Subject;

/// One question.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// Which collector's shelf it is for.
    pub(super) shelf: usize,
    pub(super) key: Key,
    pub(super) subject: Subject,
    /// Whether it can hold its worker on the node for long.
    pub(super) blocks: bool,
    /// So many of its shelf are asked at once; none: as many as the gates allow.
    pub(super) max_in_flight: Option<usize>,
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
    /// Sorted by the time at which they were last asked; those that never were come first.
    places: BTreeMap<Place, VecDeque<(Option<Instant>, Job)>>,
}

impl Queue {
    pub(super) fn push(&mut self, since: Option<Instant>, job: Job) {
        let jobs = self.places.entry(place(&job.subject)).or_default();
        let at = jobs.partition_point(|(other, _)| *other <= since);
        jobs.insert(at, (since, job));
    }

    /// The oldest job whose turn it is and for which `enter` finds a place, with what it gave. At each node only the
    /// first of either kind (that can block, or not) is tried: the others of its kind have no better chance.
    pub(super) fn pop<T>(
        &mut self,
        turn: impl Fn(&Place, &Job) -> Turn,
        enter: impl Fn(&Place, bool) -> Option<T>,
    ) -> Option<(Job, T)> {
        let mut heads: Vec<(Option<Instant>, Place, usize, bool)> = Vec::new();
        for (place, jobs) in &self.places {
            for blocks in [false, true] {
                if let Some(index) =
                    first(jobs, |job| if job.blocks == blocks { turn(place, job) } else { Turn::Later })
                {
                    heads.push((jobs[index].0, place.clone(), index, blocks));
                }
            }
        }
        heads.sort_by_key(|(since, ..)| *since);
        for (_, place, index, blocks) in heads {
            if let Some(entered) = enter(&place, blocks) {
                let jobs = self.places.get_mut(&place)?;
                let (_, job) = jobs.remove(index)?;
                if jobs.is_empty() {
                    self.places.remove(&place);
                }
                return Some((job, entered));
            }
        }
        None
    }

    /// Takes out what is not wanted any more.
    pub(super) fn drain_unless(&mut self, wanted: impl Fn(&Job) -> bool) -> Vec<Job> {
        let mut dropped = Vec::new();
        for jobs in self.places.values_mut() {
            let (keep, drop): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(jobs).into_iter().partition(|(_, job)| wanted(job));
            *jobs = keep;
            dropped.extend(drop.into_iter().map(|(_, job)| job));
        }
        self.places.retain(|_, jobs| !jobs.is_empty());
        dropped
    }

    /// How many wait for no other reason than that there are others before them.
    pub(super) fn waiting(&self) -> usize {
        self.places.values().flatten().filter(|(_, job)| !job.is_slow).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

/// The first whose turn it is, or else the first of those that come after others.
fn first(jobs: &VecDeque<(Option<Instant>, Job)>, turn: impl Fn(&Job) -> Turn) -> Option<usize> {
    let mut after = None;
    for (index, (_, job)) in jobs.iter().enumerate() {
        match turn(job) {
            Turn::Now => return Some(index),
            Turn::AfterOthers => after = after.or(Some(index)),
            Turn::Later => {}
        }
    }
    after
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
    use crate::inventory::GuestKind;
    use std::time::Duration;

    fn job(node: &str, vmid: u64, blocks: bool) -> Job {
        let subject = Subject::Guest { kind: GuestKind::Lxc, vmid, node: node.into() };
        Job { shelf: 0, key: Key::Guest(vmid, GuestKind::Lxc), subject, blocks, max_in_flight: None, is_slow: false }
    }

    fn vmid(job: &Job) -> u64 {
        match &job.key {
            Key::Guest(vmid, _) => *vmid,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_oldest_comes_first_and_a_full_node_holds_up_no_other() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        let at = |seconds| Some(start + Duration::from_secs(seconds));
        for (since, job) in [
            (at(5), job("a", 1, false)),
            (at(1), job("a", 2, false)),
            (None, job("b", 3, false)),
            (at(3), job("b", 4, true)),
            (at(1), job("a", 5, false)),
        ] {
            queue.push(since, job);
        }
        assert_eq!(queue.waiting(), 5);
        let only = |node: &'static str, what: bool| {
            move |place: &Place, blocks: bool| (place.as_deref() == Some(node) && blocks == what).then_some(())
        };
        assert_eq!(queue.pop(|_, _| Turn::Now, |_, _| None::<()>).map(|(job, ())| vmid(&job)), None);
        assert_eq!(
            queue.pop(|_, _| Turn::Now, only("b", true)).map(|(job, ())| vmid(&job)),
            Some(4),
            "others of its node are full"
        );
        let order: Vec<u64> =
            std::iter::from_fn(|| queue.pop(|_, _| Turn::Now, |_, _| Some(()))).map(|(job, ())| vmid(&job)).collect();
        assert_eq!(order, [3, 2, 5, 1]);
        assert!(queue.is_empty());
    }

    #[test]
    fn who_waits_for_a_turn_holds_up_no_other() {
        let mut queue = Queue::default();
        queue.push(None, Job { max_in_flight: Some(1), ..job("a", 1, true) });
        queue.push(None, job("a", 2, true));
        let mut next = |turn: bool| {
            queue
                .pop(
                    |_, job| if turn || job.max_in_flight.is_none() { Turn::Now } else { Turn::Later },
                    |_, _| Some(()),
                )
                .map(|(job, ())| vmid(&job))
        };
        assert_eq!([next(false), next(false), next(true)], [Some(2), None, Some(1)]);
    }

    #[test]
    fn who_comes_after_others_comes_when_there_are_none() {
        let mut queue = Queue::default();
        for (vmid, node) in [(1, "a"), (2, "a"), (3, "b"), (4, "a")] {
            queue.push(None, job(node, vmid, true));
        }
        let turn = |_: &Place, job: &Job| match vmid(job) {
            1 | 3 => Turn::AfterOthers,
            2 => Turn::Now,
            _ => Turn::Later,
        };
        let order: Vec<u64> =
            std::iter::from_fn(|| queue.pop(turn, |_, _| Some(()))).map(|(job, ())| vmid(&job)).collect();
        assert_eq!((order, queue.waiting()), (vec![2, 1, 3], 1));
    }

    #[test]
    fn what_is_slow_waits_on_purpose() {
        let mut queue = Queue::default();
        queue.push(None, Job { is_slow: true, ..job("a", 1, true) });
        assert_eq!((queue.waiting(), queue.is_empty()), (0, false));
    }

    #[test]
    fn what_nobody_wants_is_taken_out() {
        let mut queue = Queue::default();
        queue.push(None, job("a", 1, false));
        queue.push(None, job("b", 2, false));
        let dropped = queue.drain_unless(|job| vmid(job) == 1);
        assert_eq!((dropped.len(), queue.waiting()), (1, 1));
    }
}
