//! The texts that were read, and places in them.
//!
//! Owns the mapping from a byte range to file, line and column. It reads no files itself: the loader hands
//! it the text that a [`FileReader`](crate::FileReader) returned.

use std::sync::Arc;

/// Which text a [`Span`] points into. `NONE` stands for values that no file holds (defaults, the environment).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId(pub(crate) u16);

impl FileId {
    /// The id of values that come from no file.
    pub const NONE: Self = Self(u16::MAX);
}

/// A byte range in one text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Span {
    /// The text.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A place in no file.
    pub const NONE: Self = Self { file: FileId::NONE, start: 0, end: 0 };

    /// Whether it points into a text.
    #[must_use]
    pub fn is_some(self) -> bool {
        self.file != FileId::NONE
    }

    /// This span, or the other one where this points nowhere.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self.is_some() { self } else { other }
    }
}

/// One text with its line index.
#[derive(Debug)]
pub struct SourceText {
    /// The name shown to people: the path as the loader resolved it, or `-` for standard input.
    pub name: String,
    /// The text.
    pub text: Arc<str>,
    line_starts: Vec<u32>,
}

/// All texts of one load, by [`FileId`]. A copy shares the texts.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    texts: Vec<Arc<SourceText>>,
}

/// A place for people: 1-based line and column (in characters).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineColumn<'a> {
    /// The file's name.
    pub file: &'a str,
    /// 1-based line.
    pub line: u32,
    /// 1-based column in characters.
    pub column: u32,
}

impl SourceMap {
    /// Adds a text. More than 65,534 texts share the last id: the loader's own limits end far earlier.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        let text = text.into();
        let line_starts = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| clamp(i + 1)))
            .collect();
        let id = FileId(u16::try_from(self.texts.len()).unwrap_or(u16::MAX - 1).min(u16::MAX - 1));
        self.texts.push(Arc::new(SourceText { name: name.into(), text, line_starts }));
        id
    }

    /// The text of an id.
    #[must_use]
    pub fn get(&self, id: FileId) -> Option<&Arc<SourceText>> {
        self.texts.get(usize::from(id.0))
    }

    /// The span of a whole 1-based line.
    #[must_use]
    pub fn line(&self, file: FileId, line: u32) -> Span {
        let Some(source) = self.get(file) else { return Span::NONE };
        let index = (line.max(1) as usize - 1).min(source.line_starts.len() - 1);
        let start = source.line_starts[index];
        let text = source.text.get(start as usize..).unwrap_or_default();
        let length = text.split('\n').next().map_or(0, |line| line.trim_end_matches('\r').len());
        Span { file, start, end: start + clamp(length) }
    }

    /// File, line and column of a span's start.
    #[must_use]
    pub fn place(&self, span: Span) -> Option<LineColumn<'_>> {
        let source = self.get(span.file)?;
        let (start, _) = source.boundaries(span);
        let line = source.line_index(clamp(start));
        let before = source.text.get(source.line_starts[line] as usize..start).unwrap_or_default();
        Some(LineColumn {
            file: &source.name,
            line: clamp(line + 1),
            column: clamp(before.chars().count() + 1),
        })
    }

    /// The text under a span.
    #[must_use]
    pub fn snippet(&self, span: Span) -> Option<&str> {
        self.get(span.file)?.text.get(span.start as usize..span.end as usize)
    }
}

/// Lines of a text: their bytes, and the 1-based number of the first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub start: usize,
    pub end: usize,
    pub line: usize,
}

impl SourceText {
    /// A span's range, widened to whole characters. The end of the text is where its last line ends: the empty line
    /// below shows nothing.
    pub(crate) fn boundaries(&self, span: Span) -> (usize, usize) {
        let length = self.text.trim_end_matches(['\n', '\r']).len();
        let mut start = (span.start as usize).min(length);
        let mut end = (span.end as usize).clamp(start, length);
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        (start, end)
    }

    /// The whole lines that hold all of some spans.
    pub(crate) fn lines(&self, spans: impl Iterator<Item = Span>) -> Window {
        let ranges = spans.map(|span| self.boundaries(span));
        let all = ranges.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let (first, last) = all.unwrap_or_default();
        let line = self.line_index(clamp(first));
        let start = self.line_starts[line] as usize;
        let end = self.text[last..].find('\n').map_or(self.text.len(), |at| last + at + 1);
        Window { start, end, line: line + 1 }
    }

    /// The 0-based line that holds a byte.
    fn line_index(&self, byte: u32) -> usize {
        self.line_starts.partition_point(|start| *start <= byte).saturating_sub(1)
    }
}

/// Sizes fit: the loader refuses texts above its size limit, far below 4 GiB.
pub(crate) fn clamp(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
