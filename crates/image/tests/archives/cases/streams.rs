//! The stream around the entries: how archives end, are cut, joined and compressed.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Case, case};
use crate::raw::{archive, body, dir, file};

pub(super) fn cases() -> Vec<Case> {
    let plain = archive(&[dir("d"), file("d/f", "content"), file("z", &[b'z'; 3000][..])]);
    let mut cases = ends(&plain);
    cases.extend(cuts(&plain));
    cases.extend(compressed(&plain));
    cases
}

fn ends(plain: &[u8]) -> Vec<Case> {
    let entries = &plain[..plain.len() - 1024];
    let second = archive(&[file("second", "x")]);
    let zeros = |n: usize| vec![0u8; n];
    vec![
        case("end/nothing", Vec::new()),
        case("end/two-blocks", plain.to_vec()),
        case("end/record", [plain, &zeros(10240 - plain.len() % 10240)].concat()),
        case("end/no-blocks", entries.to_vec()),
        case("end/one-block", [entries, &zeros(512)].concat()),
        case("end/only-zeros", zeros(1024)),
        case("end/only-one-block", zeros(512)),
        case("end/half-a-block", [entries, &zeros(100)].concat()),
        case("end/no-padding-last", body(&[file("f", "content")])[..512 + 7].to_vec()),
        case("end/garbage-after", [plain, &[b'g'; 700]].concat()),
        case("end/archive-after", [plain, &second].concat()),
        case("end/archive-after-no-blocks", [entries, &second].concat()),
        case("end/archive-after-one-block", [entries, &zeros(512), &second].concat()),
        case("end/leading-zeros", [&zeros(512)[..], plain].concat()),
        case("end/leading-zero-blocks", [&zeros(1024)[..], plain].concat()),
        case("end/garbage-instead-of-blocks", [entries, &[b'g'; 1024]].concat()),
        case("end/text", b"this is not an archive\n".repeat(100)),
        case("end/html", b"<!DOCTYPE html><html><body>404</body></html>".to_vec()),
    ]
}

fn cuts(plain: &[u8]) -> Vec<Case> {
    let lengths = [1, 256, 511, 512, 600, 1024, 1100, 1500, 1536, 2048, 2500, 4000, 5000];
    lengths.iter().map(|&n| case(format!("cut/{n}"), plain[..n].to_vec())).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn compressed(plain: &[u8]) -> Vec<Case> {
    let (gz, zst) = (gzip(plain), zstd::encode_all(plain, 3).unwrap());
    let (front, back) = plain.split_at(1300);
    let skippable = [&0x184D_2A50u32.to_le_bytes()[..], &3u32.to_le_bytes(), b"abc"].concat();
    let flipped = |bytes: &[u8], at: usize| {
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 0x20;
        bytes
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    vec![
        case("gzip/whole", gz.clone()),
        case("gzip/members", [gzip(front), gzip(back)].concat()),
        case("gzip/empty-member-between", [gzip(front), gzip(b""), gzip(back)].concat()),
        case("gzip/of-nothing", gzip(b"")),
        case("gzip/cut", gz[..gz.len() / 2].to_vec()),
        case("gzip/no-trailer", gz[..gz.len() - 8].to_vec()),
        case("gzip/wrong-sum", flipped(&gz, gz.len() - 6)),
        case("gzip/flipped", flipped(&gz, gz.len() / 2)),
        case("gzip/garbage-after", [&gz[..], b"garbage"].concat()),
        case("gzip/zeros-after", [&gz[..], &[0; 512]].concat()),
        case("gzip/twice", gzip(&gz)),
        case("gzip/only-header", gz[..10].to_vec()),
        case("zstd/whole", zst.clone()),
        case("zstd/frames", [zstd(front), zstd(back)].concat()),
        case("zstd/skippable-first", [&skippable[..], &zst].concat()),
        case("zstd/skippable-last", [&zst[..], &skippable].concat()),
        case("zstd/cut", zst[..zst.len() / 2].to_vec()),
        case("zstd/flipped", flipped(&zst, zst.len() / 2)),
        case("zstd/garbage-after", [&zst[..], b"garbage"].concat()),
        case("other/bzip2", b"BZh91AY&SY".to_vec()),
        case("other/xz", b"\xfd7zXZ\0\0\x04".to_vec()),
    ]
}
