//! `[collectors]`: which subjects are told, how often they are asked about, and what else may be said of each.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use super::fault::{At, Place, Report};
use super::filters::{self, HostFilters};
use super::reader::{Reader, as_table, wrong_type};
use super::{units, words};
use crate::ids::GuestSelection;

/// The collector whose table holds filters.
const HOST: &str = "host";
/// Not a collector, though it stands among them.
const PRESET: &str = "preset";

/// How long a value may be good: less is a load, more is no news.
const TTL: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_hours(24 * 7);
/// Calls at once.
const IN_FLIGHT: RangeInclusive<u64> = 1..=16;

/// Which collectors run where the configuration does not name them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preset {
    /// What `/cluster/resources` and `/cluster/status` tell, hosts and services.
    Minimal,
    /// That, and what costs a call now and then per cluster or node.
    #[default]
    Default,
    /// All that the role `PVEAuditor` suffices for.
    Full,
}

/// `[collectors]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collectors {
    /// `preset`; default `default`.
    pub preset: Preset,
    /// What is said of some collectors, by name.
    pub settings: BTreeMap<&'static str, Arc<CollectorSettings>>,
}

/// `[collectors.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectorSettings {
    /// `enabled`, or `NAME = true`; absent: as the preset has it.
    pub enabled: Option<bool>,
    /// `ttl`: instead of the collector's own.
    pub ttl: Option<Duration>,
    /// `select`: only these guests are asked about.
    pub select: Option<GuestSelection>,
    /// `max_in_flight`: so many of its calls at once.
    pub max_in_flight: Option<usize>,
    options: BTreeMap<&'static str, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Guests(GuestSelection),
    Flag(bool),
}

impl Preset {
    /// From the least to the most.
    pub const ALL: [Self; 3] = [Self::Minimal, Self::Default, Self::Full];

    /// Its name in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Default => "default",
            Self::Full => "full",
        }
    }
}

impl Collectors {
    /// Whether a collector runs that is part of a preset and of the larger ones, or of none.
    pub fn is_on(&self, name: &str, preset: Option<Preset>) -> bool {
        let named = self.settings.get(name).and_then(|settings| settings.enabled);
        named.unwrap_or_else(|| preset.is_some_and(|preset| preset <= self.preset))
    }

    /// What is said of a collector; nothing special where it is not named.
    pub fn of(&self, name: &str) -> Arc<CollectorSettings> {
        self.settings.get(name).cloned().unwrap_or_default()
    }

    /// Switches a collector on, whatever else is said of it.
    pub fn switch_on(&mut self, name: &'static str) {
        Arc::make_mut(self.settings.entry(name).or_default()).enabled = Some(true);
    }
}

impl CollectorSettings {
    /// An option of the collector's own that names guests.
    pub fn guests(&self, option: &str) -> Option<&GuestSelection> {
        if let Some(Value::Guests(guests)) = self.options.get(option) { Some(guests) } else { None }
    }

    /// An option that is true or false; absent is false.
    pub fn flag(&self, option: &str) -> bool {
        matches!(self.options.get(option), Some(Value::Flag(true)))
    }
}

/// A collector as `[collectors]` may name it; the caller brings them.
#[derive(Debug, Clone)]
pub struct KnownCollector {
    /// Its name.
    pub name: &'static str,
    /// The smallest preset that has it, if one has.
    pub preset: Option<Preset>,
    /// The keys that its table may hold besides `enabled`.
    pub keys: Vec<CollectorKey>,
}

/// One key of a collector's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectorKey {
    /// The key.
    pub name: &'static str,
    /// What its value is.
    pub kind: KeyKind,
    /// What it does, in a few words.
    pub about: &'static str,
}

/// What the value of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// A list of guest selectors.
    Guests,
    /// True or false.
    Flag,
    /// From 5 s to 7 d.
    Ttl,
    /// From 1 to 16.
    InFlight,
}

impl CollectorKey {
    /// How long a value is good.
    pub const TTL: Self =
        Self { name: "ttl", kind: KeyKind::Ttl, about: "how old a value may be before it is asked for again" };
    /// Which guests.
    pub const SELECT: Self = Self { name: "select", kind: KeyKind::Guests, about: "only these guests are asked about" };
    /// How many at once.
    pub const MAX_IN_FLIGHT: Self =
        Self { name: "max_in_flight", kind: KeyKind::InFlight, about: "so many of its calls at once per cluster" };
}

/// The table as typed, by name.
pub(super) type RawCollectors<'t> = Vec<(&'t str, At<&'t DeValue<'t>>)>;

/// What `[collectors]` and `[collectors.host]` say.
pub(super) struct Checked {
    pub(super) collectors: Option<Collectors>,
    pub(super) host_filters: Option<HostFilters>,
}

/// Reads and checks the table; what is absent was reported.
pub(super) fn check(raw: &RawCollectors<'_>, known: &[KnownCollector], report: &mut Report<'_>) -> Checked {
    let mut collectors = Collectors::default();
    let mut host_filters = Some(HostFilters::default());
    // Every one is checked, also after a bad one.
    let mut whole = true;
    for (name, entry) in raw {
        if *name == PRESET {
            let preset = preset(entry, report);
            whole &= preset.is_some();
            collectors.preset = preset.unwrap_or_default();
            continue;
        }
        let Some(collector) = known.iter().find(|known| known.name == *name) else {
            unknown(name, &entry.place, known, report);
            whole = false;
            continue;
        };
        let table = as_table(entry);
        let settings = match (entry.value, table) {
            (DeValue::Boolean(enabled), _) => {
                Some(CollectorSettings { enabled: Some(*enabled), ..CollectorSettings::default() })
            }
            (_, Some(mut table)) => {
                if *name == HOST {
                    host_filters = filters::filters(&filters::read(&mut table, report), report);
                }
                settings(table, collector, report)
            }
            (other, None) => wrong_type(&entry.place, "true, false or { enabled = true }", other, report),
        };
        whole &= settings.is_some();
        collectors.settings.insert(collector.name, Arc::new(settings.unwrap_or_default()));
    }
    if whole {
        raw.iter().for_each(|(name, entry)| warn_if_idle(name, &entry.place, &collectors, known, report));
    }
    Checked { collectors: whole.then_some(collectors), host_filters }
}

/// A table without `enabled` says only how: where the preset does not have the collector, it says so for nothing.
fn warn_if_idle(name: &str, place: &Place, collectors: &Collectors, known: &[KnownCollector], report: &mut Report<'_>) {
    let Some(collector) = known.iter().find(|known| known.name == name) else { return };
    let unsaid = collectors.settings.get(name).is_some_and(|settings| settings.enabled.is_none());
    if unsaid && !collectors.is_on(name, collector.preset) {
        let larger = collector.preset.map(|preset| format!(", or choose the preset \"{}\"", preset.as_str()));
        let larger = larger.unwrap_or_default();
        report.warn(
            place,
            format!("the collector is off, and its settings count for nothing; add enabled = true{larger}"),
        );
    }
}

fn unknown(name: &str, place: &Place, known: &[KnownCollector], report: &mut Report<'_>) {
    let names: Vec<&str> = known.iter().map(|known| known.name).collect();
    let near = words::nearest(name, &names).map(|near| format!("did you mean {near}? ")).unwrap_or_default();
    let list = words::list(&names, "and");
    report.fault(place, format!("unknown collector; {near}the collectors are {list}"));
}

fn preset(entry: &At<&DeValue<'_>>, report: &mut Report<'_>) -> Option<Preset> {
    const EXPECTED: &str = "\"minimal\", \"default\" or \"full\"";
    let DeValue::String(text) = entry.value else { return wrong_type(&entry.place, EXPECTED, entry.value, report) };
    let preset = Preset::ALL.into_iter().find(|preset| preset.as_str() == text.as_ref());
    if preset.is_none() {
        report.fault(&entry.place, format!("expected {EXPECTED}, found {}", words::shown(text)));
    }
    preset
}

fn settings(
    mut table: Reader<'_, '_>,
    collector: &KnownCollector,
    report: &mut Report<'_>,
) -> Option<CollectorSettings> {
    if table.is_empty() {
        table.require("enabled", "true or false", report);
        return None;
    }
    let mut settings = CollectorSettings::default();
    let mut whole = true;
    if table.has("enabled") {
        let enabled = table.boolean("enabled", report);
        whole &= enabled.is_some();
        settings.enabled = enabled.map(|enabled| enabled.value);
    }
    for key in &collector.keys {
        if !table.has(key.name) {
            continue;
        }
        let value = value(&mut table, key, report);
        whole &= value.is_some();
        match value {
            Some(Read::InFlight(count)) => settings.max_in_flight = Some(count),
            Some(Read::Ttl(ttl)) => settings.ttl = Some(ttl),
            Some(Read::Own(Value::Guests(guests))) if *key == CollectorKey::SELECT => settings.select = Some(guests),
            Some(Read::Own(value)) => drop(settings.options.insert(key.name, value)),
            None => {}
        }
    }
    table.know(&["enabled"]);
    table.know(&collector.keys.iter().map(|key| key.name).collect::<Vec<_>>());
    table.close(report);
    whole.then_some(settings)
}

enum Read {
    Ttl(Duration),
    InFlight(usize),
    Own(Value),
}

fn value(table: &mut Reader<'_, '_>, key: &CollectorKey, report: &mut Report<'_>) -> Option<Read> {
    match key.kind {
        KeyKind::Flag => table.boolean(key.name, report).map(|found| Read::Own(Value::Flag(found.value))),
        KeyKind::Guests => {
            let found = table.strings(key.name, r#"["tag:prod", "!150"]"#, report)?;
            let guests = guests(&found, report)?;
            Some(Read::Own(Value::Guests(guests)))
        }
        KeyKind::Ttl => {
            let found = table.string(key.name, "a duration such as \"5m\"", report)?;
            let fits = |value: &Duration| TTL.contains(value) && value.subsec_nanos() == 0;
            let value = units::duration(found.value).filter(fits);
            if value.is_none() {
                let (least, most) = (units::written(*TTL.start()), units::written(*TTL.end()));
                let shown = words::shown(found.value);
                let message = format!("expected a duration in whole seconds from {least} to {most}, found {shown}");
                report.fault(&found.place, message);
            }
            Some(Read::Ttl(value?))
        }
        KeyKind::InFlight => {
            let found = table.whole(key.name, ("a number from 1 to 16", IN_FLIGHT), report)?;
            Some(Read::InFlight(usize::try_from(found.value).ok()?))
        }
    }
}

/// Every selector is checked, also after a bad one.
fn guests(found: &At<Vec<At<&str>>>, report: &mut Report<'_>) -> Option<GuestSelection> {
    let mut well = true;
    for selector in &found.value {
        if let Err(wrong) = GuestSelection::parse([selector.value]) {
            report.fault(&selector.place, wrong);
            well = false;
        }
    }
    GuestSelection::parse(found.value.iter().map(|selector| selector.value)).ok().filter(|_| well)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{cluster, parsed};
    use super::*;

    #[test]
    fn collectors_have_a_preset_and_tables_of_their_own() {
        let text = cluster("token_secret_env = \"PVE_TOKEN\"")
            + "[collectors]\npreset = \"full\"\nha = {enabled = false}\n[collectors.guest_config]\nttl = \"3h\"\n\
               select = [\"tag:prod\", \"!150\"]\nmax_in_flight = 2\nexclude = [\"tag:nobackup\"]\ndeep = true\n";
        let config = parsed(&text).unwrap().config;
        assert_eq!(config.collectors.preset, Preset::Full);
        let settings = config.collectors.of("guest_config");
        assert_eq!((settings.enabled, settings.ttl), (None, Some(Duration::from_hours(3))));
        assert_eq!((settings.max_in_flight, settings.flag("deep"), settings.flag("exclude")), (Some(2), true, false));
        let tags = |list: &'static str| list.split(';');
        let select = settings.select.as_ref().unwrap();
        assert!(select.has(7, tags("prod;x"), None) && !select.has(150, tags("prod"), None));
        assert!(
            settings.guests("exclude").unwrap().has(7, tags("nobackup"), None) && settings.guests("select").is_none()
        );
        assert_eq!(config.collectors.of("ha").enabled, Some(false));
        assert_eq!(config.collectors.of("guest"), Arc::default());
    }

    #[test]
    fn numbers_out_of_bounds_are_shown_unless_they_are_long() {
        for (number, found) in [
            ("0", "found 0"),
            ("-1", "found -1"),
            ("1_000_000_000", "found 1000000000"),
            ("99999999999999999999", "found a number of 20 digits"),
            ("0x11", "found another number"),
        ] {
            let text =
                cluster("token_secret_env = \"PVE_TOKEN\"") + "[collectors.guest_config]\nmax_in_flight = " + number;
            let told = parsed(&text).unwrap_err().to_string();
            assert!(told.ends_with(&format!("max_in_flight: expected a number from 1 to 16, {found}")), "{told}");
        }
    }

    /// Who sets how a collector asks may believe that it does.
    #[test]
    fn settings_of_a_collector_that_is_off_are_warned_of() {
        for (table, expected) in [
            (
                "guest_config.ttl = \"3h\"",
                &["collectors.guest_config: the collector is off, and its settings count for nothing; \
              add enabled = true, or choose the preset \"full\""][..],
            ),
            (
                "qdevice = { ttl = \"3h\" }",
                &["collectors.qdevice: the collector is off, and its settings count for nothing; \
              add enabled = true"],
            ),
            ("guest_config = { ttl = \"3h\", enabled = false }\nqdevice = false", &[]),
            ("guest_config = { ttl = \"3h\", enabled = true }", &[]),
            ("guest_config = { ttl = \"3h\" }\npreset = \"full\"", &[]),
        ] {
            let loaded = parsed(&(cluster("token_secret_env = \"PVE_TOKEN\"") + "[collectors]\n" + table)).unwrap();
            let told: Vec<&str> =
                loaded.warnings.iter().filter_map(|told| Some(told.splitn(3, ':').nth(2)?.trim())).collect();
            assert_eq!(told, expected, "{table}");
        }
    }
}
