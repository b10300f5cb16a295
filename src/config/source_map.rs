//! Owns the text of every file that was read, and places in it: byte spans and
//! what they mean to a person (file, line, column).

use std::fmt;
use std::sync::Arc;

/// A range of bytes in one file of a [`SourceMap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// Which file, as given by [`SourceMap::add`].
    pub file: u32,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// A span of the bytes `start..end`; an inverted range becomes an empty one.
    pub fn new(file: u32, start: usize, end: usize) -> Span {
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        Span { file, start, end: end.max(start) }
    }

    /// The smallest span over both. Spans of different files do not join: `self` wins.
    pub fn to(self, other: Span) -> Span {
        if self.file != other.file {
            return self;
        }
        Span { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value at a place.
    pub fn new(value: T, span: Span) -> Spanned<T> {
        Spanned { value, span }
    }

    /// The same place with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: f(self.value), span: self.span }
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// One file that was read.
pub struct SourceFile {
    /// The path as the user would type it.
    pub name: String,
    /// Its whole text.
    pub text: String,
    /// Byte offset of the first byte of each line.
    line_starts: Vec<u32>,
}

/// A place as people count: both numbers from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineColumn {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// Without the text: whatever holds a source map would print whole files.
impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.text.len())
    }
}

impl SourceFile {
    /// Line and column of a byte offset; an offset past the end is the end, one inside
    /// a character is its start.
    pub fn line_column(&self, offset: u32) -> LineColumn {
        let mut offset = (offset as usize).min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.line_starts.partition_point(|&start| start as usize <= offset).max(1);
        let start = self.line_starts.get(line - 1).map_or(0, |&start| start as usize);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        LineColumn { line: line as u32, column: column as u32 + 1 }
    }

    /// The text of a range, empty if the range is not one of this file.
    pub fn slice(&self, start: u32, end: u32) -> &str {
        self.text.get(start as usize..end as usize).unwrap_or("")
    }
}

/// All files of one `load`, by number. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct SourceMap {
    files: Vec<Arc<SourceFile>>,
}

impl SourceMap {
    /// Keeps a file; returns its number for [`Span::file`].
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> u32 {
        let text = text.into();
        let mut line_starts = vec![0];
        line_starts.extend(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| u32::try_from(at + 1).unwrap_or(u32::MAX)));
        self.files.push(Arc::new(SourceFile { name: name.into(), text, line_starts }));
        (self.files.len() - 1) as u32
    }

    /// A file by number.
    pub fn file(&self, id: u32) -> Option<&SourceFile> {
        self.files.get(id as usize).map(|file| &**file)
    }

    /// All files, in the order in which they were read.
    pub fn files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().map(|file| &**file)
    }

    /// The text of a span.
    pub fn text(&self, span: Span) -> &str {
        self.file(span.file).map_or("", |file| file.slice(span.start, span.end))
    }

    /// `file:line:column` of a span's start.
    pub fn place(&self, span: Span) -> String {
        match self.file(span.file) {
            Some(file) => {
                let LineColumn { line, column } = file.line_column(span.start);
                format!("{}:{line}:{column}", file.name)
            }
            None => "?".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_start_at_one() {
        let mut files = SourceMap::default();
        let id = files.add("a.yaml", "äb: 1\r\nc: ö2\n");
        assert_eq!(files.place(Span::new(id, 0, 1)), "a.yaml:1:1");
        assert_eq!(files.place(Span::new(id, 2, 3)), "a.yaml:1:2");
        assert_eq!(files.place(Span::new(id, 8, 9)), "a.yaml:2:1");
        // Inside `ö` is at `ö`; past the end is the end.
        assert_eq!(files.place(Span::new(id, 12, 13)), "a.yaml:2:4");
        assert_eq!(files.place(Span::new(id, 900, 901)), "a.yaml:3:1");
    }

    #[test]
    fn spans_join_only_within_a_file() {
        assert_eq!(Span::new(0, 4, 6).to(Span::new(0, 1, 2)), Span::new(0, 1, 6));
        assert_eq!(Span::new(0, 4, 6).to(Span::new(1, 1, 2)), Span::new(0, 4, 6));
        assert_eq!(Span::new(0, 6, 4), Span::new(0, 6, 6));
    }
}
