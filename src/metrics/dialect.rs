//! The text of prometheus-client, which speaks OpenMetrics only, in either format and in a stable order.

use super::Format;

/// One family of the text.
struct Block<'a> {
    name: &'a str,
    kind: &'a str,
    help: &'a str,
    samples: Vec<&'a str>,
}

/// Takes the output of `encode_registry` (counters and gauges only) and writes it in `format`: families by name,
/// their samples by label text, families without samples and `# UNIT` and `# EOF` lines left out.
pub(super) fn rewrite(open_metrics: &str, format: Format) -> String {
    let mut blocks = blocks(open_metrics);
    blocks.sort_by_key(|block| block.name);
    let mut text = String::with_capacity(open_metrics.len() + 64);
    for Block { name, kind, help, samples } in &mut blocks {
        if samples.is_empty() {
            continue;
        }
        let suffix = if format == Format::Text004 && *kind == "counter" { "_total" } else { "" };
        for part in ["# HELP ", name, suffix, " ", help, "\n# TYPE ", name, suffix, " ", kind, "\n"] {
            text.push_str(part);
        }
        // prometheus-client keeps them in a map without order.
        samples.sort_unstable();
        for sample in samples {
            text.push_str(sample);
            text.push('\n');
        }
    }
    text
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            blocks.push(Block { name, kind: "", help, samples: Vec::new() });
        } else if let Some(block) = blocks.last_mut() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                block.kind = rest.split_once(' ').map_or("", |(_, kind)| kind);
            } else if !line.starts_with('#') {
                block.samples.push(line);
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_written_in_order() {
        let given = "# HELP b_seconds Two.\n# TYPE b_seconds counter\n# UNIT b_seconds seconds\nb_seconds_total{x=\"2\"} 1\nb_seconds_total{x=\"1 # HELP\"} 2\n\
                     # HELP a One.\n# TYPE a gauge\na 3\n\
                     # HELP none Nothing.\n# TYPE none counter\n# EOF\n";
        assert_eq!(
            rewrite(given, Format::Text004),
            "# HELP a One.\n# TYPE a gauge\na 3\n\
             # HELP b_seconds_total Two.\n# TYPE b_seconds_total counter\nb_seconds_total{x=\"1 # HELP\"} 2\nb_seconds_total{x=\"2\"} 1\n"
        );
        assert_eq!(
            rewrite(given, Format::OpenMetrics100),
            "# HELP a One.\n# TYPE a gauge\na 3\n\
             # HELP b_seconds Two.\n# TYPE b_seconds counter\nb_seconds_total{x=\"1 # HELP\"} 2\nb_seconds_total{x=\"2\"} 1\n"
        );
        assert_eq!(rewrite("", Format::Text004), "");
    }
}
