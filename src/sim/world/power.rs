//! Power actions: what PVE refuses at once, what only its task finds out, and what becomes of the guest.

use super::cluster::Cluster;
use super::guest::Life;
use super::population::Condition;
use super::tasks::Task;

/// HA acts on a request in its next round.
const HA_ROUND: i64 = 10;
/// A guest has shut down after so many seconds.
const SHUTS_DOWN: i64 = 3;
/// A `shutdown` without a timeout waits so long.
const PATIENCE: i64 = 60;

/// What can be asked of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Action {
    Start,
    Stop,
    Shutdown,
    Reboot,
    Reset,
    Suspend { to_disk: bool },
    Resume,
}

/// A request to a guest.
pub(in super::super) struct Order {
    pub(in super::super) node: usize,
    pub(in super::super) container: bool,
    pub(in super::super) vmid: u64,
    pub(in super::super) action: Action,
    /// In seconds.
    pub(in super::super) timeout: Option<i64>,
    /// `forceStop`.
    pub(in super::super) force: bool,
    /// `user@realm!token`.
    pub(in super::super) by: String,
}

/// What a guest does from a moment on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    pub(super) at: i64,
    pub(super) life: Life,
    pub(super) lock: Option<&'static str>,
}

/// How a task goes.
struct Course {
    lasts: i64,
    outcome: String,
    /// What comes of it when it ends.
    then: Vec<Step>,
}

impl Action {
    fn task(self, container: bool) -> &'static str {
        match (self, container) {
            (Self::Start, false) => "qmstart",
            (Self::Stop, false) => "qmstop",
            (Self::Shutdown, false) => "qmshutdown",
            (Self::Reboot, false) => "qmreboot",
            (Self::Reset, _) => "qmreset",
            (Self::Suspend { to_disk: false }, false) => "qmpause",
            (Self::Suspend { to_disk: true }, false) => "qmsuspend",
            (Self::Resume, false) => "qmresume",
            (Self::Start, true) => "vzstart",
            (Self::Stop, true) => "vzstop",
            (Self::Shutdown, true) => "vzshutdown",
            (Self::Reboot, true) => "vzreboot",
            (Self::Suspend { .. }, true) => "vzsuspend",
            (Self::Resume, true) => "vzresume",
        }
    }
}

impl Cluster {
    /// Begins what is asked; answers the UPID, or the reason phrase of a 500.
    pub(in super::super) fn power(&mut self, order: &Order, now: i64) -> Result<String, String> {
        let Order { node, container, vmid, action, .. } = *order;
        let folder = if container { "lxc" } else { "qemu-server" };
        let nowhere =
            format!("Configuration file 'nodes/{}/{folder}/{vmid}.conf' does not exist", self.node_name(node));
        let here = self.spec(vmid).filter(|spec| spec.container == container);
        let found = here.map(|spec| (spec.ha, self.guest(spec, now).node));
        let course = match found.filter(|(_, at)| *at == node) {
            None if !container && action == Action::Start => Course::fails(nowhere),
            None => return Err(nowhere),
            Some((true, _)) if matches!(action, Action::Start | Action::Stop | Action::Shutdown) => {
                return Ok(self.hand_to_ha(order, now));
            }
            Some(_) => self.course(order, now)?,
        };
        self.apply(vmid, course.then);
        Ok(self.begin(Task {
            node,
            kind: action.task(container),
            id: vmid.to_string(),
            by: order.by.clone(),
            begun: now,
            ends: now + course.lasts,
            outcome: course.outcome,
            log: Vec::new(),
        }))
    }

    /// The task ends as soon as the request is stored; what is asked for happens later.
    fn hand_to_ha(&mut self, order: &Order, now: i64) -> String {
        let at = now + HA_ROUND;
        let (kind, life) = match order.action {
            Action::Start => ("hastart", Life::Running { since: at }),
            _ => ("hastop", Life::Stopped),
        };
        self.apply(order.vmid, vec![Step { at, life, lock: None }]);
        let (id, by, outcome) = (order.vmid.to_string(), order.by.clone(), "OK".to_owned());
        self.begin(Task { node: order.node, kind, id, by, begun: now, ends: now, outcome, log: Vec::new() })
    }

    fn course(&self, order: &Order, now: i64) -> Result<Course, String> {
        let Order { container, vmid, action, .. } = *order;
        let Some(spec) = self.spec(vmid) else { return Err("no such guest".to_owned()) };
        let (life, lock) = self.life_of(spec, now);
        let is_running = !matches!(life, Life::Stopped);
        let name = if container { "CT" } else { "VM" };
        let refuse = |text: String| if container { Err(text) } else { Ok(Course::fails(text)) };
        // A guest that was suspended to disk is locked so, and started all the same.
        let locked = lock.filter(|lock| !(*lock == "suspended" && action == Action::Start));
        if let Some(lock) = locked {
            return refuse(format!("{name} is locked ({lock})"));
        }
        if spec.condition == Condition::Template && action == Action::Start {
            return refuse(format!("you can't start a {} if it's a template", name.to_lowercase()));
        }
        match action {
            Action::Start if is_running => refuse(format!("{name} {vmid} already running")),
            Action::Start => Ok(Course::ends_with(1, Life::Running { since: now + 1 }, now)),
            Action::Stop if !is_running && !container => {
                Ok(Course { lasts: 0, outcome: "OK".to_owned(), then: Vec::new() })
            }
            Action::Reset if !is_running => Err(format!("VM {vmid} not running")),
            _ if !is_running => refuse(format!("{name} {vmid} not running")),
            Action::Stop => Ok(Course::ends_with(1, Life::Stopped, now)),
            Action::Reset => Ok(Course { lasts: 0, outcome: "OK".to_owned(), then: Vec::new() }),
            Action::Shutdown => Ok(shutdown(order, spec.deaf, now)),
            Action::Reboot if spec.deaf => Ok(shutdown(order, true, now)),
            Action::Reboot => {
                let mut course = Course::ends_with(SHUTS_DOWN, Life::Stopped, now);
                let since = now + SHUTS_DOWN + 1;
                course.then.push(Step { at: since, life: Life::Running { since }, lock: None });
                Ok(Course { lasts: SHUTS_DOWN + 1, ..course })
            }
            Action::Suspend { to_disk: true } => {
                let mut course = Course::ends_with(SHUTS_DOWN, Life::Stopped, now);
                course.then.iter_mut().for_each(|step| step.lock = Some("suspended"));
                Ok(course)
            }
            Action::Suspend { to_disk: false } => {
                let (Life::Running { since } | Life::Halted { since, .. }) = life else {
                    return refuse(format!("{name} {vmid} not running"));
                };
                Ok(Course::ends_with(0, Life::Halted { since, still: now, status: "paused" }, now))
            }
            Action::Resume => {
                let (Life::Running { since } | Life::Halted { since, .. }) = life else {
                    return refuse(format!("{name} {vmid} not running"));
                };
                Ok(Course::ends_with(0, Life::Running { since }, now))
            }
        }
    }

    /// From now on the plot leaves the guest alone.
    pub(super) fn apply(&mut self, vmid: u64, steps: Vec<Step>) {
        if steps.is_empty() {
            return;
        }
        self.edits += 1;
        self.plot.dismiss(vmid);
        if let Ok(place) = self.guests.binary_search_by_key(&vmid, |guest| guest.vmid)
            && let Some(guest) = self.guests.get_mut(place)
        {
            // What was still to come of an earlier request does not happen any more.
            guest.steps.retain(|step| step.at <= steps.first().map_or(i64::MAX, |first| first.at));
            guest.steps.extend(steps);
        }
    }
}

impl Course {
    fn fails(error: String) -> Self {
        Self { lasts: 0, outcome: error, then: Vec::new() }
    }

    fn ends_with(lasts: i64, life: Life, now: i64) -> Self {
        Self { lasts, outcome: "OK".to_owned(), then: vec![Step { at: now + lasts, life, lock: None }] }
    }
}

/// A guest that does not listen is stopped at the end, or left as it is.
fn shutdown(order: &Order, deaf: bool, now: i64) -> Course {
    let patience = order.timeout.unwrap_or(PATIENCE);
    match (deaf, order.force) {
        (false, _) => Course::ends_with(SHUTS_DOWN.min(patience), Life::Stopped, now),
        (true, true) => Course::ends_with(patience, Life::Stopped, now),
        (true, false) => {
            let error = match order.container {
                true => "command 'lxc-stop' failed: exit code 1",
                false => "VM quit/powerdown failed - got timeout",
            };
            Course { lasts: patience, ..Course::fails(error.to_owned()) }
        }
    }
}
