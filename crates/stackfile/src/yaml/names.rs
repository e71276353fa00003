//! Anchors, aliases, tags and directives as tokens.

use super::cursor::Mark;
use super::malformed::{Malformed, Result};
use super::scanner::Scanner;
use super::token::Kind;

const TAG_HELP: &str = "put a value that begins with `!` in quotes";
const DIRECTIVE_HELP: &str = "a line that begins with `%` is `%YAML 1.1` or `%TAG !name! prefix`";

impl<'a> Scanner<'a> {
    /// `&name` and `*name`.
    pub(super) fn anchor(&mut self) -> Result<()> {
        self.save_key()?;
        self.key_allowed = false;
        let start = self.cursor.mark();
        let is_alias = self.cursor.byte(0) == b'*';
        self.cursor.skip();
        let name = self.word();
        let is_ended = self.cursor.is_space(0) || b"?:,]}%@`".contains(&self.cursor.byte(0));
        if name.is_empty() || !is_ended {
            let what = if is_alias { "alias" } else { "anchor" };
            let message = format!("the name of an {what} has only letters, digits, `-` and `_`");
            return Err(Malformed::new(message, (start.at, self.cursor.at() + 1))
                .help("put a value that begins with `*` or `&` in quotes"));
        }
        self.push(if is_alias { Kind::Alias(name) } else { Kind::Anchor(name) }, start);
        Ok(())
    }

    /// `!name`, `!handle!name`, `!<name>`.
    pub(super) fn tag(&mut self) -> Result<()> {
        self.save_key()?;
        self.key_allowed = false;
        let start = self.cursor.mark();
        let (handle, suffix) = if self.cursor.byte(1) == b'<' {
            self.cursor.skip_bytes(2);
            let suffix = self.tag_text("", true, start)?;
            if self.cursor.byte(0) != b'>' {
                return Err(self.bad_tag("this tag has no `>`", start));
            }
            self.cursor.skip();
            ("", suffix)
        } else {
            self.short_tag(start)?
        };
        if !self.cursor.is_space(0) {
            return Err(self.bad_tag("a space must follow a tag", start));
        }
        self.push(Kind::Tag { handle, suffix }, start);
        Ok(())
    }

    /// A handle and what follows it; the tag `!` alone has no handle.
    fn short_tag(&mut self, start: Mark) -> Result<(&'a str, String)> {
        let handle = self.handle();
        if handle.len() > 1 && handle.ends_with('!') {
            return Ok((handle, self.tag_text("", true, start)?));
        }
        let suffix = self.tag_text(&handle[1..], false, start)?;
        Ok(if suffix.is_empty() { ("", "!".to_owned()) } else { ("!", suffix) })
    }

    /// `!`, letters, and another `!` where there is one.
    fn handle(&mut self) -> &'a str {
        let start = self.cursor.at();
        self.cursor.skip();
        self.word();
        if self.cursor.byte(0) == b'!' {
            self.cursor.skip();
        }
        self.cursor.slice(start, self.cursor.at())
    }

    /// The characters of an address, those after a `%` decoded.
    fn tag_text(&mut self, head: &str, is_needed: bool, start: Mark) -> Result<String> {
        let mut bytes = head.as_bytes().to_vec();
        let from = self.cursor.at();
        loop {
            let byte = self.cursor.byte(0);
            if byte == b'%' {
                let digits = self.cursor.slice(self.cursor.at() + 1, self.cursor.at() + 3);
                let octet = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'));
                bytes.push(octet.ok_or_else(|| self.bad_tag("two digits follow a `%` in a tag", start))?);
                self.cursor.skip_bytes(3);
            } else if byte.is_ascii_alphanumeric() || b"_-;/?:@&=+$,.!~*'()[]".contains(&byte) {
                bytes.push(byte);
                self.cursor.skip();
            } else {
                break;
            }
        }
        if is_needed && self.cursor.at() == from {
            return Err(self.bad_tag("a tag's name is missing", start));
        }
        String::from_utf8(bytes).map_err(|_| self.bad_tag("this tag is not UTF-8", start))
    }

    fn bad_tag(&self, message: &str, start: Mark) -> Box<Malformed> {
        Malformed::new(message, (start.at, self.cursor.at() + 1)).help(TAG_HELP)
    }

    /// `%YAML 1.1` and `%TAG !handle! prefix`.
    pub(super) fn directive(&mut self) -> Result<()> {
        let start = self.cursor.mark();
        self.cursor.skip();
        let kind = match self.word() {
            "YAML" if self.cursor.is_space(0) => self.version(start)?,
            "TAG" if self.cursor.is_space(0) => self.tag_directive(start)?,
            _ => return Err(self.bad_directive(start)),
        };
        self.push(kind, start);
        self.cursor.skip_blanks();
        if self.cursor.byte(0) == b'#' {
            self.cursor.skip_line();
        }
        if !self.cursor.is_line_end(0) {
            return Err(self.bad_directive(start));
        }
        if self.cursor.is_break() {
            self.cursor.take_break();
        }
        Ok(())
    }

    fn version(&mut self, start: Mark) -> Result<Kind<'a>> {
        self.cursor.skip_blanks();
        let major = self.version_number(start)?;
        if self.cursor.byte(0) != b'.' {
            return Err(self.bad_directive(start));
        }
        self.cursor.skip();
        Ok(Kind::Version(major, self.version_number(start)?))
    }

    /// One digit or two.
    fn version_number(&mut self, start: Mark) -> Result<u8> {
        let digits = self.cursor.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = self.cursor.slice(self.cursor.at(), self.cursor.at() + digits);
        let number = Some(number).filter(|number| number.len() <= 2).and_then(|number| number.parse().ok());
        self.cursor.skip_bytes(digits);
        number.ok_or_else(|| self.bad_directive(start))
    }

    fn tag_directive(&mut self, start: Mark) -> Result<Kind<'a>> {
        self.cursor.skip_blanks();
        if self.cursor.byte(0) != b'!' {
            return Err(self.bad_directive(start));
        }
        let handle = self.handle();
        if !handle.ends_with('!') || !self.cursor.is_blank(0) {
            return Err(self.bad_directive(start));
        }
        self.cursor.skip_blanks();
        let prefix = self.tag_text("", true, start)?;
        if self.cursor.is_space(0) {
            Ok(Kind::TagDirective { handle, prefix })
        } else {
            Err(self.bad_directive(start))
        }
    }

    fn bad_directive(&self, start: Mark) -> Box<Malformed> {
        let at = (start.at, self.cursor.at().max(start.at + 1));
        Malformed::new("this is not a directive", at).help(DIRECTIVE_HELP)
    }

    /// Letters, digits, `-` and `_`.
    fn word(&mut self) -> &'a str {
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let length = self.cursor.rest().iter().take_while(is_part).count();
        let start = self.cursor.at();
        self.cursor.skip_bytes(length);
        self.cursor.slice(start, start + length)
    }
}
