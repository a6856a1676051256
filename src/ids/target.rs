//! A service of a guest, as those who know guests hand it to those who check services.

use std::net::IpAddr;
use std::sync::Arc;

use super::ServiceKind;

/// A service of a guest that runs and told its address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceTarget {
    /// The guest's stable id, such as `home-vm-100`.
    pub guest: Arc<str>,
    /// The address to reach it at.
    pub address: IpAddr,
    /// What the service is called.
    pub service: Arc<str>,
    /// TCP.
    pub port: u16,
    /// How it is checked.
    pub kind: ServiceKind,
}

/// All of them in one cluster, with its configured name; the same list while nothing changed.
pub type ServiceTargets = (Arc<str>, Arc<[ServiceTarget]>);
