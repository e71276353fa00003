//! Whether an image is pulled, and which images go when the disk fills up.

use hoist_model::{Digest, PullPolicy};

/// What is to be done about an image that a service names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// Take the one that is here.
    Use,
    /// Ask the registry.
    Pull,
    /// It must be here, and isn't.
    Missing,
    /// It is to be built, and isn't here.
    Build,
}

/// How an image is settled. `pulled` is when its registry was asked last, in seconds since 1970.
#[must_use]
pub fn settle(policy: PullPolicy, present: bool, pulled: Option<u64>, now: u64) -> Settle {
    let fresh = |seconds| pulled.is_some_and(|pulled| now.saturating_sub(pulled) < seconds);
    match policy {
        PullPolicy::Always => Settle::Pull,
        PullPolicy::Every(seconds) if present && fresh(seconds) => Settle::Use,
        PullPolicy::Every(_) => Settle::Pull,
        _ if present => Settle::Use,
        PullPolicy::Missing => Settle::Pull,
        PullPolicy::Never => Settle::Missing,
        PullPolicy::Build => Settle::Build,
    }
}

/// An image that collection may take out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The image.
    pub id: Digest,
    /// Bytes in layers of its own.
    pub bytes: u64,
    /// What runs, or a kept revision, needs it.
    pub in_use: bool,
    /// It has a name with a tag.
    pub tagged: bool,
    /// A registry has it, so that it can be had again.
    pub elsewhere: bool,
    /// When it was last settled for a service, pulled or loaded, in seconds since 1970.
    pub used: u64,
}

/// How full the file system of the images is, and when that is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Its size in bytes.
    pub total: u64,
    /// Bytes that are free.
    pub free: u64,
}

/// From so full on images go, in percent, oldest use first.
const HIGH: u64 = 85;
/// Until it is no fuller than this.
const LOW: u64 = 80;
/// What was used since so many seconds stays, whatever it costs: an `up` under way may be about to use it again.
const GRACE: u64 = 24 * 60 * 60;

impl Room {
    /// Whether it is so full that images go.
    #[must_use]
    pub fn is_scarce(self) -> bool {
        self.used() * 100 >= self.total * HIGH
    }

    fn used(self) -> u64 {
        self.total.saturating_sub(self.free)
    }
}

/// The images that go because the disk fills up, in this order. One that no registry has stays until a person says so.
#[must_use]
pub fn collect(candidates: &[Candidate], room: Room, now: u64) -> Vec<Digest> {
    if !room.is_scarce() {
        return Vec::new();
    }
    let goal = room.used().saturating_sub(room.total * LOW / 100);
    let may_go = |one: &&Candidate| {
        let old = now.saturating_sub(one.used) >= GRACE;
        !one.in_use && old && (one.elsewhere || !one.tagged)
    };
    let mut going: Vec<&Candidate> = candidates.iter().filter(may_go).collect();
    going.sort_by_key(|one| (one.tagged, one.used, one.id.0.clone()));
    let mut freed = 0;
    let enough = |one: &&Candidate| {
        let before = freed;
        freed += one.bytes;
        before < goal
    };
    going.into_iter().take_while(enough).map(|one| one.id.clone()).collect()
}

/// The images that a person's `prune` takes out: those without a tag, or `all`, that nothing needs, not used since
/// `older_than` seconds.
#[must_use]
pub fn prune(candidates: &[Candidate], all: bool, older_than: Option<u64>, now: u64) -> Vec<Digest> {
    let old = |one: &Candidate| older_than.is_none_or(|age| now.saturating_sub(one.used) >= age);
    let goes = |one: &&Candidate| !one.in_use && (all || !one.tagged) && old(one);
    candidates.iter().filter(goes).map(|one| one.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn one(id: &str, bytes: u64, used: u64) -> Candidate {
        Candidate { id: Digest(id.to_owned()), bytes, in_use: false, tagged: true, elsewhere: true, used }
    }

    fn ids(digests: &[Digest]) -> Vec<&str> {
        digests.iter().map(|digest| digest.0.as_str()).collect()
    }

    #[test]
    fn each_policy_settles_as_compose_says() {
        let say = |policy| [true, false].map(|present| settle(policy, present, Some(100), 110));
        assert_eq!(say(PullPolicy::Missing), [Settle::Use, Settle::Pull]);
        assert_eq!(say(PullPolicy::Always), [Settle::Pull, Settle::Pull]);
        assert_eq!(say(PullPolicy::Never), [Settle::Use, Settle::Missing]);
        assert_eq!(say(PullPolicy::Build), [Settle::Use, Settle::Build]);
        assert_eq!(say(PullPolicy::Every(11)), [Settle::Use, Settle::Pull]);
        assert_eq!(say(PullPolicy::Every(10)), [Settle::Pull, Settle::Pull]);
        assert_eq!(settle(PullPolicy::Every(60), true, None, 110), Settle::Pull);
    }

    #[test]
    fn a_full_disk_takes_the_oldest_use_first_and_no_more_than_needed() {
        let room = |free| Room { total: 1000, free };
        let images = [one("new", 40, 9 * DAY), one("old", 60, DAY), one("older", 50, 0)];
        assert_eq!(ids(&collect(&images, room(151), 10 * DAY)), [] as [&str; 0]);
        assert_eq!(ids(&collect(&images, room(150), 10 * DAY)), ["older"]);
        assert_eq!(ids(&collect(&images, room(140), 10 * DAY)), ["older", "old"]);
        assert_eq!(ids(&collect(&images, room(0), 10 * DAY)), ["older", "old", "new"]);
    }

    #[test]
    fn what_is_needed_young_or_irreplaceable_stays_on_a_full_disk() {
        let room = Room { total: 1000, free: 0 };
        let used = Candidate { in_use: true, ..one("used", 1, 0) };
        let loaded = Candidate { elsewhere: false, ..one("loaded", 1, 0) };
        let nameless = Candidate { elsewhere: false, tagged: false, ..one("nameless", 1, DAY) };
        let young = one("young", 1, 9 * DAY + 1);
        let images = [used, loaded, one("pulled", 1, 0), nameless, young];
        assert_eq!(ids(&collect(&images, room, 10 * DAY)), ["nameless", "pulled"]);
        assert_eq!(ids(&prune(&images, false, None, 10 * DAY)), ["nameless"]);
        assert_eq!(ids(&prune(&images, true, None, 10 * DAY)), ["loaded", "pulled", "nameless", "young"]);
        assert_eq!(ids(&prune(&images, true, Some(DAY), 10 * DAY)), ["loaded", "pulled", "nameless"]);
    }
}
