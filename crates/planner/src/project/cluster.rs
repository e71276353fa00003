//! What comes of a request: the orchestrator's loop and its hosts' loops, driven together until nothing happens any more.

use std::collections::{BTreeMap, VecDeque};

use hoist_model::{
    Endpoints, EventKind, Failure, HostId, HostReport, HostSpec, Outcome, ResolvedImage, ServiceName,
    Subject, WantedStack,
};

use super::{Oracle, Projector, Sights, WAKES};
use crate::Now;
use crate::cluster::{ClusterLoop, Effect, IdSource, ImageWanted, Input, OpId, Refusal, Request, Restored};
use crate::host::{self, HostLoop};

/// What will come of a request.
#[derive(Debug)]
pub struct ClusterProjection {
    /// The orchestrator's loop at the end.
    pub control: ClusterLoop,
    /// What was seen on the way.
    pub sights: Sights,
    /// How the request ended, if it did.
    pub outcome: Option<Outcome>,
    /// Why it was refused, if it was.
    pub refusal: Option<Refusal>,
    /// What a person would be told.
    pub notices: Vec<String>,
    /// It came to rest.
    pub quiet: bool,
}

/// No shell counts operations so far.
const OP: OpId = OpId(u64::MAX);

/// What to project, and from where.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The orchestrator's state.
    pub known: &'a Restored,
    /// The last report of each host.
    pub view: &'a BTreeMap<HostId, HostReport>,
    /// The images that an `up` would settle.
    pub images: &'a BTreeMap<ServiceName, ResolvedImage>,
    /// Now.
    pub now: &'a Now,
}

/// Projects what comes of a request.
pub fn cluster(
    scene: &Scene<'_>,
    request: Request,
    ids: &mut dyn IdSource,
    oracle: &mut dyn Oracle,
) -> ClusterProjection {
    // Its effects tell hosts again what they know.
    let (control, _) = ClusterLoop::restore(scene.known.clone());
    let reports = scene.view.values().map(|report| Input::Report(Box::new(report.clone())));
    let mut run = Run {
        scene,
        control,
        hosts: BTreeMap::new(),
        now: scene.now.clone(),
        ids,
        inputs: reports.chain([Input::Request { op: OP, request: Box::new(request) }]).collect(),
        wake: None,
        outcome: None,
        refusal: None,
        notices: Vec::new(),
    };
    let quiet = run.run(oracle);
    let Run { control, hosts, outcome, refusal, notices, .. } = run;
    let mut sights = Sights::default();
    hosts.into_values().for_each(|host| sights.absorb(host.seen.sights));
    ClusterProjection { control, sights, outcome, refusal, notices, quiet }
}

struct Run<'a> {
    scene: &'a Scene<'a>,
    control: ClusterLoop,
    /// Those that were told something: the others go on as they are.
    hosts: BTreeMap<HostId, Projector>,
    now: Now,
    ids: &'a mut dyn IdSource,
    inputs: VecDeque<Input>,
    wake: Option<hoist_model::Moment>,
    outcome: Option<Outcome>,
    refusal: Option<Refusal>,
    notices: Vec<String>,
}

impl Run<'_> {
    fn run(&mut self, oracle: &mut dyn Oracle) -> bool {
        for _ in 0..=WAKES {
            while self.go_on(oracle) {}
            if !self.wait() {
                return true;
            }
        }
        false
    }

    /// One turn of the orchestrator's loop, and of the hosts' that have something to do. False when nobody has.
    fn go_on(&mut self, oracle: &mut dyn Oracle) -> bool {
        let mut busy = false;
        while let Some(input) = self.inputs.pop_front() {
            busy = true;
            let effects = self.control.step(&self.now, input, &mut *self.ids);
            for effect in effects {
                self.perform(effect, oracle);
            }
        }
        for host in self.hosts.values_mut().filter(|host| !host.inputs.is_empty()) {
            busy = true;
            if host.now.moment.since_boot < self.now.moment.since_boot {
                host.now.moment = self.now.moment.clone();
            }
            let inputs: Vec<host::Input> = host.inputs.drain(..).collect();
            host.round(inputs, oracle);
            self.now.moment = host.now.moment.clone();
            self.inputs.extend(host.report.take().map(|report| Input::Report(Box::new(report))));
        }
        busy
    }

    /// Lets time pass until somebody is to be woken; false when nobody is.
    fn wait(&mut self) -> bool {
        let hosts = self.hosts.values().filter_map(|host| host.wake.as_ref());
        let next = hosts.chain(&self.wake).map(|moment| moment.since_boot).min();
        let Some(next) = next else { return false };
        self.now.moment.since_boot = self.now.moment.since_boot.max(next);
        if self.wake.as_ref().is_some_and(|wake| wake.since_boot <= next) {
            self.wake = None;
            self.inputs.push_back(Input::Timer);
        }
        for host in self.hosts.values_mut() {
            if let Some(wake) = host.wake.take_if(|wake| wake.since_boot <= next) {
                host.wake_up(wake);
            }
        }
        true
    }

    fn perform(&mut self, effect: Effect, oracle: &mut dyn Oracle) {
        match effect {
            Effect::ResolveImages { op, images } => {
                let settled =
                    images.into_iter().map(|wanted| (wanted.service.clone(), self.settled(&wanted)));
                let images = settled.collect();
                self.inputs.push_back(Input::ImagesResolved { op, images });
            }
            Effect::PutSpec { host, spec } => self.put(&host, host::Input::SpecPut(spec), oracle),
            Effect::PutEndpoints { host, endpoints } => {
                self.put(&host, host::Input::EndpointsPut(endpoints), oracle);
            }
            Effect::Emit { op: OP, event: EventKind::Verdict(verdict), .. } => {
                self.outcome = Some(verdict.outcome);
            }
            Effect::Emit { op: OP, event: EventKind::Notice { text, .. }, .. } => self.notices.push(text),
            Effect::Refuse { op: OP, refusal } => self.refusal = Some(refusal),
            Effect::WakeAt(moment) => self.wake = Some(moment),
            Effect::Store(_) | Effect::Emit { .. } | Effect::Refuse { .. } => {}
        }
    }

    fn put(&mut self, id: &HostId, input: host::Input, oracle: &mut dyn Oracle) {
        if !self.hosts.contains_key(id) {
            let Some(report) = self.scene.view.get(id) else { return };
            let nothing = (HostSpec::default(), Endpoints::default());
            let spec = self.scene.known.specs.get(id).unwrap_or(&nothing.0);
            let endpoints = self.scene.known.endpoints.get(id).unwrap_or(&nothing.1);
            let (host, effects) = HostLoop::recalled(spec, endpoints, report, &self.now);
            let mut projector = Projector::new(host, self.now.clone());
            projector.recalled(effects, oracle);
            self.hosts.insert(id.clone(), projector);
        }
        if let Some(host) = self.hosts.get_mut(id) {
            host.inputs.push_back(input);
        }
    }

    fn settled(&self, wanted: &ImageWanted) -> Result<ResolvedImage, Failure> {
        self.scene.images.get(&wanted.service).cloned().ok_or_else(|| Failure {
            subject: Subject::Image(wanted.source.to_string()),
            what: "it is not known".to_owned(),
            hint: None,
            permanent: true,
        })
    }
}

impl Sights {
    fn absorb(&mut self, other: Self) {
        self.steps.extend(other.steps);
        self.waits.extend(other.waits);
        self.gaps.extend(other.gaps);
        self.orders.extend(other.orders);
        for (stack, sum) in other.memory {
            *self.memory.entry(stack).or_default() += sum;
        }
    }
}

impl ClusterProjection {
    /// What would be wanted of a stack.
    #[must_use]
    pub fn wanted(&self, stack: &hoist_model::StackId) -> Option<&WantedStack> {
        self.control.stacks().get(stack)
    }

    /// What hosts would be told in the end.
    #[must_use]
    pub fn specs(&self) -> &BTreeMap<HostId, HostSpec> {
        self.control.specs()
    }
}
