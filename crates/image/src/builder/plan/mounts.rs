//! `RUN --mount`: `type=cache,target=/root/.cache` and the like.

use super::paths;
use crate::builder::dockerfile::nearest;
use crate::builder::graph::{Mount, MountKind, Sharing, Tree};

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
];
const TYPES: [&str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];

/// Why a mount can't be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MountError {
    pub(super) message: String,
    pub(super) help: Option<String>,
}

impl From<String> for MountError {
    fn from(message: String) -> Self {
        Self { message, help: None }
    }
}

/// The fields of a mount, in their order, keys in lower case.
struct Fields(Vec<(String, Option<String>)>);

/// Whose files a mount shows, if it says so; before variables, which don't count there.
pub(super) fn from(mount: &str) -> Option<String> {
    Fields::parse(mount).get("from").map(str::to_owned)
}

/// The mount that is written; `expand` gives the values of variables, `tree` the tree of a `from`.
pub(super) fn mount(
    text: &str,
    working_dir: &str,
    expand: impl Fn(&str) -> Result<String, String>,
    tree: impl FnOnce(&str) -> Option<Tree>,
) -> Result<Mount, MountError> {
    let mut fields = Fields::parse(text);
    for (key, value) in &mut fields.0 {
        if !KEYS.contains(&&key[..]) {
            let message = format!("{key} says nothing about a mount");
            return Err(MountError { message, help: nearest(key, KEYS) });
        }
        if let Some(value) = value {
            *value = expand(value)?;
        }
    }
    fields.valued()?;
    let kind = fields.get("type").unwrap_or("bind").to_ascii_lowercase();
    fields.fit(&kind)?;
    let from = fields.get("from").map(tree);
    let from = match from {
        Some(None) => return Err("its `from` is nothing that is built or pulled".to_owned().into()),
        Some(tree) => tree,
        None => None,
    };
    let (kind, default_target) = fields.kind(&kind, from)?;
    let target = match (fields.target(), default_target) {
        (Some(target), _) => paths::join(working_dir, target),
        (None, Some(default)) => default,
        (None, None) => paths::join(working_dir, ""),
    };
    if target == "/" {
        return Err("a mount can't hide the whole tree: give it a target".to_owned().into());
    }
    let is_variable = matches!(&kind, MountKind::Secret { env: Some(_), .. }) && fields.target().is_none();
    Ok(Mount { target: if is_variable { String::new() } else { target }, kind })
}

impl Fields {
    /// Separated by commas; a field in double quotes may hold some.
    fn parse(text: &str) -> Self {
        let mut fields = vec![String::new()];
        let mut quoted = false;
        for c in text.chars() {
            match c {
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                _ => fields.last_mut().expect("there is always one").push(c),
            }
        }
        let pair = |field: String| match field.split_once('=') {
            Some((key, value)) => (key.trim().to_ascii_lowercase(), Some(value.to_owned())),
            None => (field.trim().to_ascii_lowercase(), None),
        };
        Self(fields.into_iter().map(pair).collect())
    }

    fn find(&self, keys: &[&str]) -> Option<Option<&str>> {
        self.0.iter().rev().find(|(key, _)| keys.contains(&&key[..])).map(|(_, value)| value.as_deref())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.find(&[key]).flatten().filter(|value| !value.is_empty())
    }

    fn target(&self) -> Option<&str> {
        self.find(&["target", "dst", "destination"]).flatten().filter(|value| !value.is_empty())
    }

    fn source(&self) -> Option<&str> {
        self.find(&["source", "src"]).flatten().filter(|value| !value.is_empty())
    }

    /// Only switches may stand alone.
    fn valued(&self) -> Result<(), MountError> {
        let switches = ["readonly", "ro", "readwrite", "rw", "required"];
        match self.0.iter().find(|(key, value)| value.is_none() && !switches.contains(&&key[..])) {
            Some((key, _)) => Err(format!("{key} needs a value: {key}=…").into()),
            None => Ok(()),
        }
    }

    /// What only some types of mounts have.
    fn fit(&self, kind: &str) -> Result<(), MountError> {
        if !TYPES.contains(&kind) {
            let message = format!("{kind} is not a type of mount");
            let help = nearest(kind, TYPES).or_else(|| Some(format!("the types are {}", TYPES.join(", "))));
            return Err(MountError { message, help });
        }
        let only: [(&str, &[&str]); 7] = [
            ("size", &["tmpfs"]),
            ("sharing", &["cache"]),
            ("required", &["secret", "ssh"]),
            ("mode", &["cache", "secret", "ssh"]),
            ("uid", &["cache", "secret", "ssh"]),
            ("gid", &["cache", "secret", "ssh"]),
            ("from", &["bind", "cache"]),
        ];
        match only.iter().find(|(key, kinds)| self.find(&[key]).is_some() && !kinds.contains(&kind)) {
            Some((key, _)) => Err(format!("a {kind} mount has no {key}").into()),
            None => Ok(()),
        }
    }

    /// The kind, and the target that it has when none is given.
    fn kind(&self, kind: &str, from: Option<Tree>) -> Result<(MountKind, Option<String>), MountError> {
        let source = paths::join("/", self.source().unwrap_or("/"));
        let uid = self.number("uid")?.unwrap_or(0);
        let gid = self.number("gid")?.unwrap_or(0);
        Ok(match kind {
            "bind" => {
                let from = from.unwrap_or(Tree::Context(String::new()));
                (MountKind::Bind { from, source, writable: self.writable(false)? }, None)
            }
            "cache" => {
                let target = self.target().unwrap_or_default();
                let id = self.get("id").map_or_else(|| clean(target), str::to_owned);
                let (from, sharing) = (from.unwrap_or(Tree::Empty), self.sharing()?);
                let (readonly, mode) = (!self.writable(true)?, self.mode(0o755)?);
                (MountKind::Cache { id, from, source, sharing, readonly, mode, uid, gid }, None)
            }
            "tmpfs" => (MountKind::Tmpfs { size: self.get("size").map(size).transpose()? }, None),
            "secret" => {
                let id = self.secret_id()?;
                let default = format!("/run/secrets/{}", paths::name(&id));
                let env = self.get("env").map(str::to_owned);
                let (required, mode) = (self.switch(&["required"])?.unwrap_or(false), self.mode(0o400)?);
                (MountKind::Secret { id, env, required, mode, uid, gid }, Some(default))
            }
            _ => {
                let id = self.get("id").unwrap_or("default").to_owned();
                let (required, mode) = (self.switch(&["required"])?.unwrap_or(false), self.mode(0o600)?);
                (
                    MountKind::Ssh { id, required, mode, uid, gid },
                    Some("/run/buildkit/ssh_agent.0".to_owned()),
                )
            }
        })
    }

    fn secret_id(&self) -> Result<String, MountError> {
        match (self.get("id"), self.source(), self.target()) {
            (Some(_), Some(_), _) => Err("a secret has an id or a source, not both".to_owned().into()),
            (Some(id), None, _) | (None, Some(id), _) => Ok(id.to_owned()),
            (None, None, Some(target)) => Ok(paths::name(target).to_owned()),
            (None, None, None) => Err("a secret needs an id: type=secret,id=…".to_owned().into()),
        }
    }

    fn switch(&self, keys: &[&str]) -> Result<Option<bool>, MountError> {
        match self.find(keys) {
            None => Ok(None),
            Some(None) => Ok(Some(true)),
            Some(Some(value)) => match value {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
                "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Some(false)),
                _ => Err(format!("{} is true or false, not {value}", keys[0]).into()),
            },
        }
    }

    fn writable(&self, default: bool) -> Result<bool, MountError> {
        let readonly = self.switch(&["readonly", "ro"])?;
        let writable = self.switch(&["readwrite", "rw"])?;
        Ok(writable.or(readonly.map(|readonly| !readonly)).unwrap_or(default))
    }

    fn sharing(&self) -> Result<Sharing, MountError> {
        match self.get("sharing").map(str::to_ascii_lowercase).as_deref() {
            None | Some("shared") => Ok(Sharing::Shared),
            Some("private") => Ok(Sharing::Private),
            Some("locked") => Ok(Sharing::Locked),
            Some(other) => {
                let help = nearest(other, ["shared", "private", "locked"]);
                Err(MountError {
                    message: format!("sharing is shared, private or locked, not {other}"),
                    help,
                })
            }
        }
    }

    fn number(&self, key: &str) -> Result<Option<u32>, MountError> {
        let number = |text: &str| text.parse().map_err(|_| format!("{key} is a number, not {text}").into());
        self.get(key).map(number).transpose()
    }

    fn mode(&self, default: u32) -> Result<u32, MountError> {
        let Some(text) = self.get("mode") else { return Ok(default) };
        let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
        mode.ok_or_else(|| format!("mode is octal, as 0400, not {text}").into())
    }
}

/// Without double slashes, dots and the like, but as relative or absolute as it was.
fn clean(path: &str) -> String {
    let whole = paths::join("/", path);
    if path.starts_with('/') { whole } else { whole.trim_start_matches('/').to_owned() }
}

/// `64m`, `1GB`, `512`: in steps of 1024.
fn size(text: &str) -> Result<u64, MountError> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let unit = unit.trim();
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => Some(0),
        letter => "kmgtp".find(letter).filter(|_| letter.len() == 1).map(|at| at as u32 + 1),
    };
    let wrong = || MountError::from(format!("size is a number of bytes, as 64m, not {text}"));
    let factor = 1024_f64.powi(power.ok_or_else(wrong)?.cast_signed());
    let bytes = number.parse::<f64>().map_err(|_| wrong())? * factor;
    if bytes.is_finite() && bytes >= 0.0 && bytes < 2_f64.powi(63) { Ok(bytes as u64) } else { Err(wrong()) }
}
