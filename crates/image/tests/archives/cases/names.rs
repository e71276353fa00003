//! Names: how they are spelt, and where in the archive they stand.

use super::{Case, case};
use crate::raw::{Member, archive, body, dir, ended, file, long, pax};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, name) in spellings() {
        for carrier in ["header", "gnu", "pax"] {
            if carrier == "header" && name.len() > 100 {
                continue;
            }
            cases.push(case(format!("name/{what}/{carrier}"), spelt(carrier, &name, false)));
        }
    }
    for (what, name) in
        [("plain", "d"), ("slash", "d/"), ("slashes", "d///"), ("dot", "./d/."), ("root", "./")]
    {
        for carrier in ["header", "gnu", "pax"] {
            cases.push(case(format!("name/dir-{what}/{carrier}"), spelt(carrier, name.as_bytes(), true)));
        }
    }
    cases.push(case("name/ustar-prefix", prefixed(&"p".repeat(155), &"n".repeat(100))));
    cases.push(case("name/ustar-prefix-deep", prefixed(&"p/".repeat(77), "n")));
    cases.push(case("name/ustar-prefix-parent", prefixed("..", "n")));
    cases.push(case("name/case-differs", archive(&[file("A", "1"), file("a", "2")])));
    cases.push(case("name/composed-and-decomposed", archive(&[file("\u{e9}", "1"), file("e\u{301}", "2")])));
    cases
}

fn spellings() -> Vec<(&'static str, Vec<u8>)> {
    let component = |n: usize| vec![b'c'; n];
    let path = |n: usize| {
        let mut path = b"0123456/".repeat(n / 8);
        path.extend(vec![b'e'; n - path.len()]);
        path
    };
    vec![
        ("plain", b"a".to_vec()),
        ("below", b"a/b/c".to_vec()),
        ("dot", b"./a".to_vec()),
        ("inner-dot", b"a/./b".to_vec()),
        ("double-slash", b"a//b".to_vec()),
        ("absolute", b"/a".to_vec()),
        ("absolute-twice", b"//a/b".to_vec()),
        ("trailing-slash", b"a/".to_vec()),
        ("parent", b"../a".to_vec()),
        ("inner-parent", b"a/../b".to_vec()),
        ("escaping", b"a/../../b".to_vec()),
        ("only-parent", b"..".to_vec()),
        ("only-dot", b".".to_vec()),
        ("three-dots", b".../a".to_vec()),
        ("empty", Vec::new()),
        ("only-slash", b"/".to_vec()),
        ("not-utf8", b"\xff\xfe\x80".to_vec()),
        ("newline", b"a\nb".to_vec()),
        ("control", b"\x01\x7f\x1b[0m".to_vec()),
        ("blank", b" a b ".to_vec()),
        ("backslash", b"a\\b\\..\\c".to_vec()),
        ("dash", b"-rf".to_vec()),
        ("whiteout-like", b"wh.a".to_vec()),
        ("99", component(99)),
        ("100", component(100)),
        ("101", component(101)),
        ("255", component(255)),
        ("256", component(256)),
        ("path-1001", path(1001)),
        ("path-3500", path(3500)),
        ("path-4095", path(4095)),
        ("path-4097", path(4097)),
    ]
}

fn spelt(carrier: &str, name: &[u8], directory: bool) -> Vec<u8> {
    let with = |short: &[u8]| if directory { dir(short) } else { file(short, "content") };
    match carrier {
        "header" => archive(&[with(name)]),
        "gnu" => ended(&[long(b'L', name), body(&[with(b"short")])]),
        _ => ended(&[pax(&[("path", name)]), body(&[with(b"short")])]),
    }
}

fn prefixed(prefix: &str, name: &str) -> Vec<u8> {
    archive(&[Member { patches: vec![(345, prefix.as_bytes().to_vec())], ..file(name, "content") }])
}
