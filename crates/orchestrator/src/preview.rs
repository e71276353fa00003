//! Answers what a command would do: finds out about images without pulling them, and lets the planner look ahead.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use hoist_model::{ImageState, MountKind, Preview, ServiceName, WantedStack};
use hoist_planner::Now;
use hoist_planner::cluster::{ImageWanted, Request, Restored, images_of};
use hoist_planner::preview::{ImageFound, PreviewInput};
use hoist_wire::{
    ApiError, ErrorKind, HostApi, LookUpImage, Plan, PlanOf, PutStack, RegistryAccess, ResolveImage,
};

use crate::operations::refused;
use crate::requests::{down_request, up_request};
use crate::snapshot::Snapshot;

/// What a command would do.
pub(crate) async fn preview(
    host: &dyn HostApi,
    shown: &Snapshot,
    plan: Plan,
    now: Now,
) -> Result<Preview, ApiError> {
    let Plan { of, builds, offline } = plan;
    let (request, found) = match of {
        PlanOf::Down(down) => (down_request(down), Found::default()),
        PlanOf::Up(put) => {
            let (up, access) = up_request(*put);
            let wanted = images_of(&up).map_err(refused)?;
            let found = look_up(host, wanted, &Looking { access, builds, offline }).await?;
            (Request::Up(up), found)
        }
    };
    let known =
        Restored { stacks: (*shown.stacks).clone(), specs: (*shown.specs).clone(), ..(*shown.rest).clone() };
    // Moments that hosts reported count from their boots: a look ahead begins at the last of them.
    let seen = shown.view.values().map(|report| &report.seen_at).max_by_key(|moment| moment.since_boot);
    let now = Now { moment: seen.cloned().unwrap_or(now.moment), ..now };
    let input = PreviewInput { known: &known, view: &shown.view, request, images: &found.images, now: &now };
    let mut told = hoist_planner::preview::preview(&input).map_err(refused)?;
    told.warnings.extend(found.warnings);
    Ok(told)
}

/// Refuses an `up` that would destroy data.
pub(crate) async fn spares(
    host: &dyn HostApi,
    shown: &Snapshot,
    put: &PutStack,
    now: Now,
) -> Result<(), ApiError> {
    let wanted = shown.stacks.get(&put.stack.id);
    if !wanted.is_some_and(may_lose) {
        return Ok(());
    }
    let of = PlanOf::Up(Box::new(put.clone()));
    let foreseen = preview(host, shown, Plan { of, builds: BTreeSet::new(), offline: true }, now).await;
    // What can't be foreseen is refused by the loop itself, in its own words.
    let destroys = foreseen.map(|foreseen| foreseen.destroys).unwrap_or_default();
    if destroys.is_empty() {
        return Ok(());
    }
    let what = format!("this destroys the data in {}", destroys.join(", "));
    Err(ApiError::new(ErrorKind::Destroys, what)
        .hint("`-y` permits it; a volume with a name of its own stays when its instance is replaced"))
}

/// Whether an instance may have a volume that goes with it.
fn may_lose(wanted: &WantedStack) -> bool {
    wanted.revisions.values().any(|revision| {
        let mut mounts = revision.stack.services.values().flat_map(|service| &service.mounts);
        mounts.any(|mount| matches!(mount.kind, MountKind::Anonymous))
            || revision.images.values().any(|image| !image.config.volumes.is_empty())
    })
}

struct Looking {
    access: RegistryAccess,
    builds: BTreeSet<ServiceName>,
    offline: bool,
}

#[derive(Default)]
struct Found {
    images: BTreeMap<ServiceName, ImageFound>,
    warnings: BTreeSet<String>,
}

async fn look_up(host: &dyn HostApi, wanted: Vec<ImageWanted>, looking: &Looking) -> Result<Found, ApiError> {
    // Services that want the same image the same way get it from one call.
    let mut groups: Vec<(LookUpImage, Vec<ServiceName>)> = Vec::new();
    for ImageWanted { service, source, policy } in wanted {
        let policy = if looking.builds.contains(&service) { hoist_model::PullPolicy::Build } else { policy };
        let image = ResolveImage { source, policy, access: looking.access.clone() };
        let request = LookUpImage { image, offline: looking.offline };
        match groups.iter_mut().find(|(other, _)| *other == request) {
            Some((_, services)) => services.push(service),
            None => groups.push((request, vec![service])),
        }
    }
    let looks = groups
        .into_iter()
        .map(async |(request, services)| Ok::<_, ApiError>((host.look_up_image(request).await?, services)));
    let mut found = Found::default();
    for (sighting, services) in try_join_all(looks).await? {
        found.warnings.extend(sighting.warning);
        for service in services {
            let state = if looking.builds.contains(&service) { ImageState::Build } else { sighting.state };
            if state == ImageState::Build && sighting.image.digest.is_some() {
                found.warnings.insert(format!(
                    "the image of {service} would be built; the plan is right if that gives the same image again"
                ));
            }
            let (image, remote) = (sighting.image.clone(), sighting.remote.clone());
            found.images.insert(service, ImageFound { image, remote, state });
        }
    }
    Ok(found)
}
