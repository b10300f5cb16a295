//! Owns what to say when a file is not YAML: the parser's words are about its own
//! insides; people need to know what they typed.

use super::diagnostic::Diagnostic;
use super::source_map::Span;

/// A mistake in YAML text, from the parser's words and the byte where it stopped.
pub fn explain(info: &str, file: u32, text: &str, at: usize) -> Diagnostic {
    let line = Line::around(text, at);
    let diagnostic = |message: &str| Diagnostic::error("yaml", message).at(line.spot(file, at));

    if let Some(tab) = line.leading_tab() {
        return tab_in_indentation(file, tab);
    }
    if info.contains("tab") {
        // The parser stops at the value above that the line would continue.
        if let Some(tab) = text.get(at..).and_then(Line::tab_below) {
            return tab_in_indentation(file, at + tab);
        }
        return diagnostic("a tab where YAML allows only blanks").hint("replace the tab by blanks");
    }
    if info.contains("unprintable") {
        return diagnostic("a control character in the text").hint("inside double quotes it can be written as an escape: \"\\0\"");
    }
    if info.contains("byte order mark") {
        return diagnostic("a byte order mark inside the text").hint("remove it; the file needs none");
    }
    if let Some((start, reserved)) = line.reserved_start(at) {
        return Diagnostic::error("yaml", format!("text cannot start with `{reserved}` without quotes"))
            .at(Span::new(file, start, start + reserved.len_utf8()))
            .hint(if reserved == '*' { "put it in quotes: \"*\"".to_owned() } else { format!("put the whole text in quotes: \"{reserved}…\"") });
    }
    if info.contains("unknown anchor") {
        return diagnostic("this alias names no anchor").hint("text that starts with * needs quotes: \"*\"");
    }
    if info.contains("mapping values are not allowed") || info.contains("illegal placement of ':'") {
        return diagnostic("a second `:` on this line").hint("a text or an expression that contains `: ` needs quotes");
    }
    if info.contains("invalid trailing content after double-quoted") {
        return quoted_rest(&line, file, at);
    }
    if info.contains("quoted scalar") && info.contains("end of stream") {
        return diagnostic("a quoted text never ends").hint("the closing quote is missing");
    }
    if info.contains("quoted scalar") && info.contains("indentation") {
        return diagnostic("a quoted text runs into the next line").hint("is the closing quote missing?");
    }
    if info.contains("unknown escape") {
        return diagnostic("an unknown escape in a double-quoted text")
            .hint("write the backslash twice, or use single quotes: there a backslash is just a backslash");
    }
    let closing = if info.contains("',' or '}'") { Some('}') } else { info.contains("',' or ']'").then_some(']') };
    if let Some(closing) = closing
        && at >= text.trim_end().len()
    {
        return diagnostic(&format!("a `{closing}` is missing at the end of the file")).hint("every { needs its }, every [ its ]");
    }
    if info.contains("',' or '}'") {
        return in_flow(&line, file, at, '}');
    }
    if info.contains("',' or ']'") {
        return in_flow(&line, file, at, ']');
    }
    if info.contains("misplaced bracket") {
        return diagnostic("a closing bracket without its opening one");
    }
    if info.contains("recursion limit") {
        return diagnostic("brackets nested too deep");
    }
    if info.contains("did not find expected key") || info.contains("simple key expect") {
        return diagnostic("a `key: value` is expected here").hint("is the line indented like its neighbours, and is there a `:` with a blank after it?");
    }
    if info.contains("'-' indicator") || info.contains("block sequence entries are not allowed") {
        return diagnostic("a list item (`- …`) does not fit here").hint("indent all items of a list alike");
    }
    if info.contains("flow construct") {
        let missing = diagnostic("a bracket that was opened above is not closed before this line");
        return if line.comment_above(text) {
            missing.hint("a # after a blank starts a comment, which swallows the rest of its line: quote texts with a #")
        } else {
            missing.hint("is a } or ] missing at the end of the line above?")
        };
    }
    if info.contains("indentation") {
        return diagnostic("the indentation fits no line above").hint("indent all keys of a mapping alike");
    }
    diagnostic(&format!("this is not YAML: {info}"))
}

fn tab_in_indentation(file: u32, at: usize) -> Diagnostic {
    Diagnostic::error("yaml", "a tab in the indentation")
        .at(Span::new(file, at, at + 1))
        .label("this is a tab")
        .hint("YAML is indented with blanks; tell your editor to expand tabs")
}

/// `"a" = 'b'`: an expression that starts with a quoted path.
fn quoted_rest(line: &Line<'_>, file: u32, at: usize) -> Diagnostic {
    Diagnostic::error("yaml", "text after a quoted text")
        .at(line.spot(file, at))
        .hint("an expression that starts with a double quote goes into single quotes as a whole, with each ' doubled: '\"a b\" = ''x'''")
}

fn in_flow(line: &Line<'_>, file: u32, at: usize, close: char) -> Diagnostic {
    Diagnostic::error("yaml", format!("`,` or `{close}` is expected here"))
        .at(line.spot(file, at))
        .hint("inside { } and [ ] a text with , [ ] { } or quotes in it must itself be quoted as a whole")
}

/// The line where the parser stopped.
struct Line<'a> {
    start: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    fn around(text: &'a str, at: usize) -> Line<'a> {
        let mut at = at.min(text.len());
        // At the very end, the last line that says something is the one to look at.
        if at == text.len() {
            at = text.trim_end().len();
        }
        let before = text.get(..at).unwrap_or("");
        let start = before.rfind(['\n', '\r']).map_or(0, |newline| newline + 1);
        let rest = text.get(start..).unwrap_or("");
        let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
        Line { start, text: rest.get(..end).unwrap_or("") }
    }

    /// One character where the parser stopped, kept inside the line.
    fn spot(&self, file: u32, at: usize) -> Span {
        let at = at.clamp(self.start, self.start + self.text.len());
        let width = self.text.get(at - self.start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        Span::new(file, at, at + width)
    }

    /// True if the line before this one has a comment after brackets.
    fn comment_above(&self, text: &str) -> bool {
        let above = text.get(..self.start).unwrap_or("").trim_end();
        let line = above.rsplit(['\n', '\r']).next().unwrap_or("");
        line.split_once(" #").is_some_and(|(code, _)| code.contains(['{', '[']))
    }

    /// The first tab in the indentation of a line that begins in the text.
    fn tab_below(text: &str) -> Option<usize> {
        text.match_indices('\n').find_map(|(newline, _)| {
            let start = newline + 1;
            let indent = text.get(start..)?.bytes().take_while(|b| *b == b' ').count();
            text.get(start + indent..)?.starts_with('\t').then_some(start + indent)
        })
    }

    fn leading_tab(&self) -> Option<usize> {
        let indent = self.text.len() - self.text.trim_start_matches([' ', '\t']).len();
        let tab = self.text.get(..indent)?.find('\t')?;
        Some(self.start + tab)
    }

    /// A value (or list item, or key) on this line, near the place, that starts with a
    /// character which YAML keeps for itself.
    fn reserved_start(&self, at: usize) -> Option<(usize, char)> {
        let column = at.saturating_sub(self.start).min(self.text.len());
        let c = self.text.get(column..)?.chars().next()?;
        let before = self.text.get(..column)?.trim_end();
        let starts_value = before.is_empty() || before.ends_with([':', '-', ',', '[', '{']);
        (starts_value && matches!(c, '@' | '`' | '%' | '*' | '&' | '!')).then_some((at, c))
    }
}
