//! Sparse files in GNU's four formats, whole and spoilt.

use super::{Case, case};
use crate::raw::{GNU, Member, body, ended, file, pax, raw_extended, record};

/// A map: the file's size, its fragments, and whether the data stored is as long as they say.
struct Map {
    what: &'static str,
    size: u64,
    fragments: Vec<(u64, u64)>,
    missing: usize,
}

fn maps() -> Vec<Map> {
    let map =
        |what, size, fragments: &[(u64, u64)]| Map { what, size, fragments: fragments.to_vec(), missing: 0 };
    let every: Vec<(u64, u64)> = (0..30).map(|n| (n * 8192, 512)).chain([(30 * 8192, 0)]).collect();
    vec![
        map("hole-first", 8192, &[(4096, 4096)]),
        map("hole-last", 65536, &[(0, 512), (65536, 0)]),
        map("only-hole", 100_000, &[(100_000, 0)]),
        map("holes-between", 40960, &[(0, 1024), (8192, 1024), (39936, 1024)]),
        map("unaligned", 40960, &[(0, 1000), (8192, 1000), (40000, 960)]),
        map("five", 40960, &[(0, 512), (8192, 512), (16384, 512), (24576, 512), (32768, 512), (40960, 0)]),
        map("thirty", 30 * 8192, &every),
        map("no-mark-of-the-end", 8192, &[(0, 512)]),
        map("no-hole", 700, &[(0, 700)]),
        map("overlapping", 8192, &[(0, 1024), (512, 1024)]),
        map("backwards", 8192, &[(4096, 512), (0, 512)]),
        map("beyond-the-end", 1000, &[(900, 512)]),
        map("overflowing", 8192, &[(u64::MAX / 2 + 5, u64::MAX / 2 + 5)]),
        Map { missing: 512, ..map("data-missing", 8192, &[(0, 512), (4096, 512)]) },
    ]
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for map in maps() {
        let stored: usize = map.fragments.iter().map(|&(_, length)| length.min(1 << 16) as usize).sum();
        let data: Vec<u8> =
            (0..stored.saturating_sub(map.missing)).map(|n| b'a' + (n / 100 % 26) as u8).collect();
        for (format, bytes) in [
            ("old", old(&map, &data)),
            ("0.0", zero_zero(&map, &data)),
            ("0.1", zero_one(&map, &data)),
            ("1.0", one(&map, &data)),
        ] {
            cases.push(case(format!("sparse/{}/{format}", map.what), bytes));
        }
    }
    let version =
        [("GNU.sparse.major", &b"2"[..]), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"5")];
    cases.push(case("sparse/unknown-version", ended(&[pax(&version), body(&[file("n", "x")])])));
    let one_zero = |map: &str| {
        let records =
            [("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"5")];
        ended(&[pax(&records), body(&[file("n", map)])])
    };
    cases.push(case("sparse/map-without-end", one_zero(&"1".repeat(600))));
    cases.push(case("sparse/map-of-many", one_zero("99999999999\n0\n1\n")));
    cases.push(case("sparse/map-of-letters", one_zero("x\n")));
    cases
}

fn old(map: &Map, data: &[u8]) -> Vec<u8> {
    let pair = |&(offset, length): &(u64, u64)| {
        [offset, length]
            .map(|n| {
                if n < 1 << 33 {
                    format!("{n:011o}\0").into_bytes()
                } else {
                    crate::raw::base256(n as i64, 12)
                }
            })
            .concat()
    };
    let mut patches: Vec<(usize, Vec<u8>)> = Vec::new();
    for (i, fragment) in map.fragments.iter().take(4).enumerate() {
        patches.push((386 + i * 24, pair(fragment)));
    }
    patches.push((483, format!("{:011o}\0", map.size).into_bytes()));
    let rest: Vec<_> = map.fragments.iter().skip(4).collect();
    if !rest.is_empty() {
        patches.push((482, vec![1]));
    }
    let header = Member { kind: b'S', magic: GNU, patches, size: Some(data.len() as u64), ..file("n", "") };
    let mut bytes = header.bytes();
    let blocks = rest.chunks(21).count();
    for (i, chunk) in rest.chunks(21).enumerate() {
        let mut block: Vec<u8> = chunk.iter().flat_map(|fragment| pair(fragment)).collect();
        block.resize(504, 0);
        block.push(u8::from(i + 1 < blocks));
        block.resize(512, 0);
        bytes.extend(block);
    }
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    ended(&[bytes, body(&[file("z", "after")])])
}

fn zero_zero(map: &Map, data: &[u8]) -> Vec<u8> {
    let mut records = record(b"GNU.sparse.size", map.size.to_string().as_bytes());
    records.extend(record(b"GNU.sparse.numblocks", map.fragments.len().to_string().as_bytes()));
    for (offset, length) in &map.fragments {
        records.extend(record(b"GNU.sparse.offset", offset.to_string().as_bytes()));
        records.extend(record(b"GNU.sparse.numbytes", length.to_string().as_bytes()));
    }
    ended(&[raw_extended(b'x', &records), body(&[file("n", data), file("z", "after")])])
}

fn zero_one(map: &Map, data: &[u8]) -> Vec<u8> {
    let text: Vec<String> =
        map.fragments.iter().map(|(offset, length)| format!("{offset},{length}")).collect();
    let (size, blocks, text) = (map.size.to_string(), map.fragments.len().to_string(), text.join(","));
    let records = [
        ("GNU.sparse.name", &b"n"[..]),
        ("GNU.sparse.size", size.as_bytes()),
        ("GNU.sparse.numblocks", blocks.as_bytes()),
        ("GNU.sparse.map", text.as_bytes()),
    ];
    ended(&[pax(&records), body(&[file("GNUSparseFile.1/n", data), file("z", "after")])])
}

fn one(map: &Map, data: &[u8]) -> Vec<u8> {
    let mut front = format!("{}\n", map.fragments.len());
    map.fragments.iter().for_each(|(offset, length)| front += &format!("{offset}\n{length}\n"));
    let mut content = front.into_bytes();
    content.resize(content.len().next_multiple_of(512), 0);
    content.extend(data);
    let size = map.size.to_string();
    let records = [
        ("GNU.sparse.major", &b"1"[..]),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"n"),
        ("GNU.sparse.realsize", size.as_bytes()),
    ];
    ended(&[pax(&records), body(&[file("GNUSparseFile.1/n", content), file("z", "after")])])
}
