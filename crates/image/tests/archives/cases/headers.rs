//! Extended headers: what they override, in which order, and how they are spoilt.

use super::{Case, case};
use crate::raw::{
    Member, archive, body, dir, ended, extended, file, hard, long, member, pax, raw_extended, record, symlink,
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = orders();
    cases.extend(sizes());
    cases.extend(globals());
    cases.extend(spoilt());
    cases
}

fn orders() -> Vec<Case> {
    let (f, z) = (body(&[file("header", "x")]), body(&[file("z", "after")]));
    let path = |name: &str| pax(&[("path", name.as_bytes())]);
    let made = |what: &str, parts: Vec<Vec<u8>>| {
        case(format!("order/{what}"), ended(&[parts, vec![f.clone(), z.clone()]].concat()))
    };
    vec![
        made("pax-then-gnu", vec![path("pax"), long(b'L', b"gnu")]),
        made("gnu-then-pax", vec![long(b'L', b"gnu"), path("pax")]),
        made("pax-twice", vec![path("first"), path("second")]),
        made("pax-twice-other-keys", vec![path("first"), pax(&[("mtime", b"5")])]),
        made("gnu-twice", vec![long(b'L', b"first"), long(b'L', b"second")]),
        made("pax-record-twice", vec![pax(&[("path", b"first"), ("path", b"second")])]),
        made("pax-taken-back", vec![pax(&[("path", b"first"), ("path", b"")])]),
        made(
            "pax-unknown-keys",
            vec![pax(&[("comment", b"hello"), ("VENDOR.key", b"x"), ("atime", b"1"), ("ctime", b"1")])],
        ),
        made("pax-names", vec![pax(&[("uname", b"daemon"), ("gname", b"games")])]),
        made("pax-charset", vec![pax(&[("hdrcharset", b"BINARY"), ("path", b"\xff")])]),
        made("gnu-link-for-file", vec![long(b'K', b"unused")]),
        made("gnu-name-with-nul", vec![long(b'L', b"name\0rest")]),
        made("gnu-name-empty", vec![long(b'L', b"")]),
        case("order/pax-at-the-end", ended(&[f.clone(), path("nothing")])),
        case("order/gnu-at-the-end", ended(&[f.clone(), long(b'L', b"nothing")])),
        case("order/pax-not-for-the-next", ended(&[path("pax"), f.clone(), z.clone()])),
        case(
            "order/solaris-extended",
            ended(&[extended(b'X', &[("path", b"solaris")]), f.clone(), z.clone()]),
        ),
    ]
}

fn sizes() -> Vec<Case> {
    let sized = |size: &str, member: Member| {
        ended(&[pax(&[("size", size.as_bytes())]), member.bytes(), body(&[file("z", "after")])])
    };
    let hidden = body(&[file("hidden", "secret")]);
    let lying = |declared: u64| Member { size: Some(declared), ..file("f", hidden.clone()) };
    let size = hidden.len().to_string();
    vec![
        case("size/pax-same", sized("7", file("f", "content"))),
        case("size/pax-over-zero", sized("7", Member { size: Some(0), ..file("f", "content") })),
        case("size/pax-over-larger", sized("7", Member { size: Some(700), ..file("f", "content") })),
        case("size/pax-smaller", sized("3", file("f", "content"))),
        // An archive inside an archive: who takes the wrong size sees its entries.
        case("size/hidden-by-pax", sized(&size, lying(0))),
        case("size/hidden-by-header", sized("0", lying(hidden.len() as u64))),
        case(
            "size/hidden-behind-gnu-name",
            ended(&[
                pax(&[("size", size.as_bytes())]),
                long(b'L', b"long"),
                lying(0).bytes(),
                body(&[file("z", "after")]),
            ]),
        ),
        case(
            "size/pax-on-gnu-name",
            ended(&[
                pax(&[("size", b"1024")]),
                long(b'L', b"long"),
                body(&[file("f", "content"), file("z", "after")]),
            ]),
        ),
        case(
            "size/pax-on-pax",
            ended(&[
                pax(&[("size", b"1024")]),
                pax(&[("path", b"other")]),
                body(&[file("f", "content"), file("z", "after")]),
            ]),
        ),
        case("size/pax-on-directory", sized("512", dir("d"))),
        case("size/pax-on-symlink", sized("512", symlink("s", "t"))),
        case(
            "size/header-on-directory",
            archive(&[Member { size: Some(512), ..dir("d") }, file("z", "after")]),
        ),
        case(
            "size/header-and-content-on-directory",
            archive(&[Member { content: vec![b'x'; 600], ..dir("d") }, file("z", "after")]),
        ),
        case("size/pax-too-long", sized("99999", file("f", "content"))),
        case("size/pax-overflow", sized("18446744073709551615", file("f", "content"))),
        case("size/pax-beyond-64-bits", sized("18446744073709551616", file("f", "content"))),
        case("size/pax-negative", sized("-1", file("f", "content"))),
        case("size/pax-empty", sized("", file("f", "content"))),
    ]
}

fn globals() -> Vec<Case> {
    let made = |what: &str, records: &[(&str, &[u8])]| {
        let members = [file("f", "content"), dir("d"), file("z", "after")];
        case(format!("global/{what}"), ended(&[extended(b'g', records), body(&members)]))
    };
    vec![
        made("comment", &[("comment", b"0123456789abcdef")]),
        made("mtime", &[("mtime", b"5")]),
        made("owner", &[("uid", b"7"), ("gid", b"8")]),
        made("path", &[("path", b"everything")]),
        made("size", &[("size", b"512")]),
        made("xattr", &[("SCHILY.xattr.user.a", b"b")]),
        case(
            "global/then-local",
            ended(&[
                extended(b'g', &[("mtime", b"5")]),
                pax(&[("mtime", b"6")]),
                body(&[file("f", "x"), file("z", "after")]),
            ]),
        ),
        case(
            "global/between-local-and-entry",
            ended(&[
                pax(&[("path", b"local")]),
                extended(b'g', &[("comment", b"x")]),
                body(&[file("f", "x")]),
            ]),
        ),
        case("global/alone", ended(&[extended(b'g', &[("comment", b"x")])])),
    ]
}

fn spoilt() -> Vec<Case> {
    let made = |what: &str, records: &[u8]| {
        case(format!("spoilt/{what}"), ended(&[raw_extended(b'x', records), body(&[file("f", "x")])]))
    };
    let huge = |kind: u8| Member { size: Some(1 << 33), ..member(kind, "meta") };
    let fits = [record(b"comment", &vec![b'c'; 900_000]), record(b"path", b"p")].concat();
    let too_long = [record(b"comment", &vec![b'c'; 1_100_000]), record(b"path", b"p")].concat();
    vec![
        made("no-length", b"path=a\n"),
        made("zero-length", b"0 path=a\n"),
        made("length-too-long", b"99 path=a\n"),
        made("length-too-short", b"5 path=a\n"),
        made("no-newline", b"9 path=ab"),
        made("no-equals", b"7 path\n"),
        made("no-key", b"5 =a\n"),
        made("length-huge", b"18446744073709551616 path=a\n"),
        made("nul-in-path", b"11 path=a\0b\n"),
        made("nul-in-key", b"11 pa\0th=ab\n"),
        made("empty", b""),
        made("trailing-nuls", b"9 path=a\n\0\0\0\0"),
        made("almost-a-megabyte", &fits),
        made("above-a-megabyte", &too_long),
        case("spoilt/huge-pax", archive(&[huge(b'x'), file("f", "x")])),
        case("spoilt/huge-name", archive(&[huge(b'L'), file("f", "x")])),
        case(
            "spoilt/pax-parent-link",
            ended(&[pax(&[("linkpath", b"../../../canary/secret")]), body(&[hard("l", "t")])]),
        ),
        case("spoilt/pax-nul-link", ended(&[pax(&[("linkpath", b"a\0b")]), body(&[symlink("l", "t")])])),
    ]
}
