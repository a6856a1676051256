//! `hwmon`: temperatures, fans, voltages, powers. Try: `grep -s . /sys/class/hwmon/hwmon*/*`
//!
//! Names follow those of the files, `temp1_crit` becoming `node_hwmon_temp_crit_celsius{sensor="temp1"}`.

use std::collections::{BTreeMap, HashMap};

use super::lines::{Probe, Thing, float};
use super::sink::{Sink, gauge};
use crate::metrics::{Desc, Kind, Labels};

static CHIP: Desc = gauge("node_hwmon_chip_names", "What a chip calls itself, always 1.");
static LABEL: Desc = gauge("node_hwmon_sensor_label", "What a sensor is called, always 1.");

const KINDS: [&str; 13] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
];

/// What becomes of an element: the end of the name, a divisor, whether it only goes up, and what it is.
struct Unit(&'static str, f64, Kind, &'static str);

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    let chips = match probe.section("chips") {
        Ok(text) => text.lines().filter_map(|line| line.split_once(' ')).collect::<HashMap<_, _>>(),
        Err(gap) => return sink.trouble(format!("chips: {gap}")),
    };
    for chip in probe.things("/sys/class/hwmon/") {
        if let Some(name) = chip_name(&chip, chips.get(chip.name).copied()) {
            of_chip(chip, &name, sink);
        }
    }
}

fn of_chip(chip: Thing, name: &str, sink: &mut Sink) {
    if let Some(own) = chip.get("name").map(clean) {
        sink.put(&CHIP, &Labels::new(&[("chip", name), ("chip_name", &own)]), 1.0);
    }
    let mut sensors: BTreeMap<String, BTreeMap<&str, &str>> = BTreeMap::new();
    for (file, line) in chip.files() {
        let file = file.strip_prefix("device/").unwrap_or(file);
        if let Some((kind, number, element)) = file_name(file) {
            sensors.entry(format!("{kind}{number}")).or_default().entry(element).or_insert(line.trim());
        }
    }
    for (sensor, elements) in &sensors {
        of_sensor((name, sensor), elements, sink);
    }
}

fn of_sensor((chip, sensor): (&str, &str), elements: &BTreeMap<&str, &str>, sink: &mut Sink) {
    let labels = Labels::new(&[("chip", chip), ("sensor", sensor)]);
    let Some((kind, ..)) = file_name(sensor) else { return };
    if let Some(label) = elements.get("label") {
        sink.put(&LABEL, &Labels::new(&[("chip", chip), ("sensor", sensor), ("label", label)]), 1.0);
    }
    for (element, text) in elements.iter().filter(|(element, _)| **element != "label") {
        let Some(value) = float(text) else { continue };
        // Where a file bears the sensor's bare name, that is the value, and `input` something else.
        let part = match *element {
            "" => String::new(),
            "input" if !elements.contains_key("") => String::new(),
            other => format!("_{}", clean(other)),
        };
        let Unit(end, divisor, only_up, what) = unit(kind, element);
        let base = match kind {
            "beep_enable" => "beep",
            "vrm" => "voltage_regulator",
            kind => kind,
        };
        let help = format!("{what} ({}), as the sensor says.", if element.is_empty() { kind } else { element });
        sink.put_made(
            Desc { name: &format!("node_hwmon_{base}{part}{end}"), help: &help, kind: only_up },
            &labels,
            value / divisor,
        );
    }
}

/// node_exporter's units; it takes `crit_alarm` of a temperature for one, and so do dashboards.
fn unit(kind: &str, element: &str) -> Unit {
    match (kind, element) {
        ("beep_enable", _) => Unit("_enabled", 1.0, Kind::Gauge, "Whether the chip beeps"),
        ("vrm", _) => Unit("_version", 1.0, Kind::Gauge, "Version of the voltage regulator"),
        ("update_interval", _) => Unit("_seconds", 1e3, Kind::Gauge, "Seconds between two readings"),
        (_, "fault" | "alarm") => Unit("", 1.0, Kind::Gauge, "Whether something is wrong"),
        (_, "beep") => Unit("_enabled", 1.0, Kind::Gauge, "Whether the chip beeps for it"),
        ("in" | "cpu", _) => Unit("_volts", 1e3, Kind::Gauge, "Voltage"),
        ("temp", element) if element != "type" => Unit("_celsius", 1e3, Kind::Gauge, "Temperature"),
        ("curr", _) => Unit("_amps", 1e3, Kind::Gauge, "Current"),
        ("energy", _) => Unit("_joule_total", 1e6, Kind::Counter, "Energy used"),
        ("power", "accuracy") => Unit("", 1e6, Kind::Gauge, "Accuracy of the power"),
        ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
            Unit("_seconds", 1e3, Kind::Gauge, "Seconds that the power is averaged over")
        }
        ("power", _) => Unit("_watt", 1e6, Kind::Gauge, "Power"),
        ("humidity", _) => Unit("", 1e6, Kind::Gauge, "Humidity as a ratio"),
        ("fan", "input" | "min" | "max" | "target") => Unit("_rpm", 1.0, Kind::Gauge, "Revolutions per minute"),
        _ => Unit("", 1.0, Kind::Gauge, "Figure of the chip"),
    }
}

/// `temp1_crit_alarm` is `temp`, `1` and `crit_alarm`.
fn file_name(file: &str) -> Option<(&str, &str, &str)> {
    for kind in KINDS {
        let Some(rest) = file.strip_prefix(kind) else { continue };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = rest.split_at_checked(digits)?;
        match rest.strip_prefix('_') {
            Some(element) => return Some((kind, number, element)),
            None if rest.is_empty() => return Some((kind, number, "")),
            None => {}
        }
    }
    None
}

/// Where it hangs, such as `platform_coretemp_0`; without a device what it calls itself, or its number.
fn chip_name(chip: &Thing, place: Option<&str>) -> Option<String> {
    let (kind, path) = place.and_then(|place| place.split_once(' ')).unwrap_or_default();
    let mut parts = path.rsplit('/').filter(|part| !part.is_empty()).map(clean);
    let (device, bus) = (parts.next(), parts.next());
    let own = || chip.get("name").map(clean).filter(|name| !name.is_empty());
    match (kind, device, bus) {
        ("device", Some(device), Some(bus)) if !device.is_empty() && !bus.is_empty() => Some(format!("{bus}_{device}")),
        ("device", Some(device), _) if !device.is_empty() => Some(device),
        (_, device, _) => own().or(device).or_else(|| Some(chip.name.to_owned())),
    }
}

/// Lower case, and nothing but what a metric name can hold.
fn clean(text: &str) -> String {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == ':' || c == '_';
    let name: String = text.trim().to_lowercase().chars().map(|c| if fits(c) { c } else { '_' }).collect();
    name.trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        for (file, expected) in [
            ("temp1_input", Some(("temp", "1", "input"))),
            ("temp12_crit_alarm", Some(("temp", "12", "crit_alarm"))),
            ("in0_input", Some(("in", "0", "input"))),
            ("intrusion0_alarm", Some(("intrusion", "0", "alarm"))),
            ("pwm1", Some(("pwm", "1", ""))),
            ("update_interval", Some(("update_interval", "", ""))),
            ("beep_enable", Some(("beep_enable", "", ""))),
            ("name", None),
            ("waiting_for_supplier", None),
        ] {
            assert_eq!(file_name(file), expected, "{file}");
        }
    }

    #[test]
    fn names_are_cleaned() {
        for (text, expected) in
            [("coretemp.0", "coretemp_0"), ("0000:00:18.3", "0000:00:18_3"), ("_A-B ", "a_b"), ("é", "")]
        {
            assert_eq!(clean(text), expected, "{text}");
        }
    }
}
