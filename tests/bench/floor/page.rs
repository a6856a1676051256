//! Parse once, write once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;

use serde::Deserialize;

use crate::Outcome;

/// The size of the buffer through which all is written.
pub(super) const CHUNK: usize = 64 * 1024;

/// No line is longer.
const LONGEST_LINE: usize = 4 * 1024;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Vec<Row<'a>>,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    node: Cow<'a, str>,
    #[serde(default)]
    vmid: u64,
    #[serde(borrow, default)]
    storage: Cow<'a, str>,
    #[serde(borrow, default)]
    status: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    tags: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Cow<'a, str>,
    #[serde(borrow, default)]
    plugintype: Cow<'a, str>,
    template: Option<u8>,
    shared: Option<u8>,
    uptime: Option<f64>,
    cpu: Option<f64>,
    maxcpu: Option<f64>,
    mem: Option<f64>,
    maxmem: Option<f64>,
    memhost: Option<f64>,
    disk: Option<f64>,
    maxdisk: Option<f64>,
    netin: Option<f64>,
    netout: Option<f64>,
    diskread: Option<f64>,
    diskwrite: Option<f64>,
}

/// Writes the series of `collect[]=guest&collect[]=node&collect[]=storage`; answers how many.
pub(super) fn write(body: &str, buffer: &mut Vec<u8>, sink: impl Write) -> Outcome<u64> {
    let envelope: Envelope<'_> = serde_json::from_str(body)?;
    buffer.clear();
    let mut page = Page { buffer, sink, labels: Vec::with_capacity(LONGEST_LINE), series: 0 };
    let mut shared: BTreeMap<&str, &Row<'_>> = BTreeMap::new();
    for row in &envelope.data {
        match row.kind.as_ref() {
            "qemu" | "lxc" => page.guest(row)?,
            "node" => page.node(row)?,
            "storage" => {
                page.storage(row)?;
                if row.shared == Some(1) {
                    let told = shared.entry(&row.storage).or_insert(row);
                    if rank(row) < rank(told) {
                        *told = row;
                    }
                }
            }
            _ => {}
        }
    }
    for row in shared.values() {
        page.shared_storage(row)?;
    }
    page.sink.write_all(page.buffer)?;
    Ok(page.series)
}

struct Page<'b, W> {
    buffer: &'b mut Vec<u8>,
    sink: W,
    /// What stands between the braces.
    labels: Vec<u8>,
    series: u64,
}

impl<W: Write> Page<'_, W> {
    fn guest(&mut self, row: &Row<'_>) -> Outcome<()> {
        self.labels(&[("id", &[&row.kind, "/", itoa::Buffer::new().format(row.vmid)])]);
        let id = self.labels.len();
        self.sample("pve_up", Some(flag(row.status == "running")))?;
        self.usage(row, row.disk.filter(|used| *used > 0.0 || row.kind == "lxc"))?;
        if row.kind == "qemu" {
            self.sample("pve_guest_memory_host_bytes", row.memhost)?;
        }
        self.sample("pve_network_receive_bytes_total", row.netin)?;
        self.sample("pve_network_transmit_bytes_total", row.netout)?;
        self.sample("pve_disk_read_bytes_total", row.diskread)?;
        self.sample("pve_disk_written_bytes_total", row.diskwrite)?;
        self.more_labels(&[("state", &[&row.status])]);
        self.sample("pve_guest_state", Some(1.0))?;
        self.labels.truncate(id);
        let template = row.template.map_or("", |template| if template == 1 { "1" } else { "0" });
        self.more_labels(&[
            ("name", &[&row.name]),
            ("node", &[&row.node]),
            ("type", &[&row.kind]),
            ("template", &[template]),
            ("tags", &[&sorted(&row.tags, ';')]),
        ]);
        self.sample("pve_guest_info", Some(1.0))
    }

    fn node(&mut self, row: &Row<'_>) -> Outcome<()> {
        self.labels(&[("id", &["node/", &row.node])]);
        self.sample("pve_up", Some(flag(row.status == "online")))?;
        self.usage(row, row.disk)
    }

    fn storage(&mut self, row: &Row<'_>) -> Outcome<()> {
        self.labels(&[("id", &["storage/", &row.node, "/", &row.storage])]);
        self.sample("pve_up", Some(flag(row.status == "available")))?;
        self.sample("pve_disk_usage_bytes", row.disk)?;
        self.sample("pve_disk_size_bytes", row.maxdisk)?;
        self.sample("pve_storage_shared", row.shared.map(f64::from))?;
        self.more_labels(&[
            ("node", &[&row.node]),
            ("storage", &[&row.storage]),
            ("plugintype", &[&row.plugintype]),
            ("content", &[&sorted(&row.content, ',')]),
        ]);
        self.sample("pve_storage_info", Some(1.0))
    }

    fn shared_storage(&mut self, row: &Row<'_>) -> Outcome<()> {
        self.labels(&[("id", &["storage/", &row.storage])]);
        if can_be_used(row) {
            self.sample("pve_storage_shared_size_bytes", row.maxdisk)?;
            self.sample("pve_storage_shared_usage_bytes", row.disk)?;
        }
        self.more_labels(&[("storage", &[&row.storage]), ("plugintype", &[&row.plugintype])]);
        self.sample("pve_storage_shared_info", Some(1.0))
    }

    fn usage(&mut self, row: &Row<'_>, disk: Option<f64>) -> Outcome<()> {
        self.sample("pve_cpu_usage_ratio", row.cpu)?;
        self.sample("pve_cpu_usage_limit", row.maxcpu)?;
        self.sample("pve_memory_usage_bytes", row.mem)?;
        self.sample("pve_memory_size_bytes", row.maxmem)?;
        self.sample("pve_disk_usage_bytes", disk)?;
        self.sample("pve_disk_size_bytes", row.maxdisk)?;
        self.sample("pve_uptime_seconds", row.uptime)
    }

    /// Begins the labels of a row. A value is given in pieces.
    fn labels(&mut self, pairs: &[(&str, &[&str])]) {
        self.labels.clear();
        self.labels.extend_from_slice(b"cluster=\"bench\"");
        self.more_labels(pairs);
    }

    fn more_labels(&mut self, pairs: &[(&str, &[&str])]) {
        for (name, pieces) in pairs {
            self.labels.push(b',');
            self.labels.extend_from_slice(name.as_bytes());
            self.labels.extend_from_slice(b"=\"");
            for piece in *pieces {
                escape(&mut self.labels, piece);
            }
            self.labels.push(b'"');
        }
    }

    fn sample(&mut self, name: &str, value: Option<f64>) -> Outcome<()> {
        let Some(value) = value else { return Ok(()) };
        if self.buffer.len() + LONGEST_LINE > CHUNK {
            self.sink.write_all(self.buffer)?;
            self.buffer.clear();
        }
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.push(b'{');
        self.buffer.extend_from_slice(&self.labels);
        self.buffer.extend_from_slice(b"} ");
        let whole = value as u64;
        if whole as f64 == value {
            self.buffer.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
        } else {
            self.buffer.extend_from_slice(zmij::Buffer::new().format(value).as_bytes());
        }
        self.buffer.push(b'\n');
        self.series += 1;
        Ok(())
    }
}

fn escape(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| !matches!(byte, b'\\' | b'"' | b'\n')) {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.extend_from_slice(text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").as_bytes());
    }
}

/// The parts of a list in alphabetical order; most have one.
fn sorted(text: &str, separator: char) -> Cow<'_, str> {
    if !text.contains(separator) {
        return Cow::Borrowed(text);
    }
    let mut parts: Vec<&str> = text.split(separator).collect();
    parts.sort_unstable();
    Cow::Owned(parts.join(separator.encode_utf8(&mut [0; 4])))
}

/// Nodes that can use a storage before others, then by name.
fn rank<'a>(row: &'a Row<'_>) -> (bool, &'a str) {
    (!can_be_used(row), &row.node)
}

fn can_be_used(row: &Row<'_>) -> bool {
    row.status == "available" && row.maxdisk.is_some_and(|size| size > 0.0)
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}
