//! What the container sees at `/sys/fs/cgroup`: its own groups.
//!
//! Bound from the host's tree, not mounted anew: on v1 each new mount in a new cgroup namespace makes a
//! super block of its own for every controller, which costs time at the start and at the end. To the
//! program there is no difference: the cgroup namespace hides what lies above the bound directory.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::mounts::Entry;
use super::{Plan, c_path, c_string};
use crate::cgroup::GroupMounts;
use crate::launch::PrepareError;
use crate::op::{Folder, Mount, MountAttributes, Place, Source, Symlink, Target, Tree};
use crate::sys::MountAttr;

/// One hierarchy as the container is to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CgroupView {
    /// The host's directory to show.
    pub(crate) directory: PathBuf,
    /// The name of the hierarchy below `/sys/fs/cgroup`; None when it is mounted there itself (v2 alone).
    pub(crate) name: Option<String>,
}

impl CgroupView {
    /// How to show a group; the whole hierarchy when the container has no cgroup namespace of its own.
    pub(crate) fn of(group: &Path, mounts: &GroupMounts, own_namespace: bool) -> Self {
        let mount = mounts.point(group).unwrap_or_else(|| top(group));
        let name = mount.file_name().map(|name| name.to_string_lossy().into_owned());
        let directory = if own_namespace { group } else { mount };
        let alone = mount == Path::new("/sys/fs/cgroup");
        Self { directory: directory.to_owned(), name: name.filter(|_| !alone) }
    }
}

/// The topmost directory of the file system that a group is in, for one that was mounted since mounts were looked at.
fn top(group: &Path) -> &Path {
    let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).ok();
    let own = device(group);
    group.ancestors().take_while(|path| device(path) == own).last().unwrap_or(group)
}

pub(super) fn plan(plan: &mut Plan, entry: &Entry<'_>, view: &[CgroupView]) -> Result<(), PrepareError> {
    if let [CgroupView { directory, name: None }] = view {
        let attr = MountAttr { propagation: libc::MS_PRIVATE, ..entry.attr() };
        let target = Target::Path(c_path(&entry.field, &entry.target)?, Place::Plain);
        plan.push(bind(entry, directory, target, attr)?);
        return Ok(());
    }
    plan.push(frame(entry)?);
    let folder = Folder::new(c_path(&entry.field, &entry.target)?);
    for CgroupView { directory, name } in view {
        let Some(name) = name else { continue };
        let target = Target::New(Arc::clone(&folder), c_string(&entry.field, name.as_bytes())?);
        plan.push(bind(entry, directory, target, MountAttr::default())?);
        // Controllers mounted together are found under each of their names as well.
        let controllers = name.split(',').filter(|controller| controller != name);
        for controller in controllers {
            let text = |text: &str| c_string(&entry.field, text.as_bytes());
            let (link, target) = (text(controller)?, text(name)?);
            plan.push(Symlink { folder: Arc::clone(&folder), name: link, target });
        }
    }
    // The clones are still tied to the host's mounts: cut off here, before the program runs.
    let attr = MountAttr { propagation: libc::MS_PRIVATE, ..entry.attr() };
    let words = entry.words.iter().map(String::as_str).chain(["private"]).collect::<Vec<_>>().join(",");
    plan.push(MountAttributes { folder, attr, words });
    Ok(())
}

fn bind(entry: &Entry<'_>, from: &Path, target: Target, attr: MountAttr) -> Result<Mount, PrepareError> {
    let path = c_string(&entry.field, from.as_os_str().as_bytes())?;
    let label = format!("bind cgroup {} at {target}", from.display());
    let source = Source::Bind(Tree::new(path, None, false));
    Ok(Mount { source, target, attr, attr_below: MountAttr::default(), label })
}

/// The small file system that the hierarchies are mounted in. Its attributes come when they are, with theirs.
fn frame(entry: &Entry<'_>) -> Result<Mount, PrepareError> {
    let mode = super::options::parameter(&entry.field, "mode=755")?;
    Ok(Mount {
        source: Source::New { fstype: c"tmpfs".to_owned(), parameters: vec![mode], mode_of_target: false },
        target: Target::Path(c_path(&entry.field, &entry.target)?, Place::Plain),
        attr: MountAttr::default(),
        attr_below: MountAttr::default(),
        label: format!("mount a frame for cgroups at {}", entry.target.display()),
    })
}
