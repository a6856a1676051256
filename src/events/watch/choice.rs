//! Which findings the configuration wants, and how urgent they are to it (pure).

use std::collections::BTreeMap;

use crate::config::Rule;
use crate::events::finding::{Finding, Kind, Span};
use crate::ids::GuestSelection;
use crate::inventory::Resources;

/// The findings that are wanted. The end of a condition always is where `is_open` says that its beginning was told.
pub(super) fn of(
    found: Vec<Finding>,
    rules: &BTreeMap<&'static str, Rule>,
    resources: Option<&Resources>,
    is_open: impl Fn(&str, Kind, &str) -> bool,
) -> Vec<Finding> {
    let wanted = |mut finding: Finding| {
        let rule = rules.get(finding.kind.name());
        finding.severity = rule.and_then(|rule| rule.severity).unwrap_or(finding.severity);
        if matches!(finding.span, Span::Ended { .. }) {
            return is_open(&finding.cluster, finding.kind, &finding.id).then_some(finding);
        }
        let Some(rule) = rule else { return Some(finding) };
        let is_meant = rule.guests.as_ref().is_none_or(|guests| is_meant(guests, &finding.id, resources));
        (rule.enabled && is_meant).then_some(finding)
    };
    found.into_iter().filter_map(wanted).collect()
}

/// What is no guest's is meant by any selection.
fn is_meant(guests: &GuestSelection, id: &str, resources: Option<&Resources>) -> bool {
    let Some((_, number)) = id.split_once('/').filter(|(kind, _)| matches!(*kind, "qemu" | "lxc" | "guest")) else {
        return true;
    };
    let Ok(vmid) = number.parse::<u64>() else { return true };
    let known = resources.and_then(|resources| resources.guests.iter().find(|guest| guest.identity.vmid == vmid));
    let (tags, pool) = known.map_or(("", None), |guest| (&*guest.identity.tags, guest.identity.pool.as_deref()));
    guests.has(vmid, tags.split(';').filter(|tag| !tag.is_empty()), pool)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::testing::{failed_task, lost_node};
    use crate::ids::Severity;
    use crate::inventory::testing::resources;

    fn rule(enabled: bool, severity: Option<Severity>, guests: Option<&str>) -> Rule {
        Rule { enabled, severity, guests: guests.map(|text| GuestSelection::parse([text]).unwrap()) }
    }

    #[test]
    fn rules_switch_off_and_change_urgency() {
        let chosen = |rule: Rule| {
            let rules = BTreeMap::from([("task_failed", rule)]);
            of(vec![failed_task("U", 1), lost_node("pve1", Span::Began { since: 1 })], &rules, None, |_, _, _| true)
        };
        assert_eq!(chosen(rule(false, None, None)).len(), 1);
        assert_eq!(chosen(rule(true, Some(Severity::Info), None))[0].severity, Severity::Info);
        assert_eq!(chosen(rule(true, None, Some("101"))).len(), 1);
        assert_eq!(chosen(rule(true, None, Some("100-110"))).len(), 2);
    }

    #[test]
    fn guests_are_chosen_by_what_they_are_now() {
        let body = r#"{"data":[{"type":"node","node":"pve1","status":"online"},
            {"type":"qemu","vmid":100,"node":"pve1","status":"running","tags":"prod;web","pool":"shop"}]}"#;
        let known = resources(body);
        for (selector, meant) in [("tag:web", true), ("tag:dev", false), ("pool:shop", true), ("!tag:prod", false)] {
            let rules = BTreeMap::from([("task_failed", rule(true, None, Some(selector)))]);
            let chosen = of(vec![failed_task("U", 1)], &rules, Some(&known), |_, _, _| true);
            assert_eq!(chosen.len(), usize::from(meant), "{selector}");
        }
    }

    #[test]
    fn a_condition_that_was_told_ends_and_no_other() {
        let rules = BTreeMap::from([("node_lost", rule(false, None, None))]);
        let over = || vec![lost_node("pve1", Span::Ended { since: 1, at: 2 })];
        assert_eq!(of(over(), &rules, None, |_, _, _| true).len(), 1);
        assert_eq!(of(over(), &rules, None, |_, _, _| false).len(), 0);
    }
}
