//! Links, hard and symbolic, and what is placed through them.

use super::{Case, case};
use crate::raw::{Member, archive, body, device, dir, ended, file, hard, long, member, pax, symlink};

pub(super) fn cases(canary: &str) -> Vec<Case> {
    let secret = format!("{canary}/secret");
    let mut cases = hard_links(&secret);
    cases.extend(symbolic(canary));
    cases.extend(through(canary));
    cases
}

fn hard_links(secret: &str) -> Vec<Case> {
    let target = || file("t", "target");
    let with_content = Member { content: b"target".to_vec(), ..hard("l", "t") };
    vec![
        case("hard/earlier", archive(&[target(), hard("l", "t")])),
        case(
            "hard/earlier-other-attributes",
            archive(&[target(), Member { mode: 0o600, owner: (7, 8), mtime: 5, ..hard("l", "t") }]),
        ),
        case("hard/dot", archive(&[target(), hard("./l", "./t")])),
        case("hard/later", archive(&[hard("l", "t"), target()])),
        case("hard/missing", archive(&[hard("l", "t")])),
        case("hard/itself", archive(&[target(), hard("t", "t")])),
        case("hard/itself-missing", archive(&[hard("t", "t")])),
        case("hard/chain", archive(&[target(), hard("l", "t"), hard("m", "l")])),
        case("hard/twice", archive(&[target(), hard("l", "t"), hard("l", "t")])),
        case("hard/in-directories", archive(&[dir("a"), file("a/t", "x"), dir("b"), hard("b/l", "a/t")])),
        case("hard/to-directory", archive(&[dir("d"), hard("l", "d")])),
        case("hard/to-symlink", archive(&[symlink("s", "nowhere"), hard("l", "s")])),
        case("hard/to-fifo", archive(&[member(b'6', "f"), hard("l", "f")])),
        case("hard/to-device", archive(&[device(b'3', "c", 1, 3), hard("l", "c")])),
        case("hard/absolute-inside", archive(&[target(), hard("l", "/t")])),
        case("hard/absolute-outside", archive(&[hard("l", secret)])),
        case("hard/parent-outside", archive(&[hard("l", "../../../canary/secret")])),
        case("hard/through-link-outside", archive(&[symlink("s", "../../../canary"), hard("l", "s/secret")])),
        case(
            "hard/through-link-inside",
            archive(&[dir("d"), file("d/t", "x"), symlink("s", "d"), hard("l", "s/t")]),
        ),
        case("hard/empty-target", archive(&[hard("l", "")])),
        case("hard/with-content", archive(&[target(), Member { size: Some(0), ..with_content.clone() }])),
        case(
            "hard/with-size",
            archive(&[
                target(),
                Member { size: Some(6), content: Vec::new(), ..with_content.clone() },
                file("z", "after"),
            ]),
        ),
        case("hard/with-size-and-content", archive(&[target(), with_content, file("z", "after")])),
        case(
            "hard/long-target",
            ended(&[
                long(b'L', &[b'x'; 150]),
                body(&[file("short", "x")]),
                long(b'K', &[b'x'; 150]),
                body(&[hard("l", "short")]),
            ]),
        ),
        case(
            "hard/pax-target",
            ended(&[body(&[target()]), pax(&[("linkpath", b"t")]), body(&[hard("l", "other")])]),
        ),
        case("hard/then-target-replaced", archive(&[target(), hard("l", "t"), file("t", "new")])),
        case("hard/then-itself-replaced", archive(&[target(), hard("l", "t"), file("l", "new")])),
        case("hard/below-file", archive(&[target(), file("f", ""), hard("f/l", "t")])),
    ]
}

fn symbolic(canary: &str) -> Vec<Case> {
    let long_target = |n| ended(&[long(b'K', &vec![b't'; n]), body(&[symlink("s", "short")])]);
    let sized = |size| archive(&[Member { size: Some(size), ..symlink("s", "t") }, file("z", "after")]);
    vec![
        case("symlink/relative", archive(&[file("t", "x"), symlink("s", "t")])),
        case("symlink/dangling", archive(&[symlink("s", "nowhere")])),
        case("symlink/absolute", archive(&[symlink("s", "/etc/passwd")])),
        case("symlink/absolute-outside", archive(&[symlink("s", canary)])),
        case("symlink/up", archive(&[symlink("s", "../../../canary")])),
        case("symlink/itself", archive(&[symlink("s", "s")])),
        case("symlink/loop", archive(&[symlink("a", "b"), symlink("b", "a")])),
        case("symlink/empty", archive(&[symlink("s", "")])),
        case("symlink/not-utf8", archive(&[symlink("s", b"\xff\xfe")])),
        case("symlink/dot", archive(&[symlink("s", ".")])),
        case("symlink/owner", archive(&[Member { owner: (5, 6), mtime: 9, ..symlink("s", "t") }])),
        case("symlink/mode", archive(&[Member { mode: 0o600, ..symlink("s", "t") }])),
        case("symlink/twice", archive(&[symlink("s", "a"), symlink("s", "b")])),
        case("symlink/with-size", sized(5)),
        case("symlink/trailing-slash", archive(&[symlink("s/", "t")])),
        case("symlink/long-1000", long_target(1000)),
        case("symlink/long-4095", long_target(4095)),
        case("symlink/long-4096", long_target(4096)),
        case("symlink/pax-target", ended(&[pax(&[("linkpath", b"pax")]), body(&[symlink("s", "header")])])),
    ]
}

fn through(canary: &str) -> Vec<Case> {
    let up = "../../../canary";
    vec![
        case("through/relative", archive(&[dir("d"), symlink("s", "d"), file("s/x", "x")])),
        case("through/absolute-inside", archive(&[dir("d"), symlink("s", "/d"), file("s/x", "x")])),
        case("through/absolute-outside", archive(&[symlink("s", canary), file("s/x", "x")])),
        case("through/up", archive(&[symlink("s", up), file("s/x", "x")])),
        case(
            "through/up-in-directory",
            archive(&[dir("d"), symlink("d/s", format!("../{up}")), file("d/s/x", "x")]),
        ),
        case("through/dangling", archive(&[symlink("s", "nowhere"), file("s/x", "x")])),
        case("through/loop", archive(&[symlink("a", "b"), symlink("b", "a"), file("a/x", "x")])),
        case("through/chain", archive(&[dir("d"), symlink("a", "d"), symlink("b", "a"), file("b/x", "x")])),
        case(
            "through/chain-up",
            archive(&[
                symlink("a", ".."),
                symlink("b", "a/.."),
                symlink("c", "b/../canary"),
                file("c/x", "x"),
            ]),
        ),
        case("through/root-link", archive(&[symlink("s", "/"), file("s/x", "x")])),
        case("through/proc", archive(&[symlink("s", "/proc/self/cwd"), file("s/x", "x")])),
        case("through/to-file", archive(&[file("f", "1"), symlink("s", "f"), file("s/x", "x")])),
        case(
            "through/swapped-midway",
            archive(&[dir("d"), file("d/a", "1"), symlink("d", up), file("d/b", "2")]),
        ),
        case("through/swapped-empty", archive(&[dir("d"), symlink("d", canary), file("d/b", "2")])),
        case("through/swapped-back", archive(&[symlink("d", up), dir("d"), file("d/b", "2")])),
        case(
            "through/overwrite-link-to-secret",
            archive(&[symlink("s", format!("{up}/secret")), file("s", "x")]),
        ),
        case(
            "through/append-by-hard-link",
            archive(&[symlink("s", format!("{up}/secret")), hard("l", "s"), file("l", "x")]),
        ),
        case(
            "through/mode-by-directory",
            archive(&[symlink("s", canary), Member { mode: 0o777, ..dir("s") }]),
        ),
        case(
            "through/mode-by-directory-slash",
            archive(&[symlink("s", up), Member { mode: 0o777, owner: (9, 9), ..dir("s/") }]),
        ),
        case("through/directory-below", archive(&[symlink("s", up), dir("s/new")])),
        case("through/symlink-below", archive(&[symlink("s", up), symlink("s/new", "x")])),
        case("through/fifo-below", archive(&[symlink("s", up), member(b'6', "s/new")])),
        case("through/hard-link-below", archive(&[file("t", "x"), symlink("s", up), hard("s/new", "t")])),
        case("through/device-below", archive(&[symlink("s", up), device(b'3', "s/new", 1, 3)])),
    ]
}
