//! ADD from git: by the protocol of git and by plain files over HTTP; branches, tags, folders, submodules; and nothing that
//! runs a command of the repository's.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use hoist_tests::command::{Running, Signal};
use hoist_tests::{Host, SOON, eventually};

use super::server::{Server, ok, status};

const DAEMON: u16 = 9418;

/// Repositories below the host's folder: `repo.git` with the branch `side`, the tag `v1` and the submodule `mod.git`;
/// `evil.git`, whose submodule is a command.
fn repositories(host: &Host) -> String {
    let at = host.folder().display();
    let made = host.shell(&format!(
        r#"set -e; export HOME={at} GIT_CONFIG_NOSYSTEM=1; mkdir -p {at}/git; cd {at}/git
           git config --global user.name me; git config --global user.email me@example.test
           git config --global init.defaultBranch main; git config --global protocol.file.allow always
           git init -q mod; cd mod; echo part > part; git add .; git commit -qm part; cd ..
           git clone -q --bare mod mod.git
           git init -q work; cd work; mkdir sub; echo one > sub/inner; echo readme > readme; git add .
           git commit -qm one; git tag v1
           git checkout -q -b side; echo side > sub/inner; git commit -qam side; git checkout -q main
           git submodule --quiet add ../mod.git mod; git commit -qm mod; cd ..
           git clone -q --bare work repo.git
           git init -q evil; cd evil; git commit -q --allow-empty -m empty
           printf '[submodule "x"]\n\tpath = x\n\turl = ext::sh -c touch%% {at}/ran\n' > .gitmodules
           git add .gitmodules; git update-index --add --cacheinfo 160000,$(git rev-parse HEAD),x
           git commit -qm evil; cd ..; git clone -q --bare evil evil.git
           for repository in *.git; do git -C $repository update-server-info; done
           git -C repo.git rev-parse main"#
    ));
    made.success().text().to_owned()
}

fn daemon(host: &Host) -> Running {
    let mut command = Command::new("git");
    let base = format!("--base-path={}/git", host.folder().display());
    command.args(["daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", &base]).stdin(Stdio::null());
    command
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*");
    let running = host.start(command);
    let url = format!("git://127.0.0.1:{DAEMON}/mod.git");
    eventually("the daemon answers", SOON, || host.run("git", &["ls-remote", &url]).code == 0);
    running
}

/// Serves files as they are: what git calls the dumb protocol.
fn files(host: &Host) -> Server {
    let folder = host.folder().join("git");
    Server::start(host, move |path, _| {
        let path = path.split('?').next().unwrap_or_default().trim_start_matches('/').to_owned();
        let file = folder.join(Path::new(&path));
        fs::read(file).map_or_else(|_| status("404 Not Found", ""), |body| ok("", &body))
    })
}

#[test]
fn repositories_are_checked_out_as_the_file_says() {
    let Some(host) = Host::with(&["busybox", "git"]) else { return };
    let (folder, _kept) = super::project(&host, "git");
    let stack = host.stack(folder.to_str().unwrap());
    let commit = repositories(&host);
    let (_daemon, server) = (daemon(&host), files(&host));
    let (git, http) = (format!("git://127.0.0.1:{DAEMON}"), format!("http://127.0.0.1:{}", server.port));
    fs::write(
        folder.join("web/Dockerfile"),
        format!(
            r#"FROM scratch AS final
COPY busybox /bin/busybox
ADD {git}/repo.git /plain/
ADD {git}/repo.git#side:sub /side/
ADD {git}/repo.git?ref=v1&subdir=sub /tagged/
ADD --keep-git-dir=true {git}/repo.git#v1 /kept/
ADD --checksum={commit} --chmod=600 --chown=7:8 {http}/repo.git /files/
ADD {git}/repo.git#{commit} /commit/
RUN ["/bin/busybox", "sh", "-c", "cd /; busybox grep -r '' plain side tagged files/mod commit/readme | busybox grep -v '[.]git'; busybox test -d kept/.git && echo kept; busybox test -e plain/.git || echo removed; busybox stat -c '%a %u:%g' files/readme"]
"#
        ),
    )
    .unwrap();
    let built = stack.hoist(&["build", "web"]).success();
    for line in [
        "plain/readme:readme",
        "plain/sub/inner:one",
        "plain/mod/part:part",
        "side/inner:side",
        "tagged/inner:one",
        "files/mod/part:part",
        "commit/readme:readme",
        "kept",
        "removed",
        "600 7:8",
    ] {
        assert!(built.stderr.contains(&format!("| {line}\n")), "{line}: {built}");
    }
    let again = stack.hoist(&["build", "web"]).success();
    // With its own folder, git's index has times; all that comes after it is done anew.
    assert!(again.stderr.contains("ADD ") && again.stderr.contains(" cached"), "{again}");
}

#[test]
fn repositories_run_nothing_and_what_is_wrong_is_told() {
    let Some(host) = Host::with(&["busybox", "git"]) else { return };
    let (folder, _kept) = super::project(&host, "git-fails");
    let stack = host.stack(folder.to_str().unwrap());
    repositories(&host);
    let _daemon = daemon(&host);
    let git = format!("git://127.0.0.1:{DAEMON}");
    for (source, told) in [
        (format!("{git}/evil.git"), "ext"),
        (format!("{git}/repo.git#--upload-pack=x"), "is not a branch, tag or commit"),
        (format!("{git}/repo.git#nowhere"), "nowhere"),
        (format!("{git}/repo.git#main:nowhere"), "nowhere"),
        (format!("{git}/absent.git"), "can't be fetched"),
        ("--checksum=0123456789 ".to_owned() + &git + "/repo.git", "not 0123456789"),
    ] {
        fs::write(folder.join("web/Dockerfile"), format!("FROM scratch AS final\nADD {source} /a/\n"))
            .unwrap();
        let failed = stack.hoist(&["build", "web"]).ended_with(1);
        assert!(failed.stderr.contains(told), "{source}: {failed}");
    }
    let server = Server::start(&host, |_, _| None);
    let hangs = format!("http://127.0.0.1:{}/hangs.git", server.port);
    fs::write(folder.join("web/Dockerfile"), format!("FROM scratch AS final\nADD {hangs} /a/\n")).unwrap();
    let build = stack.start(&["build", "web"]);
    let gits = || host.run("pgrep", &["-f", "git.*hangs.git"]).stdout;
    eventually("git asks", SOON, || server.asked("/hangs.git/info/refs?service=git-upload-pack") == 1);
    assert!(!gits().is_empty());
    build.signal(Signal::KILL);
    assert_eq!(build.finish(SOON).code, 137);
    eventually("git has ended", SOON, || gits().is_empty());
    assert!(!host.folder().join("ran").exists(), "a submodule's command was run");
    eventually("nothing is left", SOON, || super::interrupted::left(&stack).is_empty());
}
