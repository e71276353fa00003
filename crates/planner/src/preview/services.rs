//! What would become of each service.

use std::collections::{BTreeMap, BTreeSet};

use hoist_model::{
    Downtime, DowntimeClass, FieldChange, ImagePreview, InstanceKind, InstanceUid, NetworkMode, ReplaceOrder,
    ServiceName, ServicePreview, SlotAction, SlotPreview, Template,
};

use super::{Telling, change};
use crate::claims::publishes;
use crate::cluster::Request;
use crate::difference::between_templates;
use crate::host::Step;
use crate::rollout::Reason;

/// A service before and after.
#[derive(Default)]
struct Sides<'a> {
    /// The instance of each place.
    before: BTreeMap<u32, InstanceUid>,
    after: BTreeMap<u32, InstanceUid>,
    was: Option<&'a Template>,
    is: Option<&'a Template>,
}

impl Telling<'_> {
    pub(super) fn services(&self) -> BTreeMap<ServiceName, ServicePreview> {
        let acted = self.acted();
        let told = self.sides().into_iter();
        told.map(|(name, sides)| (name.clone(), self.service(name, &sides, &acted))).collect()
    }

    fn sides(&self) -> BTreeMap<&ServiceName, Sides<'_>> {
        let mut services: BTreeMap<&ServiceName, Sides<'_>> = BTreeMap::new();
        let (before, after) = self.specs();
        let all = before.map(|spec| (false, spec)).chain(after.map(|spec| (true, spec)));
        for (later, spec) in all {
            let own = spec.instances.iter().filter(|(_, one)| one.slot.stack == *self.stack);
            for (uid, one) in own.filter(|(_, one)| one.kind != InstanceKind::OneOff) {
                let sides = services.entry(&one.slot.service).or_default();
                let template = spec.templates.get(&one.template).map(|template| &**template);
                if later {
                    sides.after.insert(one.slot.index, *uid);
                    sides.is = template;
                } else {
                    sides.before.insert(one.slot.index, *uid);
                    sides.was = template;
                }
            }
        }
        services
    }

    /// What is done to each instance: told to end, started.
    fn acted(&self) -> BTreeMap<InstanceUid, (bool, bool)> {
        let mut acted: BTreeMap<InstanceUid, (bool, bool)> = BTreeMap::new();
        for one in &self.projection.sights.steps {
            match one.step {
                Step::SignalInstance { uid, .. } => acted.entry(uid).or_default().0 = true,
                Step::StartInstance { uid, .. } => acted.entry(uid).or_default().1 = true,
                _ => {}
            }
        }
        acted
    }

    fn service(
        &self,
        name: &ServiceName,
        sides: &Sides<'_>,
        acted: &BTreeMap<InstanceUid, (bool, bool)>,
    ) -> ServicePreview {
        let slots = slots(sides, acted);
        let differences: Vec<FieldChange> = match (sides.was, sides.is) {
            (Some(was), Some(is)) => between_templates(name, was, is).into_iter().map(change).collect(),
            _ => Vec::new(),
        };
        let (order, reasons) = self.order(name, &slots);
        let template = sides.is.or(sides.was);
        ServicePreview {
            reason: self.reason(name, &slots, &differences),
            waits: self.waits(name),
            downtime: self.downtime(name, sides, &reasons),
            order,
            stop_first: reasons.iter().map(ToString::to_string).collect(),
            image: template.map(|template| self.image(name, template)),
            ports: template.map(ports).unwrap_or_default(),
            slots,
            differences,
        }
    }

    /// In which order places are handed over; one that can't start first makes the service one that can't.
    fn order(&self, name: &ServiceName, slots: &[SlotPreview]) -> (Option<ReplaceOrder>, BTreeSet<Reason>) {
        if !slots.iter().any(|slot| slot.action == SlotAction::Replace) {
            return (None, BTreeSet::new());
        }
        let orders = self.projection.sights.orders.iter();
        let own = orders.filter(|(slot, _)| slot.stack == *self.stack && slot.service == *name);
        let mut reasons: BTreeSet<Reason> = own.flat_map(|(_, reasons)| reasons.iter().cloned()).collect();
        // Whom the ports of a program in the host's network serve is not seen.
        if reasons.contains(&Reason::HostNetwork) {
            reasons.remove(&Reason::Unreached);
        }
        let order = if reasons.is_empty() { ReplaceOrder::StartFirst } else { ReplaceOrder::StopFirst };
        (Some(order), reasons)
    }

    fn reason(
        &self,
        name: &ServiceName,
        slots: &[SlotPreview],
        differences: &[FieldChange],
    ) -> Option<String> {
        let has = |action| slots.iter().any(|slot| slot.action == action);
        if has(SlotAction::Replace) {
            return Some(self.why_replaced(name, differences));
        }
        if !has(SlotAction::Restart) && !has(SlotAction::Start) && !has(SlotAction::Stop) {
            return None;
        }
        let steps = self.projection.sights.steps.iter();
        let mut own = steps.filter(|one| {
            let of = |slot: &hoist_model::Slot| slot.stack == *self.stack && slot.service == *name;
            one.slot.as_ref().is_some_and(of)
        });
        own.next().map(|one| one.cause.clone())
    }

    fn why_replaced(&self, name: &ServiceName, differences: &[FieldChange]) -> String {
        let prefix = format!("services.{name}.");
        let keys: BTreeSet<&str> = differences
            .iter()
            .filter_map(|one| one.path.strip_prefix(&prefix))
            .map(|path| path.split_once('.').map_or(path, |(key, _)| key))
            .collect();
        if !keys.is_empty() {
            return format!("changed: {}", keys.into_iter().collect::<Vec<_>>().join(", "));
        }
        match &self.input.request {
            Request::Up(up) if up.options.force_recreate => "--force-recreate".to_owned(),
            Request::Up(up) if up.options.refresh_guards => "--refresh-guards".to_owned(),
            _ => "its image, or a network or volume that it uses, is another".to_owned(),
        }
    }

    fn waits(&self, name: &ServiceName) -> Vec<String> {
        let waits = self.projection.sights.waits.iter();
        let own = waits.filter(|(slot, _)| slot.stack == *self.stack && slot.service == *name);
        let all: BTreeSet<&String> = own.flat_map(|(_, waits)| waits).collect();
        all.into_iter().cloned().collect()
    }

    fn downtime(&self, name: &ServiceName, sides: &Sides<'_>, reasons: &BTreeSet<Reason>) -> Downtime {
        let gap = self.projection.sights.gaps.contains(&(self.stack.clone(), name.clone()));
        // Who has no clients leaves nobody waiting.
        if !gap || reasons.contains(&Reason::Unreached) {
            return Downtime::default();
        }
        let grace = sides.was.map(|template| template.service.stop_grace_period);
        let stop_millis = grace.and_then(|grace| u64::try_from(grace.as_millis()).ok());
        let is = sides.is.map(|template| &template.service);
        let hold =
            is.filter(|service| service.network_mode == NetworkMode::Own).map(|service| service.rollout.hold);
        let hold = hold.filter(|hold| !hold.is_zero());
        let class = if hold.is_some() { DowntimeClass::Held } else { DowntimeClass::Refused };
        let hold_millis = hold.and_then(|hold| u64::try_from(hold.as_millis()).ok());
        Downtime { class, stop_millis, hold_millis }
    }

    fn image(&self, name: &ServiceName, template: &Template) -> ImagePreview {
        let found = self.input.images.get(name);
        let digest = template.image.digest.clone().or_else(|| found?.remote.clone());
        let state = found.map_or(hoist_model::ImageState::Known, |found| found.state);
        ImagePreview { source: template.service.image.to_string(), digest, state }
    }
}

fn slots(sides: &Sides<'_>, acted: &BTreeMap<InstanceUid, (bool, bool)>) -> Vec<SlotPreview> {
    let indices: BTreeSet<u32> = sides.before.keys().chain(sides.after.keys()).copied().collect();
    let action = |index: &u32| match (sides.before.get(index), sides.after.get(index)) {
        (None, _) => SlotAction::Create,
        (Some(_), None) => SlotAction::Remove,
        (Some(before), Some(after)) if before != after => SlotAction::Replace,
        (Some(before), Some(_)) => match acted.get(before) {
            Some((true, true)) => SlotAction::Restart,
            Some((false, true)) => SlotAction::Start,
            Some((true, false)) => SlotAction::Stop,
            _ => SlotAction::Keep,
        },
    };
    indices.iter().map(|index| SlotPreview { index: *index, action: action(index) }).collect()
}

/// The ports that a service publishes, as in the stack file.
fn ports(template: &Template) -> Vec<String> {
    if !publishes(&template.service) {
        return Vec::new();
    }
    template.service.ports.iter().map(crate::difference::port).collect()
}
