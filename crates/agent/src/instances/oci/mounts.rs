//! The `mounts` array: the kernel's file systems, generated files, and what the service declares.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hoist_model::{Mount, MountKind, TmpfsOptions};
use hoist_runtime::defaults;
use hoist_runtime::launch::BENEATH;
use oci_spec::runtime;

use super::{SpecError, SpecInput};

/// Paths behind an instance's mounts, prepared by the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountInput {
    /// Generated files: target inside, path on the host (`/etc/hosts` and its kin).
    pub files: Vec<(PathBuf, PathBuf)>,
    /// Host path of each declared mount that has one, by target.
    pub sources: BTreeMap<PathBuf, SourcePath>,
}

/// A prepared host path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePath {
    /// The file or folder.
    pub path: PathBuf,
    /// A path below it that containers have a say in; what is mounted is there.
    pub beneath: Option<PathBuf>,
}

pub(super) fn mounts(input: &SpecInput<'_>) -> Result<Vec<runtime::Mount>, SpecError> {
    let service = &input.template.service;
    let declared: Vec<&Path> = service.mounts.iter().map(|mount| mount.target.as_path()).collect();
    let shm = service.resources.shm_size.unwrap_or(defaults::SHM_SIZE);
    let mut list = kernel_mounts(service.privileged, shm);
    // A declared mount at the same place wins: `volumes: [./hosts:/etc/hosts]`, `tmpfs: /dev/shm`.
    list.retain(|mount| !declared.contains(&mount.destination().as_path()));
    for (target, source) in &input.mounts.files {
        if !declared.contains(&target.as_path()) {
            // As Docker's: a read-only root has no writable files in it.
            let access = if service.read_only { "ro" } else { "rw" };
            list.push(bind(target, source, ["rbind", "rprivate", access].map(str::to_owned).to_vec()));
        }
    }
    let mut own: Vec<&Mount> = service.mounts.iter().collect();
    // A mount below another's target must come after it.
    own.sort_by_key(|mount| mount.target.components().count());
    for mount in own {
        list.extend(declared_mount(input, mount)?);
    }
    Ok(list)
}

/// What every container has mounted, with so many bytes of `/dev/shm`. A privileged one may write what the kernel shows.
pub(crate) fn kernel_mounts(privileged: bool, shm: u64) -> Vec<runtime::Mount> {
    let mut list = defaults::mounts(shm);
    for mount in list.iter_mut().filter(|_| privileged) {
        let options = mount.options_mut().iter_mut().flatten();
        options.filter(|option| option.as_str() == "ro").for_each(|option| *option = "rw".to_owned());
    }
    list
}

pub(crate) fn mount(target: &Path, kind: &str, source: &Path, options: Vec<String>) -> runtime::Mount {
    let mut mount = runtime::Mount::default();
    mount
        .set_destination(target.to_owned())
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(source.to_owned()))
        .set_options(Some(options));
    mount
}

fn bind(target: &Path, source: &Path, options: Vec<String>) -> runtime::Mount {
    mount(target, "bind", source, options)
}

fn declared_mount(input: &SpecInput<'_>, mount: &Mount) -> Result<Option<runtime::Mount>, SpecError> {
    if let MountKind::Tmpfs(options) = &mount.kind {
        let options = tmpfs_options(options, mount.read_only)?;
        return Ok(Some(self::mount(&mount.target, "tmpfs", Path::new("tmpfs"), options)));
    }
    let Some(source) = input.mounts.sources.get(&mount.target) else { return Ok(None) };
    Ok(Some(bind(&mount.target, &source.path, bind_options(mount, source))))
}

/// With what is mounted below the source, the options hold for that too; a read-only mount can be told to leave it
/// writable.
fn bind_options(mount: &Mount, source: &SourcePath) -> Vec<String> {
    let (recursive, writable_below, propagation) = match &mount.kind {
        MountKind::Bind { propagation, recursive, writable_below, .. } => {
            (*recursive, *writable_below, propagation.as_deref())
        }
        _ => (true, false, None),
    };
    let kind = if recursive { "rbind" } else { "bind" };
    let access = match (mount.read_only, recursive && !writable_below) {
        (false, _) => "rw",
        (true, false) => "ro",
        (true, true) => "rro",
    };
    let mut options = [kind, propagation.unwrap_or("rprivate"), access].map(str::to_owned).to_vec();
    let all_below = if recursive { "r" } else { "" };
    options.extend(mount.options.iter().map(|option| format!("{all_below}{option}")));
    options.extend(source.beneath.iter().map(|path| format!("{BENEATH}{}", path.display())));
    options
}

fn tmpfs_options(options: &TmpfsOptions, read_only: bool) -> Result<Vec<String>, SpecError> {
    const FLAGS: [&str; 12] = [
        "ro",
        "rw",
        "exec",
        "noexec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "atime",
        "noatime",
        "strictatime",
        "relatime",
    ];
    let mut list: Vec<String> = ["nosuid", "nodev"].map(str::to_owned).to_vec();
    if !options.flags.iter().any(|flag| flag == "exec") {
        list.push("noexec".to_owned());
    }
    for flag in &options.flags {
        if !FLAGS.contains(&flag.as_str()) {
            return Err(SpecError::TmpfsOption(flag.clone()));
        }
        list.push(flag.clone());
    }
    if read_only {
        list.push("ro".to_owned());
    }
    list.push(format!("mode={:o}", options.mode.unwrap_or(0o1777)));
    list.extend(options.size.map(|bytes| format!("size={bytes}")));
    list.extend(options.uid.map(|uid| format!("uid={uid}")));
    list.extend(options.gid.map(|gid| format!("gid={gid}")));
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_a_bind_reach_as_far_down_as_they_are_meant_to() {
        let options = |read_only, recursive, writable_below, options: &[&str]| {
            let kind = MountKind::Bind {
                source: "/srv".into(),
                create: false,
                propagation: None,
                recursive,
                writable_below,
                content: None,
            };
            let options = options.iter().map(ToString::to_string).collect();
            let mount = Mount { target: "/m".into(), kind, read_only, options };
            bind_options(&mount, &SourcePath { path: "/srv".into(), beneath: None }).join(" ")
        };
        assert_eq!(options(false, true, false, &["noexec"]), "rbind rprivate rw rnoexec");
        assert_eq!(options(true, true, false, &[]), "rbind rprivate rro");
        assert_eq!(options(true, true, true, &[]), "rbind rprivate ro");
        assert_eq!(options(true, false, false, &["nodev"]), "bind rprivate ro nodev");
    }
}
