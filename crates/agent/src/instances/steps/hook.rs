//! One hook: a command inside a running instance, seen through to its end, with what it said when it fails.

use hoist_model::{Hook, InstanceUid};
use hoist_planner::host::{HookRun, Step, StepError, last_words};
use hoist_wire::ExecRequest;

use crate::host::Host;
use crate::instances::probe_run::{self, Probed};
use crate::outcome::refused;

pub(super) async fn run(host: &Host, step: &Step, run: HookRun) -> Result<(), StepError> {
    let Step::RunHook { uid, moment, index, .. } = step else { return Ok(()) };
    let HookRun { template, pid, hook, limit } = run;
    let name = format!("{moment} hook {} (`{}`)", index + 1, hook.command.join(" "));
    let hint = format!("correct the `{moment}` hook, or what it needs, and run `hoist up` again");
    match probe_run::run_in(host, template, pid, request(*uid, hook), limit).await {
        Probed::Ended(0, _) => Ok(()),
        Probed::Ended(code, output) => {
            let words = last_words(&output);
            let said = if words.is_empty() { " and says nothing".to_owned() } else { format!(": {words}") };
            Err(refused(format!("its {name} exits with {code}{said}"), hint))
        }
        Probed::TooLong(output) => {
            let words = last_words(&output);
            let said = if words.is_empty() { String::new() } else { format!(": {words}") };
            Err(refused(format!("its {name} took longer than {limit:?} and was ended{said}"), hint))
        }
        Probed::Refused(why) => Err(refused(format!("its {name} can't be run: {why}"), hint)),
        Probed::Unknown => Err(StepError {
            what: format!("nobody knows how its {name} has ended"),
            hint: None,
            permanent: false,
        }),
    }
}

fn request(uid: InstanceUid, hook: Hook) -> ExecRequest {
    ExecRequest {
        instance: uid,
        command: hook.command,
        environment: hook.environment.into_iter().map(|(name, value)| (name, value.value)).collect(),
        user: hook.user,
        working_dir: hook.working_dir,
        tty: None,
        stdin: false,
        privileged: hook.privileged,
        detach: false,
    }
}
