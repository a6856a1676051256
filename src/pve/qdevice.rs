//! `GET /cluster/config/qdevice`: the quorum device as the daemon of the answering node sees it; needs `Sys.Audit` on `/`.
//!
//! PVE passes on some lines of the daemon's status, with its own wording as keys, and `{}` where no daemon runs: on a
//! stand-alone node, or where no quorum device is set up.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::wire::{Object, Text};

/// A quorum device.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct QDevice<'a> {
    /// `Net`.
    #[serde(borrow, rename = "Model")]
    pub model: Text<'a>,
    /// Such as `Fifty-Fifty split`.
    #[serde(borrow, rename = "Algorithm")]
    pub algorithm: Text<'a>,
    /// Address and port of the outside voter, such as `192.0.2.5:5403`.
    #[serde(borrow, rename = "QNetd host")]
    pub qnetd_host: Text<'a>,
    /// Such as `Node with lowest node ID`.
    #[serde(borrow, rename = "Tie-breaker")]
    pub tie_breaker: Text<'a>,
    /// `Connected`, `Connecting`, `Connect failed` or `Disconnected`.
    #[serde(borrow, rename = "State")]
    pub state: Text<'a>,
}

/// The quorum device, if the answering node has one.
pub fn qdevice(answer: &Answer) -> Result<Option<QDevice<'_>>, Error> {
    let device: Option<Object<QDevice<'_>>> = answer.data()?;
    Ok(device.map(|Object(device)| device).filter(QDevice::is_told))
}

impl QDevice<'_> {
    fn is_told(&self) -> bool {
        [&self.model, &self.algorithm, &self.qnetd_host, &self.tie_breaker, &self.state]
            .into_iter()
            .any(|text| text.filled().is_some())
    }
}
