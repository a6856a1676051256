//! What happens is told to Alertmanager: found, kept on disk, and shown to each Alertmanager until it has notified people.
//!
//! ```text
//! watch      looks at a cluster again and again, and what it remembers
//! tasks      the tasks of a node, each told once (pure)
//! rules      what two looks at a cluster mean (pure)
//! finding    what happened, in one plain struct
//! ledger     all findings and what the watchers must know after a restart: on disk first, then told
//!   book     the same in memory: who has taken what, and what is left out where it is too much (pure)
//!   journal  the file: records with checksums, appended to and replaced
//! board      which alerts one Alertmanager is shown, from when to when (pure)
//!   alert    one alert as it is posted (pure)
//! notify     one queue per Alertmanager
//! told       GET /api/v1/events     live  what `check --live` tries
//! ```

mod alert;
mod board;
mod book;
mod finding;
mod journal;
mod ledger;
mod live;
mod notify;
mod rules;
mod tasks;
#[cfg(test)]
mod testing;
mod told;
mod watch;

pub use book::Limits;
pub use finding::{Finding, Kind, Severity, Span};
pub use ledger::Ledger;
pub use live::{can_tell, try_alertmanager};
pub use notify::{Clock, Keeper, Notifier};
pub use rules::HostKey;
pub use told::route;
pub use watch::{HostKeys, Watch};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EVENT_KINDS;

    #[test]
    fn the_configuration_knows_all_kinds() {
        assert_eq!(Kind::ALL.iter().map(|kind| kind.name()).collect::<Vec<_>>(), EVENT_KINDS);
    }
}
