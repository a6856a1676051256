//! `[events]`: typed and checked.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::alertmanager::{self, RawAlertmanager};
use super::check::Context;
use super::fault::{At, Place, Report};
use super::reader::{Reader, as_table, wrong_type};
use super::{Alertmanager, units, words};
use crate::ids::{GuestSelection, Severity};

/// The keys of `[events.rules]`: kinds of events.
pub const EVENT_KINDS: [&str; 23] = [
    "task_failed",
    "task_warnings",
    "backup_failed",
    "backup_not_started",
    "guest_stopped_unexpectedly",
    "guest_reboot_loop",
    "guest_in_error",
    "guest_restarted_unexpectedly",
    "node_lost",
    "node_returned",
    "quorum_lost",
    "quorum_regained",
    "node_fenced",
    "ha_service_in_error",
    "ha_manager_dead",
    "migration_done",
    "migration_failed",
    "replication_failing",
    "storage_gone",
    "storage_returned",
    "host_key_changed",
    "token_rejected",
    "certificate_refused",
];

const SECOND: Duration = Duration::from_secs(1);

/// `[events]`: its presence switches it on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// `interval`: clusters are looked at so often; default 10 s.
    pub interval: Duration,
    /// `lookback`: how old an event may be to be found at the first start; default 0 s.
    pub lookback: Duration,
    /// `alertmanagers`: who is told, URLs unique; may be empty.
    pub alertmanagers: Vec<Alertmanager>,
    /// `hold`: how long what happened in a moment is shown; whole seconds, default 15 min.
    pub hold: Duration,
    /// `resend`: how often alerts are sent again; whole seconds, at most half of `hold`, default 1 min.
    pub resend: Duration,
    /// `rules`: what is said of some kinds, by their names of [`EVENT_KINDS`].
    pub rules: BTreeMap<&'static str, Rule>,
}

/// What is said of one kind of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `enabled`: whether they are looked for; default yes.
    pub enabled: bool,
    /// `severity`: instead of that of the kind.
    pub severity: Option<Severity>,
    /// `guests`: only of these; none: of all.
    pub guests: Option<GuestSelection>,
}

/// The table as typed.
pub(super) struct RawEvents<'t> {
    place: Place,
    interval: Option<At<&'t str>>,
    lookback: Option<At<&'t str>>,
    hold: Option<At<&'t str>>,
    resend: Option<At<&'t str>>,
    alertmanagers: Vec<RawAlertmanager<'t>>,
    rules: Vec<(At<&'t str>, RawRule<'t>)>,
}

struct RawRule<'t> {
    enabled: Option<At<bool>>,
    severity: Option<At<&'t str>>,
    guests: Option<At<Vec<At<&'t str>>>>,
}

/// Reads the table; faults of shape are reported.
pub(super) fn read<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawEvents<'t> {
    let raw = RawEvents {
        place: table.place().clone(),
        interval: table.string("interval", "a duration such as \"10s\"", report),
        lookback: table.string("lookback", "a duration such as \"1h\"", report),
        hold: table.string("hold", "a duration such as \"15m\"", report),
        resend: table.string("resend", "a duration such as \"1m\"", report),
        alertmanagers: table
            .tables("alertmanagers", report)
            .into_iter()
            .map(|table| alertmanager::read(table, report))
            .collect(),
        rules: table.table("rules", report).map(|table| read_rules(table, report)).unwrap_or_default(),
    };
    table.close(report);
    raw
}

fn read_rules<'t>(table: Reader<'t, '_>, report: &mut Report<'_>) -> Vec<(At<&'t str>, RawRule<'t>)> {
    let mut rules = Vec::new();
    for (name, entry) in table.entries() {
        match as_table(&entry) {
            Some(rule) => rules.push((At { place: entry.place, value: name }, read_rule(rule, report))),
            None => {
                let expected = "a table such as { severity = \"critical\" }";
                wrong_type(&entry.place, expected, entry.value, report).unwrap_or_default()
            }
        }
    }
    rules
}

fn read_rule<'t>(mut table: Reader<'t, '_>, report: &mut Report<'_>) -> RawRule<'t> {
    let rule = RawRule {
        enabled: table.boolean("enabled", report),
        severity: table.string("severity", "\"critical\", \"warning\" or \"info\"", report),
        guests: table.strings("guests", r#"["tag:prod", "!150"]"#, report),
    };
    table.close(report);
    rule
}

/// Checks the table. `None` only after a fault was reported.
pub(super) fn check(raw: &RawEvents<'_>, has_state_dir: bool, context: &mut Context<'_>) -> Option<Events> {
    if !has_state_dir {
        let message = "expected state_dir at the top of the file, the folder in which events are kept until they are told, \
                       found none; add state_dir = \"/var/lib/pve-sentinel\"";
        context.report.fault(&raw.place, message);
    }
    let alertmanagers = alertmanagers(&raw.alertmanagers, context);
    let report = &mut context.report;
    let interval = duration(raw.interval.as_ref(), "10s", SECOND..=Duration::from_hours(1), report);
    let lookback = duration(raw.lookback.as_ref(), "0s", Duration::ZERO..=Duration::from_hours(24 * 30), report);
    let hold = duration(raw.hold.as_ref(), "15m", SECOND * 2..=Duration::from_hours(24 * 7), report);
    let resend = duration(raw.resend.as_ref(), "1m", SECOND..=Duration::from_hours(1), report);
    // Every rule is checked, also after a bad one.
    let rules: Vec<_> = raw.rules.iter().map(|(name, raw)| rule(name, raw, report)).collect();
    let rules = rules.into_iter().collect::<Option<BTreeMap<_, _>>>();
    let (hold, resend) = (hold?, resend?);
    if resend > hold / 2 {
        let place = raw.resend.as_ref().or(raw.hold.as_ref()).map(|found| &found.place).unwrap_or(&raw.place);
        let (hold, resend) = (units::written(hold), units::written(resend));
        report.fault(place, format!("expected resend to be at most half of hold, found {resend} and {hold}"));
        return None;
    }
    let alertmanagers = alertmanagers.filter(|_| has_state_dir)?;
    Some(Events { interval: interval?, lookback: lookback?, alertmanagers, hold, resend, rules: rules? })
}

fn alertmanagers(raw: &[RawAlertmanager<'_>], context: &mut Context<'_>) -> Option<Vec<Alertmanager>> {
    // Every one is checked, also after a bad one.
    let checked: Vec<_> = raw.iter().map(|raw| alertmanager::check(raw, context)).collect();
    let checked = checked.into_iter().collect::<Option<Vec<Alertmanager>>>()?;
    for (index, (one, raw)) in checked.iter().zip(raw).enumerate() {
        if checked.iter().take(index).any(|before| before.url == one.url) {
            context.report.fault(raw.place(), format!("expected each Alertmanager once, found {} again", one.url));
            return None;
        }
    }
    Some(checked)
}

fn duration(
    raw: Option<&At<&str>>,
    default: &str,
    bounds: RangeInclusive<Duration>,
    report: &mut Report<'_>,
) -> Option<Duration> {
    let Some(found) = raw else { return units::duration(default) };
    let value = units::duration(found.value).filter(|value| bounds.contains(value) && value.subsec_nanos() == 0);
    if value.is_none() {
        let (shown, least, most) = (words::shown(found.value), bounds.start(), bounds.end());
        let (least, most) = (units::written(*least), units::written(*most));
        let message = format!(
            "expected a duration in whole seconds from {least} to {most}, such as \"{default}\", found {shown}"
        );
        report.fault(&found.place, message);
    }
    value
}

fn rule(name: &At<&str>, raw: &RawRule<'_>, report: &mut Report<'_>) -> Option<(&'static str, Rule)> {
    let kind = EVENT_KINDS.into_iter().find(|kind| *kind == name.value);
    if kind.is_none() {
        let near = words::nearest(name.value, &EVENT_KINDS);
        let near = near.map(|near| format!("did you mean {near}? ")).unwrap_or_default();
        let list = words::list(&EVENT_KINDS, "and");
        report.fault(&name.place, format!("unknown kind of events; {near}the kinds are {list}"));
    }
    let severity = raw.severity.as_ref().map(|found| {
        let severity = Severity::parse(found.value);
        if severity.is_none() {
            let shown = words::shown(found.value);
            report.fault(&found.place, format!("expected \"critical\", \"warning\" or \"info\", found {shown}"));
        }
        severity
    });
    let guests = raw.guests.as_ref().map(|found| {
        let read = GuestSelection::parse(found.value.iter().map(|selector| selector.value));
        read.map_err(|wrong| report.fault(&found.place, wrong)).ok()
    });
    let (severity, guests) =
        (severity.map_or(Some(None), |read| read.map(Some)), guests.map_or(Some(None), |read| read.map(Some)));
    let enabled = raw.enabled.as_ref().is_none_or(|found| found.value);
    Some((kind?, Rule { enabled, severity: severity?, guests: guests? }))
}

#[cfg(test)]
#[path = "sidecar_tests.rs"]
mod tests;
