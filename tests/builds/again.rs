//! The same inputs give the same image, whenever they were written after `SOURCE_DATE_EPOCH`.

use std::fs;

use hoist_tests::{Host, Outcome};

const DOCKERFILE: &str = r#"FROM scratch AS tools
COPY busybox /bin/busybox
WORKDIR /made/by/workdir
RUN ["/bin/busybox", "sh", "-c", "busybox mkdir -p /a/b; echo x > /a/b/c; busybox ln -s c /a/b/d; busybox ln /a/b/c /a/e; busybox mknod /a/p p"]
FROM scratch AS final
COPY --from=tools / /
COPY --chmod=640 --chown=7:8 page Dockerfile /site/
ADD archive.tar /unpacked/
RUN ["/bin/busybox", "sh", "-c", "busybox date > /dev/null; busybox rm /a/e; echo y >> /site/page; busybox cp /bin/busybox /bin/copy"]
"#;

/// The digest of the manifest, as an archive of the image has it.
fn manifest(host: &Host, saved: &Outcome, archive: &str) -> String {
    assert_eq!(saved.code, 0, "{saved}");
    host.run("tar", &["-xOf", archive, "index.json"]).success().stdout
}

#[test]
fn two_builds_of_the_same_give_the_same_manifest() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let mut manifests = Vec::new();
    for (at, time) in [("one", "2024-01-01"), ("two", "2025-02-02")] {
        let (folder, _kept) = super::project(&host, at);
        fs::write(folder.join("web/Dockerfile"), DOCKERFILE).unwrap();
        let prepared = format!(
            "cd {}/web; tar --mtime=2000-01-01 --sort=name --owner=0 --group=0 -cf archive.tar page; find . -exec touch -h -d {time} {{}} +",
            folder.display()
        );
        host.shell(&prepared).ok();
        let stack = host.stack(folder.to_str().unwrap()).in_root(at).with("SOURCE_DATE_EPOCH", "1700000000");
        stack.hoist(&["build", "--no-cache", "web"]).ok();
        let archive = host.folder().join(format!("{at}.tar")).display().to_string();
        let saved = stack.hoist(&["save", "-o", &archive, "builds-web"]);
        manifests.push(manifest(&host, &saved, &archive));
    }
    assert!(manifests[0].contains("sha256:"), "{manifests:?}");
    assert_eq!(manifests[0], manifests[1]);
}
