//! How an agent ends: by a person's `agent stop`, when nothing is left to look after, or by a signal while everything
//! runs on.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hoist_keeper::protocol::{Phase, Reply, Request, Status};
use hoist_runtime::cgroup::Cgroup;
use hoist_wire::{ApiError, ErrorKind};

use crate::api::Agent;
use crate::control::inbox::{Message, Rest};
use crate::host::Host;
use crate::instances::steps::signal::kill;
use crate::instances::{groups, signals, volatile};

/// How long dns may take to end once its sockets are gone.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(10);

impl Agent {
    /// Stops every instance: its stop signal, its grace period, then SIGKILL. They stay wanted: the loop is at rest
    /// from here on, and the next agent brings them back as their restart policies say.
    ///
    /// # Errors
    /// When the keeper can't be asked.
    pub async fn stop_instances(&self) -> Result<(), ApiError> {
        // Kept until all have ended, and then dropped: nothing is started again.
        let _rest = self.rest().await;
        let began = tokio::time::Instant::now();
        for status in self.alive().await? {
            let number = signals::number(&self.stop_signal(&status)).unwrap_or(15);
            self.signal(&status, number).await;
        }
        loop {
            let alive = self.alive().await?;
            if alive.is_empty() {
                self.end_unkept().await;
                return Ok(());
            }
            for status in alive.iter().filter(|status| began.elapsed() > self.grace(status)) {
                self.kill(status).await;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Makes sure that nothing runs and nothing will: the loop is at rest from here on.
    ///
    /// # Errors
    /// When something runs, maybe since a moment ago only; then everything goes on as before.
    pub async fn rest_unless_running(&self) -> Result<(), ApiError> {
        let rest = self.rest().await;
        let refusal = match self.alive().await {
            Ok(alive) if alive.is_empty() => {
                self.end_unkept().await;
                return Ok(());
            }
            Ok(alive) => are_running(alive.len()),
            Err(error) => error,
        };
        if let Some(rest) = rest {
            rest.end();
        }
        Err(refusal)
    }

    /// Brings the loop to rest. Nothing when it is at rest for good, or waits for room on the disk.
    async fn rest(&self) -> Option<Rest> {
        let (rested, rest) = tokio::sync::oneshot::channel();
        self.inbox.send(Message::Rest(rested)).ok()?;
        tokio::select! {
            rest = rest => rest.ok(),
            // A loop that waits for room on the disk does nothing either.
            _ = self.host.reserve.exhausted() => None,
        }
    }

    /// Ends what runs although no keeper looks after it.
    async fn end_unkept(&self) {
        let host = self.host.clone();
        let ending = tokio::task::spawn_blocking(move || {
            for uid in groups::populated(&host.hierarchy, &host.groups) {
                if let Err(error) = groups::empty(&host.hierarchy, &host.cgroup(uid)) {
                    tracing::error!(instance = %uid.short(), "{}", error.what);
                }
            }
        });
        let _ = ending.await;
    }

    /// Asks builds that are under way to end, with an error for whoever asked for them.
    pub fn cancel_builds(&self) {
        self.host.builds.cancel();
    }

    async fn alive(&self) -> Result<Vec<Status>, ApiError> {
        match self.host.link.call(Request::List, Vec::new()).await {
            Ok((Reply::Instances(list), _)) => Ok(list
                .into_iter()
                .filter(|status| !matches!(status.phase, Phase::Exited(_) | Phase::Lost))
                .collect()),
            Ok(_) => Ok(Vec::new()),
            Err(error) => Err(ApiError::internal(&error)),
        }
    }

    async fn signal(&self, status: &Status, signal: i32) {
        let _ = self
            .host
            .link
            .tell(Request::Signal { key: status.key.clone(), exec: None, signal }, Vec::new())
            .await;
    }

    async fn kill(&self, status: &Status) {
        match status.key.as_str().parse() {
            Ok(uid) => {
                if let Err(error) = kill(&self.host, uid).await {
                    tracing::warn!("{} can't be killed: {}", status.key, error.what);
                }
            }
            Err(_) => self.signal(status, 9).await,
        }
    }

    fn template(&self, status: &Status) -> Option<std::sync::Arc<hoist_model::Template>> {
        let known = self.host.known();
        let instance = known.spec.instances.get(&status.key.as_str().parse().ok()?)?;
        known.spec.templates.get(&instance.template).cloned()
    }

    fn stop_signal(&self, status: &Status) -> String {
        self.template(status)
            .map_or_else(|| "SIGTERM".to_owned(), |template| hoist_planner::stop_signal(&template))
    }

    fn grace(&self, status: &Status) -> Duration {
        self.template(status).map_or(Duration::from_secs(10), |template| template.service.stop_grace_period)
    }

    /// Ends what belongs to the agent. While instances run, keeper and dns go on, and so does the network; else they
    /// end with it. The keeper is told that nobody need be restarted.
    pub async fn end(&self) {
        self.host.builds.end().await;
        self.settle_images().await;
        let mut running = self.runs().await;
        if !running {
            // What starts within this very moment must not find its network and its keeper gone.
            drop(self.rest().await);
            running = self.runs().await;
        }
        if !running {
            if let Err(error) = self.host.fabric.close().await {
                tracing::error!("the network can't be removed: {}", error.what);
            }
            self.until_dns_ends().await;
        }
        self.host.link.leave();
        let _ = self.host.link.tell(Request::Goodbye, Vec::new()).await;
        if !running {
            let _ = self.host.link.tell(Request::Shutdown { force: false }, Vec::new()).await;
            // It ends the process that holds pipes first. Both stand in the daemons' control group, which goes last.
            let _ = tokio::time::timeout(PATIENCE, self.host.link.until_lost()).await;
            remove_groups(&self.host);
            volatile::close(&self.host.layout.volatile());
        }
        let socket = self.host.layout.agent_socket();
        for name in [socket.with_extension("new"), socket] {
            let _ = std::fs::remove_file(name);
        }
    }

    async fn runs(&self) -> bool {
        self.alive().await.map_or(true, |alive| !alive.is_empty())
    }

    /// What pulls and builds made reaches the disk. What takes too long, the next agent sees to.
    async fn settle_images(&self) {
        let store = self.host.images.store();
        let settling = tokio::task::spawn_blocking(move || store.settle());
        match tokio::time::timeout(PATIENCE, settling).await {
            Ok(Ok(Err(error))) => {
                tracing::warn!("images don't reach the disk: {}", crate::chain::chain(&error));
            }
            Ok(_) => {}
            Err(_) => tracing::warn!("images have not reached the disk within {PATIENCE:?}"),
        }
    }

    async fn until_dns_ends(&self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.processes.dns.load(Ordering::Relaxed) != 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn are_running(count: usize) -> ApiError {
    let what = match count {
        1 => "1 instance is running".to_owned(),
        count => format!("{count} instances are running"),
    };
    ApiError::new(ErrorKind::Conflict, what)
        .hint("take their stacks down first, or stop them with `hoist agent stop --force`")
}

/// The control groups of instances that have ended; the next start makes them anew.
fn remove_groups(host: &Host) {
    for uid in groups::instances(&host.hierarchy, &host.groups) {
        if let Ok(group) = Cgroup::open(&host.hierarchy, &host.cgroup(uid)) {
            let _ = group.remove();
        }
    }
}
