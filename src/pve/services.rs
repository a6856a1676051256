//! `GET /nodes/{node}/services`: the units that PVE watches over, as systemd has them; needs `Sys.Audit` on the node.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{List, Text};

/// A unit as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service<'a> {
    /// Its name, such as `pveproxy`; from a list that PVE has.
    #[serde(borrow)]
    pub service: Text<'a>,
    /// systemd's `SubState`, such as `running`, `dead`, `exited` or `failed`.
    #[serde(borrow)]
    pub state: Text<'a>,
    /// systemd's `ActiveState`; older releases do not tell it.
    #[serde(borrow, rename = "active-state")]
    pub active_state: Text<'a>,
    /// systemd's `UnitFileState`, or `not-found` where no such unit is installed; older releases do not tell it.
    #[serde(borrow, rename = "unit-state")]
    pub unit_state: Text<'a>,
}

/// The units. Entries without a name are passed over; if all are so, the answer is malformed.
pub fn services(answer: &Answer) -> Result<Vec<Service<'_>>, Error> {
    let list: List<Service<'_>> = answer.data()?;
    shaped(answer, list, "a service", |service| service.service.filled().is_some())
}

impl Service<'_> {
    /// Whether such a unit is installed at all.
    pub fn is_installed(&self) -> bool {
        self.unit_state.filled() != Some("not-found")
    }

    /// Whether it starts with the node, as somebody chose; absent where nobody could, as with a `static` unit, or where it is
    /// not told.
    pub fn is_enabled(&self) -> Option<bool> {
        match self.unit_state.filled()? {
            "enabled" | "enabled-runtime" => Some(true),
            "disabled" | "masked" | "masked-runtime" => Some(false),
            _ => None,
        }
    }

    /// systemd's `ActiveState`, where older releases do not tell it, what follows from the `SubState`.
    pub fn active(&self) -> Option<&str> {
        self.active_state.filled().or_else(|| {
            Some(match self.state.filled()? {
                "running" | "exited" => "active",
                "dead" => "inactive",
                "failed" => "failed",
                _ => "unknown",
            })
        })
    }
}
