//! What all connections share: the site as it is now, which a reload replaces as a whole.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::{Limits, Site};

/// Holds the current [`Site`]. A request keeps the one that it began with to its end.
pub struct Front {
    site: RwLock<Arc<Site>>,
    limits: Limits,
    draining: Arc<AtomicBool>,
}

impl Front {
    /// Begins with `site`, whose limits stay.
    pub fn new(site: Site) -> Self {
        let (limits, draining) = (site.limits, Arc::clone(&site.draining));
        Self { site: RwLock::new(Arc::new(site)), limits, draining }
    }

    /// Requests from now on are answered by `site`. Listeners and kept connections stay.
    pub fn replace(&self, mut site: Site) {
        site.draining = Arc::clone(&self.draining);
        site.door.succeed(&self.site().door);
        let before = {
            let mut current = self.site.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, Arc::new(site))
        };
        // Its end may take a while, which nobody waits for with the lock in hand.
        drop(before);
    }

    pub(super) fn site(&self) -> Arc<Site> {
        Arc::clone(&self.site.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}
