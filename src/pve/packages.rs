//! `GET /nodes/{node}/apt/versions`: the versions of the packages that Proxmox VE is made of; needs `Sys.Audit` on the node.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{List, Text};

/// A package as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Package<'a> {
    /// Its name, such as `pve-qemu-kvm`.
    #[serde(borrow, rename = "Package")]
    pub name: Text<'a>,
    /// What is installed; absent where nothing is.
    #[serde(borrow, rename = "OldVersion")]
    pub installed: Text<'a>,
    /// `Installed`, `NotInstalled`, or another word of dpkg.
    #[serde(borrow, rename = "CurrentState")]
    pub state: Text<'a>,
}

/// The packages that are installed. An answer in which no package has a name is malformed.
pub fn packages(answer: &Answer) -> Result<Vec<Package<'_>>, Error> {
    let mut packages =
        shaped(answer, answer.data::<List<Package<'_>>>()?, "a name", |package| package.name.filled().is_some())?;
    packages.retain(|package| package.installed.filled().is_some() && package.state.filled() != Some("NotInstalled"));
    Ok(packages)
}
