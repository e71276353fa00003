//! Walks a plan: the only place that writes limits.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::op::{Need, Op, Plan};
use super::{CgroupError, Unenforced, bpf};

/// Does what the plan says, in order, and stops at the first error; what was done by then stays.
/// Returns the plan's warnings and those found on the way.
pub fn apply(plan: &Plan) -> Result<Vec<Unenforced>, CgroupError> {
    let mut warnings = plan.warnings.clone();
    let mut files = Files::default();
    plan.ops.iter().try_for_each(|op| step(op, &mut files, &mut warnings))?;
    Ok(warnings)
}

/// As [`apply`], for a group whose directories were made a moment ago: the groups above it are there, and it has
/// nothing yet. Nothing comes of it where a group above has no CPUs or memory to hand down.
pub(super) fn apply_to_new(
    plan: &Plan,
    directories: &[PathBuf],
) -> Result<Option<Vec<Unenforced>>, CgroupError> {
    let mut warnings = plan.warnings.clone();
    let mut files = Files::default();
    for op in &plan.ops {
        match op {
            Op::MakeDir { dir } if directories.iter().any(|made| made.starts_with(dir)) => {}
            Op::InheritCpuset { dir } if directories.iter().any(|made| dir.starts_with(made)) => {
                if !take_cpuset(dir, |_| Ok(false))? {
                    return Ok(None);
                }
            }
            Op::InheritCpuset { .. } => {}
            op => step(op, &mut files, &mut warnings)?,
        }
    }
    Ok(Some(warnings))
}

/// The file that was written last, still open: version 1 takes its rules for devices one by one.
#[derive(Default)]
struct Files(Option<(PathBuf, File)>);

impl Files {
    fn write(&mut self, path: &Path, value: &str) -> io::Result<()> {
        let file = match self.0.take() {
            Some((known, file)) if known == path => file,
            _ => fs::OpenOptions::new().write(true).open(path)?,
        };
        let (_, file) = self.0.insert((path.to_owned(), file));
        write_whole(file, value)
    }
}

fn step(op: &Op, files: &mut Files, warnings: &mut Vec<Unenforced>) -> Result<(), CgroupError> {
    match op {
        Op::MakeDir { dir } => match fs::create_dir(dir) {
            Err(source) if source.kind() != ErrorKind::AlreadyExists => {
                Err(CgroupError::Make { dir: dir.clone(), source })
            }
            _ => Ok(()),
        },
        Op::EnableControllers { dir, controllers } => enable(dir, controllers),
        Op::InheritCpuset { dir } => take_cpuset(dir, |file| Ok(!read(file)?.trim().is_empty())).map(drop),
        Op::CountBelow { dir } => count_below(dir),
        Op::RefuseIfAbove { key, file, limit } => refuse_if_above(key, file, *limit),
        Op::Write { key, need, choices } => {
            let refusal = match write_first(files, key, choices) {
                Ok(()) => return Ok(()),
                Err(refusal) => refusal,
            };
            match (need, refusal) {
                (Need::Must, refusal) => Err(refusal),
                (Need::Wish, refusal) => {
                    let warning = as_warning(refusal)?;
                    // A container's inner group is refused what the outer one was: told once.
                    if !warnings.iter().any(|told| (told.key, &told.value) == (warning.key, &warning.value)) {
                        warnings.push(warning);
                    }
                    Ok(())
                }
            }
        }
        Op::FilterDevices { dir, rules } => bpf::filter_devices(dir, rules),
    }
}

/// Enables what isn't yet: enabling again would be refused in a group that has gained processes since.
fn enable(dir: &Path, controllers: &[&'static str]) -> Result<(), CgroupError> {
    let file = dir.join("cgroup.subtree_control");
    let enabled = read(&file)?;
    let enabled: BTreeSet<&str> = enabled.split_whitespace().collect();
    let missing: Vec<String> =
        controllers.iter().filter(|name| !enabled.contains(**name)).map(|name| format!("+{name}")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    write(&file, &missing.join(" ")).map_err(|source| CgroupError::Enable {
        dir: dir.to_owned(),
        controllers: missing.join(" "),
        hint: match source.kind() {
            ErrorKind::ResourceBusy => ": it has processes of its own, which must move into a child first",
            ErrorKind::NotFound => ": they were not delegated to it",
            _ => "",
        },
        source,
    })
}

/// Gives a group the CPUs and memory of the one above, but what it has. Says whether that one has any.
fn take_cpuset(dir: &Path, is_set: impl Fn(&Path) -> Result<bool, CgroupError>) -> Result<bool, CgroupError> {
    let Some(parent) = dir.parent() else { return Ok(true) };
    let mut has_all = true;
    for name in ["cpuset.mems", "cpuset.cpus"] {
        let file = dir.join(name);
        if is_set(&file)? {
            continue;
        }
        let inherited = read(&parent.join(name))?;
        let value = inherited.trim();
        has_all &= !value.is_empty();
        write(&file, value).map_err(|source| CgroupError::Refused {
            key: "cpuset inherited from the parent",
            value: value.to_owned(),
            file,
            source,
        })?;
    }
    Ok(has_all)
}

fn count_below(dir: &Path) -> Result<(), CgroupError> {
    let file = dir.join("memory.use_hierarchy");
    match write(&file, "1") {
        // Kernels that always count so may have no such file.
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(CgroupError::File { action: "write", file, source })
        }
        _ => Ok(()),
    }
}

fn refuse_if_above(key: &'static str, file: &Path, limit: u64) -> Result<(), CgroupError> {
    let text = read(file)?;
    let used: u64 = text.trim().parse().map_err(|_| CgroupError::Format {
        file: file.to_owned(),
        text: text.clone(),
        expected: "a number of bytes",
    })?;
    if used > limit {
        let rule = format!("{used} bytes are in use and the change was to be checked first");
        return Err(CgroupError::Invalid { key, value: limit.to_string(), rule });
    }
    Ok(())
}

fn write_first(
    files: &mut Files,
    key: &'static str,
    choices: &[(PathBuf, String)],
) -> Result<(), CgroupError> {
    for (file, value) in choices {
        match files.write(file, value) {
            Ok(()) => return Ok(()),
            Err(source) if source.kind() == ErrorKind::NotFound => {}
            Err(source) => {
                return Err(CgroupError::Refused { key, value: value.clone(), file: file.clone(), source });
            }
        }
    }
    let files: Vec<String> = choices.iter().map(|(file, _)| file.display().to_string()).collect();
    Err(CgroupError::Unenforceable(Unenforced {
        key,
        value: choices.last().map(|(_, value)| value.clone()).unwrap_or_default(),
        why: format!("this kernel has no {}", files.join(" nor ")),
    }))
}

/// A refused preference is told, not fatal; anything else that went wrong stays an error.
fn as_warning(error: CgroupError) -> Result<Unenforced, CgroupError> {
    match error {
        CgroupError::Unenforceable(unenforced) => Ok(unenforced),
        CgroupError::Refused { key, value, file, source } => Ok(Unenforced {
            key,
            value,
            why: format!("the kernel refused it in {}: {source}", file.display()),
        }),
        other => Err(other),
    }
}

/// One write(2): cgroupfs takes a value whole or not at all.
pub(super) fn write(file: &Path, value: &str) -> io::Result<()> {
    write_whole(&fs::OpenOptions::new().write(true).open(file)?, value)
}

fn write_whole(mut file: &File, value: &str) -> io::Result<()> {
    let written = file.write(value.as_bytes())?;
    if written == value.len() { Ok(()) } else { Err(ErrorKind::WriteZero.into()) }
}

fn read(file: &Path) -> Result<String, CgroupError> {
    let failed = |source| CgroupError::File { action: "read", file: file.to_owned(), source };
    read_short(file).map_err(failed)
}

/// One read(2) gives all of what is short: cgroupfs has a value ready as a whole.
fn read_short(file: &Path) -> io::Result<String> {
    let mut buffer = [0; 4096];
    let length = File::open(file)?.read(&mut buffer)?;
    if length == buffer.len() {
        return fs::read_to_string(file);
    }
    let text = buffer.get(..length).unwrap_or_default().to_vec();
    String::from_utf8(text).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}
