//! Moves anonymous volumes from one instance's folder to another's. What still has one mounted keeps it: a mount holds
//! on to the folder, not to its name.

use std::fs;
use std::io;

use hoist_model::InstanceUid;
use hoist_planner::host::StepError;

use crate::host::Host;
use crate::outcome::{blocking, refused};

pub(super) async fn run(
    host: &Host,
    from: InstanceUid,
    to: InstanceUid,
    pairs: Vec<(usize, usize)>,
) -> Result<(), StepError> {
    let (old, new) = (host.layout.instance(&from), host.layout.instance(&to));
    blocking(move || {
        for (source, target) in pairs {
            let (source, target) = (old.anonymous_volume(source), new.anonymous_volume(target));
            match fs::rename(&source, &target) {
                Ok(()) => {}
                // Moved by an agent that was killed before it could say so.
                Err(error) if error.kind() == io::ErrorKind::NotFound && target.exists() => {}
                Err(error) => {
                    let what = format!(
                        "can't move the anonymous volume {} to {}: {error}",
                        source.display(),
                        target.display()
                    );
                    return Err(refused(what, "`hoist up -V` starts with empty ones"));
                }
            }
        }
        Ok(())
    })
    .await
}
