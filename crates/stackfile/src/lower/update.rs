//! How many replicas change at a time, and what happens when one fails: `deploy.update_config`.

use hoist_model::{FailureAction, Update};

use super::attributes::Attributes;
use super::rollout::duration;

/// What is declared; one replica after the other where only the rest is. Without `update_config` all change at once.
pub(super) fn update(at: &mut Attributes<'_, '_>) -> Update {
    if at.get("deploy.update_config").is_none() {
        return Update::default();
    }
    Update {
        parallelism: parallelism(at).unwrap_or(1),
        delay: duration(at, "deploy.update_config.delay").unwrap_or_default(),
        failure_action: failure_action(at).unwrap_or_default(),
        max_failure_per_mille: ratio(at).unwrap_or_default(),
    }
}

fn parallelism(at: &mut Attributes<'_, '_>) -> Option<u32> {
    let path = "deploy.update_config.parallelism";
    let count = at.int(path)?;
    let read = u32::try_from(count).ok();
    if read.is_none() {
        refuse(at, path, &format!("`{path}: {count}` is no count of replicas; 0 stands for all"));
    }
    read
}

fn failure_action(at: &mut Attributes<'_, '_>) -> Option<FailureAction> {
    let path = "deploy.update_config.failure_action";
    let text = at.text(path)?;
    let read = match text.as_str() {
        "pause" => Some(FailureAction::Pause),
        "continue" => Some(FailureAction::Continue),
        "rollback" => Some(FailureAction::Rollback),
        _ => None,
    };
    if read.is_none() {
        refuse(at, path, &format!("`{path}: {text}` is none of pause, continue, rollback"));
    }
    read
}

/// In thousandths.
fn ratio(at: &mut Attributes<'_, '_>) -> Option<u32> {
    let path = "deploy.update_config.max_failure_ratio";
    let ratio = at.number(path)?;
    if !(0.0..=1.0).contains(&ratio) {
        refuse(at, path, &format!("`{path}: {ratio}` is no ratio between 0 and 1"));
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    Some((ratio * 1000.0).round() as u32)
}

fn refuse(at: &mut Attributes<'_, '_>, path: &str, why: &str) {
    if let Some(node) = at.get(path) {
        at.error("invalid-value", node.place(), why);
    }
}
