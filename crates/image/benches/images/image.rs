//! Two images of ten layers, made of the files this machine's packages installed; nine layers are the same in both.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Failure;

const LAYERS: usize = 10;
/// Bytes of files in each layer.
const EACH: u64 = 50 << 20;

/// What was made, in the OCI layout `oci`.
pub(crate) struct Images {
    /// Bytes of files, and of compressed layers, in the first image.
    pub(crate) files: u64,
    pub(crate) blobs: u64,
    pub(crate) entries: usize,
    /// Bytes of the second image's last layer and of its configuration.
    pub(crate) tenth: u64,
    pub(crate) config: u64,
}

struct Layer {
    diff_id: String,
    digest: String,
    size: u64,
}

/// Lists `/usr` in pieces of 50 MB, packs each, and writes the two images.
const LISTS: &str = r#"
cd "$1"; mkdir -p oci/blobs/sha256 lists
find /usr -xdev -type f -size -30M -printf '%s %p\n' | LC_ALL=C sort -k2 |
    awk -v each="$2" -v most="$3" '{ sum += $1; n = int(sum / each); if (n >= most) exit; print $2 > ("lists/" n) }'
"#;
const PACK: &str = r#"
cd "$1"; export GZIP=
tar --numeric-owner -cf layer$2.tar -T lists/$2 2>/dev/null
sha256sum < layer$2.tar | cut -d' ' -f1
gzip -n -6 layer$2.tar
digest=$(sha256sum < layer$2.tar.gz | cut -d' ' -f1)
echo $digest; stat -c %s layer$2.tar.gz
mv layer$2.tar.gz oci/blobs/sha256/$digest
"#;

pub(crate) fn make(folder: &Path) -> Result<Images, Failure> {
    let text = folder.display().to_string();
    shell(LISTS, &[&text, &EACH.to_string(), &(LAYERS + 1).to_string()])?;
    let layers: Vec<Layer> = (0..=LAYERS).map(|n| pack(&text, n)).collect::<Result<_, _>>()?;
    fs::write(folder.join("oci/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let first: Vec<&Layer> = layers[..LAYERS].iter().collect();
    let second: Vec<&Layer> = layers[..LAYERS - 1].iter().chain(layers.last()).collect();
    let (one, _) = manifest(folder, &first)?;
    let (two, config) = manifest(folder, &second)?;
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#, named(&one, "1"), named(&two, "2"));
    fs::write(folder.join("oci/index.json"), index)?;
    let mut entries = 0;
    for n in 0..LAYERS {
        entries += fs::read_to_string(folder.join(format!("lists/{n}")))?.lines().count();
    }
    Ok(Images {
        files: EACH * LAYERS as u64,
        blobs: first.iter().map(|layer| layer.size).sum(),
        entries,
        tenth: layers[LAYERS].size,
        config,
    })
}

fn pack(folder: &str, n: usize) -> Result<Layer, Failure> {
    let said = shell(PACK, &[folder, &n.to_string()])?;
    let words: Vec<&str> = said.split_whitespace().collect();
    let [diff_id, digest, size] = words[..] else { return Err(format!("packing said {said:?}").into()) };
    Ok(Layer { diff_id: diff_id.to_owned(), digest: digest.to_owned(), size: size.parse()? })
}

/// Writes configuration and manifest; gives the manifest's digest with its size, and the configuration's size.
fn manifest(folder: &Path, layers: &[&Layer]) -> Result<((String, u64), u64), Failure> {
    let ids: Vec<String> = layers.iter().map(|layer| format!(r#""sha256:{}""#, layer.diff_id)).collect();
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = format!(
        r#"{{"architecture":"{architecture}","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        ids.join(",")
    );
    let (config, config_size) = blob(folder, &config)?;
    let oci = "application/vnd.oci.image";
    let list: Vec<String> = layers
        .iter()
        .map(|layer| {
            let Layer { digest, size, .. } = layer;
            format!(r#"{{"mediaType":"{oci}.layer.v1.tar+gzip","digest":"sha256:{digest}","size":{size}}}"#)
        })
        .collect();
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{oci}.manifest.v1+json","config":{{"mediaType":"{oci}.config.v1+json","digest":"sha256:{config}","size":{config_size}}},"layers":[{}]}}"#,
        list.join(",")
    );
    Ok((blob(folder, &manifest)?, config_size))
}

fn blob(folder: &Path, content: &str) -> Result<(String, u64), Failure> {
    let digest = hoist_image::Digest::of(content.as_bytes()).hex();
    fs::write(folder.join("oci/blobs/sha256").join(&digest), content)?;
    Ok((digest, content.len() as u64))
}

fn named((digest, size): &(String, u64), name: &str) -> String {
    format!(
        r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{digest}","size":{size},"annotations":{{"org.opencontainers.image.ref.name":"{name}"}}}}"#
    )
}

/// The work that nobody can do without: reading, decompressing and writing each layer, with gzip and tar, as many at
/// once as there are processors.
pub(crate) struct Floor<'a> {
    pub(crate) folder: &'a Path,
}

const FLOOR: &str = r#"
cd "$1"; mkdir floor$2; cd floor$2
ls -S ../oci/blobs/sha256 | head -10 | xargs -P "$(nproc)" -I N sh -c 'mkdir N; gzip -dc ../oci/blobs/sha256/N | tar -x -C N'
"#;

impl Floor<'_> {
    pub(crate) fn measure(&self, round: usize) -> Result<Duration, Failure> {
        let begun = Instant::now();
        shell(FLOOR, &[&self.folder.display().to_string(), &round.to_string()])?;
        Ok(begun.elapsed())
    }
}

pub(crate) fn shell(script: &str, words: &[&str]) -> Result<String, Failure> {
    let output = Command::new("bash").args(["-euc", script, "bash"]).args(words).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
