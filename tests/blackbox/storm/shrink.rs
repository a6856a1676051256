//! The smallest part of a plan that still fails.

use std::time::Instant;

use super::plan::Step;

/// Leaves out halves, quarters and so on, then single steps, and then makes less of what is left, as long as `fails` says that
/// what remains does; until that changes nothing any more, or it is late.
pub fn shrink(plan: &[Step], until: Instant, mut fails: impl FnMut(&[Step]) -> bool) -> Vec<Step> {
    let mut least = plan.to_vec();
    let mut fails = |candidate: &[Step]| Instant::now() < until && fails(candidate);
    let mut size = least.len().div_ceil(2);
    while size > 0 {
        let before = least.len();
        least = without(&least, size, &mut fails);
        // Single steps may go once others have gone.
        size = if size == 1 && least.len() < before { 1 } else { size / 2 };
    }
    for place in 0..least.len() {
        while let Some(simpler) = simpler(&least, place, &mut fails) {
            least = simpler;
        }
    }
    least
}

/// Each part of so many steps is left out if it can be; the last ones first, since what fails fails at the end.
fn without(plan: &[Step], size: usize, fails: &mut impl FnMut(&[Step]) -> bool) -> Vec<Step> {
    let mut least = plan.to_vec();
    let mut end = least.len();
    while end > 0 {
        let begin = end.saturating_sub(size);
        let candidate = [&least[..begin], &least[end..]].concat();
        if fails(&candidate) {
            least = candidate;
        }
        end = begin;
    }
    least
}

fn simpler(plan: &[Step], place: usize, fails: &mut impl FnMut(&[Step]) -> bool) -> Option<Vec<Step>> {
    let mut candidates = plan[place].simpler().into_iter().map(|step| {
        let mut candidate = plan.to_vec();
        candidate[place] = step;
        candidate
    });
    candidates.find(|candidate| fails(candidate))
}

mod tests {
    use std::time::Duration;

    use super::super::plan::draw;
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_plan_is_shrunken_to_what_fails() {
        // A kill, later many tasks on one node, and later a start.
        let fails = |plan: &[Step]| {
            let kill = plan.iter().position(|step| matches!(step, Step::Kill { .. }));
            let after =
                |from: usize, is: &dyn Fn(&Step) -> bool| plan.iter().skip(from).position(is).map(|place| from + place);
            let burst =
                kill.and_then(|from| after(from, &|step| matches!(step, Step::Tasks { node: 1, count: 17.., .. })));
            burst.and_then(|from| after(from, &|step| *step == Step::Start)).is_some()
        };
        for seed in 1..20 {
            let plan = draw(seed, 300);
            assert!(fails(&plan), "{seed}");
            let mut calls = 0;
            let least = shrink(&plan, soon(), |candidate| {
                calls += 1;
                fails(candidate)
            });
            assert!(
                matches!(least[..], [Step::Kill { ms: 0 }, Step::Tasks { node: 1, count: 17, .. }, Step::Start]),
                "{seed}: {least:?}"
            );
            assert!(calls < 150, "{seed}: {calls}");
        }
    }

    #[test]
    fn a_plan_stays_whole_where_all_of_it_is_needed_or_there_is_no_time() {
        let plan = draw(1, 9);
        let (mut last, late) = (Vec::new(), Instant::now());
        let needs_all = |candidate: &[Step]| candidate.len() == 9 && plan.iter().all(|step| candidate.contains(step));
        assert_eq!(shrink(&plan, soon(), needs_all), plan);
        let least = shrink(&plan, late, |candidate| {
            last = candidate.to_vec();
            true
        });
        assert_eq!((least, last.len()), (plan, 0));
    }
}
