//! By which way a request comes to us, and which ones may give orders.

use std::net::IpAddr;

use super::error::{Code, Error};
use super::request::Caller;

/// By which way a request came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Entrance {
    /// Nobody on the way can read it: through TLS, or a socket of this machine.
    pub sealed: bool,
    /// Through a listener of `[control]`.
    pub of_control: bool,
}

/// What the administrator decided about entrances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rules {
    /// Tokens that act are taken over plain HTTP from other machines.
    pub allow_plaintext: bool,
    /// Orders are taken by the listeners of `[control]`, and by no others.
    pub apart: bool,
}

impl Rules {
    /// Whether a token may be shown there at all.
    pub(super) fn hears(self, caller: &Caller, entrance: Entrance) -> Result<(), Error> {
        let acts = caller.scopes.iter().any(|scope| scope.acts());
        if !acts || self.allow_plaintext || entrance.sealed || is_here(caller.from) {
            return Ok(());
        }
        let (token, table) = (&caller.name, if entrance.of_control { "[control]" } else { "[web]" });
        let message = format!(
            "the token {token} acts, and came over plain HTTP from another machine, where others can read it; use https (tls of \
             {table}), ask from the machine itself, or set allow_plaintext of [control]"
        );
        Err(Error::new(Code::Forbidden, message))
    }

    /// Whether orders are taken there.
    pub(super) fn takes_orders(self, entrance: Entrance) -> Result<(), Error> {
        if self.apart && !entrance.of_control {
            let message = "orders are taken by the listeners of [control] only, not by those of [web]";
            return Err(Error::new(Code::Forbidden, message));
        }
        Ok(())
    }
}

/// Whether a request did not leave this machine.
fn is_here(from: Option<IpAddr>) -> bool {
    from.is_some_and(|from| from.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Scope;

    #[test]
    fn tokens_that_act_are_not_taken_in_plain_text_from_elsewhere() {
        let caller = |scopes: &[Scope], from: Option<&str>| Caller {
            name: "ops".to_owned(),
            scopes: scopes.to_vec(),
            guests: None,
            from: from.map(|from| from.parse().unwrap()),
        };
        let acts = [Scope::Read, Scope::Power];
        let (plain, sealed) = (Entrance::default(), Entrance { sealed: true, of_control: false });
        for (from, expected) in [
            (Some("127.0.0.1"), true),
            (Some("127.9.9.9"), true),
            (Some("::1"), true),
            (Some("::ffff:127.0.0.1"), true),
            (Some("192.0.2.1"), false),
            (Some("::ffff:192.0.2.1"), false),
            (None, false),
        ] {
            assert_eq!(Rules::default().hears(&caller(&acts, from), plain).is_ok(), expected, "{from:?}");
            assert!(Rules::default().hears(&caller(&acts, from), sealed).is_ok());
            assert!(Rules::default().hears(&caller(&[Scope::Read], from), plain).is_ok());
            let rules = Rules { allow_plaintext: true, apart: true };
            assert!(rules.hears(&caller(&acts, from), plain).is_ok());
        }
    }

    #[test]
    fn orders_have_an_entrance_of_their_own_where_there_is_one() {
        let (web, control) = (Entrance::default(), Entrance { sealed: false, of_control: true });
        let apart = Rules { allow_plaintext: false, apart: true };
        let open = [(Rules::default(), web), (Rules::default(), control), (apart, control)];
        assert!(open.into_iter().all(|(rules, entrance)| rules.takes_orders(entrance).is_ok()));
        assert_eq!(apart.takes_orders(web).unwrap_err().code, Code::Forbidden);
    }
}
