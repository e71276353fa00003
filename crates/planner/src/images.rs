//! Whether an image is pulled, and which images and results of builds go, when the disk fills up or a person says so.

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

/// Something that earlier builds left for later ones: a step's layer, or a cache mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Bytes that come free with it, if no image has the layer.
    pub bytes: u64,
    /// It is a cache mount.
    pub mount: bool,
    /// Images that have the layer too.
    pub images: Vec<Digest>,
    /// When a build last had use of it, in seconds since 1970.
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

/// What goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Going {
    /// Images, in this order.
    pub images: Vec<Digest>,
    /// Of what builds left: positions in the list that was given.
    pub builds: Vec<usize>,
}

/// What goes because the disk fills up: first what builds left, which can be made again, then images. One that no
/// registry has stays until a person says so.
#[must_use]
pub fn collect(candidates: &[Candidate], builds: &[Build], room: Room, now: u64) -> Going {
    if !room.is_scarce() {
        return Going::default();
    }
    let old = |used: u64| now.saturating_sub(used) >= GRACE;
    let left = builds.iter().filter(|one| old(one.used) && one.images.is_empty());
    let excess = room.used().saturating_sub(room.total * LOW / 100);
    let goal = excess.saturating_sub(left.map(|one| one.bytes).sum());
    let may_go = |one: &&Candidate| !one.in_use && old(one.used) && (one.elsewhere || !one.tagged);
    let mut going: Vec<&Candidate> = candidates.iter().filter(may_go).collect();
    going.sort_by_key(|one| (one.tagged, one.used, one.id.0.clone()));
    let mut freed = 0;
    let enough = |one: &&Candidate| {
        let before = freed;
        freed += one.bytes;
        before < goal
    };
    let images: Vec<Digest> = going.into_iter().take_while(enough).map(|one| one.id.clone()).collect();
    let builds = positions(builds, |one| old(one.used) && only_in(one, &images));
    Going { images, builds }
}

/// What a person's `prune` takes out: images without a tag, or `all`, that nothing needs, and of what builds left that
/// which no image has, or `all`, with the cache mounts; nothing that was used since `older_than` seconds.
#[must_use]
pub fn prune(
    candidates: &[Candidate],
    builds: &[Build],
    all: bool,
    older_than: Option<u64>,
    now: u64,
) -> Going {
    let old = |used: u64| older_than.is_none_or(|age| now.saturating_sub(used) >= age);
    let goes = |one: &&Candidate| !one.in_use && (all || !one.tagged) && old(one.used);
    let images: Vec<Digest> = candidates.iter().filter(goes).map(|one| one.id.clone()).collect();
    // What frees nothing is only work to do again.
    let frees = |one: &Build| !one.mount && one.bytes > 0 && only_in(one, &images);
    let builds = positions(builds, |one| old(one.used) && (all || frees(one)));
    Going { images, builds }
}

/// Whether no image has it that stays: forgetting it frees something.
fn only_in(build: &Build, going: &[Digest]) -> bool {
    build.images.iter().all(|image| going.contains(image))
}

fn positions(builds: &[Build], goes: impl Fn(&Build) -> bool) -> Vec<usize> {
    (0..builds.len()).filter(|at| goes(&builds[*at])).collect()
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
        let going = |free| collect(&images, &[], room(free), 10 * DAY).images;
        assert_eq!(ids(&going(151)), [] as [&str; 0]);
        assert_eq!(ids(&going(150)), ["older"]);
        assert_eq!(ids(&going(140)), ["older", "old"]);
        assert_eq!(ids(&going(0)), ["older", "old", "new"]);
    }

    #[test]
    fn what_is_needed_young_or_irreplaceable_stays_on_a_full_disk() {
        let room = Room { total: 1000, free: 0 };
        let used = Candidate { in_use: true, ..one("used", 1, 0) };
        let loaded = Candidate { elsewhere: false, ..one("loaded", 1, 0) };
        let nameless = Candidate { elsewhere: false, tagged: false, ..one("nameless", 1, DAY) };
        let young = one("young", 1, 9 * DAY + 1);
        let images = [used, loaded, one("pulled", 1, 0), nameless, young];
        assert_eq!(ids(&collect(&images, &[], room, 10 * DAY).images), ["nameless", "pulled"]);
        let going = |all, older_than| prune(&images, &[], all, older_than, 10 * DAY).images;
        assert_eq!(ids(&going(false, None)), ["nameless"]);
        assert_eq!(ids(&going(true, None)), ["loaded", "pulled", "nameless", "young"]);
        assert_eq!(ids(&going(true, Some(DAY))), ["loaded", "pulled", "nameless"]);
    }

    /// Old and in no image; young; of an image that stays; of one that goes; an old cache mount; an old step that
    /// changed nothing.
    fn builds() -> [Build; 6] {
        let one = |images: &[&str], used| Build {
            bytes: 50,
            mount: false,
            images: images.iter().map(|id| Digest((*id).to_owned())).collect(),
            used,
        };
        let mount = Build { mount: true, ..one(&[], DAY) };
        let nothing = Build { bytes: 0, ..one(&[], DAY) };
        [one(&[], DAY), one(&[], 9 * DAY + 1), one(&["stays"], DAY), one(&["goes"], DAY), mount, nothing]
    }

    #[test]
    fn a_full_disk_takes_what_builds_left_before_images() {
        let images = [one("goes", 40, 0), Candidate { elsewhere: false, ..one("stays", 40, 0) }];
        let going = |free| collect(&images, &builds(), Room { total: 1000, free }, 10 * DAY);
        assert_eq!(going(151), Going::default());
        assert_eq!(going(100), Going { images: vec![], builds: vec![0, 4, 5] }, "they are enough");
        assert_eq!(ids(&going(99).images), ["goes"]);
        assert_eq!(going(99).builds, [0, 3, 4, 5], "with an image goes what builds left of it");
    }

    #[test]
    fn prune_takes_what_builds_left_that_no_image_has_and_all_takes_everything() {
        let images = [Candidate { tagged: false, ..one("goes", 40, 0) }, one("stays", 40, 0)];
        let going = |all, older_than| prune(&images, &builds(), all, older_than, 10 * DAY).builds;
        assert_eq!(going(false, None), [0, 1, 3]);
        assert_eq!(going(false, Some(DAY)), [0, 3]);
        assert_eq!(going(true, None), [0, 1, 2, 3, 4, 5]);
        assert_eq!(going(true, Some(DAY)), [0, 2, 3, 4, 5]);
    }
}
