//! One name twice, as every pair of kinds; and what stood below the first.

use super::{Case, case};
use crate::raw::{Member, archive, device, dir, file, hard, member, symlink};

const KINDS: [&str; 9] =
    ["file", "dir", "full-dir", "dir-link", "dead-link", "fifo", "char", "block", "hard"];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for first in KINDS {
        for second in KINDS {
            let mut members = vec![file("t", "target"), dir("d")];
            members.extend(made(first, "1"));
            members.extend(made(second, "2"));
            members.push(file("z", "after"));
            cases.push(case(format!("replace/{first}-{second}"), archive(&members)));
        }
    }
    let twice = [dir("a"), file("a/x", "1"), dir("a"), file("a/y", "2")];
    cases.push(case("replace/directory-again", archive(&twice)));
    let deep = [dir("a"), dir("a/b"), file("a/b/x", "1"), file("a", "2"), dir("a"), file("a/y", "3")];
    cases.push(case("replace/deep-and-back", archive(&deep)));
    cases.push(case("replace/by-parent", archive(&[file("a", "1"), file("a/b", "2")])));
    cases.push(case("replace/three-times", archive(&[file("a", "1"), file("a", "22"), file("./a", "333")])));
    cases.push(case(
        "replace/root",
        archive(&[file("a", "1"), Member { mode: 0o700, ..dir("./") }, file("b", "2")]),
    ));
    cases
}

fn made(kind: &str, mark: &str) -> Vec<Member> {
    let (mode, mtime) = if mark == "1" { (0o711, 1) } else { (0o750, 2) };
    let made = match kind {
        "file" => file("n", mark),
        "dir" | "full-dir" => dir("n"),
        "dir-link" => symlink("n", "d"),
        "dead-link" => symlink("n", format!("nowhere{mark}")),
        "fifo" => member(b'6', "n"),
        "char" => device(b'3', "n", 1, 3),
        "block" => device(b'4', "n", 7, 0),
        _ => hard("n", "t"),
    };
    let mut members = vec![if kind == "hard" { made } else { Member { mode, mtime, ..made } }];
    if kind == "full-dir" {
        members.push(file(format!("n/in{mark}"), mark));
    }
    members
}
