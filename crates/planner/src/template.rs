//! What a template means once service and image are laid over each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hoist_model::{HealthTest, Healthcheck, MountKind, Template};

/// The health check that applies: the service's, filled up by the image's; none when switched off or not declared.
#[must_use]
pub fn health_check(template: &Template) -> Option<Healthcheck> {
    let image = template.image.config.healthcheck.as_ref();
    let check = match &template.service.healthcheck {
        None => image?.clone(),
        Some(own) if own.test == HealthTest::Image => {
            Healthcheck { test: image?.test.clone(), ..own.clone() }
        }
        Some(own) => own.clone(),
    };
    (!matches!(check.test, HealthTest::Disabled | HealthTest::Image)).then_some(check)
}

/// The signal that asks an instance to end: the service's, else the image's, else `SIGTERM`.
#[must_use]
pub fn stop_signal(template: &Template) -> String {
    let declared = template.service.stop_signal.as_ref().or(template.image.config.stop_signal.as_ref());
    declared.map_or_else(|| "SIGTERM".to_owned(), Clone::clone)
}

/// The anonymous volumes of a template's instances: where they are mounted, and their numbers, which are those of their
/// mounts. The image's come after the declared ones.
pub(crate) fn anonymous_volumes(template: &Template) -> BTreeMap<PathBuf, usize> {
    let declared = &template.service.mounts;
    let of_image = template.image.config.volumes.iter().map(PathBuf::from);
    let of_image = of_image.filter(|target| !declared.iter().any(|mount| mount.target == *target));
    let own = declared.iter().map(|mount| (mount.target.clone(), mount.kind == MountKind::Anonymous));
    let all = own.chain(of_image.map(|target| (target, true))).enumerate();
    all.filter(|(_, (_, anonymous))| *anonymous).map(|(number, (target, _))| (target, number)).collect()
}

/// Whether an instance may write to its anonymous volume there.
pub(crate) fn is_writable(template: &Template, target: &Path) -> bool {
    !template.service.mounts.iter().any(|mount| mount.target == target && mount.read_only)
}
