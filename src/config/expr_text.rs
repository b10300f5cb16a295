//! Owns an expression as it stands in a YAML file: parsed, and with a map from its own
//! bytes back to the file's.

use crate::expr::ast::Expr;

use super::node::Style;
use super::source_map::Span;

/// An expression, its text, and where it stands.
#[derive(Debug, Clone)]
pub struct ExprText {
    /// The text, as the expression parser saw it (YAML quotes and folding undone).
    pub text: String,
    /// The YAML value it stands in.
    pub span: Span,
    /// The parsed expression. If `broken`, `NULL` in its place.
    pub expr: Expr,
    /// True if the text did not parse: the mistake is reported already.
    pub broken: bool,
    /// (byte in `text`, byte in the file) where the distance between the two changes.
    /// Empty: no exact places, only the whole.
    places: Vec<(u32, u32)>,
}

impl ExprText {
    /// An expression that stands in `file` (its whole text) at `span`, written in `style`.
    pub fn new(text: &str, expr: Expr, span: Span, style: Style, file: &str) -> ExprText {
        let places = align(text, file, span, style).unwrap_or_default();
        ExprText { text: text.to_owned(), span, expr, broken: false, places }
    }

    /// An expression that stands in no file at a place of its own: an imported one, a default.
    pub fn without_source(text: &str, expr: Expr, span: Span) -> ExprText {
        ExprText { text: text.to_owned(), span, expr, broken: false, places: Vec::new() }
    }

    /// The place in the file of the bytes `start..end` of the text; the whole value
    /// where that cannot be told.
    pub fn locate(&self, start: usize, end: usize) -> Span {
        let Some(first) = self.place(start) else { return self.span };
        let last = self.place(end).unwrap_or(first).clamp(first, (self.span.end as usize).max(first));
        Span::new(self.span.file, first, last)
    }

    /// The place of the whole of a part of this expression.
    pub fn locate_expr(&self, part: &Expr) -> Span {
        self.locate(part.start as usize, part.end as usize)
    }

    fn place(&self, at: usize) -> Option<usize> {
        let at = u32::try_from(at.min(self.text.len())).ok()?;
        let index = self.places.partition_point(|(text, _)| *text <= at).checked_sub(1)?;
        let (text, file) = self.places.get(index)?;
        Some((file + (at - text)) as usize)
    }
}

/// Walks text and source side by side. `None` as soon as they differ in a way that is
/// not known: a wrong caret is worse than a wide one.
fn align(text: &str, file: &str, span: Span, style: Style) -> Option<Vec<(u32, u32)>> {
    let source = file.get(..span.end as usize)?;
    let mut at = span.start as usize;
    match style {
        // A block's place starts with its first line, not with the `|`.
        Style::Plain | Style::Block => {}
        Style::Single | Style::Double => at += 1,
    }
    let mut places: Vec<(u32, u32)> = Vec::new();
    let mut letters = text.char_indices().peekable();
    while let Some((offset, letter)) = letters.next() {
        if letter.is_whitespace() {
            // Line folding and indentation: a run of white space stands for a run of it.
            note(&mut places, offset, at);
            let run = source.get(at..)?;
            let width = run.len() - run.trim_start().len();
            let escaped = style == Style::Double && run.starts_with('\\');
            if width == 0 && !escaped && offset + letter.len_utf8() < text.len() {
                return None;
            }
            if escaped {
                at += escape_width(run, letter)?;
                continue;
            }
            at += width;
            while letters.next_if(|(_, next)| next.is_whitespace()).is_some() {}
            continue;
        }
        if places.is_empty() {
            // A block's first line is indented.
            let run = source.get(at..)?;
            at += run.len() - run.trim_start().len();
        }
        note(&mut places, offset, at);
        let here = source.get(at..)?;
        at += match (style, letter) {
            (Style::Single, '\'') => here.starts_with("''").then_some(2)?,
            (Style::Double, _) if here.starts_with('\\') => escape_width(here, letter)?,
            _ => here.starts_with(letter).then_some(letter.len_utf8())?,
        };
    }
    note(&mut places, text.len(), at);
    Some(places)
}

/// Adds a place unless it follows from the one before.
fn note(places: &mut Vec<(u32, u32)>, offset: usize, at: usize) {
    let (Ok(offset), Ok(at)) = (u32::try_from(offset), u32::try_from(at)) else { return };
    let follows = places.last().is_some_and(|(text, file)| at.wrapping_sub(*file) == offset - text);
    if !follows {
        places.push((offset, at));
    }
}

/// Bytes of the escape sequence at the start of `source` if it stands for `letter`.
fn escape_width(source: &str, letter: char) -> Option<usize> {
    let code = source.get(1..)?.chars().next()?;
    let stands_for = match code {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        '0' => '\0',
        ' ' | '"' | '/' | '\\' => code,
        'x' | 'u' | 'U' => {
            let digits = match code {
                'x' => 2,
                'u' => 4,
                _ => 8,
            };
            let number = u32::from_str_radix(source.get(2..2 + digits)?, 16).ok()?;
            return (char::from_u32(number)? == letter).then_some(2 + digits);
        }
        _ => return None,
    };
    (stands_for == letter).then_some(2)
}

#[cfg(test)]
#[path = "expr_text_test.rs"]
mod tests;
