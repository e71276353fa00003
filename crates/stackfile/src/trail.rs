//! What happened to a value on its way from the files to the project, newest step first.
//!
//! A trail is a shared list, so that copying a subtree (aliases, `extends`) copies no history.

use crate::source::Span;
use std::sync::Arc;

/// A shared, possibly empty list of steps.
#[derive(Clone, Debug, Default)]
pub struct Trail(Option<Arc<Step>>);

/// One rewrite.
#[derive(Debug)]
pub struct Step {
    /// What was done.
    pub action: Action,
    /// The place that caused it: the line that was replaced, the variable's template, the file of variables.
    pub at: Span,
    /// The value before, as text, where it had one.
    pub before: String,
    earlier: Trail,
}

/// The kinds of rewrite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Variables were replaced in a template.
    Interpolated,
    /// A later file gave another value.
    Overridden,
    /// A later file, or an `extends`, added to a collection.
    Merged,
    /// Taken over from the service named under `extends`.
    Extended,
    /// The short form was spelled out.
    Expanded,
    /// A relative path was made absolute.
    Resolved,
    /// Nobody wrote it: Compose's default.
    Defaulted,
    /// Read from an `env_file` or a `label_file`.
    FromFile,
    /// Read from the environment.
    FromEnvironment,
}

impl Trail {
    /// Adds a step.
    pub fn push(&mut self, action: Action, at: Span, before: impl Into<String>) {
        let earlier = std::mem::take(self);
        self.0 = Some(Arc::new(Step { action, at, before: before.into(), earlier }));
    }

    /// The steps, newest first.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        std::iter::successors(self.0.as_deref(), |step| step.earlier.0.as_deref())
    }

    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// Long histories are freed one by one: a recursive drop would use stack in proportion to the length.
impl Drop for Trail {
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(step) = next {
            match Arc::try_unwrap(step) {
                Ok(mut step) => next = step.earlier.0.take(),
                Err(_shared) => break,
            }
        }
    }
}
