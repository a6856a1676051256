//! What disks think of themselves: `smartctl --json` 7.0 or newer, per disk. Try: `sudo smartctl --json=c -n standby -i -H -A /dev/sda`
//!
//! A disk that sleeps is left asleep: then there is no more than that to tell.

use serde::Deserialize;

use super::Frame;
use super::sink::{Sink, counter, gauge};
use crate::metrics::{Desc, Labels};

static INFO: Desc = gauge("pve_host_disk_info", "What a disk is, always 1; from smartctl.");
static HEALTHY: Desc = gauge("pve_host_disk_smart_healthy", "Whether a disk says that it is well; from smartctl.");
static STANDBY: Desc = gauge("pve_host_disk_standby", "Whether a disk slept and was left asleep; from smartctl.");
static WEAR: Desc = gauge(
    "pve_host_disk_wear_ratio",
    "Share of its life that a solid-state disk has used, 1 at its end, perhaps more; from smartctl.",
);
static SPARE: Desc =
    gauge("pve_host_disk_available_spare_ratio", "Share of its spare blocks that a disk still has; from smartctl.");
static TEMPERATURE: Desc = gauge("pve_host_disk_temperature_celsius", "Temperature of a disk; from smartctl.");
static POWER_ON: Desc = counter("pve_host_disk_power_on_seconds_total", "Time that a disk has been on; from smartctl.");
static MEDIA_ERRORS: Desc = counter(
    "pve_host_disk_media_errors_total",
    "Errors of the medium that an NVMe disk could not repair; from smartctl.",
);
static REALLOCATED: Desc =
    gauge("pve_host_disk_reallocated_sectors", "Sectors that an ATA disk has replaced; from smartctl.");
static PENDING: Desc =
    gauge("pve_host_disk_pending_sectors", "Sectors that an ATA disk could not read and may replace; from smartctl.");

/// What an answer to `smart` may bring.
pub const FAMILIES: &[&Desc] =
    &[&INFO, &HEALTHY, &STANDBY, &WEAR, &SPARE, &TEMPERATURE, &POWER_ON, &MEDIA_ERRORS, &REALLOCATED, &PENDING];

#[derive(Debug, Deserialize)]
struct Report {
    device: Option<Device>,
    model_name: Option<String>,
    scsi_model_name: Option<String>,
    serial_number: Option<String>,
    firmware_version: Option<String>,
    smart_status: Option<Status>,
    temperature: Option<Current>,
    power_on_time: Option<PowerOn>,
    /// Of smartctl 7.4 and newer, for all kinds of disks.
    endurance_used: Option<Percent>,
    spare_available: Option<Percent>,
    nvme_smart_health_information_log: Option<Nvme>,
    scsi_percentage_used_endurance_indicator: Option<f64>,
    ata_smart_attributes: Option<Attributes>,
    power_mode: Option<serde_json::Value>,
    smartctl: Option<Smartctl>,
}

#[derive(Debug, Deserialize)]
struct Device {
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Status {
    passed: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Current {
    current: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct PowerOn {
    hours: Option<u64>,
    minutes: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Percent {
    current_percent: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Nvme {
    percentage_used: Option<f64>,
    available_spare: Option<f64>,
    media_errors: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Attributes {
    #[serde(default)]
    table: Vec<Attribute>,
}

#[derive(Debug, Deserialize)]
struct Attribute {
    id: u32,
    value: Option<f64>,
    raw: Option<Raw>,
}

#[derive(Debug, Deserialize)]
struct Raw {
    value: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Smartctl {
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Debug, Deserialize)]
struct Message {
    string: Option<String>,
}

/// Each disk of the answer.
pub(super) fn read(frame: &Frame, sink: &mut Sink) {
    if let Err(gap) = frame.get("smart") {
        sink.trouble(format!("smartctl: {gap}"));
    }
    for section in frame.names("smart.") {
        let disk = section.strip_prefix("smart.").unwrap_or_default();
        match frame.get(section) {
            Ok(text) => match report(text) {
                Some(report) => of_disk(disk, &report, sink),
                None => sink.malformed(section, text),
            },
            Err(gap) => sink.trouble(format!("{section}: {gap}")),
        }
    }
}

/// sudo may say something before, such as that it cannot resolve the host's name.
fn report(text: &str) -> Option<Report> {
    let (from, to) = (text.find('{')?, text.rfind('}')?);
    serde_json::from_str(text.get(from..=to)?).ok()
}

fn of_disk(disk: &str, report: &Report, sink: &mut Sink) {
    let labels = Labels::new(&[("device", disk)]);
    let asleep = sleeps(report);
    let text = |text: &Option<String>| text.as_deref().unwrap_or_default().trim().to_owned();
    let model = if report.model_name.is_some() { &report.model_name } else { &report.scsi_model_name };
    let info = [
        ("device", disk),
        ("model", &text(model)),
        ("serial", &text(&report.serial_number)),
        ("firmware", &text(&report.firmware_version)),
        ("type", report.device.as_ref().and_then(|device| device.kind.as_deref()).unwrap_or_default()),
    ];
    // A sleeping disk is not asked for its name: half an info metric would look like another disk.
    let named = model.is_some() || report.serial_number.is_some();
    sink.put(&INFO, &Labels::new(&info), named.then_some(1.0));
    sink.put(&STANDBY, &labels, (named || asleep).then_some(f64::from(u8::from(asleep))));
    if !named && !asleep {
        let said = report.smartctl.iter().flat_map(|smartctl| &smartctl.messages).find_map(|m| m.string.as_deref());
        sink.trouble(format!("smartctl of {disk}: {}", said.unwrap_or("nothing about the disk")));
    }
    let passed = report.smart_status.as_ref().and_then(|status| status.passed);
    sink.put(&HEALTHY, &labels, passed.map(|passed| f64::from(u8::from(passed))));
    sink.put(&TEMPERATURE, &labels, report.temperature.as_ref().and_then(|temperature| temperature.current));
    let on = report.power_on_time.as_ref().and_then(|on| {
        Some(on.hours?.saturating_mul(3600).saturating_add(on.minutes.unwrap_or_default().saturating_mul(60)))
    });
    sink.put(&POWER_ON, &labels, on.map(|seconds| seconds as f64));
    sink.put(&WEAR, &labels, wear(report).map(|percent| percent / 100.0));
    let nvme = report.nvme_smart_health_information_log.as_ref();
    let spare = report.spare_available.as_ref().and_then(|spare| spare.current_percent);
    let spare = spare.or_else(|| nvme?.available_spare);
    sink.put(&SPARE, &labels, spare.map(|percent| percent / 100.0));
    sink.put(&MEDIA_ERRORS, &labels, nvme.and_then(|nvme| nvme.media_errors).map(|errors| errors as f64));
    sink.put(&REALLOCATED, &labels, raw(report, 5));
    sink.put(&PENDING, &labels, raw(report, 197));
}

/// smartctl says so in a message, and newer ones in a field.
fn sleeps(report: &Report) -> bool {
    let messages = report.smartctl.iter().flat_map(|smartctl| &smartctl.messages);
    let said = messages.filter_map(|message| message.string.as_deref()).any(|text| {
        let text = text.to_ascii_uppercase();
        text.contains("STANDBY MODE") || text.contains("SLEEP MODE")
    });
    said || (report.power_mode.is_some() && report.smart_status.is_none() && report.model_name.is_none())
}

/// In percent. Makers of ATA disks disagree on the attribute, whose normalised value counts down from 100.
fn wear(report: &Report) -> Option<f64> {
    const LIFE_LEFT: [u32; 5] = [231, 202, 233, 169, 177];
    let endurance = report.endurance_used.as_ref().and_then(|used| used.current_percent);
    let nvme = || report.nvme_smart_health_information_log.as_ref()?.percentage_used;
    let ata = || {
        let table = &report.ata_smart_attributes.as_ref()?.table;
        let left = LIFE_LEFT.iter().find_map(|id| table.iter().find(|attribute| attribute.id == *id))?.value?;
        (0.0..=100.0).contains(&left).then_some(100.0 - left)
    };
    endurance.or_else(nvme).or(report.scsi_percentage_used_endurance_indicator).or_else(ata)
}

fn raw(report: &Report, id: u32) -> Option<f64> {
    let table = &report.ata_smart_attributes.as_ref()?.table;
    let value = table.iter().find(|attribute| attribute.id == id)?.raw.as_ref()?.value?;
    // Above the count, some disks keep other things.
    Some((value & 0xffff_ffff) as f64)
}
