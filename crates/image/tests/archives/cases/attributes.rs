//! Kinds of entries in every header format, devices, and extended attributes.

use super::{Case, case};
use crate::raw::{
    GNU, Member, USTAR, V7, archive, body, device, dir, ended, file, hard, member, pax, symlink,
};

/// `cap_net_raw=ep` (capabilities(7), version 2).
const CAPABILITY: &[u8] = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = kinds();
    cases.extend(devices());
    cases.extend(xattrs());
    cases
}

fn kinds() -> Vec<Case> {
    let mut cases = Vec::new();
    for (magic, format) in [(V7, "v7"), (USTAR, "ustar"), (GNU, "gnu")] {
        for kind in [0, b'0', b'1', b'2', b'3', b'4', b'5', b'6', b'7'] {
            let content = if matches!(kind, 0 | b'0' | b'7') { b"content".to_vec() } else { Vec::new() };
            let made = Member {
                link: if matches!(kind, b'1' | b'2') { b"t".to_vec() } else { Vec::new() },
                content,
                device: (1, 3),
                owner: (3, 4),
                ..member(kind, "n")
            };
            let members = [file("t", "x"), made, file("z", "after")].map(|made| Member { magic, ..made });
            let shown = if kind == 0 { "nul".to_owned() } else { char::from(kind).to_string() };
            cases.push(case(format!("kind/{shown}/{format}"), archive(&members)));
        }
    }
    for kind in *b"VMNADEIXS89z \x80" {
        let made = Member { content: b"content".to_vec(), ..member(kind, "n") };
        let name = format!("kind/odd-{kind:02x}");
        cases.push(case(name, archive(&[file("t", "x"), made, file("z", "after")])));
    }
    cases
}

fn devices() -> Vec<Case> {
    let numbers = [("null", 1, 3), ("largest-old", 255, 255), ("large", 4095, 1_048_575), ("zero-one", 0, 1)];
    let mut cases = Vec::new();
    for (what, major, minor) in numbers {
        for (kind, letter) in [(b'3', "char"), (b'4', "block")] {
            cases.push(case(format!("device/{what}-{letter}"), archive(&[device(kind, "n", major, minor)])));
        }
    }
    let modes = [0o600, 0o4755, 0o1777];
    cases.extend(modes.map(|mode| {
        let members = [Member { mode, ..device(b'3', "c", 1, 3) }, Member { mode, ..member(b'6', "f") }];
        case(format!("device/mode-{mode:o}"), archive(&members))
    }));
    let sized = Member { size: Some(700), ..member(b'6', "f") };
    cases.push(case("device/fifo-with-size", archive(&[sized, file("z", "after")])));
    cases
}

fn xattrs() -> Vec<Case> {
    let with =
        |records: &[(&str, &[u8])], on: Member| ended(&[pax(records), body(&[on, file("z", "after")])]);
    let long = vec![b'v'; 3000];
    let mut cases = Vec::new();
    let values: [(&str, &str, &[u8]); 10] = [
        ("user", "SCHILY.xattr.user.a", b"b"),
        ("user-binary", "SCHILY.xattr.user.a", b"\0\n=\xff"),
        ("user-empty", "SCHILY.xattr.user.a", b""),
        ("user-long", "SCHILY.xattr.user.a", &long),
        ("user-equals", "SCHILY.xattr.user.a=b", b"c"),
        ("trusted", "SCHILY.xattr.trusted.a", b"b"),
        ("capability", "SCHILY.xattr.security.capability", CAPABILITY),
        ("libarchive", "LIBARCHIVE.xattr.user.a", b"Yg"),
        ("no-name", "SCHILY.xattr.", b"b"),
        ("no-namespace", "SCHILY.xattr.other.a", b"b"),
    ];
    for (what, key, value) in values {
        cases.push(case(
            format!("xattr/{what}"),
            with(&[(key, value)], Member { mode: 0o755, ..file("n", "x") }),
        ));
    }
    let key = "SCHILY.xattr.trusted.a";
    for (what, on) in [("dir", dir("n")), ("symlink", symlink("n", "t")), ("fifo", member(b'6', "n"))] {
        cases.push(case(format!("xattr/on-{what}"), with(&[(key, b"b")], on)));
    }
    cases.push(case("xattr/user-on-symlink", with(&[("SCHILY.xattr.user.a", b"b")], symlink("n", "t"))));
    cases.push(case(
        "xattr/on-owned",
        with(
            &[("SCHILY.xattr.security.capability", CAPABILITY)],
            Member { owner: (5, 5), mode: 0o4755, ..file("n", "x") },
        ),
    ));
    cases.push(case(
        "xattr/twice",
        with(&[("SCHILY.xattr.user.a", b"1"), ("SCHILY.xattr.user.a", b"2")], file("n", "x")),
    ));
    cases.push(case(
        "xattr/several",
        with(&[("SCHILY.xattr.user.a", b"1"), ("SCHILY.xattr.user.b", b"2")], file("n", "x")),
    ));
    cases.push(case(
        "xattr/on-hard-link",
        ended(&[body(&[file("t", "x")]), pax(&[("SCHILY.xattr.user.a", b"1")]), body(&[hard("l", "t")])]),
    ));
    for key in [
        "trusted.overlay.opaque",
        "trusted.overlay.redirect",
        "trusted.overlay.whiteout",
        "user.overlay.opaque",
    ] {
        let record = format!("SCHILY.xattr.{key}");
        cases.push(case(format!("xattr/{key}"), with(&[(&record, b"y")], dir("n"))));
    }
    cases
}
