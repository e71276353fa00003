//! The short form of a volume: `[SOURCE:]TARGET[:OPTION,...]`.

/// What the short form says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Host path or volume name; empty for an anonymous volume.
    pub source: String,
    /// Path in the container.
    pub target: String,
    /// `ro`.
    pub read_only: bool,
    /// `nocopy`.
    pub no_copy: bool,
    /// `rprivate`, `shared`, ...
    pub propagation: Option<String>,
    /// `z` or `Z`.
    pub selinux: Option<String>,
    /// Other options, as written: `noexec`, …
    pub options: Vec<String>,
}

/// Where the options of the short form that the long one has no key for are kept. No file has such a key.
pub const OPTIONS_KEY: &str = "x-#options";

/// How virtual machines on other systems keep files in step: nothing here.
const CONSISTENCY: [&str; 4] = ["cached", "delegated", "consistent", "default"];

impl Volume {
    /// Whether the source is a path of the host.
    #[must_use]
    pub fn is_bind(&self) -> bool {
        let source = &self.source;
        source.starts_with(['.', '/', '~']) || source.starts_with("\\\\") || {
            let mut chars = source.chars();
            matches!((chars.next(), chars.next()), (Some(drive), Some(':')) if drive.is_alphabetic())
        }
    }
}

/// Reads a short form. `${...}` is passed over whole, so a template that is not replaced yet splits rightly.
///
/// # Errors
/// The text of the reason.
pub fn parse(text: &str) -> Result<Volume, String> {
    match text.len() {
        0 => return Err("the volume is empty".to_owned()),
        1 | 2 => return Ok(Volume { target: text.to_owned(), ..Volume::default() }),
        _ => {}
    }
    let mut volume = Volume::default();
    let sections = split(text);
    let last = sections.len() - 1;
    for (index, section) in sections.into_iter().enumerate() {
        fill(&mut volume, section, index == last).map_err(|reason| format!("`{text}`: {reason}"))?;
    }
    Ok(volume)
}

/// Splits at colons, but not inside `${...}` and not after a drive letter.
fn split(text: &str) -> Vec<&str> {
    let mut sections = Vec::new();
    let (mut start, mut depth) = (0, 0_usize);
    for (at, c) in text.char_indices() {
        match c {
            '$' if text[at + 1..].starts_with('{') => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ':' if depth == 0 && !is_drive(&text[start..at]) => {
                sections.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    sections.push(&text[start..]);
    sections
}

fn is_drive(section: &str) -> bool {
    let mut chars = section.chars();
    chars.next().is_some_and(char::is_alphabetic) && chars.next().is_none()
}

fn fill(volume: &mut Volume, section: &str, last: bool) -> Result<(), &'static str> {
    if section.is_empty() {
        return Err("nothing between two colons");
    }
    if volume.source.is_empty() && last {
        section.clone_into(&mut volume.target);
    } else if volume.source.is_empty() {
        section.clone_into(&mut volume.source);
    } else if volume.target.is_empty() {
        section.clone_into(&mut volume.target);
    } else if !last {
        return Err("too many colons");
    } else {
        for option in section.split(',') {
            set_option(volume, option);
        }
    }
    Ok(())
}

/// Unknown options are kept, so that what isn't done can be said; the reference passes them over.
fn set_option(volume: &mut Volume, option: &str) {
    match option {
        "ro" => volume.read_only = true,
        "rw" => volume.read_only = false,
        "nocopy" => volume.no_copy = true,
        "rprivate" | "private" | "rshared" | "shared" | "rslave" | "slave" => {
            volume.propagation = Some(option.to_owned());
        }
        "z" | "Z" => volume.selinux = Some(option.to_owned()),
        "" => {}
        consistency if CONSISTENCY.contains(&consistency) => {}
        _ => volume.options.push(option.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn volumes() {
        let bind = parse("./a:/b:ro,z,rshared").unwrap();
        assert!(bind.is_bind() && bind.read_only);
        assert_eq!((bind.selinux.as_deref(), bind.propagation.as_deref()), (Some("z"), Some("rshared")));
        let named = parse("data:/b:nocopy").unwrap();
        assert!(!named.is_bind() && named.no_copy);
        assert_eq!(parse("./a:/b:noexec,cached,ro,nodev").unwrap().options, ["noexec", "nodev"]);
        assert_eq!(parse("/b").unwrap().target, "/b");
        assert_eq!(parse("C:\\a:D:\\b").unwrap().source, "C:\\a");
        assert_eq!(parse("${A:-x:y}:/b").unwrap().source, "${A:-x:y}");
        for text in ["", ":/b", "aa::b", "aa:/b:ro:x"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
