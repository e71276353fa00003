//! A text to tokens, by the rules of the reference's YAML library.
//!
//! What needs care is that a key is known only by the `:` after it: a token that may begin a key is kept back until
//! the line has shown whether it does. Scalars, and names with `&`, `*`, `!` and `%`, are read beside this.

use super::MAX_DEPTH;
use super::cursor::{Cursor, Mark, line_length};
use super::malformed::{KEY_HELP, Malformed, Result, tab};
use super::token::{Kind, Token};
use std::collections::VecDeque;

/// So many characters may lie between a key's start and its `:`.
const MAX_KEY: usize = 1024;
/// So far ahead the reference looks for a further comment.
const COMMENT_WINDOW: usize = 512;

/// A token that may turn out to begin a key.
#[derive(Clone, Copy, Debug)]
struct PossibleKey {
    /// The brackets around it.
    level: usize,
    /// Its number, counted from the start of the text.
    token: usize,
    mark: Mark,
    /// It stands where only a key can.
    is_required: bool,
}

/// Reads tokens one by one.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    pub(super) cursor: Cursor<'a>,
    tokens: VecDeque<Token<'a>>,
    /// The tokens handed out.
    taken: usize,
    pub(super) brackets: usize,
    /// The column of the innermost block; -1 outside of all.
    pub(super) indent: isize,
    indents: Vec<isize>,
    /// By token, hence by level: at most one for each.
    keys: VecDeque<PossibleKey>,
    pub(super) key_allowed: bool,
    /// Text that began on an earlier line than it ended on: start, byte after it, last line, and whether it is quoted.
    pub(super) long: Option<LongText>,
    has_ended: bool,
}

/// A scalar of several lines: one that was never meant to be that long explains what comes after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LongText {
    pub start: Mark,
    pub end: Mark,
    pub is_quoted: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            cursor: Cursor::new(text),
            tokens: VecDeque::new(),
            taken: 0,
            brackets: 0,
            indent: -1,
            indents: Vec::new(),
            keys: VecDeque::new(),
            key_allowed: true,
            long: None,
            has_ended: false,
        }
    }

    /// The next token; after the last one, that one again.
    pub(super) fn peek(&mut self) -> Result<&Token<'a>> {
        self.fill()?;
        Ok(&self.tokens[0])
    }

    pub(super) fn take(&mut self) -> Result<Token<'a>> {
        self.fill()?;
        let mark = self.cursor.mark();
        self.taken += 1;
        Ok(self.tokens.pop_front().unwrap_or(Token { kind: Kind::StreamEnd, start: mark, end: mark.at }))
    }

    /// Passes over the token that was peeked at.
    pub(super) fn drop_first(&mut self) {
        self.tokens.pop_front();
        self.taken += 1;
    }

    fn fill(&mut self) -> Result<()> {
        while !self.has_ended && (self.tokens.is_empty() || self.first_may_be_key()?) {
            self.fetch()?;
        }
        if self.tokens.is_empty() {
            self.push(Kind::StreamEnd, self.cursor.mark());
        }
        Ok(())
    }

    /// Whether the next token may begin a key: a key token would have to come before it.
    fn first_may_be_key(&mut self) -> Result<bool> {
        match self.keys.front() {
            Some(key) if key.token == self.taken => {
                let key = *key;
                let is_valid = self.is_valid(key)?;
                if !is_valid {
                    self.keys.pop_front();
                }
                Ok(is_valid)
            }
            _ => Ok(false),
        }
    }

    /// Keys are on one line, and not too long.
    fn is_valid(&self, key: PossibleKey) -> Result<bool> {
        let here = self.cursor.mark();
        if key.mark.line == here.line && key.mark.column + MAX_KEY >= here.column {
            return Ok(true);
        }
        if key.is_required { Err(self.missing_colon(key)) } else { Ok(false) }
    }

    fn missing_colon(&self, key: PossibleKey) -> Box<Malformed> {
        let here = self.cursor.mark();
        if key.mark.line == here.line && here.column > key.mark.column + MAX_KEY {
            let message = format!("no `:` within {MAX_KEY} characters of this key's start");
            return Malformed::here(message, key.mark).help(KEY_HELP);
        }
        if let Some(long) = self.long.filter(|long| long.is_quoted && long.start == key.mark) {
            return unclosed_quote(long.start, long.end.at);
        }
        self.line_without_colon(key.mark)
    }

    /// The line that begins with a key and lacks its colon.
    pub(super) fn line_without_colon(&self, mark: Mark) -> Box<Malformed> {
        let rest = self.cursor.slice(mark.at, self.cursor.at());
        let line = &rest[..line_length(rest.as_bytes())];
        let line = line.split(" #").next().unwrap_or(line).trim_end();
        let at = (mark.at, mark.at + line.len().max(1));
        Malformed::new("this key has no `:`", at).help(KEY_HELP)
    }

    fn current_key(&self) -> Option<PossibleKey> {
        self.keys.back().copied().filter(|key| key.level == self.brackets)
    }

    pub(super) fn save_key(&mut self) -> Result<()> {
        if self.key_allowed {
            self.remove_key()?;
            let mark = self.cursor.mark();
            let is_required = self.brackets == 0 && usize::try_from(self.indent) == Ok(mark.column);
            let token = self.taken + self.tokens.len();
            self.keys.push_back(PossibleKey { level: self.brackets, token, mark, is_required });
        }
        Ok(())
    }

    pub(super) fn remove_key(&mut self) -> Result<()> {
        match self.current_key() {
            Some(key) if key.is_required => Err(self.missing_colon(key)),
            Some(_) => {
                self.keys.pop_back();
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Ends the last token before what was read after it.
    pub(super) fn end_last_at(&mut self, end: usize) {
        if let Some(last) = self.tokens.back_mut() {
            last.end = end;
        }
    }

    pub(super) fn push(&mut self, kind: Kind<'a>, start: Mark) {
        self.tokens.push_back(Token { kind, start, end: self.cursor.at() });
    }

    /// A token of so many characters.
    fn push_indicator(&mut self, kind: Kind<'a>, length: usize) {
        let start = self.cursor.mark();
        self.cursor.skip_bytes(length);
        self.push(kind, start);
    }

    /// Begins a block where this column is deeper than all around it.
    fn open_block(&mut self, mark: Mark, before: Option<usize>, kind: Kind<'a>) {
        let column = mark.column.cast_signed();
        if self.brackets == 0 && self.indent < column {
            self.indents.push(self.indent);
            self.indent = column;
            let at = before.map_or(self.tokens.len(), |token| token - self.taken);
            self.tokens.insert(at, Token { kind, start: mark, end: mark.at });
        }
    }

    /// Ends the blocks that are deeper than a column.
    fn close_blocks(&mut self, column: isize) {
        while self.brackets == 0 && self.indent > column {
            self.push(Kind::BlockEnd, self.cursor.mark());
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    fn fetch(&mut self) -> Result<()> {
        self.skip_to_token();
        self.close_blocks(self.cursor.column().cast_signed());
        if self.cursor.is_end() {
            return self.fetch_end();
        }
        if self.cursor.column() == 0 && self.cursor.byte(0) == b'%' {
            self.end_blocks()?;
            return self.directive();
        }
        if self.cursor.is_document_indicator(b"---") {
            self.end_blocks()?;
            self.push_indicator(Kind::DocumentStart, 3);
        } else if self.cursor.is_document_indicator(b"...") {
            self.end_blocks()?;
            self.push_indicator(Kind::DocumentEnd, 3);
        } else {
            self.fetch_content()?;
            self.skip_comment_behind();
        }
        Ok(())
    }

    fn fetch_content(&mut self) -> Result<()> {
        let is_flow = self.brackets > 0;
        let ends = self.cursor.is_space(1);
        match self.cursor.byte(0) {
            b'[' => self.open_bracket(Kind::FlowSequenceStart),
            b'{' => self.open_bracket(Kind::FlowMappingStart),
            b']' => self.close_bracket(Kind::FlowSequenceEnd),
            b'}' => self.close_bracket(Kind::FlowMappingEnd),
            b',' => self.flow_entry(),
            b'-' if ends => self.block_entry(),
            b'?' if is_flow || ends => self.key(),
            b':' if is_flow || ends => self.value(),
            b'*' | b'&' => self.anchor(),
            b'!' => self.tag(),
            b'|' | b'>' if !is_flow => self.block_scalar(),
            b'\'' | b'"' => self.quoted(),
            b'-' => self.plain(),
            b'?' | b':' if !is_flow => self.plain(),
            b'\t' => Err(tab(self.cursor.mark())),
            byte if b" \t?:,[]{}#&*!|>'\"%@`".contains(&byte) => {
                let message = format!("a value can't begin with `{}`", char::from(byte));
                Err(Malformed::here(message, self.cursor.mark()).help("put the value in quotes"))
            }
            _ => self.plain(),
        }
    }

    fn fetch_end(&mut self) -> Result<()> {
        self.close_blocks(-1);
        self.remove_key()?;
        self.key_allowed = false;
        self.has_ended = true;
        self.push(Kind::StreamEnd, self.cursor.mark());
        Ok(())
    }

    fn end_blocks(&mut self) -> Result<()> {
        self.close_blocks(-1);
        self.remove_key()?;
        self.key_allowed = false;
        Ok(())
    }

    fn open_bracket(&mut self, kind: Kind<'a>) -> Result<()> {
        self.save_key()?;
        self.brackets += 1;
        let at = self.cursor.at();
        if self.brackets > MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(Malformed::bound("too-deep", message, (at, at + 1)));
        }
        self.key_allowed = true;
        self.push_indicator(kind, 1);
        Ok(())
    }

    fn close_bracket(&mut self, kind: Kind<'a>) -> Result<()> {
        self.remove_key()?;
        self.brackets = self.brackets.saturating_sub(1);
        self.key_allowed = false;
        self.push_indicator(kind, 1);
        Ok(())
    }

    fn flow_entry(&mut self) -> Result<()> {
        self.remove_key()?;
        self.key_allowed = true;
        self.push_indicator(Kind::FlowEntry, 1);
        Ok(())
    }

    fn block_entry(&mut self) -> Result<()> {
        let mark = self.cursor.mark();
        if self.brackets == 0 {
            if !self.key_allowed {
                return Err(Malformed::here("a list's item can't begin here", mark)
                    .help("put each item of a list on a line of its own"));
            }
            self.open_block(mark, None, Kind::BlockSequenceStart);
        }
        self.remove_key()?;
        self.key_allowed = true;
        self.push_indicator(Kind::BlockEntry, 1);
        Ok(())
    }

    fn key(&mut self) -> Result<()> {
        let mark = self.cursor.mark();
        if self.brackets == 0 {
            if !self.key_allowed {
                return Err(
                    Malformed::here("a key can't begin here", mark).help("put text with a `?` in quotes")
                );
            }
            self.open_block(mark, None, Kind::BlockMappingStart);
        }
        self.remove_key()?;
        self.key_allowed = self.brackets == 0;
        self.push_indicator(Kind::Key, 1);
        Ok(())
    }

    fn value(&mut self) -> Result<()> {
        let mark = self.cursor.mark();
        if let Some(key) = self.current_key() {
            let is_valid = self.is_valid(key)?;
            self.keys.pop_back();
            if is_valid {
                let at = key.token - self.taken;
                self.tokens.insert(at, Token { kind: Kind::Key, start: key.mark, end: key.mark.at });
                self.open_block(key.mark, Some(key.token), Kind::BlockMappingStart);
                self.key_allowed = false;
                self.push_indicator(Kind::Value, 1);
                return Ok(());
            }
        }
        if self.brackets == 0 {
            if !self.key_allowed {
                return Err(self.misplaced_colon(mark));
            }
            self.open_block(mark, None, Kind::BlockMappingStart);
        }
        self.key_allowed = self.brackets == 0;
        self.push_indicator(Kind::Value, 1);
        Ok(())
    }

    /// A `:` after what is no key: the text before it began earlier, for want of a colon or a quote, or is a value.
    fn misplaced_colon(&self, mark: Mark) -> Box<Malformed> {
        let found = Malformed::here("no mapping can begin here: the text before this `:` is a value", mark);
        match self.long.filter(|long| long.end.line == mark.line) {
            Some(long) if long.is_quoted => unclosed_quote(long.start, mark.at),
            Some(long) if self.begins_line(long.start) => {
                self.line_without_colon(long.start).also((mark.at, mark.at + 1), "the text goes on to here")
            }
            Some(long) => found
                .also(
                    (long.start.at, long.start.at + 1),
                    "the value begins here, and goes on over the next line",
                )
                .help("a mapping begins on the line below its key; check the indentation"),
            None => found.help("put a value that holds `: ` in quotes"),
        }
    }

    /// Whether nothing but indentation and dashes is before a place on its line.
    pub(super) fn begins_line(&self, mark: Mark) -> bool {
        let before = self.cursor.slice(0, mark.at);
        let line = before.rsplit(['\n', '\r']).next().unwrap_or_default();
        line.bytes().all(|byte| matches!(byte, b' ' | b'-'))
    }

    /// Blanks, comments and line breaks. A tab can't begin a line where a key may.
    fn skip_to_token(&mut self) {
        loop {
            while self.cursor.byte(0) == b' ' || (self.cursor.byte(0) == b'\t' && self.is_tab_allowed()) {
                self.cursor.skip();
            }
            if self.cursor.byte(0) == b'#' {
                self.skip_comments();
            }
            if !self.cursor.is_break() {
                return;
            }
            self.cursor.take_break();
            if self.brackets == 0 {
                self.key_allowed = true;
            }
        }
    }

    fn is_tab_allowed(&self) -> bool {
        self.brackets > 0 || !self.key_allowed
    }

    /// A comment, and those below it with only blanks between, tabs as well: the reference takes them as one.
    fn skip_comments(&mut self) {
        loop {
            self.cursor.skip_line();
            let window = self.cursor.rest();
            let window = &window[..window.len().min(COMMENT_WINDOW)];
            let Some(next) = next_solid(window).filter(|at| *at > 0 && window[*at] == b'#') else { return };
            let target = self.cursor.at() + next;
            while self.cursor.at() < target {
                if self.cursor.is_break() {
                    self.cursor.take_break();
                } else {
                    self.cursor.skip();
                }
            }
        }
    }

    /// A comment on the line that a token ends on: it stands alone, and behind a tab in any case. A dash has none.
    fn skip_comment_behind(&mut self) {
        match self.tokens.back().map(|last| &last.kind) {
            Some(Kind::BlockEntry) | None => return,
            // What followed the text on later lines has been read.
            Some(Kind::Scalar { .. }) if self.key_allowed => return,
            Some(_) => {}
        }
        let window = self.cursor.rest();
        let blanks = window.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if blanks < COMMENT_WINDOW && self.cursor.byte(blanks) == b'#' {
            self.cursor.skip_line();
        }
    }
}

/// The first byte that is neither a blank nor part of a line break.
fn next_solid(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            0xC2 if text.get(at + 1) == Some(&0x85) => at += 2,
            0xE2 if matches!(text.get(at + 1..at + 3), Some([0x80, 0xA8 | 0xA9])) => at += 3,
            _ => return Some(at),
        }
    }
    None
}

/// Text in quotes whose end is missing: it was found by what comes after it.
pub(super) fn unclosed_quote(open: Mark, noticed: usize) -> Box<Malformed> {
    Malformed::new("this quote isn't closed on its line, and the text goes on", (open.at, open.at + 1))
        .label("opened here")
        .also((noticed, noticed + 1), "noticed here")
        .help("close it; a quote inside quotes is written twice or after a `\\`")
}
