//! What people ask for, on its way into what is wanted.

use std::collections::BTreeMap;
use std::time::Duration;

use hoist_model::{
    Author, EventKind, Failure, HistoryEntry, Outcome, ResolvedImage, Revision, ServiceName, StackId,
    Verdict, WallTime, WantedStack,
};

use super::control::{ClusterLoop, Turn};
use super::intent::{self, Applied, Put};
use super::operation::refused_for;
use super::publish::{Change, Wish, send, warning};
use super::{
    Asked, Effect, ImageWanted, OpId, Refusal, RefusalKind, Request, StoreChange, UpRequest, history,
    rollback,
};

impl ClusterLoop {
    pub(super) fn request(&mut self, turn: &mut Turn<'_>, op: OpId, request: Request) {
        let plain = Wish::default();
        match request {
            Request::Up(up) => self.resolve(turn, op, up),
            Request::Down { stack, .. } if !self.known.stacks.contains_key(&stack) => {
                nothing_to_remove(turn, op, &stack);
            }
            Request::Down { stack, services, volumes, timeout } => {
                let wish = Wish { removal: services.is_empty(), ..plain };
                let applied =
                    self.apply(&stack, |wanted, _| intent::down(wanted, &stack, &services, volumes));
                let applied = ending_within(applied, timeout);
                self.conclude(turn, op, stack, applied, wish);
            }
            Request::Stop { stack, services, timeout } => {
                let applied =
                    self.apply(&stack, |wanted, view| intent::stop(wanted, &stack, &services, view));
                self.conclude(turn, op, stack, ending_within(applied, timeout), plain);
            }
            Request::Start { stack, services, wait } => {
                let applied =
                    self.apply(&stack, |wanted, view| intent::start(wanted, &stack, &services, view));
                self.conclude(turn, op, stack, ending_within(applied, None), Wish { wait, ..plain });
            }
            Request::Restart { stack, services, no_deps, timeout } => {
                let applied =
                    self.apply(&stack, |wanted, _| intent::restart(wanted, &stack, &services, no_deps));
                self.conclude(turn, op, stack, ending_within(applied, timeout), plain);
            }
            Request::Rollback { stack, to, by, wait } => {
                let applied = self.go_back(turn, &stack, to, by);
                self.conclude(turn, op, stack, applied, Wish { wait, judged: true, ..plain });
            }
        }
    }

    /// What failed before anything was changed is told of all the same, where there is a stack to tell it of.
    pub(super) fn refuse(
        &mut self,
        turn: &mut Turn<'_>,
        stack: &StackId,
        entry: HistoryEntry,
        failures: &[Failure],
    ) {
        let Some(wanted) = self.known.stacks.get_mut(stack) else { return };
        history::note_refused(wanted, entry, failures);
        let stacks = BTreeMap::from([(stack.clone(), Some(Box::new(wanted.clone())))]);
        send(StoreChange { stacks, ..StoreChange::default() }, &mut turn.effects);
    }

    fn go_back(
        &self,
        turn: &Turn<'_>,
        stack: &StackId,
        to: Option<Revision>,
        by: Author,
    ) -> Result<Applied, Refusal> {
        let command = to.map_or_else(|| "rollback".to_owned(), |to| format!("rollback {}", to.0));
        let asked = Asked { created: turn.now.wall, by, command };
        self.apply(stack, |wanted, view| rollback(wanted, stack, to, None, asked, view))
    }

    fn conclude(
        &mut self,
        turn: &mut Turn<'_>,
        op: OpId,
        stack: StackId,
        applied: Result<Applied, Refusal>,
        wish: Wish,
    ) {
        match applied {
            Ok(applied) => self.commit(turn, Change { op, stack, applied, wish }),
            Err(refusal) => turn.effects.push(Effect::Refuse { op, refusal }),
        }
    }

    fn apply(
        &self,
        stack: &StackId,
        change: impl FnOnce(&WantedStack, &intent::View) -> Result<Applied, Refusal>,
    ) -> Result<Applied, Refusal> {
        match self.known.stacks.get(stack) {
            Some(wanted) => change(wanted, &self.view),
            None => Err(Refusal {
                kind: RefusalKind::NotFound,
                message: format!("there is no stack {stack}"),
                hint: Some("`hoist up` makes one".to_owned()),
            }),
        }
    }

    /// The first half of `up`: images are settled before anything is changed.
    fn resolve(&mut self, turn: &mut Turn<'_>, op: OpId, up: UpRequest) {
        let newest = self.known.stacks.get(&up.stack.id).and_then(|wanted| wanted.revisions.last_key_value());
        let newest = newest.map(|(number, _)| *number);
        if up.expected.is_some() && up.expected != newest {
            let refusal = Refusal {
                kind: RefusalKind::Conflict,
                message: format!("stack {} was changed by somebody else in the meantime", up.stack.id),
                hint: Some("look at it and run the command again".to_owned()),
            };
            return turn.effects.push(Effect::Refuse { op, refusal });
        }
        match images_of(&up) {
            Err(refusal) => turn.effects.push(Effect::Refuse { op, refusal }),
            Ok(images) => {
                self.resolving.insert(op, up);
                turn.effects.push(Effect::ResolveImages { op, images });
            }
        }
    }

    /// The second half of `up`.
    pub(super) fn resolved(
        &mut self,
        turn: &mut Turn<'_>,
        op: OpId,
        images: BTreeMap<ServiceName, Result<ResolvedImage, Failure>>,
    ) {
        let Some(up) = self.resolving.remove(&op) else { return };
        let stack = up.stack.id.clone();
        let failures: Vec<Failure> =
            images.values().filter_map(|image| image.as_ref().err()).cloned().collect();
        if !failures.is_empty() {
            let entry = up.entry(turn.now.wall);
            self.refuse(turn, &stack, entry, &failures);
            return turn.effects.push(refused_for(op, &stack, failures));
        }
        let images = images.into_iter().filter_map(|(name, image)| Some((name, image.ok()?))).collect();
        let UpRequest { stack: lowered, options, project_dir, files, by, .. } = up;
        let put = Put { stack: lowered, images, project_dir, files, created: turn.now.wall, by };
        let wish = Wish { wait: options.wait, judged: true, ..Wish::default() };
        let applied = intent::up(self.known.stacks.get(&stack), put, &options, &self.view);
        self.conclude(turn, op, stack, applied, wish);
    }
}

impl UpRequest {
    fn entry(&self, created: WallTime) -> HistoryEntry {
        HistoryEntry {
            created,
            by: self.by.clone(),
            command: self.options.command(),
            ..HistoryEntry::default()
        }
    }
}

/// The images that an `up` settles before it changes anything.
///
/// # Errors
/// A service that the file doesn't have.
pub fn images_of(up: &UpRequest) -> Result<Vec<ImageWanted>, Refusal> {
    let services = intent::moved(&up.stack, &up.options)?;
    Ok(super::input::images(&up.stack, &services, up.options.pull))
}

/// How long what the request ends may take (`-t`); none gives each its own grace period back.
fn ending_within(applied: Result<Applied, Refusal>, timeout: Option<Duration>) -> Result<Applied, Refusal> {
    applied.map(|mut applied| {
        applied.wanted.stop_grace = timeout;
        applied
    })
}

fn nothing_to_remove(turn: &mut Turn<'_>, op: OpId, stack: &StackId) {
    let text = format!("there is nothing to remove: no stack {stack}");
    turn.effects.push(Effect::Emit { op, stack: stack.clone(), event: warning(text) });
    let verdict = Verdict { outcome: Outcome::Converged, changed: 0 };
    turn.effects.push(Effect::Emit { op, stack: stack.clone(), event: EventKind::Verdict(verdict) });
}
