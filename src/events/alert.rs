//! One finding, or several of the same labels, as Alertmanager's API v2 takes them (pure).

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::finding::Finding;

/// What an alert is known by, to us and to Alertmanager: nothing that changes from one time to the next.
pub(super) type Labels = BTreeMap<&'static str, String>;

/// The last second that four digits of a year can tell.
const LAST: i64 = 253_402_300_799;

/// One alert, as it is posted. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alert {
    pub(super) labels: Labels,
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(serialize_with = "as_text")]
    pub(super) starts_at: i64,
    #[serde(serialize_with = "as_text")]
    pub(super) ends_at: i64,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    pub(super) generator_url: Option<String>,
}

/// The labels of a finding.
pub(super) fn labels(finding: &Finding) -> Labels {
    let mut labels = Labels::from([
        ("alertname", finding.kind.alertname().to_owned()),
        ("severity", finding.severity.name().to_owned()),
        ("cluster", finding.cluster.clone()),
        ("id", finding.id.clone()),
    ]);
    labels.extend(finding.node.clone().map(|node| ("node", node)));
    labels.extend(finding.task_type.clone().map(|task_type| ("task_type", task_type)));
    // Alertmanager drops empty ones.
    labels.retain(|_, value| !value.is_empty());
    labels
}

/// The annotations of findings, of which the last one is the newest; `count` is how many there were (0: that is not told), and
/// `upids` are the last of them.
pub(super) fn annotations<'a>(
    findings: impl DoubleEndedIterator<Item = &'a Finding> + Clone,
    count: u64,
) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    let Some(newest) = findings.clone().next_back() else { return annotations };
    let details = newest.details.iter().filter(|(name, _)| is_name(name));
    annotations.extend(details.map(|(name, text)| (name.clone(), text.clone())));
    annotations.insert("summary".to_owned(), newest.summary.clone());
    annotations.insert("description".to_owned(), newest.description.clone());
    let runbook = format!("RUNBOOK.md#{}", newest.kind.alertname().to_lowercase());
    annotations.insert("runbook_url".to_owned(), runbook);
    if count > 0 {
        annotations.insert("count".to_owned(), count.to_string());
    }
    let upids: Vec<&str> = findings.filter_map(|finding| finding.details.get("upid")).map(String::as_str).collect();
    if count > 1 && !upids.is_empty() {
        annotations.insert("upids".to_owned(), upids.join(" "));
    }
    annotations
}

/// Where Alertmanager's page leads to: the `link` of a finding, if every reader of URLs takes it.
pub(super) fn generator_url(finding: &Finding) -> Option<String> {
    let link = finding.details.get("link")?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    (link.starts_with("https://") && link.bytes().all(is_plain)).then(|| link.clone())
}

/// Whether Alertmanager takes it as the name of an annotation.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn as_text<S: Serializer>(seconds: &i64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*seconds))
}

/// A moment, such as `2026-01-31T07:05:00Z`; those before 1970 and after 9999 are the nearest that can be told.
pub(super) fn rfc3339(seconds: i64) -> String {
    let seconds = seconds.clamp(0, LAST);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March have their leap day at the end, and 400 of them always 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", year + era * 400)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{failed_task, with_detail};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moments_are_told_as_alertmanager_reads_them() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (LAST, "9999-12-31T23:59:59Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
            (-1, "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }

    #[test]
    fn identity_is_labels_only() {
        let finding = failed_task("UPID:a", 100);
        let labels = labels(&finding);
        let text = serde_json::to_string(&labels).unwrap();
        assert_eq!(
            text,
            r#"{"alertname":"PVETaskFailed","cluster":"home","id":"qemu/100","node":"pve1","severity":"warning","task_type":"qmstart"}"#
        );
    }

    #[test]
    fn annotations_are_those_of_the_newest_with_all_upids() {
        let all = [failed_task("UPID:a", 100), with_detail(failed_task("UPID:b", 101), "no name", "x")];
        let told = annotations(all.iter(), 12);
        assert_eq!((told["upid"].as_str(), told["upids"].as_str()), ("UPID:b", "UPID:a UPID:b"));
        assert_eq!(told["count"], "12");
        assert!(!told.contains_key("no name"));
        let one = annotations(all.iter().take(1).collect::<Vec<_>>().into_iter(), 1);
        assert!(one["count"] == "1" && !one.contains_key("upids"));
    }

    #[test]
    fn only_links_that_are_surely_such_are_sent_as_one() {
        let link = |link: &str| generator_url(&with_detail(failed_task("a", 1), "link", link));
        assert_eq!(
            link("https://192.0.2.1:8006/#v1:0:=qemu%2F100").as_deref(),
            Some("https://192.0.2.1:8006/#v1:0:=qemu%2F100")
        );
        for other in ["", "pve1", "javascript:alert(1)", "https://a b", "https://é", "https://a\\b"] {
            assert_eq!(link(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn moments_grow_as_their_texts_do(a in 0..=LAST, b in 0..=LAST) {
            prop_assert_eq!(a.cmp(&b), rfc3339(a).cmp(&rfc3339(b)));
            let read = httpdate::HttpDate::from(std::time::UNIX_EPOCH + std::time::Duration::from_secs(a.unsigned_abs())).to_string();
            prop_assert!(read.contains(&format!(" {} ", &rfc3339(a)[..4])) && read.contains(&rfc3339(a)[11..19]), "{}", read);
        }
    }
}
