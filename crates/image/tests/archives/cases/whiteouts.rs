//! Whiteouts and opaque directories, at every place and in every order.

use super::{Case, case};
use crate::raw::{Member, archive, device, dir, file, hard, member, symlink};

pub(super) fn cases() -> Vec<Case> {
    let hide = |name: &str| file(name, "");
    let mut cases = vec![
        case("whiteout/alone", archive(&[hide(".wh.a")])),
        case("whiteout/in-directory", archive(&[dir("d"), hide("d/.wh.a")])),
        case("whiteout/in-implied-directory", archive(&[hide("d/e/.wh.a")])),
        case("whiteout/dot-slash", archive(&[hide("./.wh.a")])),
        case("whiteout/twice", archive(&[hide(".wh.a"), hide(".wh.a")])),
        case("whiteout/with-content", archive(&[file(".wh.a", "content")])),
        case("whiteout/then-file", archive(&[hide(".wh.a"), file("a", "new")])),
        case("whiteout/after-file", archive(&[file("a", "new"), hide(".wh.a")])),
        case("whiteout/then-directory", archive(&[hide(".wh.a"), dir("a"), file("a/x", "x")])),
        case("whiteout/after-directory", archive(&[dir("a"), file("a/x", "x"), hide(".wh.a")])),
        case("whiteout/then-implied-directory", archive(&[hide(".wh.a"), file("a/x", "x")])),
        case("whiteout/then-symlink", archive(&[hide(".wh.a"), symlink("a", "x")])),
        case("whiteout/after-symlink", archive(&[symlink("a", "x"), hide(".wh.a")])),
        case("whiteout/then-hard-link", archive(&[file("t", "x"), hide(".wh.a"), hard("a", "t")])),
        case("whiteout/of-hard-link-target", archive(&[hide(".wh.t"), hard("a", "t")])),
        case("whiteout/opaque", archive(&[dir("d"), hide("d/.wh..wh..opq"), file("d/x", "x")])),
        case("whiteout/opaque-last", archive(&[dir("d"), file("d/x", "x"), hide("d/.wh..wh..opq")])),
        case("whiteout/opaque-implied", archive(&[hide("d/.wh..wh..opq"), file("d/x", "x")])),
        case("whiteout/opaque-before-directory", archive(&[hide("d/.wh..wh..opq"), dir("d")])),
        case("whiteout/opaque-root", archive(&[hide(".wh..wh..opq"), file("x", "x")])),
        case("whiteout/opaque-twice", archive(&[dir("d"), hide("d/.wh..wh..opq"), hide("d/.wh..wh..opq")])),
        case("whiteout/opaque-and-hidden", archive(&[dir("d"), hide("d/.wh..wh..opq"), hide("d/.wh.a")])),
        case(
            "whiteout/aufs-plnk",
            archive(&[file("x", "x"), dir(".wh..wh.plnk"), hide(".wh..wh.aufs"), hide(".wh..wh.orph")]),
        ),
        case(
            "whiteout/aufs-below-plnk",
            archive(&[dir(".wh..wh.plnk"), file(".wh..wh.plnk/1.2", "x"), file("x", "x")]),
        ),
        case("whiteout/of-whiteout", archive(&[hide(".wh..wh.a")])),
        case("whiteout/of-nothing", archive(&[hide(".wh.")])),
        case("whiteout/of-dot", archive(&[dir("d"), hide("d/.wh..")])),
        case("whiteout/of-parent", archive(&[dir("d"), hide("d/.wh...")])),
        case("whiteout/of-three-dots", archive(&[dir("d"), hide("d/.wh....")])),
        case("whiteout/below-whiteout", archive(&[file(".wh.a/b", "x")])),
        case("whiteout/parent-path", archive(&[hide("../.wh.a")])),
        case("whiteout/through-link", archive(&[dir("d"), symlink("s", "d"), hide("s/.wh.a")])),
        case(
            "whiteout/through-link-outside",
            archive(&[symlink("s", "../../../canary"), hide("s/.wh.secret")]),
        ),
        case("whiteout/below-file", archive(&[file("f", "x"), hide("f/.wh.a")])),
        case("whiteout/ready-made", archive(&[device(b'3', "a", 0, 0)])),
        case("whiteout/ready-made-then-file", archive(&[device(b'3', "a", 0, 0), file("a", "x")])),
        case(
            "whiteout/ready-made-then-directory",
            archive(&[device(b'3', "a", 0, 0), dir("a"), file("a/x", "x")]),
        ),
        case("whiteout/not-utf8", archive(&[file(b".wh.\xff", "")])),
        case("whiteout/upper-case", archive(&[file(".WH.a", "x")])),
        case("whiteout/only-prefix-inside", archive(&[file("a.wh.b", "x")])),
    ];
    let kinds = [(b'5', "dir"), (b'2', "symlink"), (b'1', "hard"), (b'6', "fifo"), (b'3', "char")];
    for (kind, what) in kinds {
        let mark = Member { link: b"t".to_vec(), ..member(kind, ".wh.a") };
        cases.push(case(format!("whiteout/as-{what}"), archive(&[file("t", "x"), mark])));
    }
    cases
}
