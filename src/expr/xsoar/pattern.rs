//! Regular expressions of three dialects (Go RE2, Python, JavaScript) on two engines: the linear one
//! wherever it can, the backtracking one, with a bound on its steps, for look-around and back references.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::fault::Fault;

/// Bytes of a pattern. Real ones have below 2 KiB.
const PATTERN_BYTES_MAX: usize = 64 << 10;
/// Bytes of a compiled program, per engine.
const PROGRAM_BYTES_MAX: usize = 4 << 20;
/// Steps that the backtracking engine may take for one search.
const BACKTRACKS_MAX: usize = 200_000;
/// Compiled patterns kept per thread.
const CACHED_MAX: usize = 256;

/// Whose rules a pattern follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Built-in operators.
    Go,
    /// Script operators.
    Python,
    /// DT.
    JavaScript,
}

/// Flags of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[allow(missing_docs)]
pub struct Flags {
    pub ignore_case: bool,
    pub multi_line: bool,
    pub dot_all: bool,
}

/// A compiled pattern.
#[derive(Debug)]
pub enum Pattern {
    /// Linear time.
    Linear(regex::Regex),
    /// Bounded backtracking.
    Backtracking(fancy_regex::Regex),
}

/// Where the groups of a match stand; number 0 is the whole match.
pub type Groups = Vec<Option<(usize, usize)>>;

thread_local! {
    static CACHE: RefCell<HashMap<(Dialect, Flags, String), Arc<Pattern>>> = RefCell::new(HashMap::new());
}

/// Compiles a pattern, or finds it among those compiled before.
pub fn compile(text: &str, dialect: Dialect, flags: Flags, operator: &'static str) -> Result<Arc<Pattern>, Fault> {
    let key = (dialect, flags, text.to_owned());
    if let Some(found) = CACHE.with(|cache| cache.borrow().get(&key).cloned()) {
        return Ok(found);
    }
    let pattern = Arc::new(Pattern::new(text, dialect, flags).ok_or(Fault::Pattern { operator })?);
    CACHE.with(|cache| {
        let mut cache = cache.borrow_mut();
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        cache.insert(key, pattern.clone());
    });
    Ok(pattern)
}

impl Pattern {
    /// Compiles a pattern; `None` if it is not one, or too large.
    pub fn new(text: &str, dialect: Dialect, flags: Flags) -> Option<Pattern> {
        if text.len() > PATTERN_BYTES_MAX {
            return None;
        }
        let translated = translate(text, dialect);
        let mut letters = String::new();
        for (set, letter) in [(flags.ignore_case, 'i'), (flags.multi_line, 'm'), (flags.dot_all, 's')] {
            if set {
                letters.push(letter);
            }
        }
        let text = if letters.is_empty() { translated } else { format!("(?{letters}:{translated})") };
        let linear = regex::RegexBuilder::new(&text).size_limit(PROGRAM_BYTES_MAX).dfa_size_limit(PROGRAM_BYTES_MAX).build();
        match linear {
            Ok(regex) => Some(Pattern::Linear(regex)),
            // Too large for the one engine is too large for the other; Go knows neither look-around nor back references.
            Err(regex::Error::CompiledTooBig(_)) => None,
            Err(_) if dialect == Dialect::Go => None,
            Err(_) => {
                let built = fancy_regex::RegexBuilder::new(&text)
                    .backtrack_limit(BACKTRACKS_MAX)
                    .delegate_size_limit(PROGRAM_BYTES_MAX)
                    .delegate_dfa_size_limit(PROGRAM_BYTES_MAX)
                    .build();
                built.ok().map(Pattern::Backtracking)
            }
        }
    }

    /// Groups of the pattern, the whole match not counted.
    pub fn group_count(&self) -> usize {
        match self {
            Pattern::Linear(regex) => regex.captures_len().saturating_sub(1),
            Pattern::Backtracking(regex) => regex.captures_len().saturating_sub(1),
        }
    }

    /// Names of groups, by number.
    pub fn group_names(&self) -> Vec<Option<String>> {
        match self {
            Pattern::Linear(regex) => regex.capture_names().map(|name| name.map(str::to_owned)).collect(),
            Pattern::Backtracking(regex) => regex.capture_names().map(|name| name.map(str::to_owned)).collect(),
        }
    }

    /// The first match at or after byte `from`.
    pub fn find_at(&self, text: &str, from: usize) -> Result<Option<Groups>, Fault> {
        if from > text.len() {
            return Ok(None);
        }
        match self {
            Pattern::Linear(regex) => {
                let found = regex.captures_at(text, from);
                Ok(found.map(|groups| groups.iter().map(|group| group.map(|m| (m.start(), m.end()))).collect()))
            }
            Pattern::Backtracking(regex) => match regex.captures_from_pos(text, from) {
                Ok(found) => Ok(found.map(|groups| groups.iter().map(|group| group.map(|m| (m.start(), m.end()))).collect())),
                Err(_) => Err(Fault::Budget { limit: BACKTRACKS_MAX as u64, unit: "steps of a regular expression" }),
            },
        }
    }

    /// True when there is a match anywhere.
    pub fn is_match(&self, text: &str) -> Result<bool, Fault> {
        match self {
            Pattern::Linear(regex) => Ok(regex.is_match(text)),
            Pattern::Backtracking(_) => Ok(self.find_at(text, 0)?.is_some()),
        }
    }

    /// All matches that do not overlap, at most `limit`.
    pub fn find_all(&self, text: &str, limit: usize) -> Result<Vec<Groups>, Fault> {
        let mut found = Vec::new();
        let mut from = 0;
        while found.len() < limit {
            let Some(groups) = self.find_at(text, from)? else { break };
            let Some((start, end)) = groups.first().copied().flatten() else { break };
            // After an empty match the search goes on one character later.
            from = if end > start { end } else { end + text.get(end..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8) };
            found.push(groups);
            if from > text.len() {
                break;
            }
        }
        Ok(found)
    }

    /// Replaces every match by what `with` says of it.
    pub fn replace_all(&self, text: &str, limit: usize, mut with: impl FnMut(&Groups, &mut String) -> Result<(), Fault>) -> Result<String, Fault> {
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for groups in self.find_all(text, limit)? {
            let Some((start, end)) = groups.first().copied().flatten() else { continue };
            out.push_str(text.get(done..start).unwrap_or_default());
            with(&groups, &mut out)?;
            done = end;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        Ok(out)
    }
}

/// The text of a group of a match.
pub fn group<'t>(text: &'t str, groups: &Groups, number: usize) -> Option<&'t str> {
    let (start, end) = groups.get(number).copied().flatten()?;
    text.get(start..end)
}

/// The dialect's spelling → that of the `regex` crate.
fn translate(text: &str, dialect: Dialect) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len() + 8);
    let mut at = 0;
    // 0: outside a class; else how many characters of the class were seen, plus one.
    let mut class = 0usize;
    while let Some(c) = chars.get(at).copied() {
        let next = chars.get(at + 1).copied();
        let started_class = class;
        match c {
            '\\' => {
                at += escape(&chars, at, dialect, class > 0, &mut out);
                class += usize::from(class > 0);
                continue;
            }
            '[' if class == 0 => {
                out.push('[');
                class = 1;
                if next == Some('^') {
                    out.push('^');
                    at += 1;
                }
                // A bracket that comes first is a member: `[]a]`; in JavaScript `[]` is an empty class.
                if chars.get(at + 1) == Some(&']') && dialect != Dialect::JavaScript {
                    out.push_str("\\]");
                    at += 1;
                    class = 2;
                }
            }
            '[' if dialect == Dialect::Go && next == Some(':') => out.push('['),
            '[' => out.push_str("\\["),
            ']' if class > 0 => {
                let posix = dialect == Dialect::Go && chars.get(at.wrapping_sub(1)) == Some(&':') && has_posix(&chars, at);
                out.push(']');
                if !posix {
                    class = 0;
                }
            }
            '&' | '~' | '-' if class > 0 && next == Some(c) => {
                out.push('\\');
                out.push(c);
            }
            '{' if class == 0 && !is_counted(&chars, at) => out.push_str("\\{"),
            '}' if class == 0 && !closes_count(&chars, at) => out.push_str("\\}"),
            _ => out.push(c),
        }
        if started_class > 0 && class > 0 {
            class += 1;
        }
        at += 1;
    }
    out
}

fn has_posix(chars: &[char], end: usize) -> bool {
    let start = chars.get(..end.saturating_sub(1)).and_then(|before| before.iter().rposition(|c| *c == ':'));
    start.is_some_and(|start| start > 0 && chars.get(start - 1) == Some(&'['))
}

/// `{2}`, `{2,}`, `{2,5}` behind something to repeat.
fn is_counted(chars: &[char], at: usize) -> bool {
    let Some(length) = chars.get(at..).and_then(|rest| rest.iter().position(|c| *c == '}')) else { return false };
    let inner = chars.get(at + 1..at + length).unwrap_or_default();
    at > 0
        && inner.first().is_some_and(char::is_ascii_digit)
        && inner.iter().all(|c| c.is_ascii_digit() || *c == ',')
        && inner.iter().filter(|c| **c == ',').count() <= 1
}

fn closes_count(chars: &[char], at: usize) -> bool {
    // `\x{41}` and `\p{L}` are taken whole by `escape`.
    chars
        .get(..at)
        .and_then(|before| before.iter().rposition(|c| *c == '{'))
        .is_some_and(|open| is_counted(chars, open) && chars.get(open + 1..at).is_some_and(|inner| !inner.contains(&'}')))
}

/// Writes the escape at `at`; returns how many characters it took.
fn escape(chars: &[char], at: usize, dialect: Dialect, in_class: bool, out: &mut String) -> usize {
    let Some(c) = chars.get(at + 1).copied() else {
        // A lone backslash at the end is an error in all dialects.
        out.push('\\');
        return 1;
    };
    // Python's classes know all of Unicode, those of Go and JavaScript ASCII only.
    let ascii = dialect != Dialect::Python;
    match c {
        'd' if ascii => out.push_str(if in_class { "0-9" } else { "[0-9]" }),
        'D' if ascii => out.push_str("[^0-9]"),
        'w' if ascii => out.push_str(if in_class { "0-9A-Za-z_" } else { "[0-9A-Za-z_]" }),
        'W' if ascii => out.push_str("[^0-9A-Za-z_]"),
        's' if dialect == Dialect::Go => out.push_str(if in_class { "\\t\\n\\f\\r " } else { "[\\t\\n\\f\\r ]" }),
        'S' if dialect == Dialect::Go => out.push_str("[^\\t\\n\\f\\r ]"),
        'b' if in_class => out.push_str("\\x08"),
        'b' if ascii => out.push_str("(?-u:\\b)"),
        'B' if ascii => out.push_str("(?-u:\\B)"),
        'Z' if dialect == Dialect::Python => out.push_str("\\z"),
        '0' if !chars.get(at + 2).is_some_and(char::is_ascii_digit) => out.push_str("\\x00"),
        'u' if dialect != Dialect::Go => {
            let digits: String = chars.get(at + 2..at + 6).unwrap_or_default().iter().collect();
            if digits.len() == 4 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
                out.push_str(&format!("\\x{{{digits}}}"));
                return 6;
            }
            out.push('u');
        }
        // A named or counted escape keeps its braces.
        'x' | 'p' | 'P' | 'k' if matches!(chars.get(at + 2), Some('{' | '<')) => {
            let close = if chars.get(at + 2) == Some(&'{') { '}' } else { '>' };
            let length = chars.get(at..).and_then(|rest| rest.iter().position(|c| *c == close)).unwrap_or(1);
            out.extend(chars.get(at..=at + length).unwrap_or_default());
            return length + 1;
        }
        // Letters that mean nothing are themselves; Rust refuses them.
        _ if c.is_ascii_alphabetic() && !"dDwWsSbBAzZnrtfvxpPkaGQE".contains(c) => out.push(c),
        '<' | '>' => out.push(c),
        _ if !c.is_ascii() => out.push(c),
        _ => {
            out.push('\\');
            out.push(c);
        }
    }
    2
}
