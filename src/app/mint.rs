//! Who gets a cluster's token over SSH: at the start, after a failure, and when it is not accepted any more.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::config::{self, Secret};
use crate::pve::MintedToken;
use crate::setup::mint;
use crate::ssh;

/// One answer: PVE's programs take a second or two to start, and several are run.
const PATIENCE: Duration = Duration::from_secs(60);
/// At the end, the removal may take so long.
const FAREWELL: Duration = Duration::from_secs(5);
/// Pauses after failures, doubling; also between tokens that are not accepted, as two exporters of one name would take
/// each other's away for ever.
const PAUSES: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));
/// A token that was accepted for so long is replaced at once when it is not any more.
const LASTED: Duration = Duration::from_mins(10);

/// Keeps the token of one cluster. Dropping it leaves the token on the node.
pub(super) struct Minter {
    cluster: String,
    told: config::Mint,
    session: ssh::Session,
    token: Arc<MintedToken>,
    /// One command at a time; whether the token was removed for good.
    closed: Mutex<bool>,
    task: OnceLock<Task>,
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Minter {
    /// Nothing is asked yet.
    pub(super) fn new(cluster: &str, told: &config::Mint, token: Arc<MintedToken>, client: &ssh::Client) -> Self {
        let session = client.session(&format!("{cluster}/token"), told.address.clone(), Arc::clone(&told.ssh));
        let (cluster, told) = (cluster.to_owned(), told.clone());
        Self { cluster, told, session, token, closed: Mutex::new(false), task: OnceLock::new() }
    }

    /// Starts to ask, unless it was started before. Must run on the runtime.
    pub(super) fn start(self: &Arc<Self>) {
        self.task.get_or_init(|| {
            let minter = Arc::downgrade(self);
            let token = Arc::clone(&self.token);
            Task(tokio::spawn(async move {
                keep(&token, || async {
                    match minter.upgrade() {
                        Some(minter) => minter.mint().await,
                        None => Err("the configuration was replaced".to_owned()),
                    }
                })
                .await;
            }))
        });
    }

    /// Whether both make the same token.
    pub(super) fn is_same_token(&self, other: &Self) -> bool {
        (&self.told.id, &self.told.address) == (&other.told.id, &other.told.address)
    }

    async fn mint(&self) -> Result<Secret, String> {
        let closed = self.closed.lock().await;
        if *closed {
            return Err("it was removed".to_owned());
        }
        let made = mint::mint(&self.session, &self.told.instance, PATIENCE).await;
        let (cluster, id, address) = (&self.cluster, &self.told.id, &self.told.address);
        match &made {
            Ok(_) => tracing::info!(cluster, token = id, %address, "a token was made over ssh"),
            Err(error) => tracing::warn!(cluster, token = id, %address, "no token could be made over ssh: {error}"),
        }
        made
    }

    /// Removes the token for good, if one was made; takes 5 s at most.
    pub(super) async fn close(&self) {
        let removal = async {
            let mut closed = self.closed.lock().await;
            *closed = true;
            if !self.token.is_there() {
                return Ok(false);
            }
            mint::revoke(&self.session, &self.told.instance, FAREWELL).await.map(|()| true)
        };
        let ended = timeout(FAREWELL, removal).await;
        let ended = ended.unwrap_or_else(|_| Err(format!("it took longer than {} s", FAREWELL.as_secs())));
        let (cluster, id, address) = (&self.cluster, &self.told.id, &self.told.address);
        match ended {
            Ok(false) => {}
            Ok(true) => tracing::info!(cluster, token = id, %address, "the token was removed over ssh"),
            Err(error) => tracing::warn!(cluster, token = id, %address, "the token is left on the node: {error}"),
        }
    }
}

/// Gets a token, and another one when it is not accepted; after failures, tries again less and less often.
async fn keep<F: Future<Output = Result<Secret, String>>>(token: &MintedToken, mint: impl Fn() -> F) {
    let (mut failures, mut refusals) = (0, 0);
    loop {
        let began = Instant::now();
        match mint().await.and_then(|secret| token.put(&secret)) {
            Ok(()) => {
                failures = 0;
                token.rejected().await;
                if began.elapsed() >= LASTED {
                    refusals = 0;
                }
                sleep_until(began + pause(refusals)).await;
                refusals = refusals.saturating_add(1);
            }
            Err(reason) => {
                token.lack(reason);
                sleep(pause(failures)).await;
                failures = failures.saturating_add(1);
            }
        }
    }
}

fn pause(failures: u32) -> Duration {
    PAUSES.1.min(PAUSES.0.saturating_mul(2_u32.saturating_pow(failures)))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// When it was asked for a token, in seconds, while it answered so, one after the other.
    async fn asked(answers: &[bool], spent: impl Fn(&MintedToken, usize)) -> Vec<u64> {
        let token = MintedToken::for_tests();
        let (began, times) = (Instant::now(), RefCell::new(Vec::new()));
        let mint = || {
            times.borrow_mut().push(began.elapsed().as_secs());
            let made = times.borrow().len();
            let is_last = made > answers.len();
            let answer = answers.get(made.saturating_sub(1)).copied().unwrap_or(false);
            spent(&token, made);
            async move {
                if is_last {
                    std::future::pending::<()>().await;
                }
                if answer { Ok(Secret::new(format!("secret-{made}"))) } else { Err("closed".to_owned()) }
            }
        };
        let _ = timeout(Duration::from_hours(24), keep(&token, mint)).await;
        times.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_followed_by_growing_pauses() {
        let times = asked(&[false; 9], |_, _| {}).await;
        assert_eq!(times, [0, 5, 15, 35, 75, 155, 315, 615, 915, 1215]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_accepted_is_kept() {
        assert_eq!(asked(&[false, true], |_, _| {}).await, [0, 5]);
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_that_are_refused_are_replaced_less_and_less_often() {
        let refused = |token: &MintedToken, _| token.refuse_for_tests();
        assert_eq!(asked(&[true, true, false, true], refused).await, [0, 5, 15, 20, 40]);
        assert_eq!(asked(&[true; 8], refused).await, [0, 5, 15, 35, 75, 155, 315, 615, 915]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_did_well_for_long_is_replaced_at_once() {
        let token = MintedToken::for_tests();
        let (began, times) = (Instant::now(), RefCell::new(Vec::new()));
        let mint = || {
            times.borrow_mut().push(began.elapsed().as_secs());
            async { Ok(Secret::new("secret".to_owned())) }
        };
        let spoil = async {
            for seconds in [1, LASTED.as_secs() + 6, LASTED.as_secs() + 7] {
                sleep_until(began + Duration::from_secs(seconds)).await;
                token.refuse_for_tests();
            }
            std::future::pending::<()>().await;
        };
        let _ = timeout(Duration::from_hours(1), async { tokio::join!(keep(&token, mint), spoil) }).await;
        assert_eq!(times.into_inner(), [0, 5, 606, 616]);
    }
}
