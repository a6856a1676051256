//! Orders that are refused before anybody who carries them out hears of them; somebody writes that down.

use std::net::IpAddr;

use super::error::{Code, Error};
use super::route::Route;
use crate::ids::holds_token;

/// So much of a path is told, in characters.
const SHOWN: usize = 120;

/// Hears of refused orders; must not block.
pub type Listener = Box<dyn Fn(RefusedOrder) + Send + Sync>;

/// A call for something to be done that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedOrder {
    /// The pattern that its path fits.
    pub pattern: &'static str,
    /// The path as it came, cut short; nothing of it where it may hold a token.
    pub path: String,
    /// The name of its token, where that is known.
    pub token: Option<String>,
    /// Where it came from, if that is known.
    pub from: Option<IpAddr>,
    /// Why it was refused.
    pub code: Code,
    /// The same in words.
    pub why: String,
}

/// A call for something to be done.
pub(super) struct Order {
    pattern: &'static str,
    path: String,
    from: Option<IpAddr>,
}

impl Order {
    /// None where nothing would be done.
    pub(super) fn of(route: &Route, path: &str, from: Option<IpAddr>) -> Option<Self> {
        route.scope.acts().then(|| {
            let shown: String = path.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
            let path = if holds_token(path) { "(not shown)".to_owned() } else { shown };
            Self { pattern: route.pattern, path, from }
        })
    }

    /// The same, refused.
    pub(super) fn refused(self, token: Option<&str>, error: &Error) -> RefusedOrder {
        let Self { pattern, path, from } = self;
        let (code, why) = (error.code, error.message.clone());
        RefusedOrder { pattern, path, token: token.map(str::to_owned), from, code, why }
    }
}
