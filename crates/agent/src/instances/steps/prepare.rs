//! The part of a start that needs no network: root file system, user, volumes, generated files. Blocking.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use hoist_model::{
    HOST_GATEWAY, ImageSource, InstanceUid, MountKind, NetworkMode, ResolvedImage, Service, VolumeId,
};
use hoist_planner::host::StepError;
use hoist_runtime::rootfs::view::View;
use hoist_runtime::rootfs::{self, Layers, Rootfs};
use hoist_runtime::users::{self, Identity};
use rustix::io::Errno;

use super::context::InstanceContext;
use super::ensure_volume;
use crate::host::Host;
use crate::instances::devices::{self, Device};
use crate::instances::files;
use crate::instances::oci::{MountInput, SourcePath};
use crate::instances::volume;
use crate::layout::InstanceLayout;
use crate::outcome::{failed, refused, unmade};

/// What was made ready.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The root file system, detached.
    pub(super) root: OwnedFd,
    /// Who the program runs as.
    pub(super) user: Identity,
    /// Its host name.
    pub(super) hostname: String,
    /// Paths behind its mounts.
    pub(super) mounts: MountInput,
    /// Devices of the host that it is given.
    pub(super) devices: Vec<Device>,
}

pub(super) fn prepare(
    host: &Host,
    uid: InstanceUid,
    instance: &InstanceContext,
) -> Result<Prepared, StepError> {
    let template = &instance.template;
    let layout = host.layout.instance(&uid);
    // Not with the instance's other folders: this one doesn't outlive a boot.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(layout.run())
        .map_err(|error| refused(format!("can't make {}: {error}", layout.run().display()), "free memory"))?;
    super::create::mend(&layout, uid, instance)?;
    let root = root(host, &layout, &template.image)?;
    let wanted =
        template.service.user.as_deref().or(template.image.config.user.as_deref()).unwrap_or_default();
    let user = users::resolve(root.as_fd(), wanted, &template.service.group_add)
        .map_err(|error| refused(error.to_string(), "name a user of the image, or a number, in `user:`"))?;
    let devices = devices::given(&template.service).map_err(|error| {
        refused(error.to_string(), "correct the path under `devices:`, or connect the device")
    })?;
    let hostname = hostname(&template.service, uid, host);
    let mut mounts = MountInput { files: Vec::new(), sources: sources(host, &layout, instance, &root)? };
    mounts.files = generated_files(host, &layout, instance, &hostname)?;
    Ok(Prepared { root, user, hostname, mounts, devices })
}

/// The root file system: the image's layers, or the part of a folder of the host that is to be seen.
fn root(host: &Host, layout: &InstanceLayout, image: &ResolvedImage) -> Result<OwnedFd, StepError> {
    let lower = host.images.layers(image)?;
    let (upper, work) = (layout.upper(), layout.work());
    let rootfs = match &image.source {
        ImageSource::Rootfs(dir) => {
            super::root::settle(&upper).map_err(|error| failed(&error))?;
            let parts = host.bases.parts(dir, host.layout.root());
            Rootfs::View(View { base: dir.clone(), parts, upper, work })
        }
        ImageSource::Reference(_) | ImageSource::OciLayout { .. } => {
            // At the bottom: what the image has goes before.
            let lower = lower.into_iter().chain([host.layout.skeleton()]).collect();
            Rootfs::Layers(Layers { lower, upper, work })
        }
    };
    rootfs::assemble(&rootfs).map_err(|error| failed(&error))
}

fn hostname(service: &Service, uid: InstanceUid, host: &Host) -> String {
    match &service.hostname {
        Some(name) => name.clone(),
        None if service.network_mode == NetworkMode::Host => host.hostname.clone(),
        None => uid.short(),
    }
}

/// The gateway of the network that its default route leads through.
fn gateway(instance: &InstanceContext) -> Option<IpAddr> {
    let first = instance.networks.values().next()?;
    let subnet = first.subnets.first()?;
    subnet.iter().nth(1)
}

/// The host path of each mount that has one; volumes are made and filled on the way.
fn sources(
    host: &Host,
    layout: &InstanceLayout,
    instance: &InstanceContext,
    root: &OwnedFd,
) -> Result<BTreeMap<PathBuf, SourcePath>, StepError> {
    let mut sources = BTreeMap::new();
    for (number, mount) in instance.template.service.mounts.iter().enumerate() {
        let whole = |path| SourcePath { path, beneath: None };
        let source = match &mount.kind {
            MountKind::Tmpfs(_) => continue,
            MountKind::Bind { source, .. } => whole(source.clone()),
            MountKind::Volume { id, subpath, no_copy } => {
                let data = host.layout.volume_data(id);
                let data = match instance.volumes.get(id) {
                    Some(spec) => ensure_volume(&data, spec)?,
                    None => volume::ensure(&data).map(|()| data).map_err(|error| failed(&error))?,
                };
                if let Some(subpath) = subpath {
                    check_subpath(id, &data, subpath)?;
                } else if !no_copy {
                    volume::copy_up(root.as_fd(), &mount.target, &data).map_err(|error| failed(&error))?;
                }
                SourcePath { path: data, beneath: subpath.clone() }
            }
            MountKind::Anonymous => {
                let data = layout.anonymous_volume(number);
                volume::ensure(&data).map_err(|error| failed(&error))?;
                volume::copy_up(root.as_fd(), &mount.target, &data).map_err(|error| failed(&error))?;
                whole(data)
            }
            MountKind::Content { content, uid, gid, mode, .. } => {
                let path = layout.file(&format!("content-{number}"));
                write(&path, content, *mode, Some((*uid, *gid)))?;
                whole(path)
            }
        };
        sources.insert(mount.target.clone(), source);
    }
    Ok(sources)
}

/// Looks whether a subpath can be mounted. What is mounted is found once more by the launch, beneath the volume as
/// well: the volume's content may change in between.
fn check_subpath(id: &VolumeId, data: &Path, subpath: &Path) -> Result<(), StepError> {
    let shown = subpath.display();
    volume::check_subpath(data, subpath).map_err(|errno| match errno {
        Errno::XDEV | Errno::LOOP => refused(
            format!("the subpath {shown} of volume {id} leads out of the volume, over a link or `..`"),
            "remove the link from the volume, or correct `subpath`",
        ),
        Errno::NOENT | Errno::NOTDIR => refused(
            format!("the subpath {shown} of volume {id} is not there"),
            "make it in the volume, or correct `subpath`",
        ),
        errno => failed(&errno),
    })
}

/// Asks the folders of the host that are to be mounted whether they are there and answer; those that may be missing are
/// made.
pub(super) async fn ask_sources(host: &Host, instance: &InstanceContext) -> Result<(), StepError> {
    for mount in &instance.template.service.mounts {
        match &mount.kind {
            MountKind::Bind { source, create, .. } => {
                let (path, create) = (source.clone(), *create);
                host.answering.ask(source, move || bind_source(&path, create)).await?;
            }
            MountKind::Volume { id, .. } => {
                let Some(spec) = instance.volumes.get(id).filter(|spec| !spec.options.is_empty()) else {
                    continue;
                };
                let (data, spec) = (host.layout.volume_data(id), spec.clone());
                let asked = data.clone();
                host.answering.ask(&asked, move || ensure_volume(&data, &spec).map(drop)).await?;
            }
            MountKind::Tmpfs(_) | MountKind::Anonymous | MountKind::Content { .. } => {}
        }
    }
    Ok(())
}

fn bind_source(source: &Path, create: bool) -> Result<(), StepError> {
    match fs::symlink_metadata(source) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
            let fail = |error: io::Error| StepError {
                hint: Some("make the folder yourself".to_owned()),
                ..unmade(source, &error)
            };
            fs::create_dir_all(source).map_err(fail)
        }
        Err(error) => {
            let what = format!("bind source {}: {error}", source.display());
            Err(refused(what, "make it, or correct the path under `volumes:`"))
        }
    }
}

/// Where `host-gateway` points: an address where what listens on the host, and its published ports, answer.
fn host_gateway(host: &Host, mode: &NetworkMode) -> Option<IpAddr> {
    match mode {
        NetworkMode::Host => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => host.fabric.host_address(),
    }
}

fn generated_files(
    host: &Host,
    layout: &InstanceLayout,
    instance: &InstanceContext,
    hostname: &str,
) -> Result<Vec<(PathBuf, PathBuf)>, StepError> {
    let service = &instance.template.service;
    let addresses: Vec<IpAddr> = instance.spec.addresses.values().flatten().copied().collect();
    let behind = host_gateway(host, &service.network_mode);
    let extra: Vec<(String, IpAddr)> = service
        .extra_hosts
        .iter()
        .filter_map(|(name, address)| {
            let address = if address == HOST_GATEWAY { behind } else { address.parse().ok() };
            Some((name.clone(), address?))
        })
        .collect();
    let hosts = files::hosts(hostname, service.domainname.as_deref(), &addresses, &extra);
    let resolv = match (&service.network_mode, gateway(instance)) {
        (NetworkMode::Own, Some(gateway)) => {
            // dns: is who our server asks for other names, not whom the instance asks.
            files::resolv_conf(&[gateway], &service.dns_search, &service.dns_opt)
        }
        _ => fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
    };
    let texts = [format!("{hostname}\n"), hosts, resolv];
    let mut made = Vec::new();
    for (name, text) in files::NAMES.into_iter().zip(texts) {
        let path = layout.file(name);
        write(&path, text.as_bytes(), 0o644, None)?;
        made.push((Path::new("/etc").join(name), path));
    }
    Ok(made)
}

/// In place, not by rename: a running instance has the file itself mounted.
pub(super) fn write(
    path: &Path,
    content: &[u8],
    mode: u32,
    owner: Option<(u32, u32)>,
) -> Result<(), StepError> {
    let put = || -> io::Result<()> {
        fs::write(path, content)?;
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        owner.map_or(Ok(()), |(uid, gid)| chown(path, Some(uid), Some(gid)))
    };
    put().map_err(|error| unmade(path, &error))
}
