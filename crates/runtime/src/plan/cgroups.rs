//! What the container sees at `/sys/fs/cgroup`: its own groups.
//!
//! Bound from the host's tree, not mounted anew: on v1 each new mount in a new cgroup namespace makes a
//! super block of its own for every controller, which costs time at the start and at the end. To the
//! program there is no difference: the cgroup namespace hides what lies above the bound directory.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::mounts::Entry;
use super::{Plan, c_path, c_string};
use crate::launch::PrepareError;
use crate::op::{Mount, Place, ReadOnlyPath, Source, Symlink, Tree};
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
    pub(crate) fn of(group: &Path, own_namespace: bool) -> Self {
        let device = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.dev()).ok();
        let same = |path: &&Path| device(path) == device(group);
        let mount = group.ancestors().take_while(same).last().unwrap_or(group);
        let name = mount.file_name().map(|name| name.to_string_lossy().into_owned());
        let directory = if own_namespace { group } else { mount };
        let alone = mount == Path::new("/sys/fs/cgroup");
        Self { directory: directory.to_owned(), name: name.filter(|_| !alone) }
    }
}

pub(super) fn plan(plan: &mut Plan, entry: &Entry<'_>, view: &[CgroupView]) -> Result<(), PrepareError> {
    if let [CgroupView { directory, name: None }] = view {
        plan.push(bind(entry, directory, &entry.target, entry.attr())?);
        return Ok(());
    }
    plan.push(frame(entry)?);
    for CgroupView { directory, name } in view {
        let Some(name) = name else { continue };
        plan.push(bind(entry, directory, &entry.target.join(name), entry.attr())?);
        // Controllers mounted together are found under each of their names as well.
        let controllers = name.split(',').filter(|controller| controller != name);
        for controller in controllers {
            let text = |text: &str| c_string(&entry.field, text.as_bytes());
            let (link, target) = (text(controller)?, text(name)?);
            plan.push(Symlink { parent: c_path(&entry.field, &entry.target)?, name: link, target });
        }
    }
    if entry.attr().set & libc::MOUNT_ATTR_RDONLY != 0 {
        plan.push(ReadOnlyPath { path: c_path(&entry.field, &entry.target)? });
    }
    Ok(())
}

fn bind(entry: &Entry<'_>, from: &Path, at: &Path, attr: MountAttr) -> Result<Mount, PrepareError> {
    let path = c_string(&entry.field, from.as_os_str().as_bytes())?;
    let private = MountAttr { propagation: libc::MS_PRIVATE, ..MountAttr::default() };
    Ok(Mount {
        source: Source::Bind(Tree::new(path, None, false)),
        target: c_path(&entry.field, at)?,
        place: Place::Plain,
        attr,
        attr_below: private,
        label: format!("bind cgroup {} at {}", from.display(), at.display()),
    })
}

/// The small file system that the hierarchies are mounted in. Writable until they are.
fn frame(entry: &Entry<'_>) -> Result<Mount, PrepareError> {
    let mode = super::options::parameter(&entry.field, "mode=755")?;
    let attr = MountAttr { set: entry.attr().set & !libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    Ok(Mount {
        source: Source::New { fstype: c"tmpfs".to_owned(), parameters: vec![mode], mode_of_target: false },
        target: c_path(&entry.field, &entry.target)?,
        place: Place::Plain,
        attr,
        attr_below: MountAttr::default(),
        label: entry.label("mount a frame for cgroups"),
    })
}
