//! Text as scalars: plain, in quotes, and in blocks behind `|` or `>`.

use super::cursor::line_length;
use super::malformed::{Malformed, Result, TAB_HELP};
use super::scanner::{LongText, Scanner};
use super::token::Kind;
use std::borrow::Cow;

/// Line breaks between two parts of a text: a single one becomes a space.
#[derive(Debug, Default)]
struct Folding<'a> {
    first: &'a str,
    more: String,
}

impl Folding<'_> {
    fn join(&mut self, text: &mut String) {
        match (self.first, self.more.as_str()) {
            ("\n", "") => text.push(' '),
            ("\n", more) => text.push_str(more),
            (first, more) => {
                text.push_str(first);
                text.push_str(more);
            }
        }
        self.first = "";
        self.more.clear();
    }
}

impl<'a> Scanner<'a> {
    /// Text without quotes. It goes on over lines that are indented deeper than the block around it.
    pub(super) fn plain(&mut self) -> Result<()> {
        self.save_key()?;
        self.key_allowed = false;
        let start = self.cursor.mark();
        let mut end = start;
        let mut text = Cow::Borrowed("");
        let mut folding = Folding::default();
        loop {
            let from = self.cursor.at();
            let (to, is_over) = self.plain_line();
            let part = self.cursor.slice(from, to);
            if part.is_empty() && end.at > start.at {
                // What ends the text stands at the start of this line: a key may, too.
                self.key_allowed = true;
            } else if text.is_empty() {
                text = Cow::Borrowed(part);
            } else {
                folding.join(text.to_mut());
                text.to_mut().push_str(part);
            }
            if !part.is_empty() {
                end = self.cursor.mark();
                end.at = to;
            }
            if is_over {
                break;
            }
            self.plain_breaks(&mut folding, start.at)?;
            let is_left = self.brackets == 0 && self.cursor.column().cast_signed() <= self.indent;
            if is_left || self.cursor.is_any_document_indicator() {
                self.key_allowed = true;
                break;
            }
        }
        if end.line > start.line {
            self.long = Some(LongText { start, end, is_quoted: false });
        }
        self.push(Kind::Scalar { text, is_plain: true }, start);
        self.end_last_at(end.at);
        Ok(())
    }

    /// Words on one line: the byte after the last one, and whether the text ends here.
    fn plain_line(&mut self) -> (usize, bool) {
        let mut end = self.cursor.at();
        loop {
            if self.cursor.byte(0) == b'#' {
                return (end, true);
            }
            let word = self.plain_word();
            self.cursor.skip_bytes(word);
            if word > 0 {
                end = self.cursor.at();
            }
            if self.cursor.is_break() {
                return (end, false);
            }
            if !self.cursor.is_blank(0) {
                return (end, true);
            }
            self.cursor.skip_blanks();
            if self.cursor.is_break() {
                return (end, false);
            }
        }
    }

    /// The bytes up to a blank, a line break, or what ends plain text.
    fn plain_word(&self) -> usize {
        let is_flow = self.brackets > 0;
        let rest = self.cursor.rest();
        let mut at = 0;
        while let Some(byte) = rest.get(at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => break,
                0xC2 | 0xE2 if self.cursor.break_length(at) > 0 => break,
                b':' if self.cursor.is_space(at + 1) => break,
                b',' | b'?' | b'[' | b']' | b'{' | b'}' if is_flow => break,
                _ => at += 1,
            }
        }
        at
    }

    fn plain_breaks(&mut self, folding: &mut Folding<'a>, start: usize) -> Result<()> {
        folding.first = self.cursor.take_break();
        folding.more.clear();
        loop {
            if self.cursor.byte(0) == b'\t' && self.cursor.column().cast_signed() <= self.indent {
                let mark = self.cursor.mark();
                return Err(Malformed::here("a tab can't indent", mark)
                    .also((start, start + 1), "the text above it begins here")
                    .help(TAB_HELP));
            }
            if self.cursor.is_blank(0) {
                self.cursor.skip();
            } else if self.cursor.is_break() {
                folding.more.push_str(self.cursor.take_break());
            } else {
                return Ok(());
            }
        }
    }

    /// Text in quotes.
    pub(super) fn quoted(&mut self) -> Result<()> {
        self.save_key()?;
        self.key_allowed = false;
        let start = self.cursor.mark();
        let quote = self.cursor.byte(0);
        self.cursor.skip();
        let text = match self.simple_quoted(quote) {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(self.folded_quoted(quote, start.at)?),
        };
        let end = self.cursor.mark();
        if end.line > start.line {
            self.long = Some(LongText { start, end, is_quoted: true });
        }
        self.push(Kind::Scalar { text, is_plain: false }, start);
        Ok(())
    }

    /// Text that stands as it is: on one line, with nothing to replace.
    fn simple_quoted(&mut self, quote: u8) -> Option<&'a str> {
        let rest = self.cursor.rest();
        let special = |byte: &u8| *byte == quote || matches!(byte, b'\\' | b'\n' | b'\r' | 0xC2 | 0xE2);
        let length = rest.iter().position(special)?;
        if rest[length] != quote || (quote == b'\'' && rest.get(length + 1) == Some(&b'\'')) {
            return None;
        }
        let from = self.cursor.at();
        self.cursor.skip_bytes(length + 1);
        Some(self.cursor.slice(from, from + length))
    }

    fn folded_quoted(&mut self, quote: u8, start: usize) -> Result<String> {
        let mut text = String::new();
        let mut folding = Folding::default();
        loop {
            if self.cursor.is_any_document_indicator() || self.cursor.is_end() {
                return Err(Malformed::new("this quote is never closed", (start, start + 1))
                    .label("opened here")
                    .help("close it, or leave the quote out"));
            }
            let mut is_broken = self.quoted_words(quote, start, &mut text)?;
            if self.cursor.byte(0) == quote {
                self.cursor.skip();
                return Ok(text);
            }
            let blanks = self.cursor.at();
            let mut blanks_end = blanks;
            while self.cursor.is_blank(0) || self.cursor.is_break() {
                if self.cursor.is_blank(0) {
                    self.cursor.skip();
                } else if is_broken {
                    folding.more.push_str(self.cursor.take_break());
                } else {
                    folding.first = self.cursor.take_break();
                    is_broken = true;
                }
                if !is_broken {
                    blanks_end = self.cursor.at();
                }
            }
            if is_broken {
                folding.join(&mut text);
            } else {
                text.push_str(self.cursor.slice(blanks, blanks_end));
            }
        }
    }

    /// Characters up to a blank, a line break or the quote. True after a line break that is escaped.
    fn quoted_words(&mut self, quote: u8, start: usize, text: &mut String) -> Result<bool> {
        while !self.cursor.is_space(0) {
            match self.cursor.byte(0) {
                b'\'' if quote == b'\'' && self.cursor.byte(1) == b'\'' => {
                    text.push('\'');
                    self.cursor.skip_bytes(2);
                }
                byte if byte == quote => break,
                b'\\' if quote == b'"' && self.cursor.break_length(1) > 0 => {
                    self.cursor.skip();
                    self.cursor.take_break();
                    return Ok(true);
                }
                b'\\' if quote == b'"' => self.escape(start, text)?,
                _ => {
                    let from = self.cursor.at();
                    self.cursor.skip();
                    text.push_str(self.cursor.slice(from, self.cursor.at()));
                }
            }
        }
        Ok(false)
    }

    fn escape(&mut self, start: usize, text: &mut String) -> Result<()> {
        let at = self.cursor.at();
        let wrong = |message: &str, length: usize| {
            Malformed::new(message, (at, at + length))
                .also((start, start + 1), "in the text that begins here")
                .help("a backslash stands for itself when it is doubled, or in single quotes")
        };
        let length = match self.cursor.byte(1) {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            byte => {
                let character = escaped(byte).ok_or_else(|| wrong("no such escape", 2))?;
                text.push(character);
                self.cursor.skip_bytes(2);
                return Ok(());
            }
        };
        let digits = self.cursor.slice(at + 2, at + 2 + length);
        let is_hex = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let code = is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten();
        let code = code.ok_or_else(|| wrong("this escape lacks hexadecimal digits", 2))?;
        let character = char::from_u32(code).ok_or_else(|| wrong("no such character", 2 + length))?;
        text.push(character);
        self.cursor.skip_bytes(2 + length);
        Ok(())
    }

    /// Text behind `|` or `>`: lines as they are, or folded.
    pub(super) fn block_scalar(&mut self) -> Result<()> {
        self.remove_key()?;
        self.key_allowed = true;
        let start = self.cursor.mark();
        let is_literal = self.cursor.byte(0) == b'|';
        self.cursor.skip();
        let header = self.block_header(start.at)?;
        let mut indent = match header.indent {
            0 => 0,
            more => usize::try_from(self.indent).unwrap_or(0) + more,
        };
        let mut text = String::new();
        let mut end = self.cursor.at();
        let mut breaks = String::new();
        let mut first = "";
        let mut was_blank = false;
        self.block_breaks(&mut indent, &mut breaks, &mut end, start.at)?;
        while self.cursor.column() == indent && !self.cursor.is_end() {
            let is_blank = self.cursor.is_blank(0);
            if !is_literal && first == "\n" && !was_blank && !is_blank {
                if breaks.is_empty() {
                    text.push(' ');
                }
            } else {
                text.push_str(first);
            }
            text.push_str(&breaks);
            breaks.clear();
            was_blank = is_blank;
            let from = self.cursor.at();
            self.cursor.skip_bytes(line_length(self.cursor.rest()));
            text.push_str(self.cursor.slice(from, self.cursor.at()));
            first = if self.cursor.is_end() { "" } else { self.cursor.take_break() };
            self.block_breaks(&mut indent, &mut breaks, &mut end, start.at)?;
        }
        if header.chomping != Chomping::Strip {
            text.push_str(first);
        }
        if header.chomping == Chomping::Keep {
            text.push_str(&breaks);
        }
        self.push(Kind::Scalar { text: Cow::Owned(text), is_plain: false }, start);
        self.end_last_at(end);
        Ok(())
    }

    fn block_header(&mut self, start: usize) -> Result<Header> {
        let mut header = Header { chomping: Chomping::Clip, indent: 0 };
        let wrong = |message: &str, end| Malformed::new(message, (start, end));
        for _ in 0..2 {
            match self.cursor.byte(0) {
                sign @ (b'+' | b'-') if header.chomping == Chomping::Clip => {
                    header.chomping = if sign == b'+' { Chomping::Keep } else { Chomping::Strip };
                }
                b'0' if header.indent == 0 => {
                    return Err(wrong("a text can't be indented by 0", self.cursor.at() + 1));
                }
                digit @ b'1'..=b'9' if header.indent == 0 => header.indent = usize::from(digit - b'0'),
                _ => break,
            }
            self.cursor.skip();
        }
        self.cursor.skip_blanks();
        if self.cursor.byte(0) == b'#' {
            self.cursor.skip_line();
        }
        if !self.cursor.is_line_end(0) {
            return Err(wrong("the text behind `|` or `>` begins on the next line", self.cursor.at() + 1));
        }
        if self.cursor.is_break() {
            self.cursor.take_break();
        }
        Ok(header)
    }

    /// Indentation and empty lines; the first line that is not empty tells how deep the text is.
    fn block_breaks(
        &mut self,
        indent: &mut usize,
        breaks: &mut String,
        end: &mut usize,
        start: usize,
    ) -> Result<()> {
        *end = self.cursor.at();
        let mut deepest = 0;
        loop {
            let is_before = |column: usize| *indent == 0 || column < *indent;
            while self.cursor.byte(0) == b' ' && is_before(self.cursor.column()) {
                self.cursor.skip();
            }
            deepest = deepest.max(self.cursor.column());
            if self.cursor.byte(0) == b'\t' && is_before(self.cursor.column()) {
                return Err(Malformed::here("a tab can't indent", self.cursor.mark())
                    .also((start, start + 1), "the text begins here")
                    .help(TAB_HELP));
            }
            if !self.cursor.is_break() {
                break;
            }
            breaks.push_str(self.cursor.take_break());
            *end = self.cursor.at();
        }
        if *indent == 0 {
            *indent = deepest.max(usize::try_from(self.indent + 1).unwrap_or(0)).max(1);
        }
        Ok(())
    }
}

/// What stands between `|` or `>` and the end of the line.
#[derive(Debug)]
struct Header {
    chomping: Chomping,
    /// Relative to the block around it; 0 when the text tells.
    indent: usize,
}

/// What becomes of the line breaks at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Chomping {
    Clip,
    Keep,
    Strip,
}

fn escaped(byte: u8) -> Option<char> {
    Some(match byte {
        b'0' => '\0',
        b'a' => '\x07',
        b'b' => '\x08',
        b't' | b'\t' => '\t',
        b'n' => '\n',
        b'v' => '\x0B',
        b'f' => '\x0C',
        b'r' => '\r',
        b'e' => '\x1B',
        b' ' | b'"' | b'\'' | b'\\' => char::from(byte),
        b'N' => '\u{85}',
        b'_' => '\u{A0}',
        b'L' => '\u{2028}',
        b'P' => '\u{2029}',
        _ => return None,
    })
}
