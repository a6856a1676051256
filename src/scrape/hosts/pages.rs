//! Pages of a host that several scrapes have: those that follow soon, and those that waited for the same answer.

use std::sync::{Arc, Mutex, MutexGuard, Weak};

use tokio::time::Instant;

use super::{Page, Wanted, lock};
use crate::metrics::Part;
use crate::ssh::Output;

/// The pages of one host. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Pages(Arc<Mutex<Known>>);

/// The pages, while nobody else looks at them or makes one.
pub(super) struct Open<'p> {
    pages: &'p Pages,
    known: MutexGuard<'p, Known>,
}

#[derive(Default)]
struct Known {
    young: Vec<Young>,
    shared: Vec<Shared>,
}

/// For those who come a little later.
struct Young {
    name: Name,
    parts: Vec<Arc<Part>>,
    until: Instant,
}

/// For those who waited for the same answer: a thousand series are in memory once, however many scrapes overlap, and no
/// longer than one of them needs them.
struct Shared {
    name: Name,
    answer: Weak<Output>,
    parts: Vec<Weak<Part>>,
}

/// What tells pages of one host apart.
#[derive(PartialEq, Eq)]
struct Name {
    page: Page,
    collectors: Vec<&'static str>,
}

impl Pages {
    /// Waits for whoever makes a page.
    pub(super) fn open(&self) -> Open<'_> {
        Open { pages: self, known: lock(&self.0) }
    }
}

impl Open<'_> {
    /// A page that is young enough.
    pub(super) fn young(&self, wanted: &Wanted<'_>) -> Option<Vec<Arc<Part>>> {
        let now = Instant::now();
        let young = self.known.young.iter().find(|young| young.until > now && young.name.is_of(wanted))?;
        Some(young.parts.clone())
    }

    /// The page that was made of this very answer, for one who waited for it too and still holds it.
    pub(super) fn made_of(&mut self, answer: &Weak<Output>, wanted: &Wanted<'_>) -> Option<Vec<Arc<Part>>> {
        let same = |shared: &&Shared| shared.answer.ptr_eq(answer) && shared.name.is_of(wanted);
        let parts = self.known.shared.iter().find(same).map(|shared| shared.parts.iter().map(Weak::upgrade).collect());
        // The last who holds an answer leaves nothing behind.
        self.known.shared.retain(|shared| shared.answer.strong_count() > 1);
        parts.flatten()
    }

    /// Offers a page to those who still hold the answer it was made of, and for `max_age` to all.
    pub(super) fn keep(&mut self, answer: Option<Weak<Output>>, wanted: &Wanted<'_>, parts: &[Arc<Part>]) {
        let max_age = wanted.settings.max_age;
        if !max_age.is_zero() {
            let until = Instant::now() + max_age;
            self.known.young.push(Young { name: Name::of(wanted), parts: parts.to_vec(), until });
            // A thousand series of each host are not to lie in memory until the next scrape.
            let pages = self.pages.clone();
            tokio::spawn(async move {
                tokio::time::sleep_until(until).await;
                lock(&pages.0).young.retain(|young| young.until > until);
            });
        } else if let Some(answer) = answer.filter(|answer| answer.strong_count() > 0) {
            let parts = parts.iter().map(Arc::downgrade).collect();
            self.known.shared.push(Shared { name: Name::of(wanted), answer, parts });
        }
    }
}

impl Name {
    fn of(wanted: &Wanted<'_>) -> Self {
        Self { page: wanted.page, collectors: wanted.collectors.iter().map(|collector| collector.name).collect() }
    }

    fn is_of(&self, wanted: &Wanted<'_>) -> bool {
        let names = wanted.collectors.iter().map(|collector| collector.name);
        self.page == wanted.page && self.collectors.iter().copied().eq(names)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::collectors::ALL;
    use crate::metrics::Labels;
    use crate::scrape::hosts::Settings;
    use crate::ssh::Exit;

    fn answer() -> Arc<Output> {
        let (stdout, stderr, asked) = (Vec::new(), Vec::new(), Instant::now());
        let (answered, took) = (Duration::ZERO, Duration::ZERO);
        Arc::new(Output { stdout, stderr, exit: Exit::Status(0), asked, answered, took })
    }

    fn part() -> Vec<Arc<Part>> {
        vec![Arc::new(Part { labels: Labels::new(&[]), families: Vec::new() })]
    }

    fn same(one: Option<Vec<Arc<Part>>>, other: &[Arc<Part>]) -> bool {
        one.is_some_and(|one| one.len() == other.len() && one.iter().zip(other).all(|(a, b)| Arc::ptr_eq(a, b)))
    }

    #[test]
    fn who_waited_for_the_same_answer_has_the_same_page() {
        let (pages, collectors) = (Pages::default(), [ALL[0]]);
        let settings =
            Settings { filters: Arc::default(), ttls: std::collections::BTreeMap::new(), max_age: Duration::ZERO };
        let wanted = |page| Wanted {
            page,
            collectors: &collectors[..],
            settings: &settings,
            deadline: Instant::now(),
            time: Duration::ZERO,
        };
        let (first, second, third, parts) = (answer(), answer(), answer(), part());
        let followers = [Arc::clone(&first), Arc::clone(&first)];
        let weak = Arc::downgrade(&first);
        drop(first);
        let mut open = pages.open();
        open.keep(Some(weak.clone()), &wanted(Page::Metrics), &parts);
        assert!(same(open.made_of(&weak, &wanted(Page::Metrics)), &parts));
        assert!(open.made_of(&weak, &wanted(Page::Alone)).is_none(), "another page");
        assert!(open.made_of(&Arc::downgrade(&second), &wanted(Page::Metrics)).is_none(), "another answer");
        assert!(open.young(&wanted(Page::Metrics)).is_none(), "those who come later ask again");

        let [last, other] = followers;
        drop(other);
        assert!(same(open.made_of(&Arc::downgrade(&last), &wanted(Page::Metrics)), &parts));
        assert!(open.known.shared.is_empty(), "the last leaves nothing");

        open.keep(Some(Arc::downgrade(&second)), &wanted(Page::Metrics), &part());
        assert!(
            open.made_of(&Arc::downgrade(&second), &wanted(Page::Metrics)).is_none(),
            "nobody has the page any more"
        );
        let weak = Arc::downgrade(&third);
        drop(third);
        open.keep(Some(weak), &wanted(Page::Metrics), &parts);
        assert!(open.known.shared.is_empty(), "nobody waits for it");
    }
}
