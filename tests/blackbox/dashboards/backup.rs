//! Guests without backup, backups that run and ran, and replication.

use super::grafana::{Dashboard, Row, hidden, label, series, stat, table, timeline, value};
use super::{
    CRITICAL, FINE, MUTED, Names, TO_CLUSTER, TO_GUEST, TO_NODE, WARNING, YES, any, bad, clusters, limits, named,
};

const CLUSTERS: &str = "cluster=~\"$cluster\"";
const LOCKS: Names =
    &[(1, "backup", FINE), (2, "snapshot", "light-blue"), (3, "migration", "purple"), (4, "another", MUTED)];

const WENT_WELL: Names = &[(1, "went well", FINE), (0, "failed", CRITICAL)];

pub fn dashboard() -> Dashboard {
    Dashboard {
        name: "backup",
        title: "Proxmox VE / Backup and replication",
        description: "Guests without backup, how the last backups went, what guests are locked for, and how replication does.",
        variables: vec![clusters()],
        marks: "max by (alertname, cluster, node, name) (ALERTS{alertstate=\"firing\", alertname=~\"PVE(Backup|Replication|Task).+\", cluster=~\"$cluster\"})",
        events: "cluster=~\"$cluster\", kind=~\"backup_.+|replication_.+|task_.+\"",
        rows: vec![now(), backups(), history(), replication()],
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn now() -> Row {
    let jobs = |metric: &str| format!("max by (cluster, id) ({metric}{{{CLUSTERS}}})");
    let late = format!(
        "time() - {} > scalar(pve:threshold{{threshold=\"replication_late_seconds\"}}) unless on (cluster, id) ({} == 1)",
        jobs("pve_replication_next_sync_timestamp_seconds"),
        jobs("pve_replication_running")
    );
    Row {
        title: "Now",
        panels: vec![
            stat(
                "Guests without backup",
                "Guests that are in no backup job, those tagged nobackup included.",
                "short",
                "sum(max by (cluster) (pve_not_backed_up_guests{cluster=~\"$cluster\"}))",
            )
            .steps(&any()),
            stat(
                "On purpose",
                "Guests in no backup job that are tagged nobackup or left out by the option exclude: no alert speaks of them.",
                "short",
                "count(max by (cluster, id) (pve_not_backed_up_info{cluster=~\"$cluster\"}) and on (cluster, id) (id:pve_guest:info{tags=~\"(.*;)?nobackup(;.*)?\"} or max by (cluster, id) (pve_guest_backup_excluded{cluster=~\"$cluster\"}))) or vector(0)",
            ),
            stat(
                "Backups too old",
                "Guests in a backup job whose last successful backup is older than the alert's limit, or than their tag allows.",
                "short",
                "count((time() - id:pve_guest_backup:success{cluster=~\"$cluster\"} > on (cluster, id) id:pve_guest_backup:threshold) and on (cluster, id) id:pve_guest_backup:wanted) or vector(0)",
            )
            .steps(&any()),
            stat(
                "Last backup failed",
                "Guests whose last backup failed, with none since.",
                "short",
                "count(max by (cluster, id) (pve_guest_backup_last_attempt_success{cluster=~\"$cluster\"}) == 0) or vector(0)",
            )
            .steps(&bad()),
            stat(
                "Backups that run",
                "Guests that are locked for a backup now.",
                "short",
                "count(max by (cluster, id) (pve_lock_state{cluster=~\"$cluster\", state=\"backup\"}) == 1) or vector(0)",
            ),
            stat(
                "Replication jobs",
                "Jobs that copy guests to other nodes.",
                "short",
                &format!("count({})", jobs("pve_replication_info")),
            ),
            stat(
                "Jobs that fail",
                "Replication jobs whose last try failed.",
                "short",
                &format!("count({} > 0) or vector(0)", jobs("pve_replication_failed_syncs")),
            )
            .steps(&bad()),
            stat(
                "Jobs that are late",
                "Replication jobs that do not run, and should have begun long ago; how long is the alert's limit.",
                "short",
                &format!("count({late}) or vector(0)"),
            )
            .steps(&any()),
        ]
        .into_iter()
        .map(|panel| panel.size(3, 4))
        .collect(),
    }
}

fn backups() -> Row {
    let uncovered = vec![
        label("name", "Guest").link(TO_GUEST.0, TO_GUEST.1),
        label("id", "Id"),
        label("node", "Node").link(TO_NODE.0, TO_NODE.1),
        label("cluster", "Cluster").link(TO_CLUSTER.0, TO_CLUSTER.1),
        label("tags", "Tags"),
        hidden("type"),
        super::grafana::base(
            "topk(200, max by (cluster, id) (pve_not_backed_up_info{cluster=~\"$cluster\"}) * on (cluster, id) group_left (name, node, tags) id:pve_guest:info)",
        ),
    ];
    let lock = |states: &str| format!("pve_lock_state{{{CLUSTERS}, state{states}}}");
    let locks = format!(
        "topk(20, max by (cluster, id) ({} * 1 or {} * 2 or {} * 3 or {} * 4))",
        lock("=\"backup\""),
        lock("=~\"snapshot|snapshot-delete|rollback\""),
        lock("=\"migrate\""),
        lock("!~\"backup|snapshot|snapshot-delete|rollback|migrate\""),
    );
    Row {
        title: "Backups",
        panels: vec![
            table("Guests in no backup job", "At most two hundred guests that are in no backup job. The tag nobackup says that it is on purpose.", uncovered).sort("Guest", false).size(12, 10),
            series("Guests without backup over time", "Guests that are in no backup job; the twenty clusters with most.", "short")
                .query("topk(20, max by (cluster) (pve_not_backed_up_guests{cluster=~\"$cluster\"}))", "{{cluster}}").size(12, 10),
            timeline("What guests are locked for", "Guests that Proxmox VE locks for a backup, a snapshot, a migration or something else; at most twenty at a time.", LOCKS)
                .query(&named(&locks, CLUSTERS), "{{name}}").size(24, 8),
            series("Tasks that run", "Tasks of all nodes by type; the twenty types of a cluster with most.", "short")
                .query("topk(20, sum by (cluster, type) (max by (cluster, id, type) (pve_tasks_running{cluster=~\"$cluster\"})))", "{{cluster}} {{type}}").size(12, 6),
            series("How long tasks have been running", "The oldest task of each type on each node; the twenty oldest.", "s")
                .query("topk(20, time() - min by (cluster, id, type) (pve_tasks_running_oldest_timestamp_seconds{cluster=~\"$cluster\"}))", "{{cluster}} {{id}} {{type}}").size(12, 6),
        ],
    }
}

fn history() -> Row {
    let of = |metric: &str| format!("max by (cluster, id) ({metric}{{{CLUSTERS}}})");
    let success = of("pve_guest_backup_last_success_timestamp_seconds");
    let oldest = format!("bottomk(100, {success})");
    let only = |expr: &str| format!("{expr} and on (cluster, id) {oldest}");
    let guests = vec![
        label("name", "Guest").link(TO_GUEST.0, TO_GUEST.1),
        label("id", "Id"),
        label("node", "Node").link(TO_NODE.0, TO_NODE.1),
        label("cluster", "Cluster").link(TO_CLUSTER.0, TO_CLUSTER.1),
        super::grafana::base(&format!("({oldest}) * on (cluster, id) group_left (name, node) id:pve_guest:info")),
        value("Last success ago", "s", &only(&format!("(time() - {success})"))).steps(&limits(&["backup_age_seconds"])),
        value("Last one", "none", &only(&of("pve_guest_backup_last_attempt_success"))).names(WENT_WELL),
        value("Took", "s", &only(&of("pve_guest_backup_last_success_duration_seconds"))),
        value("Size", "bytes", &only(&of("pve_guest_backup_last_success_size_bytes"))),
        value("Runs now", "none", &only(&of("pve_guest_backup_running"))).names(YES),
    ];
    let jobs = vec![
        label("id", "Job"),
        label("cluster", "Cluster").link(TO_CLUSTER.0, TO_CLUSTER.1),
        label("schedule", "Schedule"),
        label("storage", "Storage"),
        label("mode", "Mode"),
        super::grafana::base(&format!(
            "topk(100, max by (cluster, id, schedule, storage, mode) (pve_backup_job_info{{{CLUSTERS}}}))"
        )),
        value("On", "none", &format!("topk(100, {})", of("pve_backup_job_enabled"))).names(YES),
        value("Guests", "short", &format!("topk(100, {})", of("pve_backup_job_guests"))),
        value("Next in", "s", &format!("topk(100, {} - time())", of("pve_backup_job_next_run_timestamp_seconds"))),
        value("Last run", "none", &format!("topk(100, {})", of("pve_backup_job_last_run_success"))).names(WENT_WELL),
    ];
    let named = |metric: &str| named(&format!("topk(20, {})", of(metric)), CLUSTERS);
    Row {
        title: "Last backups",
        panels: vec![
            table(
                "Guests",
                "The hundred guests whose last successful backup is oldest, as logs of tasks tell.",
                guests,
            )
            .sort("Last success ago", true)
            .size(24, 9),
            table(
                "Backup jobs",
                "At most a hundred jobs. How the last run ended is known where the logs name their job.",
                jobs,
            )
            .sort("Job", false)
            .size(24, 6),
            series("How long backups take", "The last successful backup of each guest; the twenty longest.", "s")
                .query(&named("pve_guest_backup_last_success_duration_seconds"), "{{name}}")
                .size(12, 8),
            series("How large backups are", "The last successful backup of each guest; the twenty largest.", "bytes")
                .query(&named("pve_guest_backup_last_success_size_bytes"), "{{name}}")
                .size(12, 8),
        ],
    }
}

fn replication() -> Row {
    let job = |metric: &str| format!("max by (cluster, id) ({metric}{{{CLUSTERS}}})");
    let worst = format!(
        "topk(100, {} * 1e9 + (time() - {} or {} * 0))",
        job("pve_replication_failed_syncs"),
        job("pve_replication_last_sync_timestamp_seconds"),
        job("pve_replication_failed_syncs")
    );
    let only = |expr: &str| format!("{expr} and on (cluster, id) {worst}");
    let jobs = vec![
        label("id", "Job"),
        label("cluster", "Cluster").link(TO_CLUSTER.0, TO_CLUSTER.1),
        label("guest", "Guest"),
        label("source", "From"),
        label("target", "To"),
        super::grafana::base(&only(&format!(
            "max by (cluster, id, guest, source, target) (pve_replication_info{{{CLUSTERS}}})"
        ))),
        value("Failed since", "short", &only(&job("pve_replication_failed_syncs"))).steps(&[(1.0, CRITICAL)]),
        value(
            "Last done ago",
            "s",
            &only(&format!("(time() - {})", job("pve_replication_last_sync_timestamp_seconds"))),
        ),
        value("Took", "s", &only(&job("pve_replication_duration_seconds"))),
        value("Next in", "s", &only(&format!("({} - time())", job("pve_replication_next_sync_timestamp_seconds"))))
            .steps(&[(-1e12, WARNING), (-60.0, MUTED)]),
    ];
    let lines = |expr: &str| format!("topk(20, {expr})");
    Row {
        title: "Replication",
        panels: vec![
            table("Jobs", "The hundred worst: those that fail, then those that were done longest ago. A next run in the past is one that waits.", jobs).sort("Failed since", true).size(24, 9),
            series("Since the last copy", "How much would be lost if the source broke; the twenty oldest copies.", "s")
                .query(&lines(&format!("time() - {}", job("pve_replication_last_sync_timestamp_seconds"))), "{{cluster}} {{id}}").size(12, 8),
            series("How long it takes", "How long the last run took; the twenty longest.", "s")
                .query(&lines(&job("pve_replication_duration_seconds")), "{{cluster}} {{id}}").size(12, 8),
        ],
    }
}
