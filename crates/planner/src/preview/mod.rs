//! What a command would do: the loops' own look ahead ([`crate::project::cluster`]), told per service as `hoist plan`
//! shows it. No decision is made here.

mod expected;
mod inputs;
mod resources;
mod services;

use std::collections::BTreeMap;

use hoist_model::{
    Digest, FieldChange, HostId, HostReport, HostSpec, ImageState, InstanceSpec, InstanceUid, Intent,
    Outcome, Preview, ResolvedImage, ServiceName, Slot, StackId, StepPreview,
};

use self::expected::Expected;
use crate::Now;
use crate::cluster::{IdSource, Refusal, Request, Restored};
use crate::difference::{self, Difference, Version};
use crate::host::Step;
use crate::project::{ClusterProjection, Foreseen, Scene, cluster};

/// Everything a preview depends on.
#[derive(Debug)]
pub struct PreviewInput<'a> {
    /// The orchestrator's state.
    pub known: &'a Restored,
    /// The last report of each host.
    pub view: &'a BTreeMap<HostId, HostReport>,
    /// What would be asked: `up` or `down`.
    pub request: Request,
    /// The images of the services that an `up` moves.
    pub images: &'a BTreeMap<ServiceName, ImageFound>,
    /// Now.
    pub now: &'a Now,
}

/// An image, as far as it is known before it is pulled or built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFound {
    /// What `up` would settle; without a digest where that is not known.
    pub image: ResolvedImage,
    /// What its registry has, where it is to be pulled.
    pub remote: Option<Digest>,
    /// Where it comes from.
    pub state: ImageState,
}

/// What a request would do. Pure, and changes nothing.
///
/// # Errors
/// As the request itself.
pub fn preview(input: &PreviewInput<'_>) -> Result<Preview, Refusal> {
    let Some(stack) = subject(&input.request).cloned() else { return Ok(Preview::default()) };
    let images = input.images.iter().map(|(name, found)| (name.clone(), found.image.clone())).collect();
    let scene = Scene { known: input.known, view: input.view, images: &images, now: input.now };
    let mut oracle = Expected::of(&input.request);
    let projection = cluster(&scene, input.request.clone(), &mut Numbered(0), &mut oracle);
    if let Some(refusal) = projection.refusal {
        return Err(refusal);
    }
    let inputs = inputs::digests(input, &stack);
    let digest = inputs::digest(&inputs);
    let tell = Telling { input, stack: &stack, projection: &projection };
    let failures = match &projection.outcome {
        Some(Outcome::Failed(failures)) => failures.clone(),
        _ => Vec::new(),
    };
    let mut told = tell.told();
    // What fails on the way has done something before.
    if !failures.is_empty() && told.steps.is_empty() {
        told = Preview { stack: stack.clone(), ..Preview::default() };
    }
    Ok(Preview { failures, inputs, digest, ..told })
}

fn subject(request: &Request) -> Option<&StackId> {
    match request {
        Request::Up(up) => Some(&up.stack.id),
        Request::Down { stack, .. } => Some(stack),
        Request::Stop { .. } | Request::Start { .. } | Request::Restart { .. } | Request::Rollback { .. } => {
            None
        }
    }
}

/// Ids that no shell gives: they come after all that are.
struct Numbered(u64);

impl IdSource for Numbered {
    fn instance(&mut self) -> InstanceUid {
        self.0 += 1;
        let mut bytes = [0xff; 16];
        bytes[8..].copy_from_slice(&self.0.to_be_bytes());
        InstanceUid::from_bytes(bytes)
    }
}

/// A projection on its way into words.
struct Telling<'a> {
    input: &'a PreviewInput<'a>,
    stack: &'a StackId,
    projection: &'a ClusterProjection,
}

impl Telling<'_> {
    fn told(&self) -> Preview {
        let (before, after) = (self.input.known.stacks.get(self.stack), self.projection.wanted(self.stack));
        let newest = |wanted: Option<&hoist_model::WantedStack>| {
            wanted.and_then(|wanted| wanted.revisions.last_key_value()).map(|(number, _)| *number)
        };
        let revision = newest(after).filter(|number| newest(before) != Some(*number));
        let steps = self.steps();
        // `-V` alone changes nothing that is there.
        let settled = |intent: &Intent| Intent { renew_volumes: false, ..intent.clone() };
        let intents = |wanted: Option<&hoist_model::WantedStack>| {
            let intents = &wanted?.intents;
            Some(
                intents
                    .iter()
                    .map(|(name, intent)| (name.clone(), settled(intent)))
                    .collect::<BTreeMap<_, _>>(),
            )
        };
        let changes = !steps.is_empty() || revision.is_some() || intents(before) != intents(after);
        Preview {
            stack: self.stack.clone(),
            changes,
            based_on: newest(before),
            revision,
            services: self.services(),
            differences: self.differences(),
            networks: resources::networks(&self.projection.sights),
            volumes: resources::volumes(&self.projection.sights),
            destroys: self.destroys(),
            steps,
            peak_memory: self.projection.sights.memory.get(self.stack).copied().filter(|sum| *sum > 0),
            warnings: self.projection.notices.clone(),
            failures: Vec::new(),
            endless: !self.projection.quiet,
            inputs: BTreeMap::new(),
            digest: String::new(),
        }
    }

    /// What the declarations of networks and volumes have otherwise.
    fn differences(&self) -> Vec<FieldChange> {
        let Request::Up(up) = &self.input.request else { return Vec::new() };
        let before = self.input.known.stacks.get(self.stack);
        let Some((_, last)) = before.and_then(|before| before.revisions.last_key_value()) else {
            return Vec::new();
        };
        if last.stack.networks == up.stack.networks && last.stack.volumes == up.stack.volumes {
            return Vec::new();
        }
        let (was, is) =
            (Version { stack: &last.stack, images: None }, Version { stack: &up.stack, images: None });
        let all = difference::between(was, is).into_iter();
        all.filter(|one| !one.path.starts_with("services.")).map(change).collect()
    }

    /// The steps that are about this stack, and those about networks and volumes.
    fn steps(&self) -> Vec<StepPreview> {
        let all = &self.projection.sights.steps;
        let own = all.iter().filter(|one| one.slot.as_ref().is_none_or(|slot| slot.stack == *self.stack));
        own.map(|one| self.step(one)).collect()
    }

    fn step(&self, foreseen: &Foreseen) -> StepPreview {
        let Foreseen { round, step, slot, cause } = foreseen;
        let text = step.to_string();
        let (subject, action) = text.split_once(": ").unwrap_or((&text, step.verb()));
        let action =
            if matches!(step, Step::CarryVolumes { .. }) { "carry anonymous volumes" } else { action };
        let old = step.instance().zip(slot.as_ref()).is_some_and(|(uid, slot)| self.is_relieved(uid, slot));
        StepPreview {
            round: *round,
            subject: slot.as_ref().map_or_else(|| subject.to_owned(), Slot::short),
            old,
            action: action.to_owned(),
            cause: cause.clone(),
        }
    }

    /// The instance was there, and another has its place in the end.
    fn is_relieved(&self, uid: InstanceUid, slot: &Slot) -> bool {
        let after = self.projection.specs().values().flat_map(|spec| &spec.instances);
        let mut others = after.filter(|(_, spec)| spec.slot == *slot);
        let was = self.before().any(|(known, _)| *known == uid);
        was && others.any(|(other, _)| *other != uid)
    }

    fn before(&self) -> impl Iterator<Item = (&InstanceUid, &InstanceSpec)> {
        self.input.known.specs.values().flat_map(|spec| &spec.instances)
    }

    fn specs(&self) -> (impl Iterator<Item = &HostSpec>, impl Iterator<Item = &HostSpec>) {
        (self.input.known.specs.values(), self.projection.specs().values())
    }
}

fn change(one: Difference) -> FieldChange {
    FieldChange { path: one.path, was: one.was, is: one.is, place: None }
}
