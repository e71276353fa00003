//! A plan as text: a line for each service with what is behind it, then what else comes and goes, then the steps.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anstyle::Style;
use hoist_model::{
    DowntimeClass, FieldChange, ImageState, Preview, ReplaceOrder, ServiceName, ServicePreview, SlotAction,
};

use crate::size;
use crate::style;

/// The text.
pub(crate) fn of(preview: &Preview) -> String {
    let mut text = String::new();
    if !preview.failures.is_empty() && preview.steps.is_empty() {
        return text;
    }
    let _ = writeln!(text, "{}", summary(preview));
    for (name, one) in &preview.services {
        service(&mut text, name, one);
    }
    preview.differences.iter().for_each(|one| difference(&mut text, one, "  "));
    for (kind, changes) in [("network", &preview.networks), ("volume", &preview.volumes)] {
        for change in changes {
            let (mark, colour) = mark(change.action);
            let _ =
                writeln!(text, "{colour}{mark}{colour:#} {kind} {}: {}", change.name, change.action.word());
        }
    }
    for what in &preview.destroys {
        let _ = writeln!(text, "{}!{:#} destroys the data in {what}", style::BAD, style::BAD);
    }
    if let Some(bytes) = preview.peak_memory.filter(|_| preview.changes) {
        let _ = writeln!(text, "memory by limits: {} at most", size::text(bytes));
    }
    if preview.endless {
        let _ = writeln!(text, "it does not come to rest within the time that is looked ahead");
    }
    steps(&mut text, preview);
    text
}

/// One line: how many of what.
fn summary(preview: &Preview) -> String {
    let mut counts: BTreeMap<SlotAction, u32> = BTreeMap::new();
    for slot in preview.services.values().flat_map(|one| &one.slots) {
        *counts.entry(slot.action).or_default() += 1;
    }
    let said: Vec<String> =
        counts.iter().map(|(action, count)| format!("{count} to {}", action.word())).collect();
    let said = if said.is_empty() { "no instances".to_owned() } else { said.join(", ") };
    let revision = preview.revision.map(|number| format!("; revision {}", number.0)).unwrap_or_default();
    let nothing = if preview.changes { "" } else { "nothing to do: " };
    format!("{}stack {}{:#}: {nothing}{said}{revision}", style::BOLD, preview.stack, style::BOLD)
}

fn mark(action: SlotAction) -> (&'static str, Style) {
    match action {
        SlotAction::Create => ("+", style::GOOD),
        SlotAction::Start => (">", style::GOOD),
        SlotAction::Replace => ("~", style::WARN),
        SlotAction::Restart => ("o", style::WARN),
        SlotAction::Stop => (".", style::WARN),
        SlotAction::Remove => ("-", style::BAD),
        SlotAction::Keep => (" ", style::DIM),
    }
}

fn service(text: &mut String, name: &ServiceName, one: &ServicePreview) {
    let mut actions: BTreeMap<SlotAction, Vec<String>> = BTreeMap::new();
    for slot in &one.slots {
        actions.entry(slot.action).or_default().push(format!("{name}-{}", slot.index));
    }
    for (action, slots) in &actions {
        let (mark, colour) = mark(*action);
        let reason = one.reason.as_ref().filter(|_| !matches!(action, SlotAction::Keep | SlotAction::Create));
        let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let _ = writeln!(text, "{colour}{mark} {}{colour:#} {}{reason}", action.word(), slots.join(" "));
    }
    if one.slots.iter().all(|slot| slot.action == SlotAction::Keep) && one.differences.is_empty() {
        return;
    }
    one.differences.iter().for_each(|one| difference(text, one, "    "));
    image(text, one);
    if let Some(order) = one.order {
        let _ = writeln!(text, "    {}", ordered(order, &one.stop_first));
    }
    if let Some(said) = downtime(one) {
        let _ = writeln!(text, "    {said}");
    }
    if !one.waits.is_empty() {
        let _ = writeln!(text, "    waits for {}", one.waits.join("; "));
    }
}

fn difference(text: &mut String, one: &FieldChange, indent: &str) {
    let said = match (&one.was, &one.is) {
        (Some(was), Some(is)) => format!("{}: {was} => {is}", one.path),
        (Some(was), None) => format!("{}: {was} => nothing", one.path),
        (None, Some(is)) => format!("{}: nothing => {is}", one.path),
        (None, None) => one.path.clone(),
    };
    let place = one.place.as_ref().map(|place| format!("  {}{place}{:#}", style::DIM, style::DIM));
    let _ = writeln!(text, "{indent}{said}{}", place.unwrap_or_default());
}

fn image(text: &mut String, one: &ServicePreview) {
    let Some(image) = &one.image else { return };
    let how = match image.state {
        ImageState::Known => return,
        ImageState::Pull => "is pulled",
        ImageState::Build => "is built",
        ImageState::Unknown => "is not known: its registry can't be asked",
    };
    let digest = image.digest.as_ref().map(|digest| format!(" ({digest})")).unwrap_or_default();
    let _ = writeln!(text, "    image {} {how}{digest}", image.source);
}

fn ordered(order: ReplaceOrder, reasons: &[String]) -> String {
    match order {
        ReplaceOrder::StartFirst => "the new one is ready before the old one goes".to_owned(),
        ReplaceOrder::StopFirst => format!("the old one ends first: {}", reasons.join("; ")),
    }
}

fn downtime(one: &ServicePreview) -> Option<String> {
    let seconds = |millis: u64| format!("{} s", millis.div_ceil(1000));
    let grace = one.downtime.stop_millis.map(seconds).unwrap_or_else(|| "0 s".to_owned());
    let gap = format!("while the old one ends ({grace} at most) and the new one gets ready");
    match (one.downtime.class, one.downtime.hold_millis) {
        (DowntimeClass::None, _) => one.order.is_some().then(|| "no downtime".to_owned()),
        (DowntimeClass::Refused, _) => Some(format!("connections are refused {gap}")),
        (DowntimeClass::Held, hold) => {
            let hold = hold.map(seconds).unwrap_or_default();
            Some(format!("connections wait, {hold} at most, {gap}"))
        }
    }
}

fn steps(text: &mut String, preview: &Preview) {
    if preview.steps.is_empty() {
        return;
    }
    let _ = writeln!(text, "steps:");
    for step in &preview.steps {
        let old = if step.old { " (old)" } else { "" };
        let (dim, plain) = (style::DIM, format!("{:#}", style::DIM));
        let _ = writeln!(
            text,
            "  {:>3}  {}{old}: {}  {dim}{}{plain}",
            step.round, step.subject, step.action, step.cause
        );
    }
}
