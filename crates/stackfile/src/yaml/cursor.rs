//! A place in a text, and the steps from it: characters, lines, columns.
//!
//! Knows what YAML calls a blank and a line break; tokens are the scanner's.

/// A place: byte, 0-based line, 0-based column in characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Mark {
    pub at: usize,
    pub line: usize,
    pub column: usize,
}

/// A text that is read forwards. It holds no NUL: one stands for the end.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    mark: Mark,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, mark: Mark::default() }
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    pub(super) fn at(&self) -> usize {
        self.mark.at
    }

    pub(super) fn column(&self) -> usize {
        self.mark.column
    }

    pub(super) fn is_end(&self) -> bool {
        self.mark.at >= self.text.len()
    }

    pub(super) fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// What is left to read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.mark.at..).unwrap_or_default()
    }

    /// The byte so many bytes ahead; 0 at the end.
    pub(super) fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.mark.at + ahead).copied().unwrap_or(0)
    }

    pub(super) fn is_blank(&self, ahead: usize) -> bool {
        matches!(self.byte(ahead), b' ' | b'\t')
    }

    /// The bytes of the line break that is so many bytes ahead; 0 when there is none.
    pub(super) fn break_length(&self, ahead: usize) -> usize {
        break_length(self.text.as_bytes().get(self.mark.at + ahead..).unwrap_or_default())
    }

    pub(super) fn is_break(&self) -> bool {
        self.break_length(0) > 0
    }

    /// A line break or the end.
    pub(super) fn is_line_end(&self, ahead: usize) -> bool {
        self.byte(ahead) == 0 || self.break_length(ahead) > 0
    }

    /// A blank, a line break or the end: what ends an indicator.
    pub(super) fn is_space(&self, ahead: usize) -> bool {
        self.is_blank(ahead) || self.is_line_end(ahead)
    }

    /// Whether `---` or `...` stands here, at the start of a line.
    pub(super) fn is_document_indicator(&self, mark: &[u8; 3]) -> bool {
        self.mark.column == 0 && self.rest().starts_with(mark) && self.is_space(3)
    }

    pub(super) fn is_any_document_indicator(&self) -> bool {
        self.is_document_indicator(b"---") || self.is_document_indicator(b"...")
    }

    /// Passes over one character.
    pub(super) fn skip(&mut self) {
        let width = match self.byte(0) {
            0..0x80 => 1,
            0x80..0xE0 => 2,
            0xE0..0xF0 => 3,
            _ => 4,
        };
        self.mark.at = (self.mark.at + width).min(self.text.len());
        self.mark.column += 1;
    }

    /// Passes over so many bytes of one line.
    pub(super) fn skip_bytes(&mut self, bytes: usize) {
        let passed = self.rest().get(..bytes).unwrap_or_default();
        self.mark.column += passed.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
        self.mark.at += passed.len();
    }

    pub(super) fn skip_blanks(&mut self) {
        while self.is_blank(0) {
            self.skip();
        }
    }

    /// Passes over the rest of the line.
    pub(super) fn skip_line(&mut self) {
        self.skip_bytes(line_length(self.rest()));
    }

    /// Passes over a line break and says what it counts as: a newline, but for the two breaks that are kept.
    pub(super) fn take_break(&mut self) -> &'a str {
        let length = self.break_length(0);
        let taken = self.slice(self.mark.at, self.mark.at + length);
        self.mark = Mark { at: self.mark.at + length, line: self.mark.line + 1, column: 0 };
        if length == 3 { taken } else { "\n" }
    }
}

/// The bytes of a line break at the start of a text: LF, CR, CR LF, NEL, LS, PS.
fn break_length(text: &[u8]) -> usize {
    match text {
        [b'\r', b'\n', ..] | [0xC2, 0x85, ..] => 2,
        [b'\n' | b'\r', ..] => 1,
        [0xE2, 0x80, 0xA8 | 0xA9, ..] => 3,
        _ => 0,
    }
}

/// The bytes up to the next line break.
pub(super) fn line_length(text: &[u8]) -> usize {
    let may_break = |byte: &u8| matches!(byte, b'\n' | b'\r' | 0xC2 | 0xE2);
    let mut from = 0;
    while let Some(found) = text[from..].iter().position(may_break) {
        if break_length(&text[from + found..]) > 0 {
            return from + found;
        }
        from += found + 1;
    }
    text.len()
}
