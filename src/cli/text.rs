//! Text for a terminal: values from events made harmless, cut to size, set in columns.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

use super::output::{Style, style};

/// Columns that reports are made for where no terminal says otherwise: fits a split screen, and a mail.
pub const REPORT_COLUMNS: usize = 100;

/// Columns of a terminal that reports are squeezed into, and stretched to, at most.
const TERMINAL_COLUMNS: std::ops::RangeInclusive<usize> = 60..=240;

/// Columns of reports: what `COLUMNS` says, else those of the terminal, else [`REPORT_COLUMNS`].
pub fn report_columns() -> usize {
    static COLUMNS: OnceLock<usize> = OnceLock::new();
    *COLUMNS.get_or_init(|| {
        // Unit tests compare whole lines, wherever they run.
        let said = std::env::var("COLUMNS").ok().filter(|_| !cfg!(test)).and_then(|text| text.trim().parse::<usize>().ok()).filter(|columns| *columns > 0);
        let found = said.or_else(|| terminal_columns().filter(|_| !cfg!(test)));
        found.map_or(REPORT_COLUMNS, |columns| columns.clamp(*TERMINAL_COLUMNS.start(), *TERMINAL_COLUMNS.end()))
    })
}

/// Columns of the terminal that standard output goes to; `None` if it goes elsewhere.
fn terminal_columns() -> Option<usize> {
    // SAFETY: a plain structure of numbers, written by the call, which takes a file that is no terminal too.
    let size = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size) == 0).then_some(size)
    };
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// A value of an event as it may stand on a terminal: control characters, and those that
/// hide or reorder text, are written as escapes.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if is_hidden(c) => shown.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Control characters, marks of direction, characters without width.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Columns that a character takes; a little too wide for some, never too narrow for letters.
fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Where a text that is too long is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// `beginning…`
    End,
    /// `…end`: of file names the end tells more.
    Start,
    /// `begin…end`
    Middle,
}

/// The text in at most `max` columns, with `…` where something is missing.
pub fn clip(text: &str, max: usize, cut: Cut) -> Cow<'_, str> {
    if width(text) <= max {
        return Cow::Borrowed(text);
    }
    let room = max.saturating_sub(1);
    let (head, tail) = match cut {
        Cut::End => (room, 0),
        Cut::Start => (0, room),
        Cut::Middle => (room - room / 2, room / 2),
    };
    let take = |chars: &mut dyn Iterator<Item = char>, room: usize| {
        let mut used = 0;
        chars
            .take_while(|c| {
                used += char_width(*c);
                used <= room
            })
            .collect::<String>()
    };
    let head = take(&mut text.chars(), head);
    let tail: String = take(&mut text.chars().rev(), tail).chars().rev().collect();
    Cow::Owned(format!("{head}…{tail}"))
}

/// `1 event`, `2 events`.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", super::output::number(n), if n == 1 { one } else { many })
}

/// Lines of words joined by `separator`, each line within [`report_columns`] and indented.
pub fn wrap<S: AsRef<str>>(words: impl IntoIterator<Item = S>, separator: &str, indent: usize) -> String {
    let mut text = String::new();
    let mut line = 0;
    for word in words {
        let word = word.as_ref();
        if line == 0 {
            text.push_str(&" ".repeat(indent));
            line = indent;
        } else if line + separator.len() + width(word) + 1 > report_columns() {
            text.push_str(separator.trim_end());
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            line = indent;
        } else {
            text.push_str(separator);
            line += separator.len();
        }
        text.push_str(word);
        line += width(word);
    }
    text
}

/// Columns that a text in a table keeps at least.
const COLUMN_MIN: usize = 8;

/// A column of a [`Grid`].
#[derive(Debug, Clone)]
struct Column {
    title: &'static str,
    right: bool,
    max: usize,
    cut: Cut,
}

/// A cell: its text, and how it looks.
type Cell = (String, Option<Style>);

/// A table without a frame, of at most [`report_columns`].
#[derive(Debug, Clone, Default)]
pub struct Grid {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
}

impl Grid {
    /// A table without columns, `indent` columns from the left.
    pub fn new(indent: usize) -> Grid {
        Grid { indent, ..Grid::default() }
    }

    /// Adds a column of text.
    pub fn text(mut self, title: &'static str, max: usize, cut: Cut) -> Grid {
        self.columns.push(Column { title, right: false, max, cut });
        self
    }

    /// Adds a column of numbers.
    pub fn number(mut self, title: &'static str, max: usize) -> Grid {
        self.columns.push(Column { title, right: true, max, cut: Cut::End });
        self
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|cell| (cell.into(), None)).collect());
    }

    /// Adds a row that looks like `style`.
    pub fn styled<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = (S, Option<Style>)>) {
        self.rows.push(cells.into_iter().map(|(cell, style)| (cell.into(), style)).collect());
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, widths: &[usize], cells: &mut dyn Iterator<Item = (&str, Option<Style>)>) -> fmt::Result {
        let mut line = " ".repeat(self.indent);
        let mut gap = 0;
        for (column, (cell, look)) in self.columns.iter().zip(widths).zip(cells) {
            let (column, max) = column;
            let cell = clip(cell, *max, column.cut);
            let fill = max.saturating_sub(width(&cell));
            if column.right {
                gap += fill;
            }
            if !cell.is_empty() {
                line.push_str(&" ".repeat(gap));
                match look {
                    Some(look) => line.push_str(&style(&cell, look)),
                    None => line.push_str(&cell),
                }
                gap = 0;
            } else if column.right {
                gap -= fill;
                gap += *max;
            }
            if !column.right {
                gap += fill;
            }
            gap += 2;
        }
        writeln!(f, "{line}")
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = |number: usize| self.rows.iter().filter_map(|row| row.get(number)).map(|(cell, _)| width(cell)).max().unwrap_or_default();
        let mut widths: Vec<usize> = self.columns.iter().enumerate().map(|(number, column)| longest(number).max(width(column.title)).min(column.max)).collect();
        // Too wide: the widest text columns give way.
        let room = report_columns().saturating_sub(self.indent + 2 * widths.len().saturating_sub(1));
        while widths.iter().sum::<usize>() > room {
            let texts = widths.iter_mut().zip(&self.columns).filter(|(width, column)| !column.right && **width > COLUMN_MIN);
            match texts.max_by_key(|(width, _)| **width) {
                Some((width, _)) => *width -= 1,
                None => break,
            }
        }
        if self.columns.iter().any(|column| !column.title.is_empty()) {
            self.line(f, &widths, &mut self.columns.iter().map(|column| (column.title, Some(Style::Head))))?;
        }
        for row in &self.rows {
            self.line(f, &widths, &mut row.iter().map(|(cell, look)| (cell.as_str(), *look)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_play_with_a_terminal_is_escaped() {
        assert_eq!(visible("plain ü 日本"), "plain ü 日本");
        assert_eq!(visible("a\u{1b}[2J\nb\u{202e}c\0"), "a\\u{1b}[2J\\nb\\u{202e}c\\u{0}");
    }

    #[test]
    fn long_texts_are_cut_where_it_hurts_least() {
        assert_eq!(clip("abcdef", 6, Cut::End), "abcdef");
        assert_eq!(clip("abcdefg", 6, Cut::End), "abcde…");
        assert_eq!(clip("abcdefg", 6, Cut::Start), "…cdefg");
        assert_eq!(clip("abcdefgh", 6, Cut::Middle), "abc…gh");
        assert_eq!(clip("日本日本", 6, Cut::End), "日本…");
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_blank_end() {
        let mut grid = Grid::new(2).text("name", 6, Cut::End).number("n", 5).text("", 4, Cut::End);
        grid.row(["a", "1", "x"]);
        grid.row(["longer than that", "12", ""]);
        grid.row(["b", "", "y"]);
        assert_eq!(grid.to_string(), "  name     n\n  a        1  x\n  longe…  12\n  b           y\n");
    }

    #[test]
    fn wide_tables_are_narrowed() {
        let mut grid = Grid::new(4).text("a", 90, Cut::End).text("b", 90, Cut::Start).number("n", 9);
        grid.row(["x".repeat(200), "y".repeat(70), "123456".into()]);
        assert!(grid.to_string().lines().all(|line| width(line) <= REPORT_COLUMNS));
        assert!(grid.to_string().lines().any(|line| width(line) == REPORT_COLUMNS));
    }

    #[test]
    fn words_are_wrapped() {
        let text = wrap((0..30).map(|n| format!("word{n}")), ", ", 2);
        assert!(text.lines().all(|line| width(line) <= REPORT_COLUMNS && line.starts_with("  ")));
        assert!(text.lines().count() > 1);
    }
}
