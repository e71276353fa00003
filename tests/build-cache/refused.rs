//! Caches that can't be read or written are told, and never keep an image from being built.

use std::fs;
use std::path::Path;

use hoist_tests::Host;

use super::{ALL, Project, build, id};

/// Every blob of a folder's cache, changed by this.
fn blobs(folder: &Path, change: impl Fn(&mut Vec<u8>)) {
    for entry in fs::read_dir(folder.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        // Documents stay as they are; layers are compressed.
        if bytes.starts_with(&[0x1f, 0x8b]) {
            change(&mut bytes);
            fs::write(&path, bytes).unwrap();
        }
    }
}

#[test]
fn a_damaged_or_foreign_cache_is_told_and_the_build_goes_on() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let project = Project::new();
    let cache = project.path("cache");
    let keep = "type=local,dest=./other";
    let a = project.stack(&host, "a", "type=local,src=./none", "type=local,dest=./cache,mode=max");
    build(&a);

    blobs(&cache, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let b = project.stack(&host, "b", "type=local,src=./cache", keep);
    let damaged = build(&b);
    assert!(damaged.stderr.contains("the cache ./cache can't give layer sha256:"), "{damaged}");
    assert!(damaged.stderr.contains("has the digest sha256:"), "{damaged}");
    assert!(damaged.stderr.contains("built cached-web:latest"), "{damaged}");
    b.hoist(&["system", "check"]).ok();
    let again = build(&b);
    assert!(again.stderr.contains(ALL), "what was done is in the own records: {again}");

    blobs(&cache, |bytes| bytes.truncate(10));
    let c = project.stack(&host, "c", "type=local,src=./cache", keep);
    assert!(build(&c).stderr.contains("can't give layer"), "cut off");

    let digest = format!("sha256:{}", "0".repeat(64));
    let buildkit = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"{digest}","size":9,
            "annotations":{{"org.opencontainers.image.ref.name":"latest"}}}}]}}"#
    );
    for (index, told) in [("no JSON", "its records can't be read"), (&buildkit, "is missing")] {
        fs::write(cache.join("index.json"), index).unwrap();
        let root = format!("root-{}", index.len());
        let foreign = build(&project.stack(&host, &root, "type=local,src=./cache", keep));
        assert!(foreign.stderr.contains("the cache ./cache can't be read"), "{foreign}");
        assert!(foreign.stderr.contains(told), "{foreign}");
        assert!(foreign.stderr.contains("6 steps, 0 cached"), "{foreign}");
    }
}

#[test]
fn a_cache_that_can_t_be_written_is_told_and_an_error_where_that_is_wanted() {
    let Some(host) = Host::with(&["busybox"]) else { return };
    let project = Project::new();
    fs::write(project.path("file"), "mine").unwrap();
    let (none, file) = ("type=local,src=./none", "type=local,dest=./file");
    let a = project.stack(&host, "a", none, file);
    let told = build(&a);
    assert!(told.stderr.contains("the cache ./file can't be written"), "{told}");
    assert!(!id(&a).is_empty(), "the image is there");
    assert_eq!(fs::read_to_string(project.path("file")).unwrap(), "mine");
    let required = project.stack(&host, "a", none, &format!("{file},ignore-error=false"));
    let refused = required.hoist(&["build"]).ended_with(1);
    assert!(refused.stderr.contains("the cache ./file can't be written"), "{refused}");

    // A layout of somebody else's keeps what it has.
    fs::create_dir(project.path("theirs")).unwrap();
    fs::write(project.path("theirs/index.json"), "no JSON").unwrap();
    let theirs = build(&project.stack(&host, "a", none, "type=local,dest=./theirs"));
    assert!(theirs.stderr.contains("the cache ./theirs can't be written"), "{theirs}");
    assert_eq!(fs::read_to_string(project.path("theirs/index.json")).unwrap(), "no JSON");

    let gone = project.stack(&host, "a", "type=gha", "type=s3,bucket=b");
    let left_out = build(&gone);
    assert!(left_out.stderr.contains("caches of type gha are not supported"), "{left_out}");
    assert!(left_out.stderr.contains("caches of type s3 are not supported"), "{left_out}");
    let wrong =
        project.stack(&host, "a", none, "type=local,dest=./x,mode=most").hoist(&["build"]).ended_with(2);
    assert!(
        wrong.stderr.contains("services.web.build: cache_to") && wrong.stderr.contains("min or max"),
        "{wrong}"
    );
}
