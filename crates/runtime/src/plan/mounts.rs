//! The mounts of the specification, in its order, with what belongs to each: devices in `/dev`, the
//! container's own groups in `/sys/fs/cgroup`.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci_spec::runtime::{Mount as OciMount, Spec};

use super::cgroups::{self, CgroupView};
use super::options::{Options, parameter};
use super::{Plan, c_path, c_string, devices};
use crate::launch::PrepareError;
use crate::op::{CloneTree, Console, Mount, MountConsole, Op, Parameter, Place, Source, Target, Tree};
use crate::sys::MountAttr;

const DEV: &str = "/dev";
const PROC: &str = "/proc";
const SYS: &str = "/sys";
const TERMINALS: &str = "/dev/pts";

/// Files of `/proc` that another program than the kernel may stand in for (lxcfs), as runc allows them.
const IN_PROC: [&str; 11] = [
    "cpuinfo",
    "diskstats",
    "meminfo",
    "stat",
    "swaps",
    "uptime",
    "loadavg",
    "slabinfo",
    "net/dev",
    "sys/kernel/ns_last_pid",
    "sys/crypto/fips_enabled",
];

/// What the mounts need besides the specification.
pub(super) struct Mounts<'a> {
    cgroup_view: &'a [CgroupView],
    console: Option<Console>,
    /// The file system of terminals, when it is made already.
    devpts: Option<OwnedFd>,
}

/// The parameters of the new file system of terminals that the specification has, if it does.
pub(crate) fn terminals(spec: &Spec) -> Result<Option<Vec<Parameter>>, PrepareError> {
    let entries = spec.mounts().iter().flatten().map(Entry::read);
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    // What is mounted last at a place is what is seen there.
    let last = entries.into_iter().rfind(|entry| entry.target == Path::new(TERMINALS));
    Ok(last.filter(Entry::is_terminals).map(|entry| entry.options.parameters))
}

/// What has to be cloned for a list of mounts, in its order.
pub(super) fn sources(mounts: &[Op]) -> Vec<Op> {
    let source = |op: &Op| match op {
        Op::Mount(Mount { source: Source::Bind(tree), target, .. }) => {
            Some(CloneTree { tree: Arc::clone(tree), target: target.to_string() }.into())
        }
        _ => None,
    };
    mounts.iter().filter_map(source).collect()
}

/// A mount of the specification, read.
pub(super) struct Entry<'a> {
    pub(super) field: String,
    pub(super) target: PathBuf,
    pub(super) typ: &'a str,
    pub(super) source: Option<&'a Path>,
    pub(super) words: &'a [String],
    pub(super) options: Options,
}

impl<'a> Mounts<'a> {
    pub(super) fn new(
        cgroup_view: &'a [CgroupView],
        console: Option<Console>,
        devpts: Option<OwnedFd>,
    ) -> Self {
        Self { cgroup_view, console, devpts }
    }

    /// Devices come with the mount at `/dev`, so that later mounts may lie on them and beside them; into
    /// the image's own `/dev` when nothing is mounted there; not at all into a bind, which is the host's.
    pub(super) fn plan(&mut self, plan: &mut Plan, spec: &Spec) -> Result<(), PrepareError> {
        let entries = spec.mounts().iter().flatten().map(Entry::read);
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        let console = self.console.take().map(|console| MountConsole { console });
        if !entries.iter().any(|entry| entry.target == Path::new(DEV)) {
            devices::plan(plan, spec)?;
        }
        for entry in entries {
            let makes_devices = entry.target == Path::new(DEV) && entry.options.bind.is_none();
            self.mount(plan, entry)?;
            if makes_devices {
                devices::plan(plan, spec)?;
            }
        }
        plan.ops.extend(console.map(Into::into));
        Ok(())
    }

    fn mount(&mut self, plan: &mut Plan, entry: Entry<'_>) -> Result<(), PrepareError> {
        if entry.is_terminals()
            && let Some(devpts) = self.devpts.take()
        {
            let label = entry.label(&format!("mount {}", entry.typ));
            plan.push(entry.finish(Source::Made(devpts), label)?);
            return Ok(());
        }
        match (entry.options.bind, entry.typ) {
            (Some(recursive), _) => plan.push(entry.bind(recursive)?),
            (None, "cgroup" | "cgroup2") => cgroups::plan(plan, &entry, self.cgroup_view)?,
            (None, "") => return Err(PrepareError::invalid(entry.field, "has neither a type nor bind")),
            (None, _) => plan.push(entry.file_system()?),
        }
        Ok(())
    }
}

impl<'a> Entry<'a> {
    fn read(mount: &'a OciMount) -> Result<Self, PrepareError> {
        let destination = mount.destination();
        let field = format!("mounts: {}", destination.display());
        if mount.uid_mappings().is_some() || mount.gid_mappings().is_some() {
            return Err(PrepareError::unsupported(format!("{field}: id-mapped mounts")));
        }
        let words = mount.options().as_deref().unwrap_or_default();
        let mut options = Options::parse(&field, words)?;
        let typ = mount.typ().as_deref().unwrap_or_default();
        if typ == "bind" {
            options.bind = options.bind.or(Some(false));
        }
        // The specification has deprecated relative destinations and takes them from the root.
        let target: PathBuf = Path::new("/").join(destination).components().collect();
        if target == Path::new("/") {
            return Err(PrepareError::invalid(field, "a mount can't replace the root file system"));
        }
        Ok(Self { field, target, typ, source: mount.source().as_deref(), words, options })
    }

    fn is_terminals(&self) -> bool {
        self.options.bind.is_none() && self.typ == "devpts" && self.target == Path::new(TERMINALS)
    }

    fn bind(self, recursive: bool) -> Result<Mount, PrepareError> {
        let source =
            self.source.ok_or_else(|| PrepareError::invalid(&self.field, "a bind needs a source"))?;
        if let Some(unknown) = self.options.parameters.first() {
            let problem = format!("{} is not an option of a bind", unknown.key.to_string_lossy());
            return Err(PrepareError::invalid(self.field, problem));
        }
        let path = c_path(&self.field, source)?;
        let tree = Tree::new(path, self.options.beneath.clone(), recursive);
        let label = self.label(&format!("bind {tree}"));
        let mut mount = self.finish(Source::Bind(tree), label)?;
        // A clone starts as a slave of the host's mount. Unless that is wanted, it is cut off.
        if mount.attr.propagation == 0 && mount.attr_below.propagation == 0 {
            // One mount alone is changed all at once.
            let attr = if recursive { &mut mount.attr_below } else { &mut mount.attr };
            attr.propagation = libc::MS_PRIVATE;
        }
        Ok(mount)
    }

    fn file_system(mut self) -> Result<Mount, PrepareError> {
        let fstype = c_string(&self.field, self.typ.as_bytes())?;
        let mut parameters = std::mem::take(&mut self.options.parameters);
        if let Some(source) = self.source {
            let mut named = parameter(&self.field, "source=")?;
            named.value = Some(c_string(&self.field, source.as_os_str().as_bytes())?);
            parameters.insert(0, named);
        }
        let has_mode = parameters.iter().any(|parameter| parameter.key.as_c_str() == c"mode");
        let mode_of_target = self.typ == "tmpfs" && !has_mode;
        let label = self.label(&format!("mount {}", self.typ));
        self.finish(Source::New { fstype, parameters, mode_of_target }, label)
    }

    fn finish(self, source: Source, label: String) -> Result<Mount, PrepareError> {
        let place = self.place()?;
        let Options { attr, attr_below, .. } = self.options;
        let target = Target::Path(c_path(&self.field, &self.target)?, place);
        Ok(Mount { source, target, attr, attr_below, label })
    }

    /// What the written target allows; over `/proc` and `/sys` nearly nothing.
    fn place(&self) -> Result<Place, PrepareError> {
        let is_bind = self.options.bind.is_some();
        match (self.target.strip_prefix(PROC), self.target.strip_prefix(SYS)) {
            _ if matches!(self.typ, "proc" | "sysfs") && !is_bind => Ok(Place::Plain),
            (Ok(below), _) if below == Path::new("") && is_bind => Ok(Place::Proc),
            (Ok(below), _) if IN_PROC.iter().any(|name| below == Path::new(name)) => Ok(Place::Plain),
            (_, Ok(below)) if below != Path::new("") => Ok(Place::BelowSys),
            (_, Ok(_)) if is_bind => Ok(Place::Sys),
            (Err(_), Err(_)) => Ok(Place::Anywhere),
            _ => {
                Err(PrepareError::invalid(&self.field, "nothing may be mounted over the kernel's own files"))
            }
        }
    }

    pub(super) fn label(&self, what: &str) -> String {
        let words: Vec<_> = self.words.iter().map(String::as_str).collect();
        let words: Vec<_> = words.into_iter().filter(|word| !matches!(*word, "bind" | "rbind")).collect();
        let options = if words.is_empty() { String::new() } else { format!(" ({})", words.join(",")) };
        format!("{what} at {}{options}", self.target.display())
    }

    /// The attributes that a mount made in this one's place has.
    pub(super) fn attr(&self) -> MountAttr {
        self.options.attr
    }
}
