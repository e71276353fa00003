use super::*;
use expect_test::expect;

fn table(names: &[&str]) -> String {
    let line = |name: &&str| match Remote::parse(name) {
        None => format!("{name}\n  a path\n"),
        Some(Err(error)) => format!("{}\n  no: {error}\n", name.escape_debug()),
        Some(Ok(Remote::Artifact(name_of))) => format!("{name}\n  artifact {name_of}\n"),
        Some(Ok(Remote::Http(url))) => format!("{name}\n  file {url}\n"),
        Some(Ok(Remote::Git(Repository { url, reference, commit, path }))) => {
            let (reference, commit) = (reference.unwrap_or_default(), commit.unwrap_or_default());
            format!("{name}\n  git {url} ref={reference:?} commit={commit:?} path={path:?}\n")
        }
    };
    names.iter().map(line).collect()
}

#[test]
fn names_of_elsewhere() {
    expect![[r#"
        https://host/x.git
          git https://host/x.git ref="" commit="" path=""
        https://host/x.git#main:deploy/stack.yaml
          git https://host/x.git ref="main" commit="" path="deploy/stack.yaml"
        https://host/x.git#:deploy/
          git https://host/x.git ref="" commit="" path="deploy"
        https://host/x.git#feature/y
          git https://host/x.git ref="feature/y" commit="" path=""
        http://127.0.0.1:8080/x.git/#v1
          git http://127.0.0.1:8080/x.git/ ref="v1" commit="" path=""
        https://host/x.git?ref=main&subdir=deploy&commit=abcd
          git https://host/x.git ref="main" commit="abcd" path="deploy"
        git@host:me/x.git#pull/1/head
          git git@host:me/x.git ref="pull/1/head" commit="" path=""
        ssh://git@host:22/x#refs/heads/a:./b
          git ssh://git@host:22/x ref="refs/heads/a" commit="" path="b"
        git://host/x
          git git://host/x ref="" commit="" path=""
        github.com/me/x#abc1234
          git https://github.com/me/x ref="abc1234" commit="" path=""
        oci://localhost:5000/team/stack:1
          artifact localhost:5000/team/stack:1
        oci://team/stack@sha256:00
          artifact team/stack@sha256:00
        https://host/stack.yaml
          file https://host/stack.yaml
        https://host/context.tar.gz?x=1#y
          file https://host/context.tar.gz?x=1#y
        stack.yaml
          a path
        ../up/stack.yaml
          a path
        /abs/stack.yaml
          a path
        git/stack.yaml
          a path
        C:\stack.yaml
          a path
        -
          a path
    "#]]
    .assert_eq(&table(&[
        "https://host/x.git",
        "https://host/x.git#main:deploy/stack.yaml",
        "https://host/x.git#:deploy/",
        "https://host/x.git#feature/y",
        "http://127.0.0.1:8080/x.git/#v1",
        "https://host/x.git?ref=main&subdir=deploy&commit=abcd",
        "git@host:me/x.git#pull/1/head",
        "ssh://git@host:22/x#refs/heads/a:./b",
        "git://host/x",
        "github.com/me/x#abc1234",
        "oci://localhost:5000/team/stack:1",
        "oci://team/stack@sha256:00",
        "https://host/stack.yaml",
        "https://host/context.tar.gz?x=1#y",
        "stack.yaml",
        "../up/stack.yaml",
        "/abs/stack.yaml",
        "git/stack.yaml",
        "C:\\stack.yaml",
        "-",
    ]));
}

#[test]
fn names_that_could_do_harm() {
    expect![[r#"
        ext::sh -c id
          no: ext is not a protocol for files from elsewhere: https, http, ssh, git, git@HOST:PATH and oci are
        ext::sh
          no: ext is not a protocol for files from elsewhere: https, http, ssh, git, git@HOST:PATH and oci are
        file:///srv/x.git
          no: file is not a protocol for files from elsewhere: https, http, ssh, git, git@HOST:PATH and oci are
        ftp://host/x.git
          no: ftp is not a protocol for files from elsewhere: https, http, ssh, git, git@HOST:PATH and oci are
        --upload-pack=id.git
          a path
        ssh://-oProxyCommand=id/x.git
          no: it names no host
        ssh://me@-oProxyCommand=id/x.git
          no: it names no host
        git@-oProxyCommand=id:x
          no: it names no host
        git@host:-x.git
          no: it names no repository
        git@host:
          no: it names no repository
        https:///x.git
          no: it names no host
        git://host
          no: it names no repository
        https://host/x.git#--upload-pack=id
          no: "--upload-pack=id" is not a branch, tag or commit
        https://host/x.git#a..b
          no: "a..b" is not a branch, tag or commit
        https://host/x.git#a b
          no: it has white space or control characters in it
        https://host/x.git#a\nb
          no: it has white space or control characters in it
        https://host/x.git#*
          no: "*" is not a branch, tag or commit
        https://host/x.git#main:../../etc
          no: "../../etc" leads out of the repository
        https://host/x.git#main:a/../../b
          no: "a/../../b" leads out of the repository
        https://host/x.git?commit=-x
          no: "-x" is not a commit
        https://host/x.git?upload-pack=id
          no: upload-pack says nothing of a repository: ref, branch, tag, commit and subdir do
        oci://-x
          no: it names no host
        oci://
          no: it names no host
    "#]]
    .assert_eq(&table(&[
        "ext::sh -c id",
        "ext::sh",
        "file:///srv/x.git",
        "ftp://host/x.git",
        "--upload-pack=id.git",
        "ssh://-oProxyCommand=id/x.git",
        "ssh://me@-oProxyCommand=id/x.git",
        "git@-oProxyCommand=id:x",
        "git@host:-x.git",
        "git@host:",
        "https:///x.git",
        "git://host",
        "https://host/x.git#--upload-pack=id",
        "https://host/x.git#a..b",
        "https://host/x.git#a b",
        "https://host/x.git#a\nb",
        "https://host/x.git#*",
        "https://host/x.git#main:../../etc",
        "https://host/x.git#main:a/../../b",
        "https://host/x.git?commit=-x",
        "https://host/x.git?upload-pack=id",
        "oci://-x",
        "oci://",
    ]));
}

#[test]
fn no_message_shows_a_password() {
    assert_eq!(redacted("https://me:secret@host/x.git#a"), "https://me:***@host/x.git#a");
    assert_eq!(redacted("https://me@host/x@y"), "https://me@host/x@y");
    assert_eq!(redacted("a/b@c"), "a/b@c");
}
