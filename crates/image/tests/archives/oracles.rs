//! What others make of an archive: GNU tar, with whiteouts applied as the specification has them; and Docker.

use std::ffi::OsStr;
use std::fs;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timestamps, XattrFlags};

use crate::cases::Case;
use crate::support::{have, in_namespaces};

/// What came of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Tree(String),
    /// A reason, for people to read.
    Refused(String),
}

/// GNU tar's tree. What it extracts beside complaining counts only when the tree is asked for.
pub(crate) struct Gnu {
    pub(crate) complaint: Option<String>,
    pub(crate) root: PathBuf,
}

pub(crate) fn gnu(bytes: &[u8], into: &Path) -> Gnu {
    let root = into.join("fs");
    fs::create_dir_all(&root).unwrap();
    let archive = into.join("archive");
    // GNU tar knows no zstd without a program, and no several members of it.
    fs::write(&archive, inflated(bytes)).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--numeric-owner", "--same-owner", "--xattrs", "--xattrs-include=*", "-p", "-x"]);
    tar.arg("-f").arg(&archive).arg("-C").arg(&root).stdin(Stdio::null()).env("LC_ALL", "C");
    let output = tar.output().unwrap();
    let complaint = (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned());
    apply_whiteouts(&root);
    Gnu { complaint, root }
}

/// As gzip and zstd themselves see it; what they can't read whole stays as it is, for tar to refuse.
fn inflated(bytes: &[u8]) -> Vec<u8> {
    let program = match bytes {
        [0x1f, 0x8b, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50, 0x2a, 0x4d, 0x18, ..] => "zstd",
        _ => return bytes.to_vec(),
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let input = fs::File::open(file.path()).unwrap();
    let output = Command::new(program).arg("-dc").stdin(input).stderr(Stdio::null()).output();
    output
        .ok()
        .filter(|output| output.status.success())
        .map_or_else(|| bytes.to_vec(), |output| output.stdout)
}

/// Turns `.wh.` files into what overlayfs has for them. A name that the layer itself has stays.
fn apply_whiteouts(folder: &Path) {
    // Through a descriptor: the tree may be deeper than a path is long.
    let open = fs::File::open(folder).unwrap();
    let here = PathBuf::from(format!("/proc/self/fd/{}/.", open.as_raw_fd()));
    let folder = here.as_path();
    let list = fs::read_dir(folder).unwrap();
    let times = rustix::fs::lstat(folder).unwrap();
    for path in list.map(|entry| entry.unwrap().path()).collect::<Vec<_>>() {
        let name = path.file_name().unwrap().as_bytes();
        let Some(hidden) = name.strip_prefix(b".wh.") else {
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                apply_whiteouts(&path);
            }
            continue;
        };
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        }
        .unwrap();
        match hidden {
            b".wh..opq" => opaque(folder),
            _ if hidden.starts_with(b".wh.") => {}
            _ => hide(&folder.join(OsStr::from_bytes(hidden))),
        }
    }
    let time = |seconds, nanos: i64| rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanos as _ };
    let times = Timestamps {
        last_access: time(times.st_atime, times.st_atime_nsec as i64),
        last_modification: time(times.st_mtime, times.st_mtime_nsec as i64),
    };
    rustix::fs::utimensat(CWD, folder, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn hide(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => opaque(path),
        Ok(_) => {}
        Err(_) => drop(rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0)),
    }
}

fn opaque(path: &Path) {
    rustix::fs::setxattr(path, "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
}

/// One line each: the archive's number, and the folder of the layer, or what went wrong.
const DOCKER: &str = r#"
ip link set lo up
cd "$1"; mkdir -p data exec
dockerd -H unix://$1/socket --data-root $1/data --exec-root $1/exec --pidfile $1/pid --storage-driver overlay2 \
    --bridge none --iptables=false --ip6tables=false >log 2>&1 &
daemon=$!
api() { curl -sS --unix-socket "$1/socket" "${@:2}"; }
until api "$1" http://d/_ping >/dev/null 2>&1; do kill -0 $daemon || exit 1; [ $((n++)) -lt 600 ] || exit 1; sleep 0.1; done
import() {
    # The daemon answers pings before all of it is up; it always says something of an archive that it has seen.
    for again in 1 2 3 4 5; do
        api "$1" -X POST -H 'Content-Type: application/x-tar' --data-binary "@archives/$2" -o "answer$2" "http://d/images/create?fromSrc=-&repo=t&tag=n$2"
        [ -s "answer$2" ] && break
        sleep 1
    done
    upper=$(api "$1" "http://d/images/t:n$2/json" | grep -o '"UpperDir":"[^"]*"' | cut -d'"' -f4)
    echo "$2 $upper$([ -n "$upper" ] || tr '\r\n' '  ' < "answer$2" | tail -c 300)"
}
export -f api import
ls archives | xargs -P 4 -I N bash -c 'import "$1" N' bash "$1" | sort > results
kill $daemon; wait $daemon
"#;

/// What Docker makes of all archives, in one run of a daemon in namespaces of its own; `None` when it can't run.
pub(crate) fn docker(cases: &[Case], at: &Path) -> Option<Vec<Result<PathBuf, String>>> {
    if !have("archives", "dockerd") || !have("archives", "curl") {
        return None;
    }
    fs::create_dir_all(at.join("archives")).unwrap();
    for (n, case) in cases.iter().enumerate() {
        fs::write(at.join(format!("archives/{n:04}")), &case.bytes).unwrap();
    }
    let ended = in_namespaces(DOCKER).arg("bash").arg(at).output().unwrap();
    let results = fs::read_to_string(at.join("results")).unwrap_or_default();
    if results.lines().count() != cases.len() {
        let log = fs::read_to_string(at.join("log")).unwrap_or_default();
        let last = log.lines().last().unwrap_or_default();
        eprintln!("archives, Docker's side: skipped, because dockerd does not run here: {ended:?} {last}");
        return None;
    }
    let result = |line: &str| match line.split_once(' ') {
        Some((_, path)) if path.starts_with('/') => Ok(PathBuf::from(path)),
        Some((_, answer)) => Err(answer.to_owned()),
        None => Err(String::new()),
    };
    Some(results.lines().map(result).collect())
}
