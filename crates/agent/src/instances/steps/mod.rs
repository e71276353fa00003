//! What each step of a host's plan does. Every step may find its work half or wholly done, and then completes it.

mod attach;
mod carry;
mod clear;
pub(crate) mod context;
mod create;
mod hook;
mod prepare;
mod remove;
mod renew;
pub(crate) mod root;
mod secrets;
pub(crate) mod signal;
mod start;

use std::path::{Path, PathBuf};

use hoist_model::VolumeSpec;
use hoist_planner::host::{Step, StepError, StepOk, StepResult};

use crate::chain::chain;
use crate::host::Host;
use crate::instances::volume::{self, DataLocation};
use crate::outcome::{blocking, failed, refused};
use context::StepContext;

/// Performs a step.
pub(crate) async fn perform(host: &Host, step: &Step, context: StepContext) -> StepResult {
    match (step, context) {
        (Step::EnsureNetwork(id), StepContext::Network(spec)) => {
            host.fabric.ensure_network(id, &spec).await.map(done)
        }
        (Step::RemoveNetwork(id), _) => host.fabric.remove_network(id).await.map(done),
        (Step::EnsureVolume(id), StepContext::Volume(spec)) => {
            let data = host.layout.volume_data(id);
            let asked = data.clone();
            host.answering.ask(&asked, move || ensure_volume(&data, &spec).map(drop)).await.map(done)
        }
        (Step::RemoveVolume(id), _) => {
            let data = host.layout.volume_data(id);
            blocking(move || volume::remove(&data).map_err(|error| failed(&error))).await.map(done)
        }
        (Step::CreateInstance(uid), StepContext::Instance(instance)) => {
            create::run(host, *uid, *instance).await.map(done)
        }
        (Step::StartInstance { uid, attempt }, StepContext::Instance(instance)) => {
            start::run(host, *uid, *attempt, *instance).await
        }
        (Step::AttachInstance(uid), StepContext::Instance(instance)) => {
            attach::run(host, *uid, *instance).await.map(done)
        }
        (Step::SignalInstance { uid, signal } | Step::DrainInstance { uid, signal }, _) => {
            signal::run(host, *uid, signal).await.map(done)
        }
        (Step::CarryVolumes { from, to }, StepContext::Volumes(pairs)) => {
            carry::run(host, *from, *to, pairs).await.map(done)
        }
        (step @ Step::RunHook { .. }, StepContext::Hook(run)) => hook::run(host, step, *run).await.map(done),
        (Step::RenewContents { uid, signal, .. }, StepContext::Renewal(instance, pid)) => {
            renew::run(host, *uid, *instance, pid, signal).await.map(done)
        }
        (Step::KillInstance(uid), _) => signal::kill(host, *uid).await.map(done),
        (Step::ClearInstance(uid), _) => clear::run(host, *uid).await.map(done),
        (Step::RemoveInstance(uid), _) => remove::run(host, *uid).await.map(done),
        // Its spec went between plan and step: the next plan knows.
        (
            Step::EnsureNetwork(_)
            | Step::EnsureVolume(_)
            | Step::CreateInstance(_)
            | Step::AttachInstance(_)
            | Step::RunHook { .. }
            | Step::CarryVolumes { .. }
            | Step::RenewContents { .. }
            | Step::StartInstance { .. },
            _,
        ) => Err(StepError { what: "it is not wanted any more".to_owned(), hint: None, permanent: false }),
    }
}

/// Makes a named volume ready. Returns where its data is.
fn ensure_volume(data: &Path, spec: &VolumeSpec) -> Result<PathBuf, StepError> {
    let place = DataLocation::read(&spec.options)
        .map_err(|what| refused(what, "correct the volume's driver_opts"))?;
    volume::ensure_at(data, &place).map_err(|error| match place {
        DataLocation::Own => failed(&error),
        _ => refused(chain(&error), "make the volume's device ready, or correct its driver_opts"),
    })
}

fn done(_: ()) -> StepOk {
    StepOk::default()
}
