//! `netclass`: what network devices are. Try: `grep -s . /sys/class/net/*/*`
//!
//! Of the network devices of guests the probe reads none of these files, whatever the options say.

use super::lines::{Probe, Thing, integer};
use super::sink::{Sink, counter, gauge};
use crate::metrics::{Desc, Labels};

/// File, family, factor.
static FILES: [(&str, Desc, f64); 17] = [
    ("addr_assign_type", gauge("node_network_address_assign_type", "Where the hardware address comes from."), 1.0),
    ("carrier", gauge("node_network_carrier", "Whether the link is up."), 1.0),
    ("carrier_changes", counter("node_network_carrier_changes_total", "Times the link went up or down."), 1.0),
    ("carrier_up_count", counter("node_network_carrier_up_changes_total", "Times the link went up."), 1.0),
    ("carrier_down_count", counter("node_network_carrier_down_changes_total", "Times the link went down."), 1.0),
    ("dev_id", gauge("node_network_device_id", "Which of the devices that share an address."), 1.0),
    ("dormant", gauge("node_network_dormant", "Whether the device waits for another to be of use."), 1.0),
    ("flags", gauge("node_network_flags", "The flags of the device as a number."), 1.0),
    ("ifindex", gauge("node_network_iface_id", "The number of the device."), 1.0),
    ("iflink", gauge("node_network_iface_link", "The number of the device below this one."), 1.0),
    ("link_mode", gauge("node_network_iface_link_mode", "The link mode as a number."), 1.0),
    ("mtu", gauge("node_network_mtu_bytes", "The largest packet."), 1.0),
    ("name_assign_type", gauge("node_network_name_assign_type", "Where the name comes from."), 1.0),
    ("netdev_group", gauge("node_network_net_dev_group", "The group of the device."), 1.0),
    // Of Mbit/s.
    ("speed", gauge("node_network_speed_bytes", "Speed in bytes per second, where the device knows it."), 125_000.0),
    ("tx_queue_len", gauge("node_network_transmit_queue_length", "The length of the send queue."), 1.0),
    ("type", gauge("node_network_protocol_type", "The hardware type as a number."), 1.0),
];

static UP: Desc = gauge("node_network_up", "Whether the device says that it is up.");
static INFO: Desc = gauge("node_network_info", "What a network device is, always 1.");

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    let devices = probe.things("/sys/class/net/");
    if devices.is_empty() {
        sink.missing("/sys/class/net");
    }
    for device in devices.iter().filter(|device| probe.options.network_devices.keeps(device.name)) {
        of_device(device, sink);
    }
}

fn of_device(device: &Thing, sink: &mut Sink) {
    let labels = Labels::new(&[("device", device.name)]);
    for (file, desc, factor) in &FILES {
        let Some(text) = device.get(file) else { continue };
        match integer(text) {
            // A speed of -1 is an unknown one.
            Some(value) if value < 0.0 && *file == "speed" => {}
            Some(value) => sink.put(desc, &labels, value * factor),
            None => sink.malformed(file, text),
        }
    }
    let get = |file| device.get(file).unwrap_or_default();
    sink.put(&UP, &labels, f64::from(u8::from(get("operstate") == "up")));
    let labels = [
        ("device", device.name),
        ("address", get("address")),
        ("broadcast", get("broadcast")),
        ("duplex", get("duplex")),
        ("operstate", get("operstate")),
        ("ifalias", get("ifalias")),
    ];
    sink.put(&INFO, &Labels::new(&labels), 1.0);
}
