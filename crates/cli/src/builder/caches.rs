//! `cache_from` and `cache_to`, as docker compose has them: `type=local,src=DIR`, or a reference alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use hoist_wire::build::{CacheExport, CachePlace};

/// What a section says about caches.
#[derive(Debug, Default)]
pub(super) struct CacheSettings {
    pub(super) from: Vec<CachePlace>,
    pub(super) to: Vec<CacheExport>,
    /// Folders that the agent may ask for, by the name that it asks by.
    pub(super) folders: BTreeMap<String, PathBuf>,
    pub(super) warnings: Vec<String>,
}

/// One entry's attributes, each taken as it is understood.
struct Entry<'a> {
    key: &'static str,
    text: &'a str,
    attributes: BTreeMap<String, String>,
}

impl CacheSettings {
    /// Reads both lists; folders that are not absolute are `directory`'s.
    pub(super) fn read(directory: &Path, from: &[String], to: &[String]) -> Result<Self, String> {
        let mut found = Self::default();
        for text in from {
            let mut entry = Entry::parse("cache_from", text)?;
            let place = found.place(directory, &mut entry, "src")?;
            found.from.extend(place);
            found.unknown(entry);
        }
        for text in to {
            let mut entry = Entry::parse("cache_to", text)?;
            let Some(place) = found.place(directory, &mut entry, "dest")? else { continue };
            let export = entry.export(place, &mut found.warnings)?;
            if export.place == CachePlace::Inline && export.all {
                found.warnings.push(
                    "cache_to: mode=max has no effect in an image: it carries its own layers".to_owned(),
                );
            }
            found.to.push(export);
            found.unknown(entry);
        }
        Ok(found)
    }

    /// References whose registries may want credentials.
    pub(super) fn images(&self) -> impl Iterator<Item = &str> {
        let places = self.from.iter().chain(self.to.iter().map(|export| &export.place));
        places.filter_map(|place| match place {
            CachePlace::Registry(name) => Some(name.as_str()),
            CachePlace::Folder { .. } | CachePlace::Inline => None,
        })
    }

    fn place(
        &mut self,
        directory: &Path,
        entry: &mut Entry<'_>,
        folder: &str,
    ) -> Result<Option<CachePlace>, String> {
        let kind = entry.take("type").unwrap_or_default();
        match &kind[..] {
            "registry" => Ok(Some(CachePlace::Registry(entry.needed("ref")?))),
            "local" => {
                let path = entry.needed(folder)?;
                let tag = entry.take("tag").unwrap_or_else(|| "latest".to_owned());
                // No context can be called so.
                let name = format!("{} {}", entry.key, self.folders.len());
                self.folders.insert(name.clone(), directory.join(&path));
                Ok(Some(CachePlace::Folder { name, path, tag, digest: entry.take("digest") }))
            }
            "inline" if entry.key == "cache_to" => Ok(Some(CachePlace::Inline)),
            "inline" => Err(entry.wrong("name the image whose records are meant: `type=registry,ref=IMAGE`")),
            "gha" | "s3" | "azblob" => {
                self.warnings.push(format!(
                    "{}: caches of type {kind} are not supported, this one is left out; use type=registry or type=local",
                    entry.key
                ));
                entry.attributes.clear();
                Ok(None)
            }
            other => {
                Err(entry.wrong(&format!("{other:?} is not a type of cache: registry, local or inline are")))
            }
        }
    }

    fn unknown(&mut self, entry: Entry<'_>) {
        let names: Vec<String> = entry.attributes.into_keys().collect();
        if !names.is_empty() {
            self.warnings.push(format!("{}: {} has no effect", entry.key, names.join(", ")));
        }
    }
}

impl<'a> Entry<'a> {
    fn parse(key: &'static str, text: &'a str) -> Result<Self, String> {
        let mut entry = Self { key, text, attributes: BTreeMap::new() };
        if !text.contains('=') {
            if text.trim().is_empty() {
                return Err(entry.wrong("it is empty"));
            }
            entry.attributes.insert("type".to_owned(), "registry".to_owned());
            entry.attributes.insert("ref".to_owned(), text.trim().to_owned());
            return Ok(entry);
        }
        for pair in text.split(',') {
            let split = pair.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
            let (name, value) = split.ok_or_else(|| entry.wrong(&format!("{pair:?} is not NAME=VALUE")))?;
            entry.attributes.insert(name.to_ascii_lowercase(), value.to_owned());
        }
        Ok(entry)
    }

    fn wrong(&self, why: &str) -> String {
        format!("{}: {:?}: {why}", self.key, self.text)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.attributes.remove(name).filter(|value| !value.is_empty())
    }

    fn needed(&mut self, name: &str) -> Result<String, String> {
        self.take(name).ok_or_else(|| self.wrong(&format!("it has no {name}=")))
    }

    fn export(&mut self, place: CachePlace, warnings: &mut Vec<String>) -> Result<CacheExport, String> {
        let mode = self.take("mode");
        let all = match mode.as_deref() {
            None | Some("min") => false,
            Some("max") => true,
            Some(other) => return Err(self.wrong(&format!("mode is min or max, not {other:?}"))),
        };
        let compression = self.take("compression").unwrap_or_else(|| "gzip".to_owned());
        match &compression[..] {
            "gzip" | "zstd" | "uncompressed" => {}
            "estargz" => {
                warnings.push(format!("{}: compression estargz is not supported, gzip is taken", self.key));
            }
            other => {
                let why = format!("compression is gzip, zstd or uncompressed, not {other:?}");
                return Err(self.wrong(&why));
            }
        }
        let required = match self.take("ignore-error").as_deref() {
            None | Some("true" | "1") => false,
            Some("false" | "0") => true,
            Some(other) => {
                return Err(self.wrong(&format!("ignore-error is true or false, not {other:?}")));
            }
        };
        // Ours are image manifests in OCI's terms anyway.
        for name in ["image-manifest", "oci-mediatypes"] {
            if self.attributes.get(name).is_some_and(|value| value == "true") {
                self.attributes.remove(name);
            }
        }
        Ok(CacheExport { place, all, compression, required })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(from: &[&str], to: &[&str]) -> Result<CacheSettings, String> {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        CacheSettings::read(Path::new("/stack"), &own(from), &own(to))
    }

    #[test]
    fn all_forms_are_read() {
        let found = read(
            &["me/app:cache", "type=registry,ref=r.example/a", "type=local,src=/c,tag=x"],
            &["type=inline", "type=local,dest=d,mode=max,compression=zstd,ignore-error=false"],
        )
        .unwrap();
        let names: Vec<&str> = found.images().collect();
        assert_eq!(names, ["me/app:cache", "r.example/a"]);
        assert!(matches!(&found.from[2], CachePlace::Folder { path, tag, .. } if path == "/c" && tag == "x"));
        assert_eq!(found.to[0].place, CachePlace::Inline);
        let local = &found.to[1];
        assert!(local.all && local.required && local.compression == "zstd");
        let folders: Vec<_> = found.folders.values().map(|path| path.display().to_string()).collect();
        assert_eq!(folders, ["/c", "/stack/d"]);
        assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    }

    #[test]
    fn what_has_no_effect_is_told_and_nonsense_refused() {
        let found = read(
            &["type=gha,scope=x"],
            &["type=s3,region=r,bucket=b", "type=registry,ref=a,force-compression=true,oci-mediatypes=true"],
        )
        .unwrap();
        assert_eq!((found.from.len(), found.to.len()), (0, 1));
        assert_eq!(found.warnings.len(), 3, "{:?}", found.warnings);
        assert!(found.warnings[0].contains("type gha are not supported"), "{:?}", found.warnings);
        assert_eq!(found.warnings[2], "cache_to: force-compression has no effect");
        let wrong = |from: &[&str], to: &[&str]| read(from, to).unwrap_err();
        assert_eq!(
            wrong(&["type=local,dest=/x"], &[]),
            r#"cache_from: "type=local,dest=/x": it has no src="#
        );
        assert!(wrong(&["type=tape,ref=x"], &[]).contains(r#""tape" is not a type of cache"#));
        assert!(wrong(&["type=inline"], &[]).contains("type=registry,ref=IMAGE"));
        assert!(wrong(&[], &["type=registry,ref=a,mode=most"]).contains("mode is min or max"));
        assert!(wrong(&[], &["type=registry,ref=a,compression=lz4"]).contains("gzip, zstd or uncompressed"));
        assert!(wrong(&[""], &[]).contains("it is empty"));
    }
}
