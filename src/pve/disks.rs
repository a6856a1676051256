//! `GET /nodes/{node}/disks/list` and `/nodes/{node}/disks/smart?disk=…`: the disks of a node, and what SMART says of one;
//! need `Sys.Audit` on `/`. Both run smartctl on the node.

use serde::Deserialize;

use super::answer::Answer;
use super::error::Error;
use super::rows::shaped;
use super::wire::{List, Number, Object, Text};

/// A disk as PVE sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Disk<'a> {
    /// Such as `/dev/sda`.
    #[serde(borrow)]
    pub devpath: Text<'a>,
    /// `hdd`, `ssd`, `nvme`, `usb` or `unknown`.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// `unknown` where the disk does not say.
    #[serde(borrow)]
    pub model: Text<'a>,
    /// `unknown` where the disk does not say.
    #[serde(borrow)]
    pub serial: Text<'a>,
    /// A number that no other disk in the world should have; `unknown` where the disk does not say.
    #[serde(borrow)]
    pub wwn: Text<'a>,
    /// `unknown` where the disk does not say; for some, a number of the PCI bus.
    #[serde(borrow)]
    pub vendor: Text<'a>,
    /// What it is used as, in PVE's words, such as `LVM` or `mounted`; absent where it is not.
    #[serde(borrow)]
    pub used: Text<'a>,
    /// In bytes.
    pub size: Number,
    /// `PASSED`, `OK`, `FAILED!`, `UNKNOWN`, or what is wrong in a SAS disk's own words.
    #[serde(borrow)]
    pub health: Text<'a>,
    /// Per cent of its life that are left, by its own account; below 0 where it lives longer. `N/A` counts as absent.
    pub wearout: Number,
}

/// What SMART says of a disk: attributes of one that speaks ATA, else text of smartctl.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Smart<'a> {
    /// Of ATA disks.
    #[serde(borrow)]
    pub attributes: Option<List<SmartAttribute<'a>>>,
    /// Of NVMe and SAS disks: lines such as `Temperature:     34 Celsius`.
    #[serde(borrow)]
    pub text: Text<'a>,
}

/// One attribute of an ATA disk.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct SmartAttribute<'a> {
    /// Its number, such as 194 for the temperature; PVE pads it with spaces.
    pub id: Number,
    /// As the disk counts it, such as `34 (Min/Max 20/45)`.
    #[serde(borrow)]
    pub raw: Text<'a>,
}

/// The disks. Entries without a path are passed over; if all are so, the answer is malformed.
pub fn disks(answer: &Answer) -> Result<Vec<Disk<'_>>, Error> {
    let list: List<Disk<'_>> = answer.data()?;
    shaped(answer, list, "a devpath", |disk| disk.devpath.filled().is_some())
}

/// What SMART says of one disk.
pub fn smart(answer: &Answer) -> Result<Smart<'_>, Error> {
    let Object(smart): Object<Smart<'_>> = answer.data()?;
    Ok(smart)
}

impl Disk<'_> {
    /// The kernel's name of it, such as `sda`.
    pub fn device(&self) -> Option<&str> {
        let path = self.devpath.filled()?;
        Some(path.strip_prefix("/dev/").unwrap_or(path))
    }
}

impl Smart<'_> {
    /// In degrees Celsius.
    pub fn temperature(&self) -> Option<f64> {
        let told = self.attribute(&[194, 190]).or_else(|| self.line(&["Temperature", "Current Drive Temperature"]));
        // Some pack lowest and highest into the same number: then it is none.
        told.and_then(leading).filter(|degrees| (-60.0..=200.0).contains(degrees))
    }

    /// For how long it has been powered on in its life, in seconds.
    pub fn power_on(&self) -> Option<f64> {
        const HOUR: f64 = 3600.0;
        let told = self.attribute(&[9]).or_else(|| self.line(&["Power On Hours"]));
        let told = told.or_else(|| self.line(&["Accumulated power on time, hours"])?.strip_prefix("minutes"));
        told.and_then(leading).filter(|hours| (0.0..1e7).contains(hours)).map(|hours| hours * HOUR)
    }

    /// The raw value of the first of these attributes that is there.
    fn attribute(&self, ids: &[u64]) -> Option<&str> {
        let attributes = &self.attributes.as_ref()?.items;
        ids.iter().find_map(|id| attributes.iter().find(|attribute| attribute.id.whole() == Some(*id)))?.raw.filled()
    }

    /// What stands behind the first of these names that begins a line.
    fn line(&self, names: &[&str]) -> Option<&str> {
        let mut lines = self.text.filled()?.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(name, _)| names.contains(&name.trim())).map(|(_, value)| value.trim())
    }
}

/// The number at the beginning of a text; thousands may be separated by commas.
fn leading(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, ',' | '-')).unwrap_or(text.len());
    text.get(..end)?.replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{any_json, any_rows, recorded};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_recorded_disk_is_read() {
        let answer = recorded("pve-9.2-cluster/GET_nodes__pve-lab__disks__list.json");
        let disks = disks(&answer).expect("disks");
        let [disk] = disks.as_slice() else { panic!("{disks:?}") };
        assert_eq!((disk.device(), disk.used.filled()), (Some("vda"), Some("mounted")));
        assert_eq!((disk.size.0, disk.wearout.0), (Some(274_877_906_944.0), None));
        assert_eq!((disk.health.filled(), disk.model.filled()), (Some("UNKNOWN"), Some("unknown")));
    }

    #[test]
    fn smart_is_read_of_each_kind_of_disk() {
        let table = [
            (
                r#"{"type":"ata","attributes":[{"id":"  9","raw":"12345"},{"id":"194","raw":"34 (Min/Max 20/45)"}]}"#,
                Some(34.0),
                Some(12345.0),
            ),
            (
                r#"{"attributes":[{"id":"  9","raw":"12345h+12m+03.100s"},{"id":"190","raw":"-3"}]}"#,
                Some(-3.0),
                Some(12345.0),
            ),
            (r#"{"attributes":[{"id":"194","raw":"193274904600"},{"id":"  9","raw":"?"}]}"#, None, None),
            (
                r#"{"type":"text","text":"Critical Warning:     0x00\nTemperature:      41 Celsius\nPower On Hours:    21,034\n"}"#,
                Some(41.0),
                Some(21034.0),
            ),
            (
                r#"{"text":"Current Drive Temperature:     30 C\nAccumulated power on time, hours:minutes 1234:56\n"}"#,
                Some(30.0),
                Some(1234.0),
            ),
            (r#"{"text":"Temperature Sensor 1:   55 Celsius\n"}"#, None, None),
            (r#"{"health":"SMART Disabled"}"#, None, None),
        ];
        for (data, degrees, hours) in table {
            let answer = Answer::of(&format!("{{\"data\":{data}}}"));
            let smart = smart(&answer).expect("an object");
            assert_eq!(smart.temperature(), degrees, "{data}");
            assert_eq!(smart.power_on(), hours.map(|hours: f64| hours * 3600.0), "{data}");
        }
        assert!(smart(&Answer::of(r#"{"data":["34"]}"#)).is_err());
    }

    #[test]
    fn what_is_no_disk_is_passed_over() {
        let answer = Answer::of(r#"{"data":[7,{"model":"x"},{"devpath":"/dev/cciss/c0d0","wearout":"97"}]}"#);
        let disks_told = disks(&answer).expect("disks");
        assert_eq!(disks_told.iter().map(Disk::device).collect::<Vec<_>>(), [Some("cciss/c0d0")]);
        assert_eq!(disks_told.iter().map(|disk| disk.wearout.0).collect::<Vec<_>>(), [Some(97.0)]);
        assert!(disks(&Answer::of(r#"{"data":[{"model":"x"}]}"#)).is_err());
        assert!(disks(&Answer::of(r#"{"data":[]}"#)).expect("none").is_empty());
    }

    proptest! {
        #[test]
        fn nothing_panics(data in any_json(), rows in any_rows(&["id", "raw"]), text in ".{0,40}") {
            for data in [data, serde_json::json!({ "attributes": rows }), serde_json::json!({ "text": format!("Temperature: {text}") })] {
                let answer = Answer::of(&serde_json::json!({ "data": data }).to_string());
                let _ = disks(&answer);
                if let Ok(smart) = smart(&answer) {
                    let _ = (smart.temperature(), smart.power_on());
                }
            }
        }
    }
}
