//! Layers are unpacked as GNU tar does, and as overlayfs wants them.

#![allow(clippy::unwrap_used, reason = "test set-up")]

mod support;

use std::fs;
use std::path::Path;

use hoist_image::digest::Digest;
use hoist_image::layer::{UnpackError, Unpacked, pack, unpack};
use support::{archive, chain, dir, file, hard_link, have, pax, sh, symlink, tree};

fn unpacked(bytes: &[u8]) -> (tempfile::TempDir, Unpacked) {
    let into = tempfile::tempdir().unwrap();
    let unpacked = unpack(bytes, into.path(), None).unwrap_or_else(|error| panic!("{error:?}"));
    (into, unpacked)
}

/// Packed and unpacked again, by us and by GNU tar, a tree is the same, but for parts of seconds.
#[test]
fn what_is_packed_unpacks_to_the_same_tree() {
    let tmp = tempfile::tempdir().unwrap();
    let at = tmp.path();
    everything(at);
    sh(&format!("cd {at}; find in -exec touch -h -d @1500000000 {{}} +; touch -d 1960-01-01 in/older; chown 3000000:4000000 in/empty
                 mkdir ours gnu", at = at.display()));
    let mut bytes = Vec::new();
    let packed = pack(&at.join("in"), &mut bytes, None).unwrap();
    assert_eq!((packed.diff_id, packed.bytes), (Digest::of(&bytes), bytes.len() as u64));
    fs::write(at.join("a.tar"), &bytes).unwrap();
    sh(&format!("cd {}; tar --xattrs --xattrs-include='*' --numeric-owner -xpf a.tar -C gnu", at.display()));
    unpack(&bytes[..], &at.join("ours"), Some(packed.diff_id)).unwrap();
    let wanted = tree(&at.join("in"));
    assert_eq!(tree(&at.join("ours")), wanted);
    assert_eq!(tree(&at.join("gnu")), wanted);

    let mut again = Vec::new();
    pack(&at.join("ours"), &mut again, None).unwrap();
    assert_eq!(again, bytes, "the same tree gives the same bytes");
    let epoch = pack(&at.join("in"), std::io::sink(), Some(1_000_000_000)).unwrap();
    sh(&format!("find {}/in -exec touch -h {{}} +; touch -d 1960-01-01 {0}/in/older", at.display()));
    assert_eq!(
        pack(&at.join("in"), std::io::sink(), Some(1_000_000_000)).unwrap(),
        epoch,
        "time does not count"
    );
}

/// What was done to a mounted overlay comes back as a layer that does the same.
#[test]
fn an_upper_directory_packs_to_a_layer_with_whiteouts() {
    let tmp = tempfile::tempdir().unwrap();
    let at = tmp.path().display().to_string();
    sh(&format!(
        "cd {at}; mkdir -p lower/dir/sub lower/again upper work mnt again seen; echo 1 > lower/gone; echo 1 > lower/dir/x; echo 1 > lower/again/old
         unshare -m sh -euc 'mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work mnt
           cd mnt; rm gone; rm -r dir/sub; echo 2 > dir/new; rm -r again; mkdir again; echo 2 > again/new; ln again/new linked
           chmod 700 dir; find . -exec touch -h -d @1500000000 {{}} +; cp -a . ../seen'"
    ));
    let mut bytes = Vec::new();
    pack(&tmp.path().join("upper"), &mut bytes, None).unwrap();
    fs::write(tmp.path().join("a.tar"), &bytes).unwrap();
    let names = sh(&format!("tar -tf {at}/a.tar | LC_ALL=C sort | tr '\\n' ' '"));
    assert_eq!(
        names,
        "./ .wh.gone again/ again/.wh..wh..opq again/new dir/ dir/.wh.sub dir/new dir/x linked "
    );
    let into = tmp.path().join("unpacked");
    fs::create_dir(&into).unwrap();
    unpack(&bytes[..], &into, None).unwrap();
    sh(&format!(
        "cd {at}; mkdir out; unshare -m sh -euc 'mount -t overlay overlay -o lowerdir=unpacked:lower mnt; cp -a mnt/. out'"
    ));
    assert_eq!(tree(&tmp.path().join("out")), tree(&tmp.path().join("seen")));
}

/// A directory with one of everything that a layer can hold.
fn everything(at: &Path) {
    let at = at.display();
    sh(&format!(
        r#"
        mkdir -p {at}/in && cd {at}/in
        mkdir -p usr/bin var/setgid sticky deep/er
        echo hello > usr/bin/hello; chmod 755 usr/bin/hello
        cp usr/bin/hello usr/bin/suid; chown 1000:50 usr/bin/suid; chmod 6755 usr/bin/suid
        ln usr/bin/hello usr/bin/hard; ln -s hello usr/bin/soft; ln -s /nowhere dangling
        ln usr/bin/soft usr/bin/hardsoft; chown -h 7:8 usr/bin/soft
        chgrp 50 var/setgid; chmod 2775 var/setgid; echo in > var/setgid/file; chmod 1777 sticky
        mkfifo -m 600 pipe; mknod null c 1 3; mknod loop b 7 0
        : > empty; chmod 000 empty; chmod 555 deep
        head -c 3000000 /dev/urandom > random
        truncate -s 5M holes; printf middle | dd of=holes bs=1 seek=2000000 conv=notrunc status=none
        printf end | dd of=holes bs=1 seek=5242877 conv=notrunc status=none
        truncate -s 20M onlyhole; truncate -s 6M many
        for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
            printf $i | dd of=many bs=1 seek=$((i * 131072)) conv=notrunc status=none; done
        long=$(printf 'l%.0s' $(seq 120)); mkdir -p $long/$long; echo x > $long/$long/$long; ln -s $long/$long/$long longlink
        echo umlaut > "$(printf 'na\303\257ve')"; echo raw > "$(printf 'by\377te')"
        touch -d '1999-12-31 23:59:59.123456789' old; touch -d '1960-01-01' older
        touch -d '2020-02-02 02:02:02.5' deep/er deep usr/bin
        "#
    ));
    for (path, name, value) in [
        ("usr/bin/suid", "security.capability", &b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"[..]),
        ("usr/bin/hello", "user.note", b"line\n=\0end"),
        ("var/setgid", "user.dir", b"d"),
        ("usr/bin/soft", "trusted.link", b"l"),
    ] {
        let path = format!("{at}/in/{path}");
        rustix::fs::lsetxattr(&path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
    }
}

#[test]
fn trees_equal_what_gnu_tar_makes_of_the_same_archive() {
    let tmp = tempfile::tempdir().unwrap();
    let at = tmp.path();
    everything(at);
    for format in [
        "gnu",
        "gnu --sparse",
        "posix",
        "posix --sparse",
        "posix --sparse --sparse-version=0.0",
        "posix --sparse --sparse-version=0.1",
        "posix --sparse --sparse-version=1.0",
    ] {
        let xattrs = if format.starts_with("posix") { "--xattrs --xattrs-include=*" } else { "" };
        let at = at.display();
        sh(&format!(
            "cd {at}; rm -rf gnu ours a.tar; mkdir gnu ours
             tar --format={format} {xattrs} --numeric-owner -cf a.tar -C in .
             tar {xattrs} --numeric-owner -xpf a.tar -C gnu"
        ));
        let bytes = fs::read(tmp.path().join("a.tar")).unwrap();
        let unpacked = unpack(&bytes[..], &tmp.path().join("ours"), Some(Digest::of(&bytes))).unwrap();
        assert_eq!(unpacked.implied, Vec::<String>::new());
        let (gnu, ours) = (tree(&tmp.path().join("gnu")), tree(&tmp.path().join("ours")));
        assert_eq!(gnu, ours, "{format}");
        assert!(ours.contains("onlyhole"), "the tree was compared");
    }
    let blocks = sh(&format!("stat -c %b {}/ours/onlyhole", at.display()));
    assert!(blocks.trim().parse::<u64>().unwrap() < 16, "holes stay holes: {blocks}");
}

#[test]
fn compressed_layers_are_recognised_by_content() {
    let tmp = tempfile::tempdir().unwrap();
    let plain = archive(&[dir("./"), file("./a", "content")]);
    fs::write(tmp.path().join("a.tar"), &plain).unwrap();
    sh(&format!(
        "cd {}; gzip -k a.tar; head -c 512 a.tar | gzip > two.gz; tail -c +513 a.tar | gzip >> two.gz
         zstd -qk a.tar; xz -k a.tar; bzip2 -k a.tar",
        tmp.path().display()
    ));
    for name in ["a.tar", "a.tar.gz", "two.gz", "a.tar.zst", "a.tar.xz", "a.tar.bz2"] {
        let into = tempfile::tempdir().unwrap();
        let input = fs::File::open(tmp.path().join(name)).unwrap();
        let unpacked = unpack(input, into.path(), Some(Digest::of(&plain))).unwrap();
        assert_eq!((unpacked.entries, unpacked.bytes), (2, 7), "{name}");
        assert_eq!(fs::read_to_string(into.path().join("a")).unwrap(), "content");
    }
}

#[test]
fn another_diff_id_than_wanted_is_an_error_that_names_both() {
    let into = tempfile::tempdir().unwrap();
    let bytes = archive(&[file("a", "x")]);
    let wanted = Digest::of(b"other");
    let Err(UnpackError::DiffId { wanted: w, found }) = unpack(&bytes[..], into.path(), Some(wanted)) else {
        panic!()
    };
    assert_eq!((w, found), (wanted, Digest::of(&bytes)));
}

/// umoci ends an archive so; Go's reader, and so Docker, takes it.
#[test]
fn an_archive_may_end_right_after_its_last_content() {
    let bytes = archive(&[file("a", "x"), file("b", "y")]);
    let (into, unpacked) = unpacked(&bytes[..3 * 512 + 1]);
    assert_eq!(unpacked.entries, 2);
    assert_eq!(fs::read_to_string(into.path().join("b")).unwrap(), "y");
}

#[test]
fn later_entries_replace_earlier_ones() {
    let (into, _) = unpacked(&archive(&[
        dir("d/"),
        file("d/in", "1"),
        file("d", "now a file"),
        file("f", "1"),
        dir("f/"),
        file("f/in", "2"),
        file("g", "1"),
        symlink("g", "f/in"),
        symlink("s", "/nowhere"),
        file("s", "not through the link"),
        file("same", "kept"),
        hard_link("same", "./same"),
        file("a", "old"),
        file("a", "new"),
    ]));
    let read = |name: &str| fs::read_to_string(into.path().join(name)).unwrap();
    assert_eq!(read("d"), "now a file");
    assert_eq!(read("f/in"), "2");
    assert_eq!(fs::read_link(into.path().join("g")).unwrap(), Path::new("f/in"));
    assert_eq!(read("s"), "not through the link");
    assert_eq!(read("same"), "kept");
    assert_eq!(read("a"), "new");
}

#[test]
fn directories_without_an_entry_are_made_and_named() {
    let (into, unpacked) =
        unpacked(&archive(&[file("a/b/c", "x"), dir("a/"), symlink("l", "a/b"), file("l/d/e", "y")]));
    assert_eq!(unpacked.implied, ["", "a/b", "l/d"]);
    assert_eq!(fs::read_to_string(into.path().join("a/b/d/e")).unwrap(), "y");
}

#[test]
fn whiteouts_hide_lower_layers_when_overlayfs_mounts_them() {
    if !have("whiteouts_hide_lower_layers_when_overlayfs_mounts_them", "unshare") {
        return;
    }
    let (lower, _) = unpacked(&archive(&[
        file("gone", "1"),
        file("kept", "1"),
        dir("gonedir/"),
        file("gonedir/x", "1"),
        dir("opaque/"),
        file("opaque/old", "1"),
        dir("anew/"),
        file("anew/old", "1"),
        dir("later/"),
        file("later/old", "1"),
        dir("bare/"),
        file("bare/old", "1"),
        dir("p/"),
        file("p/q", "1"),
        file("p/r", "1"),
        file("replaced", "1"),
    ]));
    let (upper, _) = unpacked(&archive(&[
        file(".wh.gone", ""),
        file(".wh.gonedir", ""),
        dir("opaque/"),
        file("opaque/.wh..wh..opq", ""),
        file("opaque/new", "2"),
        // Both whiteout and a new thing of that name, in either order: the new one stands, alone.
        file(".wh.anew", ""),
        dir("anew/"),
        file("anew/new", "2"),
        dir("later/"),
        file("later/new", "2"),
        file(".wh.later", ""),
        file(".wh.bare", ""),
        file("bare/new", "2"),
        file("p/.wh.q", ""),
        file(".wh.replaced", ""),
        file("replaced", "2"),
        file(".wh..wh.plnk", ""),
        file(".wh.never-there", ""),
    ]));
    let tmp = tempfile::tempdir().unwrap();
    let listed = sh(&format!(
        "unshare -m sh -euc 'mount -t overlay overlay -o lowerdir={}:{} {mnt}; cd {mnt}; find . | LC_ALL=C sort; cat replaced'",
        upper.path().display(),
        lower.path().display(),
        mnt = tmp.path().display(),
    ));
    let expected = ". ./anew ./anew/new ./bare ./bare/new ./kept ./later ./later/new ./opaque ./opaque/new ./p ./p/r ./replaced 2";
    assert_eq!(listed.split_whitespace().collect::<Vec<_>>().join(" "), expected);
}

/// Hostile or broken archives: refused by a clear reason, and nothing appears outside.
#[test]
fn hostile_archives_place_nothing_outside() {
    let with = |first: Vec<u8>, items: &[support::Item<'_>]| [first, archive(items)].concat();
    let special =
        |kind, name, link| archive(&[support::Item { kind, name, link, mode: 0o644, content: b"" }]);
    let long = "x".repeat(300);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("parent", archive(&[file("../out", "x")]), "`..`"),
        ("inner parent", archive(&[dir("a/"), file("a/../../out", "x")]), "`..`"),
        ("pax parent", with(pax(&[("path", b"../out")]), &[file("in", "x")]), "`..`"),
        ("hard link to parent", archive(&[hard_link("l", "../outside/secret")]), "hard link to outside"),
        ("hard link to absolute", archive(&[hard_link("l", "/outside/secret")]), "not in the layer"),
        (
            "hard link through a link",
            archive(&[symlink("s", "../outside"), hard_link("l", "s/secret")]),
            "not in the layer",
        ),
        ("hard link to a directory", archive(&[dir("d/"), hard_link("l", "d")]), "to a directory"),
        ("hard link to itself", archive(&[hard_link("l", "l")]), "not in the layer"),
        ("below a file", archive(&[file("f", ""), file("f/x", "")]), "not a directory"),
        ("below a dangling link", archive(&[symlink("s", "nowhere"), file("s/x", "")]), "not a directory"),
        ("link loop", archive(&[symlink("a", "b"), symlink("b", "a"), file("a/x", "")]), "directory"),
        ("root as a link", archive(&[symlink("./", "/outside")]), "root of a layer is a directory"),
        ("below a whiteout", archive(&[file(".wh.a/b", "x")]), "below a whiteout"),
        ("whiteout of nothing", archive(&[file(".wh.", "")]), "hides no name"),
        ("whiteout of the parent", archive(&[dir("d/"), file("d/.wh...", "")]), "hides no name"),
        ("whiteout of the directory", archive(&[dir("d/"), file("d/.wh..", "")]), "hides no name"),
        (
            "overlay attribute",
            with(pax(&[("SCHILY.xattr.trusted.overlay.redirect", b"/x")]), &[dir("d/")]),
            "overlayfs",
        ),
        ("nul in pax path", with(pax(&[("path", b"a\0b")]), &[file("x", "")]), "NUL"),
        ("nul in pax link", with(pax(&[("linkpath", b"a\0b")]), &[symlink("x", "y")]), "NUL"),
        ("empty link", archive(&[symlink("x", "")]), "making it"),
        ("long name", with(pax(&[("path", long.as_bytes())]), &[file("x", "")]), "making it"),
        ("unknown type", special(b'V', "label", ""), "'V' is not supported"),
        ("multi-volume", special(b'M', "rest", ""), "'M' is not supported"),
        ("pax size too long", with(pax(&[("size", b"99999")]), &[file("x", "short")]), "middle of an entry"),
        ("huge uid", with(pax(&[("uid", b"4294967295")]), &[file("x", "")]), "uid field"),
        ("size overflow", with(pax(&[("size", b"18446744073709551615")]), &[file("x", "")]), "size field"),
        ("not tar", vec![b'x'; 4096], "checksum"),
        ("truncated", archive(&[file("x", "content")])[..515].to_vec(), "middle of an entry"),
        ("half a header", archive(&[file("x", "")])[..100].to_vec(), "middle of an entry"),
        ("lone zero block", [vec![0; 512], archive(&[file("x", "")])].concat(), "lone zero block"),
        ("huge pax", huge_metadata(b'x'), "at most 1048576"),
        ("huge name", huge_metadata(b'L'), "at most 1048576"),
    ];
    for (name, bytes, reason) in cases {
        let tmp = tempfile::tempdir().unwrap();
        let (into, outside) = (tmp.path().join("layer/fs"), tmp.path().join("layer/outside"));
        fs::create_dir_all(&into).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "untouched").unwrap();
        let before = tree(&outside);
        let error = unpack(&bytes[..], &into, None).expect_err(name);
        assert!(format!("{error:?} {}", chain(&error)).contains(reason), "{name}: {}", chain(&error));
        assert_eq!(tree(&outside), before, "{name}");
        assert_eq!(fs::read_dir(tmp.path().join("layer")).unwrap().count(), 2, "{name}");
        assert!(!tmp.path().join("out").exists(), "{name}");
    }
}

/// Links to outside are only text until something goes through them, and then they end inside.
#[test]
fn links_that_point_outside_end_inside() {
    let tmp = tempfile::tempdir().unwrap();
    let into = tmp.path().join("fs");
    fs::create_dir_all(&into).unwrap();
    fs::create_dir(tmp.path().join("target")).unwrap();
    let absolute = tmp.path().join("target");
    let bytes = archive(&[
        symlink("up", "../../../../.."),
        file("up/in-root", "1"),
        dir("target/"),
        symlink("sibling", "../target"),
        file("sibling/x", "2"),
        // A directory, swapped for a link midway.
        dir("swap/"),
        file("swap/a", "3"),
        symlink("swap", "../target"),
        file("swap/b", "4"),
        symlink("proc", "/proc/self/root"),
        symlink("abs", "/target"),
        file("abs/y", "5"),
    ]);
    unpack(&bytes[..], &into, None).unwrap();
    assert_eq!(fs::read_to_string(into.join("in-root")).unwrap(), "1");
    for name in ["x", "b", "y"] {
        assert!(into.join("target").join(name).exists(), "{name}");
    }
    assert_eq!(fs::read_dir(absolute).unwrap().count(), 0, "nothing went outside");
}

#[test]
fn every_cut_and_every_flipped_byte_is_an_error_or_a_tree() {
    let bytes = [
        pax(&[("path", b"a/long/name"), ("SCHILY.xattr.user.a", b"b"), ("mtime", b"1.5")]),
        archive(&[file("x", "content"), dir("d/"), symlink("s", "d"), hard_link("h", "a/long/name")]),
    ]
    .concat();
    let tmp = tempfile::tempdir().unwrap();
    let run = |bytes: &[u8], n: usize| {
        let into = tmp.path().join(n.to_string());
        fs::create_dir(&into).unwrap();
        let _ = unpack(bytes, &into, None);
        fs::remove_dir_all(into).unwrap();
    };
    (0..bytes.len()).step_by(7).for_each(|n| run(&bytes[..n], n));
    for n in 0..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[n] ^= 1 << (n % 8);
        run(&bytes, n);
    }
    assert_eq!(fs::read_dir(tmp.path()).unwrap().count(), 0);
}

fn huge_metadata(kind: u8) -> Vec<u8> {
    let mut bytes = archive(&[support::Item { kind, name: "m", link: "", mode: 0o644, content: b"" }]);
    let header = tar::Header::from_byte_slice(&bytes[..512]).clone();
    let mut header = header;
    header.set_size(1 << 33);
    header.set_cksum();
    bytes[..512].copy_from_slice(header.as_bytes());
    bytes
}
