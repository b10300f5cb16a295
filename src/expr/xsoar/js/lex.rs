//! JavaScript text → tokens. The parser says whether a `/` may begin a pattern.

/// A token and where it stands (byte offsets).
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// A line break stands before it.
    pub after_newline: bool,
}

/// Kinds of token.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Kind {
    Number(f64),
    Text(String),
    /// `` `…` ``: the texts, and between them the sources of expressions with their offsets.
    Template(Vec<(String, Option<(String, usize)>)>),
    Regex(String, String),
    Name(String),
    /// `val1---A.B`: the path.
    Binding(String),
    Symbol(&'static str),
    End,
}

/// What cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LexError {
    /// Byte offset.
    pub at: usize,
    /// What is wrong there.
    pub what: String,
}

/// Longest first.
const SYMBOLS: [&str; 56] = [
    ">>>=", "===", "!==", "**=", "<<=", ">>=", ">>>", "...", "&&=", "||=", "??=", "=>", "==", "!=", "<=", ">=", "&&", "||", "??", "?.", "++", "--", "+=", "-=",
    "*=", "/=", "%=", "&=", "|=", "^=", "**", "<<", ">>", "{", "}", "(", ")", "[", "]", ";", ",", "<", ">", "+", "-", "*", "/", "%", "&", "|", "^", "!", "~",
    "?", ":", "=",
];

fn is_path_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']' | ':' | '@' | '/' | '$' | '#')
}

/// Reads the token at `at`.
pub fn token(text: &str, mut at: usize, regex_allowed: bool) -> Result<Token, LexError> {
    let rest = |at: usize| text.get(at..).unwrap_or_default();
    let mut after_newline = false;
    loop {
        let ahead = rest(at);
        let blanks = ahead.len() - ahead.trim_start().len();
        after_newline |= ahead.get(..blanks).is_some_and(|skipped| skipped.contains('\n'));
        at += blanks;
        let ahead = rest(at);
        if ahead.starts_with("//") {
            at += ahead.find('\n').unwrap_or(ahead.len());
        } else if ahead.starts_with("/*") {
            at += ahead.find("*/").ok_or(LexError { at, what: "a comment is not closed".into() })? + 2;
        } else {
            break;
        }
    }
    let start = at;
    let ahead = rest(at);
    let make = |kind: Kind, length: usize| Ok(Token { kind, start, end: start + length, after_newline });
    let Some(first) = ahead.chars().next() else { return make(Kind::End, 0) };
    let second = ahead.chars().nth(1);
    if first.is_ascii_digit() || first == '.' && second.is_some_and(|c| c.is_ascii_digit()) {
        return number(ahead, start, after_newline);
    }
    if first.is_alphabetic() || matches!(first, '_' | '$') {
        let length = ahead.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$'))).unwrap_or(ahead.len());
        let name = &ahead[..length];
        let digits = name.strip_prefix("val").is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
        if let (true, Some(path)) = (digits, ahead[length..].strip_prefix("---")) {
            let path_length = path.find(|c| !is_path_char(c)).unwrap_or(path.len());
            return make(Kind::Binding(path[..path_length].to_owned()), length + 3 + path_length);
        }
        return make(Kind::Name(name.to_owned()), length);
    }
    match first {
        '"' | '\'' => {
            let (content, length) = quoted(ahead, first).ok_or(LexError { at: start, what: "a text is not closed".into() })?;
            return make(Kind::Text(content), length);
        }
        '`' => {
            let (parts, length) = template(ahead, start).ok_or(LexError { at: start, what: "a template text is not closed".into() })?;
            return make(Kind::Template(parts), length);
        }
        '/' if regex_allowed => {
            let (pattern, flags, length) = regex(ahead).ok_or(LexError { at: start, what: "a regular expression is not closed".into() })?;
            return make(Kind::Regex(pattern, flags), length);
        }
        _ => {}
    }
    // `?.5` is a question mark and a number.
    let optional_number = ahead.starts_with("?.") && ahead.as_bytes().get(2).is_some_and(u8::is_ascii_digit);
    if let Some(symbol) = SYMBOLS.iter().find(|symbol| ahead.starts_with(**symbol) && !(optional_number && **symbol == "?.")) {
        return make(Kind::Symbol(symbol), symbol.len());
    }
    if first == '.' {
        return make(Kind::Symbol("."), 1);
    }
    Err(LexError { at: start, what: "a character that means nothing here".into() })
}

fn number(ahead: &str, start: usize, after_newline: bool) -> Result<Token, LexError> {
    if let Some(hex) = ahead.strip_prefix("0x").or_else(|| ahead.strip_prefix("0X")) {
        let length = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
        let number = u64::from_str_radix(&hex[..length], 16).map_err(|_| LexError { at: start, what: "a number that cannot be read".into() })?;
        return Ok(Token { kind: Kind::Number(number as f64), start, end: start + 2 + length, after_newline });
    }
    let bytes = ahead.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let after = digits(end + 1 + sign);
        if after > end + 1 + sign {
            end = after;
        }
    }
    let number = ahead.get(..end).and_then(|text| text.parse().ok()).ok_or(LexError { at: start, what: "a number that cannot be read".into() })?;
    Ok(Token { kind: Kind::Number(number), start, end: start + end, after_newline })
}

/// The content of a quoted text and its length with the quotes.
fn quoted(ahead: &str, quote: char) -> Option<(String, usize)> {
    let mut content = String::new();
    let mut chars = ahead.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => escape(&mut chars, &mut content)?,
            _ if c == quote => return Some((content, at + 1)),
            // A real line break in a text is an error in JavaScript; YAML folding puts them there.
            _ => content.push(c),
        }
    }
    None
}

fn escape(chars: &mut std::iter::Peekable<impl Iterator<Item = (usize, char)>>, content: &mut String) -> Option<()> {
    let (_, c) = chars.next()?;
    match c {
        'n' => content.push('\n'),
        't' => content.push('\t'),
        'r' => content.push('\r'),
        'b' => content.push('\u{8}'),
        'f' => content.push('\u{c}'),
        'v' => content.push('\u{b}'),
        '0' => content.push('\0'),
        'x' => content.push(hex(chars, 2)?),
        'u' if chars.peek().is_some_and(|(_, c)| *c == '{') => {
            chars.next();
            let mut code = 0u32;
            loop {
                match chars.next()?.1 {
                    '}' => break,
                    c => code = code.checked_mul(16)?.checked_add(c.to_digit(16)?)?,
                }
            }
            content.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        'u' => content.push(hex(chars, 4)?),
        '\n' => {}
        other => content.push(other),
    }
    Some(())
}

fn hex(chars: &mut impl Iterator<Item = (usize, char)>, digits: usize) -> Option<char> {
    let mut code = 0;
    for _ in 0..digits {
        code = code * 16 + chars.next()?.1.to_digit(16)?;
    }
    Some(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
}

type TemplateParts = Vec<(String, Option<(String, usize)>)>;

fn template(ahead: &str, start: usize) -> Option<(TemplateParts, usize)> {
    let mut parts = Vec::new();
    let mut content = String::new();
    let mut chars = ahead.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => escape(&mut chars, &mut content)?,
            '`' => {
                parts.push((content, None));
                return Some((parts, at + 1));
            }
            '$' if chars.peek().is_some_and(|(_, c)| *c == '{') => {
                let mut depth = 0;
                let mut source = String::new();
                let offset = start + at + 2;
                for (_, c) in chars.by_ref() {
                    match c {
                        '{' => {
                            depth += 1;
                            if depth == 1 {
                                continue;
                            }
                        }
                        '}' => {
                            depth -= 1;
                            if depth == 0 {
                                break;
                            }
                        }
                        _ => {}
                    }
                    source.push(c);
                }
                parts.push((std::mem::take(&mut content), Some((source, offset))));
            }
            _ => content.push(c),
        }
    }
    None
}

fn regex(ahead: &str) -> Option<(String, String, usize)> {
    let mut in_class = false;
    let mut escaped = false;
    for (at, c) in ahead.char_indices().skip(1) {
        match c {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            '/' if !in_class => {
                let flags: String = ahead[at + 1..].chars().take_while(char::is_ascii_alphabetic).collect();
                let length = at + 1 + flags.len();
                return Some((ahead[1..at].to_owned(), flags, length));
            }
            _ => {}
        }
    }
    None
}
