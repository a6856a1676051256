//! `netdev`: what network devices moved. Try: `cat /proc/net/dev`

use super::lines::{Probe, whole};
use super::sink::{Sink, counter};
use crate::metrics::{Desc, Labels};

const PATH: &str = "/proc/net/dev";

static COLUMNS: [Desc; 16] = [
    counter("node_network_receive_bytes_total", "Bytes received."),
    counter("node_network_receive_packets_total", "Packets received."),
    counter("node_network_receive_errs_total", "Packets received with an error."),
    counter("node_network_receive_drop_total", "Received packets that were dropped."),
    counter("node_network_receive_fifo_total", "Receive errors because a queue was full."),
    counter("node_network_receive_frame_total", "Receive errors of framing."),
    counter("node_network_receive_compressed_total", "Compressed packets received."),
    counter("node_network_receive_multicast_total", "Multicast packets received."),
    counter("node_network_transmit_bytes_total", "Bytes sent."),
    counter("node_network_transmit_packets_total", "Packets sent."),
    counter("node_network_transmit_errs_total", "Packets that could not be sent."),
    counter("node_network_transmit_drop_total", "Packets dropped before they were sent."),
    counter("node_network_transmit_fifo_total", "Send errors because a queue was empty."),
    counter("node_network_transmit_colls_total", "Collisions while sending."),
    counter("node_network_transmit_carrier_total", "Send errors because the carrier was lost."),
    counter("node_network_transmit_compressed_total", "Compressed packets sent."),
];
static NO_HANDLER: Desc = counter("node_network_receive_nohandler_total", "Received packets that nobody wanted.");

pub(super) fn read(probe: &Probe, sink: &mut Sink) {
    let mut any = false;
    for line in probe.file(PATH) {
        // The first two lines are headers.
        let Some((device, figures)) = line.rsplit_once(':') else { continue };
        any = true;
        let device = device.trim();
        if !probe.options.network_devices.keeps(device) {
            continue;
        }
        let labels = Labels::new(&[("device", device)]);
        for (desc, word) in COLUMNS.iter().zip(figures.split_whitespace()) {
            match whole(word) {
                Some(value) => sink.put(desc, &labels, value),
                None => sink.malformed(PATH, line),
            }
        }
        let no_handler = probe.value(&format!("/sys/class/net/{device}/statistics/rx_nohandler"));
        sink.put(&NO_HANDLER, &labels, no_handler.and_then(whole));
    }
    if !any {
        sink.missing(PATH);
    }
}
