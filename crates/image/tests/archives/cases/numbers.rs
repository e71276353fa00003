//! Numbers: times, owners, modes and sizes at their edges, and how their fields are written.

use super::{Case, case};
use crate::raw::{Member, Sum, archive, base256, body, dir, ended, file, pax, symlink};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for mtime in
        [0, 1, -1, -62_135_596_800, (1 << 31) - 1, 1 << 31, (1 << 33) - 1, 1 << 33, 1 << 40, i64::MIN]
    {
        let members = [
            Member { mtime, ..file("f", "x") },
            Member { mtime, ..dir("d") },
            Member { mtime, ..symlink("s", "t") },
        ];
        cases.push(case(format!("mtime/{mtime}"), archive(&members)));
    }
    for time in [
        "0.5",
        "-1.5",
        "1400000000.123456789",
        "1.1234567899",
        "-0.1",
        "8589934592.25",
        "1.",
        ".5",
        "",
        "x",
        "1e3",
        "99999999999999999999",
        " 1",
        "+1",
    ] {
        cases.push(case(
            format!("mtime/pax-{time}"),
            ended(&[pax(&[("mtime", time.as_bytes())]), body(&[file("f", "x")])]),
        ));
    }
    for id in [1, 65534, 65535, (1 << 21) - 1, 1 << 21, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff, 1 << 32] {
        cases.push(case(format!("owner/{id}"), archive(&[Member { owner: (id, id), ..file("f", "x") }])));
        let text = id.to_string();
        let records = [("uid", text.as_bytes()), ("gid", text.as_bytes())];
        cases.push(case(format!("owner/pax-{id}"), ended(&[pax(&records), body(&[file("f", "x")])])));
    }
    cases.push(case(
        "owner/negative",
        archive(&[Member { patches: vec![(108, base256(-5, 8))], ..file("f", "x") }]),
    ));
    cases.push(case(
        "owner/names",
        archive(&[Member {
            patches: vec![(265, b"daemon".to_vec()), (297, b"games".to_vec())],
            ..file("f", "x")
        }]),
    ));
    for mode in [0, 0o777, 0o4755, 0o2755, 0o1777, 0o7777, 0o6000, 0o100_644, 0o177_777] {
        let members =
            [Member { mode, ..file("f", "x") }, Member { mode: mode | 0o100, owner: (2, 2), ..dir("d") }];
        cases.push(case(format!("mode/{mode:o}"), archive(&members)));
    }
    cases.extend(fields());
    cases.extend(sums());
    cases
}

/// The size field, or others, as text.
fn fields() -> Vec<Case> {
    let size = |what: &str, field: &[u8]| {
        let mut field = field.to_vec();
        field.resize(12, 0);
        let member = Member { patches: vec![(124, field)], ..file("f", "content") };
        case(format!("field/size-{what}"), archive(&[member, file("z", "after")]))
    };
    vec![
        size("octal", b"00000000007"),
        size("no-terminator", b"000000000007"),
        size("spaces", b"         7 "),
        size("short", b"7"),
        size("leading-nuls", b"\0\0\0\x007"),
        size("base256", b"\x80\0\0\0\0\0\0\0\0\0\0\x07"),
        size("negative", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xf9"),
        size("huge-base256", b"\x80\x01\0\0\0\0\0\0\0\0\0\0"),
        size("letters", b"0000000000x"),
        size("minus", b"-0000000007"),
        size("plus", b"+0000000007"),
        size("decimal", b"00000000009"),
        size("digits-after-blank", b"7 7"),
        size("empty", b""),
        size("declared-terabyte", b"\x80\0\0\0\0\0\x01\0\0\0\0\0"),
        case(
            "field/mode-letters",
            archive(&[Member { patches: vec![(100, b"xxxxxxx".to_vec())], ..file("f", "x") }]),
        ),
        case("field/mode-empty", archive(&[Member { patches: vec![(100, vec![0; 8])], ..file("f", "x") }])),
        case("field/uid-empty", archive(&[Member { patches: vec![(108, vec![0; 8])], ..file("f", "x") }])),
        case("field/mtime-empty", archive(&[Member { patches: vec![(136, vec![0; 12])], ..file("f", "x") }])),
        case(
            "field/mtime-letters",
            archive(&[Member { patches: vec![(136, b"yesterday".to_vec())], ..file("f", "x") }]),
        ),
        case(
            "field/device-of-file-letters",
            archive(&[Member { patches: vec![(329, b"xxxxxxx".to_vec())], ..file("f", "x") }]),
        ),
        case("field/magic-unknown", archive(&[Member { magic: b"ustar\x0099", ..file("f", "x") }])),
        case("field/magic-other", archive(&[Member { magic: b"elephant", ..file("f", "x") }])),
    ]
}

fn sums() -> Vec<Case> {
    let all = [
        ("unsigned", Sum::Unsigned),
        ("signed", Sum::Signed),
        ("wrong", Sum::Wrong),
        ("seven-digits", Sum::SevenDigits),
        ("spaces", Sum::Spaces),
    ];
    all.map(|(what, sum)| case(format!("sum/{what}"), archive(&[Member { sum, ..file(b"\xff\xfe", "x") }])))
        .into()
}
