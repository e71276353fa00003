//! `driver_opts` of a volume, as Docker's local driver has them: `type`, `device`, and `o` as of mount(8).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::mount::MountFlags;

/// What a bind can be told besides `ro`.
const OF_A_BIND: [&str; 11] = [
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "noatime",
    "nodiratime",
    "relatime",
    "strictatime",
    "nosymfollow",
];

/// Where a volume's data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DataLocation {
    /// In the volume's own folder.
    Own,
    /// In a folder of the host (`o: bind`).
    Folder {
        /// The folder.
        device: PathBuf,
        /// Containers can't write to it.
        read_only: bool,
        /// Further options of the mounts that show it, in the order given.
        options: Vec<String>,
    },
    /// On a file system that is mounted on the volume's own folder.
    Mounted(FileSystem),
}

/// What mount(2) is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileSystem {
    pub(crate) kind: String,
    pub(crate) device: String,
    pub(crate) flags: MountFlags,
    /// What the file system itself is told.
    pub(crate) data: String,
}

impl DataLocation {
    /// Reads the options.
    ///
    /// # Errors
    /// In words: an option that isn't known, or one that lacks another.
    pub(crate) fn read(options: &BTreeMap<String, String>) -> Result<Self, String> {
        let known = ["type", "device", "o"];
        if let Some(unknown) = options.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("the volume option {unknown} is not known: there are type, device and o"));
        }
        let option = |name| options.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let Some(device) = option("device") else {
            return match options.keys().next() {
                Some(name) => Err(format!("the volume option {name} needs a device")),
                None => Ok(Self::Own),
            };
        };
        let words: Vec<&str> = option("o").unwrap_or_default().split(',').filter(|o| !o.is_empty()).collect();
        if words.iter().any(|word| matches!(*word, "bind" | "rbind")) {
            if !Path::new(device).is_absolute() {
                return Err(format!(
                    "the device {device} of a volume with `o: bind` must be an absolute path"
                ));
            }
            let read_only = words.contains(&"ro");
            let acts = |word: &&&str| OF_A_BIND.contains(*word);
            let options = words.iter().filter(acts).map(ToString::to_string).collect();
            return Ok(Self::Folder { device: device.into(), read_only, options });
        }
        let kind = option("type").filter(|kind| *kind != "none");
        let kind = kind.ok_or("a volume with a device needs a type, or `o: bind`")?;
        let (flags, data) = flags(&words);
        let (kind, device) = (kind.to_owned(), device.to_owned());
        Ok(Self::Mounted(FileSystem { kind, device, flags, data }))
    }
}

/// Words that are flags of mount(2), from those that are the file system's own.
fn flags(words: &[&str]) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for word in words {
        match *word {
            "ro" => flags |= MountFlags::RDONLY,
            "rw" => flags -= MountFlags::RDONLY,
            "nosuid" => flags |= MountFlags::NOSUID,
            "nodev" => flags |= MountFlags::NODEV,
            "noexec" => flags |= MountFlags::NOEXEC,
            "sync" => flags |= MountFlags::SYNCHRONOUS,
            "dirsync" => flags |= MountFlags::DIRSYNC,
            "noatime" => flags |= MountFlags::NOATIME,
            "nodiratime" => flags |= MountFlags::NODIRATIME,
            "relatime" => flags |= MountFlags::RELATIME,
            "strictatime" => flags |= MountFlags::STRICTATIME,
            "defaults" | "async" | "atime" | "dev" | "exec" | "suid" => {}
            own => data.push(own),
        }
    }
    (flags, data.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, &str)]) -> Result<DataLocation, String> {
        DataLocation::read(
            &options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        )
    }

    #[test]
    fn options_are_read_as_the_local_driver_reads_them() {
        assert_eq!(read(&[]), Ok(DataLocation::Own));
        let folder = |read_only| {
            Ok(DataLocation::Folder { device: "/srv/data".into(), read_only, options: Vec::new() })
        };
        assert_eq!(read(&[("type", "none"), ("o", "bind"), ("device", "/srv/data")]), folder(false));
        assert_eq!(read(&[("o", "ro,bind"), ("device", "/srv/data")]), folder(true));
        let Ok(DataLocation::Folder { options, .. }) =
            read(&[("o", "bind,noexec,nosuid"), ("device", "/srv/data")])
        else {
            panic!("a folder")
        };
        assert_eq!(options, ["noexec", "nosuid"]);
        let tmpfs = FileSystem {
            kind: "tmpfs".to_owned(),
            device: "tmpfs".to_owned(),
            flags: MountFlags::NOSUID | MountFlags::RDONLY,
            data: "size=1m,uid=7".to_owned(),
        };
        let options = [("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,nosuid,ro,uid=7")];
        assert_eq!(read(&options), Ok(DataLocation::Mounted(tmpfs)));
    }

    #[test]
    fn what_can_not_be_mounted_is_said() {
        let error = |options: &[(&str, &str)]| read(options).unwrap_err();
        assert_eq!(error(&[("type", "tmpfs")]), "the volume option type needs a device");
        assert_eq!(error(&[("device", "/dev/sda1")]), "a volume with a device needs a type, or `o: bind`");
        assert!(error(&[("o", "bind"), ("device", "data")]).contains("must be an absolute path"));
        assert!(error(&[("size", "1g")]).starts_with("the volume option size is not known"));
    }
}
