//! ADD by HTTP: what lands where with which times and owners, what is asked again, and what a server may do.

use std::fs;
use std::sync::{Arc, Mutex};

use hoist_tests::command::Signal;
use hoist_tests::{Host, SOON, eventually};

use super::server::{Server, ok, status};

const TIME: &str = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
/// `content\n`.
const DIGEST: &str = "sha256:434728a410a78f56fc1b5899c3593436e61ab0c731e9072d95e96db290205e53";

fn archive() -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o604);
    header.set_uid(9);
    header.set_gid(10);
    header.set_mtime(1_000_000);
    header.set_cksum();
    archive.append_data(&mut header, "folder/inside", &b"abc"[..]).unwrap();
    archive.into_inner().unwrap()
}

fn answer(content: &str, path: &str, before: usize) -> Option<Vec<u8>> {
    match (path, before) {
        ("/file" | "/two%20words", _) => ok(TIME, content.as_bytes()),
        ("/moved", _) => status("302 Found", "Location: /file\r\n"),
        ("/broken", 0) => Some(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwhol".to_vec()),
        ("/broken", _) => ok("", b"whole\n"),
        ("/busy", 0) => status("503 Service Unavailable", ""),
        ("/busy", _) => ok("", b"busy\n"),
        ("/archive.tar", _) => ok("", &archive()),
        ("/hangs", _) => None,
        _ => status("404 Not Found", ""),
    }
}

#[test]
fn files_are_fetched_by_http_and_again_by_each_build() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = super::project(&host, "http");
    let stack = host.stack(folder.to_str().unwrap());
    let content = Arc::new(Mutex::new("content\n".to_owned()));
    let now = Arc::clone(&content);
    let server = Server::start(&host, move |path, before| answer(&now.lock().unwrap(), path, before));
    let at = format!("http://127.0.0.1:{}", server.port);
    let dockerfile = format!(
        r#"FROM scratch AS final
COPY busybox /bin/busybox
ADD {at}/file {at}/two%20words /many/
ADD --checksum={DIGEST} --chmod=640 --chown=7:8 {at}/moved /moved
ADD {at}/broken /
ADD {at}/busy /
ADD --unpack=true {at}/archive.tar /unpacked/
ADD {at}/archive.tar /packed
RUN ["/bin/busybox", "sh", "-c", "cd /; busybox stat -c '%n %a %u:%g %Y %s' many/* moved broken packed unpacked/*/*; busybox cat busy"]
"#
    );
    fs::write(folder.join("web/Dockerfile"), &dockerfile).unwrap();
    let built = stack.hoist(&["build", "web"]).success();
    for line in [
        "many/file 600 0:0 784111777 8",
        "many/two words 600 0:0 784111777 8",
        "moved 640 7:8 784111777 8",
        "broken 600 0:0 ",
        "packed 600 0:0 ",
        "unpacked/folder/inside 604 9:10 1000000 3",
        "busy",
    ] {
        assert!(built.stderr.contains(&format!("| {line}")), "{line}: {built}");
    }
    assert_eq!((server.asked("/broken"), server.asked("/busy"), server.asked("/file")), (2, 2, 2));

    let again = stack.hoist(&["build", "web"]).success();
    assert!(again.stderr.contains("all cached"), "{again}");
    assert_eq!((server.asked("/file"), server.asked("/broken")), (4, 3), "each build asks");

    "changed\n".clone_into(&mut content.lock().unwrap());
    let changed = stack.hoist(&["build", "web"]).ended_with(1);
    assert!(changed.stderr.contains(&format!(", not {DIGEST}")), "{changed}");
    fs::write(folder.join("web/Dockerfile"), dockerfile.replace(&format!("--checksum={DIGEST}"), ""))
        .unwrap();
    let changed = stack.hoist(&["build", "web"]).success();
    assert!(changed.stderr.contains("many/file 600 0:0 784111777 8"), "{changed}");
}

#[test]
fn what_a_server_refuses_is_told_and_what_hangs_ends_with_the_build() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let (folder, _kept) = super::project(&host, "http-fails");
    let stack = host.stack(folder.to_str().unwrap());
    let server = Server::start(&host, |path, before| answer("", path, before));
    let at = format!("http://127.0.0.1:{}", server.port);
    let adds = |what: &str| {
        fs::write(folder.join("web/Dockerfile"), format!("FROM scratch AS final\nADD {what} /\n")).unwrap();
    };
    adds(&format!("{at}/missing"));
    let missing = stack.hoist(&["build", "web"]).ended_with(1);
    assert!(missing.stderr.contains("/missing can't be fetched: the server answers 404"), "{missing}");
    assert_eq!(server.asked("/missing"), 1, "it is meant for good");
    adds("http://127.0.0.1:1/nobody");
    let nobody = stack.hoist(&["build", "web"]).ended_with(1);
    assert!(nobody.stderr.contains("http://127.0.0.1:1/nobody can't be fetched: "), "{nobody}");
    adds(&format!("{at}/"));
    let nameless = stack.hoist(&["build", "web"]).ended_with(1);
    assert!(nameless.stderr.contains("can't be fetched"), "{nameless}");

    adds(&format!("{at}/hangs"));
    let build = stack.start(&["build", "web"]);
    eventually("the server was asked", SOON, || server.asked("/hangs") == 1);
    build.signal(Signal::INT);
    assert_eq!(build.finish(SOON).code, 130);
    eventually("nothing is left of the build", SOON, || super::interrupted::left(&stack).is_empty());
}
