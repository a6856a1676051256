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
}

/// Where a job is asked: at a node, or at the one that answers for the cluster.
pub(super) type Place = Option<Arc<str>>;

#[derive(Default)]
pub(super) struct Queue {
    places: BTreeMap<Place, [Line; 2]>,
}

/// Sorted by the time at which they were last asked; those that never were come first. At each place, those that can block
/// stand in a line of their own.
type Line = VecDeque<(Option<Instant>, Job)>;

impl Queue {
    pub(super) fn push(&mut self, since: Option<Instant>, job: Job) {
        let [quick, blocking] = self.places.entry(place(&job.subject)).or_default();
        let jobs = if job.blocks { blocking } else { quick };
        let at = jobs.partition_point(|(other, _)| *other <= since);
        jobs.insert(at, (since, job));
    }

    /// The oldest job whose turn it is and for which `enter` finds a place, with what it gave. At each node only the
    /// first of either kind (that can block, or not) is tried: the others of its kind have no better chance.
    pub(super) fn pop<T>(
        &mut self,
        is_its_turn: impl Fn(&Job) -> bool,
        enter: impl Fn(&Place, bool) -> Option<T>,
    ) -> Option<(Job, T)> {
        let mut heads: Vec<(Option<Instant>, Place, usize, bool)> = Vec::new();
        for (place, lines) in &self.places {
            for (jobs, blocks) in lines.iter().zip([false, true]) {
                if let Some(index) = jobs.iter().position(|(_, job)| is_its_turn(job)) {
                    heads.push((jobs[index].0, place.clone(), index, blocks));
                }
            }
        }
        heads.sort_by_key(|(since, ..)| *since);
        for (_, place, index, blocks) in heads {
            if let Some(entered) = enter(&place, blocks) {
                let lines = self.places.get_mut(&place)?;
                let (_, job) = lines[usize::from(blocks)].remove(index)?;
                if lines.iter().all(VecDeque::is_empty) {
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
        for jobs in self.places.values_mut().flatten() {
            let (keep, drop): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(jobs).into_iter().partition(|(_, job)| wanted(job));
            *jobs = keep;
            dropped.extend(drop.into_iter().map(|(_, job)| job));
        }
        self.places.retain(|_, lines| !lines.iter().all(VecDeque::is_empty));
        dropped
    }

    pub(super) fn len(&self) -> usize {
        self.places.values().flatten().map(VecDeque::len).sum()
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
    use crate::inventory::GuestKind;
    use std::time::Duration;

    fn job(node: &str, vmid: u64, blocks: bool) -> Job {
        let subject = Subject::Guest { kind: GuestKind::Lxc, vmid, node: node.into() };
        Job { shelf: 0, key: Key::Guest(vmid, GuestKind::Lxc), subject, blocks, max_in_flight: None }
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
        assert_eq!(queue.len(), 5);
        let only = |node: &'static str, what: bool| {
            move |place: &Place, blocks: bool| (place.as_deref() == Some(node) && blocks == what).then_some(())
        };
        assert_eq!(queue.pop(|_| true, |_, _| None::<()>).map(|(job, ())| vmid(&job)), None);
        assert_eq!(
            queue.pop(|_| true, only("b", true)).map(|(job, ())| vmid(&job)),
            Some(4),
            "others of its node are full"
        );
        let order: Vec<u64> =
            std::iter::from_fn(|| queue.pop(|_| true, |_, _| Some(()))).map(|(job, ())| vmid(&job)).collect();
        assert_eq!(order, [3, 2, 5, 1]);
        assert!(queue.is_empty());
    }

    #[test]
    fn who_waits_for_a_turn_holds_up_no_other() {
        let mut queue = Queue::default();
        queue.push(None, Job { max_in_flight: Some(1), ..job("a", 1, true) });
        queue.push(None, job("a", 2, true));
        let mut next = |turn: bool| {
            queue.pop(|job| turn || job.max_in_flight.is_none(), |_, _| Some(())).map(|(job, ())| vmid(&job))
        };
        assert_eq!([next(false), next(false), next(true)], [Some(2), None, Some(1)]);
    }

    #[test]
    fn what_nobody_wants_is_taken_out() {
        let mut queue = Queue::default();
        queue.push(None, job("a", 1, false));
        queue.push(None, job("b", 2, false));
        let dropped = queue.drain_unless(|job| vmid(job) == 1);
        assert_eq!((dropped.len(), queue.len()), (1, 1));
    }
}
