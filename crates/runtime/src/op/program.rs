//! Executing the program: the last operation.

use std::ffi::{CString, c_char};
use std::fmt;

use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, ftruncate, stat};
use rustix::io::Errno;

use super::{Child, Failure, Note, Record, Step};
use crate::sys;

/// Tells the parent that the program comes next.
#[derive(Debug)]
pub struct Announce;

impl Step for Announce {
    fn perform(&self, child: &Child<'_>) -> Result<(), Failure> {
        let starting = Failure::noted(Errno::INPROGRESS, Note::Executing);
        // Without a parent to hear it the launch ends here. So the mark comes after it: who finds the mark may take
        // the process for the program.
        rustix::io::write(child.report, &Record { op: 0, failure: starting }.to_bytes())?;
        child.mark.map_or(Ok(()), |mark| Ok(ftruncate(mark, 0)?))
    }
}

impl fmt::Display for Announce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("say that the program is next")
    }
}

/// Executes the program.
///
/// By path and not by descriptor, because a script's interpreter opens the script again by the path it is
/// told. A program that turns out to be the runtime's own binary (`#!/proc/self/exe`, CVE-2019-5736) gains
/// nothing if that binary can't be written through: see [`crate::sealed`].
#[derive(Debug)]
pub struct Execute {
    /// Where it may be: one path, or one for each directory of `PATH`.
    pub(crate) candidates: Vec<CString>,
    pub(crate) argv: StringArray,
    pub(crate) envp: StringArray,
}

/// C strings and the null-terminated array of pointers to them that execve wants.
#[derive(Debug)]
pub(crate) struct StringArray {
    strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

// SAFETY: the pointers lead to the heap blocks of `strings`, which nobody changes and which live as long.
unsafe impl Send for StringArray {}
// SAFETY: as above; there is no interior mutability.
unsafe impl Sync for StringArray {}

impl StringArray {
    pub(crate) fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect();
        Self { strings, pointers }
    }
}

impl Step for Execute {
    fn perform(&self, _: &Child<'_>) -> Result<(), Failure> {
        let mut refused = Failure::from(Errno::NOENT);
        for candidate in &self.candidates {
            // SAFETY: both arrays end in null and their strings are alive.
            let errno =
                unsafe { sys::execve(candidate, self.argv.pointers.as_ptr(), self.envp.pointers.as_ptr()) };
            match errno {
                Errno::NOENT
                    if accessat(CWD, candidate.as_c_str(), Access::EXISTS, AtFlags::empty()).is_ok() =>
                {
                    return Err(Failure::noted(errno, Note::NoInterpreter));
                }
                Errno::NOENT | Errno::NOTDIR => {}
                // As a shell does: a later directory may have one that can be executed.
                Errno::ACCESS => refused = denied(candidate),
                errno => return Err(errno.into()),
            }
        }
        Err(refused)
    }
}

fn denied(candidate: &std::ffi::CStr) -> Failure {
    let kind = stat(candidate).map(|stat| FileType::from_raw_mode(stat.st_mode));
    let note = if kind == Ok(FileType::Directory) { Note::IsDirectory } else { Note::None };
    Failure::noted(Errno::ACCESS, note)
}

impl Execute {
    /// The command as the person wrote it.
    fn name(&self) -> String {
        self.argv.strings.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// What the failure means, and what to do about it.
    pub(crate) fn explain(&self, failure: &Failure) -> (String, Option<String>) {
        let name = self.name();
        let searched = self.candidates.len() > 1;
        let (what, advice) = match (failure.note, failure.errno) {
            (Note::NoInterpreter, _) => (
                "it is there, but the interpreter or loader that it names is not",
                "look at its #! line, or at whether the image has the C library it was linked with",
            ),
            (Note::IsDirectory, _) => ("it is a directory", "name the program in it"),
            (_, Errno::NOENT) if searched => {
                ("executable file not found in PATH", "check the spelling, the image and PATH")
            }
            (_, Errno::NOENT) => {
                ("no such file in the container", "check the path, the image and the mounts")
            }
            (_, Errno::ACCESS) => {
                ("permission denied", "make it executable (chmod +x) for the user, and its mount not noexec")
            }
            (_, Errno::NOEXEC) => (
                "not in a format this machine executes",
                "a script needs a #! line; a binary must be built for this machine's architecture",
            ),
            _ => return (format!("execute {name}"), None),
        };
        (format!("execute {name}: {what}"), Some(advice.to_owned()))
    }
}

impl fmt::Display for Execute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |strings: &[CString]| -> Vec<_> {
            strings.iter().map(|string| string.to_string_lossy().into_owned()).collect()
        };
        // Values of the environment may be secrets; names say enough.
        let names: Vec<_> =
            list(&self.envp.strings).iter().map(|v| v.split('=').next().unwrap_or("").to_owned()).collect();
        write!(f, "execute {}", list(&self.candidates).join(" or "))?;
        write!(f, " as {:?} with {}", list(&self.argv.strings), names.join(" "))
    }
}
