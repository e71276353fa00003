//! Images go into the store from what Docker, skopeo and umoci make, and come out again.

#![allow(clippy::unwrap_used, reason = "test set-up")]

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use hoist_image::archive::{LoadError, split_layout};
use hoist_image::digest::Digest;
use hoist_image::progress::Event;
use hoist_image::store::{Fault, RemoveError, Store};
use hoist_image::{Image, Reference};
use support::{Item, archive, dir, file, have, sh, tree};

/// Files of a `docker save` archive, in the layout before version 25: `<id>/layer.tar`.
fn docker_archive(names: &[&str], layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z",
        "config": {
            "Cmd": ["/bin/sh"], "Env": ["A=b"], "ExposedPorts": {"80/tcp": {}},
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_000_000_000u64, "Retries": 3},
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
    .to_string();
    let config_name = format!("{}.json", Digest::of(config.as_bytes()).hex());
    let layer_names: Vec<_> = (0..layers.len()).map(|i| format!("{i:064}/layer.tar")).collect();
    let manifest =
        serde_json::json!([{"Config": config_name, "RepoTags": names, "Layers": layer_names}]).to_string();
    let mut items = Vec::new();
    for (name, layer) in layer_names.iter().zip(layers) {
        items.push(Item { kind: b'0', name, link: "", mode: 0o644, content: layer });
    }
    items.push(file(&config_name, &config));
    items.push(file("manifest.json", &manifest));
    archive(&items)
}

fn small_image(names: &[&str], content: &str) -> Vec<u8> {
    let base = archive(&[dir("./"), dir("etc/"), file("etc/os", "hoist"), file("gone", "x")]);
    docker_archive(names, &[base, archive(&[dir("./"), file("app", content), file(".wh.gone", "")])])
}

fn store() -> (tempfile::TempDir, Store) {
    let tmp = tempfile::tempdir().unwrap();
    let store = Store::open(&tmp.path().join("store")).unwrap();
    (tmp, store)
}

fn resolved(store: &Store, name: &str) -> Image {
    store.resolve(&name.parse().unwrap()).unwrap().unwrap_or_else(|| panic!("{name} is not in the store"))
}

fn sound(store: &Store) {
    let faults = store.verify().unwrap();
    assert!(faults.is_empty(), "{faults:?}");
}

/// The merged tree of an image, copied out of a real overlay mount.
fn merged(image: &Image, into: &Path) -> PathBuf {
    let lower: Vec<_> = image.layers.iter().map(|layer| layer.display().to_string()).collect();
    let (mnt, out) = (into.join("mnt"), into.join("out"));
    // overlayfs needs two lower directories when there is no upper one.
    fs::create_dir_all(into.join("none")).unwrap();
    sh(&format!(
        "mkdir -p {mnt} {out}; unshare -m sh -euc '
           mount -t overlay overlay -o lowerdir={}:{} {mnt}; cp -a {mnt}/. {out}; chmod --reference={mnt} {out}'",
        lower.join(":"),
        into.join("none").display(),
        mnt = mnt.display(),
        out = out.display(),
    ));
    out
}

#[test]
fn a_docker_archive_becomes_an_image() {
    let (tmp, store) = store();
    let bytes = small_image(&["app:1", "registry.example:5000/team/app:latest"], "one");
    let events = std::sync::Mutex::new(Vec::new());
    let loaded = store.load(&bytes[..], &|event| events.lock().unwrap().push(event)).unwrap();
    assert_eq!(loaded.len(), 1);
    let image = resolved(&store, "app:1");
    assert_eq!(image.id, loaded[0].id);
    let names: Vec<_> = image.references.iter().map(Reference::familiar).collect();
    assert_eq!(names, ["app:1", "registry.example:5000/team/app:latest"]);
    let config = image.config.config().as_ref().unwrap();
    assert_eq!(config.cmd().as_ref().unwrap(), &["/bin/sh"]);
    let check = image.docker.healthcheck.as_ref().unwrap();
    assert_eq!((check.interval, check.retries), (1_000_000_000, 3));
    assert_eq!(image.layers.len(), 2);
    assert!(image.layers[0].join("app").exists(), "the topmost layer is first");
    assert_eq!(image.size, 5 + 1 + 3);
    let unpacked =
        events.lock().unwrap().iter().filter(|event| matches!(event, Event::Unpacked { .. })).count();
    assert_eq!(unpacked, 2);
    let out = merged(&image, tmp.path());
    assert!(out.join("app").exists() && !out.join("gone").exists());
    sound(&store);

    let again = store.load(&bytes[..], &()).unwrap();
    assert_eq!((again, store.list().unwrap().len()), (loaded, 1));
    assert!(store.resolve(&"app:2".parse().unwrap()).unwrap().is_none());
    assert_eq!(store.find(&image.id.hex()[..12]).unwrap().unwrap().id, image.id);
    assert_eq!(store.find("app:1").unwrap().unwrap().id, image.id);
}

#[test]
fn archives_are_read_compressed_and_in_any_order_with_layers_of_any_kind() {
    let (tmp, store) = store();
    let at = tmp.path();
    fs::write(at.join("a.tar"), small_image(&["app:1"], "one")).unwrap();
    sh(&format!(
        "cd {}; mkdir x; tar -xf a.tar -C x; gzip -k a.tar; zstd -q a.tar
         (cd x; tar -cf ../reversed.tar manifest.json $(ls -r | grep -v manifest.json))
         gzip -n $(ls -d x/*1)/layer.tar; cd x/*1; mv layer.tar.gz layer.tar; cd ../..
         zstd -q --rm x/*0/layer.tar; cd x/*0; mv layer.tar.zst layer.tar; cd ../..
         tar -cf mixed.tar -C x .",
        at.display()
    ));
    let mut ids = Vec::new();
    for name in ["a.tar", "a.tar.gz", "a.tar.zst", "reversed.tar", "mixed.tar"] {
        let loaded = store.load(File::open(at.join(name)).unwrap(), &());
        ids.push(loaded.unwrap_or_else(|error| panic!("{name}: {error:?}"))[0].id);
    }
    assert!(ids.iter().all(|id| *id == ids[0]));
    sound(&store);
}

#[test]
fn what_is_no_image_archive_is_refused_and_leaves_nothing() {
    let (tmp, store) = store();
    let good = small_image(&["app:1"], "one");
    let wrong_layer = {
        let mut bytes = good.clone();
        let at = bytes.windows(5).position(|w| w == b"hoist").unwrap();
        bytes[at] ^= 1;
        bytes
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "NotAnImage"),
        ("text", b"hello".to_vec(), "Truncated"),
        ("other tar", archive(&[file("a", "b")]), "NotAnImage"),
        ("very old docker", archive(&[file("repositories", "{}")]), "TooOld"),
        ("no layers", archive(&[file("manifest.json", r#"[{"Config":"c","Layers":[]}]"#)]), "Missing(\"c\")"),
        ("bad json", archive(&[file("manifest.json", "{")]), "Json"),
        ("no item", archive(&[file("manifest.json", "[]")]), "NotAnImage"),
        ("cut", good[..good.len() / 2].to_vec(), "Truncated"),
        ("changed layer", wrong_layer, "DiffId"),
        ("bad name", small_image(&["App"], "one"), "Uppercase"),
    ];
    for (name, bytes, reason) in cases {
        let error = store.load(&bytes[..], &()).expect_err(name);
        assert!(format!("{error:?}").contains(reason), "{name}: {error:?}");
        assert!(store.list().unwrap().is_empty());
    }
    store.gc(&[]).unwrap();
    let left = sh(&format!(
        "cd {}/store; find blobs layers tmp -mindepth 1 | grep -v '^blobs/sha256$' || true",
        tmp.path().display()
    ));
    assert_eq!(left, "", "nothing is left");
}

#[test]
fn skopeo_and_umoci_agree_with_what_is_loaded_and_saved() {
    let test = "skopeo_and_umoci_agree_with_what_is_loaded_and_saved";
    if !have(test, "skopeo") || !have(test, "umoci") {
        return;
    }
    let (tmp, store) = store();
    let at = tmp.path().display().to_string();
    sh(&format!(
        "cd {at}; mkdir -p root/bin root/etc; cp /bin/tar root/bin/; ln -s tar root/bin/untar; ln root/bin/tar root/bin/hard
         echo one > root/etc/one; chown 5:6 root/etc/one; chmod 4711 root/bin/tar; touch -d 2001-01-01 root/etc
         umoci init --layout oci; umoci new --image oci:base; umoci insert --image oci:base root /
         mkdir more; echo two > more/two; umoci insert --image oci:base --opaque more /etc
         umoci config --image oci:base --config.cmd /bin/tar --author me
         skopeo copy -q oci:oci:base docker-archive:docker.tar:app:1 --insecure-policy
         skopeo copy -q oci:oci:base oci-archive:oci.tar:app:2 --insecure-policy
         umoci unpack --image oci:base bundle"
    ));
    let names = ["app:3".parse::<Reference>().unwrap()];
    let (layout, tag) = split_layout(&format!("{at}/oci:base"));
    let imported = store.import_layout(&layout, tag.as_deref(), &names, &()).unwrap();
    let docker = store.load(File::open(tmp.path().join("docker.tar")).unwrap(), &()).unwrap();
    let oci = store.load(File::open(tmp.path().join("oci.tar")).unwrap(), &()).unwrap();
    assert_eq!(oci[0].references, ["app:2".parse().unwrap()]);
    assert_eq!(imported.id, oci[0].id);
    assert_eq!(docker[0].references, ["app:1".parse().unwrap()]);
    let (image, from_docker) = (resolved(&store, "app:3"), resolved(&store, "app:1"));
    assert_eq!(image.layers, from_docker.layers, "layers are shared");
    assert_eq!(tree(&merged(&image, &tmp.path().join("merge"))), tree(&tmp.path().join("bundle/rootfs")));
    sound(&store);

    store
        .save(&[(image.clone(), names.to_vec())], File::create(tmp.path().join("saved.tar")).unwrap())
        .unwrap();
    sh(&format!(
        "cd {at}; skopeo copy -q --insecure-policy docker-archive:saved.tar:app:3 oci:again:x
         skopeo copy -q --insecure-policy oci-archive:saved.tar oci:as-oci:x; umoci unpack --image again:x bundle2"
    ));
    assert_eq!(tree(&tmp.path().join("bundle2/rootfs")), tree(&tmp.path().join("bundle/rootfs")));
    let as_oci = store.import_layout(&tmp.path().join("as-oci"), None, &[], &()).unwrap();
    assert_eq!(as_oci.id, image.id, "the configuration came back byte for byte");
    let through_docker = store.load(File::open(tmp.path().join("saved.tar")).unwrap(), &()).unwrap();
    assert_eq!(resolved(&store, "app:3").manifest, image.manifest, "the manifest too");
    assert_eq!(through_docker[0].id, image.id);
    sh(&format!("skopeo inspect oci:{at}/store:docker.io/library/app:3"));
}

#[test]
fn a_layout_names_its_images() {
    let (tmp, store) = store();
    if !have("a_layout_names_its_images", "umoci") {
        return;
    }
    let at = tmp.path().display();
    sh(&format!(
        "cd {at}; umoci init --layout oci; umoci new --image oci:a; umoci new --image oci:b; umoci config --image oci:b --author b"
    ));
    let import = |tag| store.import_layout(&tmp.path().join("oci"), tag, &[], &());
    assert!(matches!(import(None), Err(LoadError::SeveralImages(names)) if names == ["a", "b"]));
    assert!(matches!(import(Some("c")), Err(LoadError::NoSuchName { .. })));
    assert_ne!(import(Some("a")).unwrap().id, import(Some("b")).unwrap().id);
    assert!(matches!(
        store.import_layout(Path::new("/nowhere"), None, &[], &()),
        Err(LoadError::Open { .. })
    ));
}

#[test]
fn names_move_and_garbage_goes() {
    let (tmp, store) = store();
    store.load(&small_image(&["app:1", "app:stable"], "one")[..], &()).unwrap();
    let one = resolved(&store, "app:1");
    store.load(&small_image(&["app:stable"], "two two")[..], &()).unwrap();
    let two = resolved(&store, "app:stable");
    assert_ne!(one.id, two.id);
    let usage = store.usage().unwrap();
    assert_eq!(usage.layers, 6 + 3 + 7, "the base layer is there once");
    let unique: Vec<_> = usage.images.iter().map(|image| (image.shared, image.unique)).collect();
    assert_eq!(unique, [(6, 3), (6, 7)]);

    assert!(store.tag(&"app:1".parse().unwrap(), &"other".parse().unwrap()).unwrap());
    assert!(!store.tag(&"nothing".parse().unwrap(), &"other".parse().unwrap()).unwrap());
    assert!(
        matches!(store.remove_id(one.id, false, &[]), Err(RemoveError::SeveralNames { names, .. }) if names.len() == 2)
    );
    let removed = store.remove(&"app:1".parse().unwrap(), &[one.id]).unwrap();
    assert_eq!(removed.deleted, None);
    assert!(matches!(store.remove(&"other".parse().unwrap(), &[one.id]), Err(RemoveError::InUse { .. })));
    assert_eq!(store.gc(&[]).unwrap().blobs, 0);
    assert_eq!(store.remove(&"other".parse().unwrap(), &[]).unwrap().deleted, Some(one.id));
    let collected = store.gc(&[]).unwrap();
    assert_eq!((collected.layers, collected.blobs), (1, 3), "the shared layer stays");
    sound(&store);

    // Its name taken by another, an image in use stays until it is not.
    store.load(&small_image(&["app:stable"], "three")[..], &()).unwrap();
    assert!(store.gc(&[two.id]).unwrap().images.is_empty());
    assert_eq!(store.image_by_id(two.id).unwrap().unwrap().layers, two.layers);
    assert_eq!(store.gc(&[]).unwrap().images, [two.id]);
    store.remove_id(resolved(&store, "app:stable").id, false, &[]).unwrap();
    store.gc(&[]).unwrap();
    let left = sh(&format!("cd {}/store; find blobs/sha256 layers tmp -mindepth 1", tmp.path().display()));
    assert_eq!(left, "");
}

/// A session of an earlier boot stands for a power cut before what it made had settled.
/// The same image twice, its layers packed in two ways: one id, two manifests, as after a push that compressed them.
fn packed_twice(store: &Store, tmp: &Path) -> Digest {
    fs::write(tmp.join("a.tar"), small_image(&["local", "keep:me"], "one")).unwrap();
    fs::write(tmp.join("b.tar"), small_image(&["reg.example:5000/app:1", "reg.example:5000/app:2"], "one"))
        .unwrap();
    sh(&format!(
        "cd {}; mkdir b; tar -xf b.tar -C b; for layer in b/*/layer.tar; do gzip -n $layer; mv $layer.gz $layer; done
         tar -cf b.tar -C b .",
        tmp.display()
    ));
    let id = store.load(File::open(tmp.join("a.tar")).unwrap(), &()).unwrap()[0].id;
    assert_eq!(store.load(File::open(tmp.join("b.tar")).unwrap(), &()).unwrap()[0].id, id);
    let (one, two) = (resolved(store, "local"), resolved(store, "reg.example:5000/app:1"));
    assert_ne!(one.manifest, two.manifest);
    assert_eq!((one.references.len(), two.references.len()), (4, 4), "an image has all its names");
    assert_eq!(store.list().unwrap().len(), 1, "it is one image");
    let pinned = "reg.example:5000/app".parse::<Reference>().unwrap().with_digest(two.manifest);
    assert!(store.tag_manifest(two.manifest, &pinned).unwrap());
    id
}

#[test]
fn an_image_goes_with_its_last_name_whatever_its_manifests_are() {
    let (tmp, store) = store();
    let id = packed_twice(&store, tmp.path());
    let remove = |name: &str, in_use: &[Digest]| store.remove(&name.parse().unwrap(), in_use);
    let names = || resolved(&store, "keep:me").references.len();
    assert!(matches!(store.remove_id(id, false, &[]), Err(RemoveError::SeveralNames { .. })));
    assert!(matches!(remove("reg.example:5000/app:3", &[]), Err(RemoveError::Unknown(_))));

    let removed = remove("reg.example:5000/app:1", &[id]).unwrap();
    assert_eq!(
        (removed.untagged.len(), removed.deleted, names()),
        (1, None, 4),
        "a tag of the repository is left"
    );
    let removed = remove("reg.example:5000/app:2", &[id]).unwrap();
    assert_eq!(
        (removed.untagged.len(), removed.deleted, names()),
        (2, None, 2),
        "the digest goes with its last tag"
    );
    assert_eq!(remove("local", &[]).unwrap().deleted, None);
    store.gc(&[]).unwrap();
    assert!(matches!(remove("keep:me", &[id]), Err(RemoveError::InUse { .. })));
    assert_eq!(remove("keep:me", &[]).unwrap().deleted, Some(id));
    assert!(store.list().unwrap().is_empty());
    sound(&store);
}

#[test]
fn a_name_by_digest_goes_alone() {
    let (tmp, store) = store();
    packed_twice(&store, tmp.path());
    let pinned =
        resolved(&store, "local").references.into_iter().find(|name| name.digest().is_some()).unwrap();
    let removed = store.remove(&pinned, &[]).unwrap();
    assert_eq!((removed.untagged, removed.deleted), (vec![pinned], None));
    assert_eq!(resolved(&store, "local").references.len(), 4);
}

#[test]
fn after_a_power_cut_what_had_not_settled_is_checked_or_made_again() {
    let (tmp, store) = store();
    store.load(&small_image(&["app:1"], "one")[..], &()).unwrap();
    store.load(&small_image(&["app:2"], "two")[..], &()).unwrap();
    let root = tmp.path().join("store");
    let (one, two) = (resolved(&store, "app:1"), resolved(&store, "app:2"));
    let made = root.join("tmp/1-2-3/made");
    fs::create_dir_all(&made).unwrap();
    fs::write(root.join("tmp/1-2-3/boot"), "another").unwrap();
    for layer in &one.layers {
        let hex = layer.parent().unwrap().file_name().unwrap();
        fs::write(made.join(hex), "").unwrap();
        fs::remove_dir_all(layer).unwrap();
        fs::create_dir(layer).unwrap();
    }
    // The upper layer's blob of the other image was cut short, so its layer can't be made again.
    let blob = two.layers[0].parent().unwrap().file_name().unwrap();
    fs::write(made.join(blob), "").unwrap();
    fs::write(root.join("blobs/sha256").join(blob), "cut").unwrap();

    let store = Store::open(&root).unwrap();
    assert!(resolved(&store, "app:1").layers[0].join("app").exists());
    assert!(!root.join("blobs/sha256").join(blob).exists());
    assert!(store.resolve(&"app:2".parse().unwrap()).unwrap().is_none(), "half an image is none");
    assert!(!root.join("tmp/1-2-3").exists());
    sound(&store);
    store.load(&small_image(&["app:2"], "two")[..], &()).unwrap();
    assert!(resolved(&store, "app:2").layers[0].join("app").exists());
    sound(&store);
}

#[test]
fn damage_is_found() {
    let (tmp, store) = store();
    store.load(&small_image(&["app:1"], "one")[..], &()).unwrap();
    let image = resolved(&store, "app:1");
    let root = tmp.path().join("store");
    fs::write(root.join("blobs/sha256").join(image.id.hex()), "{}").unwrap();
    let layer = image.layers[0].parent().unwrap();
    fs::remove_file(layer.join("layer.json")).unwrap();
    let faults = store.verify().unwrap();
    assert!(matches!(&faults[..], [Fault::Blob(_), Fault::Layer(_), Fault::Image { .. }]), "{faults:?}");
    assert!(store.resolve(&"app:1".parse().unwrap()).is_err());
}

/// The layers above don't say how `etc` and `/` are; overlayfs would show what unpacking made up.
#[test]
fn directories_without_an_entry_look_as_below() {
    let (tmp, store) = store();
    let private = |name| Item { kind: b'5', name, link: "", mode: 0o750, content: b"" };
    let base =
        archive(&[private("./"), private("etc/"), private("etc/ssl/"), dir("opt/"), private("opt/in/")]);
    let top = archive(&[
        file("etc/ssl/key", "k"),
        file("opt/.wh..wh..opq", ""),
        file("opt/in/x", ""),
        file("new/x", ""),
    ]);
    store.load(&docker_archive(&["app:1"], &[base, top.clone()])[..], &()).unwrap();
    let image = resolved(&store, "app:1");
    assert_eq!(image.layers.len(), 3, "one thin layer more");
    let seen = tree(&merged(&image, tmp.path()));
    let mode = |path: &str| {
        seen.lines()
            .find_map(|line| line.strip_prefix(&format!("{path} ")))
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(["/", "/etc", "/etc/ssl", "/opt", "/new"].map(mode), ["750", "750", "750", "755", "755"]);
    assert_eq!(store.gc(&[]).unwrap().layers, 0);
    sound(&store);

    // The same layer below another base needs no thin layer, or another one.
    store.load(&docker_archive(&["app:2"], &[archive(&[dir("usr/")]), top])[..], &()).unwrap();
    assert_eq!(resolved(&store, "app:2").layers.len(), 2);
}

#[test]
fn stores_opened_twice_work_at_once() {
    let (tmp, store) = store();
    let root = tmp.path().join("store");
    std::thread::scope(|scope| {
        for i in 0..6 {
            let root = &root;
            scope.spawn(move || {
                let store = Store::open(root).unwrap();
                for j in 0..4 {
                    let name = format!("app:{i}-{j}");
                    store.load(&small_image(&[&name], &format!("{}", j % 3))[..], &()).unwrap();
                    store.gc(&[]).unwrap();
                    resolved(&store, &name);
                }
            });
        }
    });
    assert_eq!(store.list().unwrap().iter().map(|image| image.references.len()).sum::<usize>(), 24);
    sound(&store);
}

#[test]
fn a_foreign_directory_is_refused() {
    let tmp = tempfile::tempdir().unwrap();
    fs::write(tmp.path().join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).unwrap();
    let error = Store::open(tmp.path()).unwrap_err().to_string();
    assert!(error.ends_with("is not an image store of this version"), "{error}");
}
