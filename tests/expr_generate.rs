//! Random expressions and events, grown from a list of choices: proptest shortens the
//! list, and so the expression. When the choices run out, everything becomes a leaf.

/// Reads choices.
pub struct Dice<'a> {
    choices: &'a [u16],
    at: usize,
    shift: usize,
    leaves: usize,
}

impl<'a> Dice<'a> {
    pub fn new(choices: &'a [u16]) -> Dice<'a> {
        Dice::shifted(choices, 0)
    }

    /// Makes of the same choices an expression that is alike: some of its paths and constants differ.
    pub fn shifted(choices: &'a [u16], shift: usize) -> Dice<'a> {
        Dice { choices, at: 0, shift, leaves: 0 }
    }

    /// A number below `end`; 0 when no choices are left.
    pub fn below(&mut self, end: usize) -> usize {
        let choice = self.choices.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        choice as usize % end
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    /// A path or a constant. Every third is the same whatever the shift.
    fn leaf<T: Copy>(&mut self, list: &[T]) -> T {
        self.leaves += 1;
        let shift = if self.leaves.is_multiple_of(3) { 0 } else { self.shift };
        list[(self.below(list.len()) + shift) % list.len()]
    }
}

/// A JSON value, with the text in which it stands in the event.
#[derive(Debug, Clone)]
pub enum Node {
    Null,
    Bool(bool),
    /// Digits as written.
    Number(String),
    /// Content, and the token with its quotes and escapes.
    Text(String, String),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    pub fn json(&self) -> String {
        match self {
            Node::Null => "null".to_owned(),
            Node::Bool(truth) => truth.to_string(),
            Node::Number(digits) => digits.clone(),
            Node::Text(_, token) => token.clone(),
            Node::Array(list) => format!("[{}]", list.iter().map(Node::json).collect::<Vec<_>>().join(",")),
            Node::Object(members) => {
                let parts: Vec<String> = members.iter().map(|(key, value)| format!("{}: {}", token(key, 0), value.json())).collect();
                format!("{{{}}}", parts.join(", "))
            }
        }
    }
}

/// A JSON string; `style` 1 escapes what need not be escaped, 2 everything.
pub fn token(content: &str, style: usize) -> String {
    let mut out = String::from("\"");
    for c in content.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' if style < 2 => out.push_str("\\n"),
            '/' if style == 1 => out.push_str("\\/"),
            c if (c as u32) < 0x20 || style == 2 || (style == 1 && !c.is_ascii()) => {
                let mut units = [0; 2];
                c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04X}")));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

const TEXTS: [&str; 49] = [
    "ı",
    "ẞ",
    "ς",
    "\u{212a}",
    "µ",
    "",
    "a",
    "A",
    "abc",
    "ABC",
    "a%b",
    "a_b",
    "a\\b",
    "100%",
    "ä",
    "Ä",
    "ß",
    "İ",
    "ſ",
    "K",
    "😀 smile",
    "line\nbreak",
    "x y",
    " pad ",
    "it's",
    "true",
    "FALSE",
    " true ",
    "10",
    "-3.5",
    " 7 ",
    "1e3",
    "0x10",
    "NaN",
    "inf",
    "+5",
    "9007199254740993",
    "18446744073709551616",
    "2026-01-02T03:04:05Z",
    "2026-01-02 03:04:05.25+02:00",
    "1767323045123",
    "Jan  2 03:04:05",
    "not a time",
    "10.1.2.3",
    "2001:db8::1",
    "{\"k\":\"v\",\"n\":[1,{\"z\":2}]}",
    "[1,\"a\",null]",
    "critical",
    "a\u{0}b",
];

const NUMBERS: [&str; 24] = [
    "0",
    "1",
    "-1",
    "2",
    "10",
    "-0",
    "0.0",
    "0.5",
    "-0.5",
    "2.5",
    "-2.5",
    "1e3",
    "1E-7",
    "123456789012345",
    "1234567890123456",
    "9007199254740992",
    "9007199254740993",
    "-9223372036854775808",
    "18446744073709551615",
    "340282366920938463463374607431768211456",
    "1e400",
    "-1e400",
    "1767323045",
    "1767323045123",
];

/// The members that events have.
pub const KEYS: [&str; 8] = ["a", "b", "c", "n", "o", "l", "odd key", "@t"];

/// The paths that expressions read.
const PATHS: [&str; 14] = ["a", "b", "c", "n", "o.x", "o.y.z", "l[0]", "l[1].x", "\"odd key\"", "\"@t\"", "missing", "l", "o", "a.b"];

fn scalar(dice: &mut Dice<'_>) -> Node {
    match dice.below(8) {
        0 => Node::Null,
        1 => Node::Bool(dice.below(2) == 1),
        2..=4 => Node::Number(dice.pick(&NUMBERS).to_owned()),
        _ => {
            let content = dice.pick(&TEXTS);
            let style = dice.below(3);
            Node::Text(content.to_owned(), token(content, style))
        }
    }
}

fn value(dice: &mut Dice<'_>, depth: usize) -> Node {
    match dice.below(if depth == 0 { 6 } else { 8 }) {
        6 => Node::Array((0..dice.below(4)).map(|_| value(dice, depth - 1)).collect()),
        7 => {
            let mut members = Vec::new();
            for key in ["x", "y", "z"] {
                if dice.below(3) > 0 {
                    members.push((key.to_owned(), value(dice, depth - 1)));
                }
            }
            Node::Object(members)
        }
        _ => scalar(dice),
    }
}

/// An event: some of [`KEYS`], each of any type.
pub fn event(dice: &mut Dice<'_>) -> Node {
    let mut members = Vec::new();
    for key in KEYS {
        if dice.below(5) == 0 {
            continue;
        }
        let value = match key {
            "o" if dice.below(4) > 0 => {
                let mut inner = vec![("x".to_owned(), scalar(dice))];
                inner.push(("y".to_owned(), Node::Object(vec![("z".to_owned(), scalar(dice))])));
                Node::Object(inner)
            }
            "l" if dice.below(4) > 0 => Node::Array((0..dice.below(4)).map(|_| value(dice, 1)).collect()),
            _ => value(dice, 2),
        };
        members.push((key.to_owned(), value));
    }
    Node::Object(members)
}

/// A text literal of the expression language.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

const PATTERNS: [&str; 26] = [
    "%", "_", "", "a%", "%b", "%a%", "a_c", "%\\%%", "a\\_b", "100\\%", "%\\\\%", "ABC", "Ä%", "_mile", "%😀%", "İ", "%k%", "SS", "s", "i", "ß", "σ", "%μ%",
    "a\\b", "\\", "%\\",
];

const REGEXES: [&str; 9] = ["a", "^a", "(?i)abc", "\\d+", "^$", "[äÄ]", "^(true|false)$", "\\bsmile\\b", "^.*$"];

/// An expression of any type.
pub fn any(dice: &mut Dice<'_>, depth: usize) -> String {
    match dice.below(5) {
        0 => text(dice, depth),
        1 => number(dice, depth),
        2 => condition(dice, depth),
        3 => time(dice, depth),
        _ => duration(dice, depth),
    }
}

fn path(dice: &mut Dice<'_>) -> String {
    dice.leaf(&PATHS).to_owned()
}

fn compare(dice: &mut Dice<'_>) -> &'static str {
    dice.pick(&["=", "!=", "<>", "<", "<=", ">", ">="])
}

/// `CASE`, `coalesce` and `nullif` over expressions of one type.
fn chosen(dice: &mut Dice<'_>, depth: usize, of: fn(&mut Dice<'_>, usize) -> String) -> String {
    let depth = depth - 1;
    match dice.below(5) {
        0 => format!("coalesce({}, {})", of(dice, depth), of(dice, depth)),
        1 => format!("coalesce({}, {}, {})", of(dice, depth), of(dice, depth), of(dice, depth)),
        2 => format!("nullif({}, {})", of(dice, depth), of(dice, depth)),
        3 => format!("CASE WHEN {} THEN {} ELSE {} END", condition(dice, depth), of(dice, depth), of(dice, depth)),
        _ => {
            let operand = text(dice, depth);
            let (one, two) = (text(dice, depth), text(dice, depth));
            format!("CASE {operand} WHEN {one} THEN {} WHEN {two} THEN {} END", of(dice, depth), of(dice, depth))
        }
    }
}

pub fn text(dice: &mut Dice<'_>, depth: usize) -> String {
    if depth == 0 {
        return match dice.below(4) {
            0 | 1 => path(dice),
            2 => format!("text({})", path(dice)),
            _ => quoted(dice.leaf(&TEXTS)),
        };
    }
    let d = depth - 1;
    match dice.below(34) {
        0..=5 => text(dice, 0),
        6 => format!("text({})", number(dice, d)),
        7 => format!("text({})", condition(dice, d)),
        8 => format!("text({})", time(dice, d)),
        9 => format!("text({})", duration(dice, d)),
        10..=12 => chosen(dice, depth, text),
        13 => {
            let function = dice.pick(&["lower", "upper", "trim", "btrim", "ltrim", "rtrim", "reverse", "initcap", "md5", "sha256"]);
            format!("{function}({})", text(dice, d))
        }
        14 => format!("substr({}, {})", text(dice, d), dice.leaf(&["1", "2", "0", "-1", "100"])),
        15 => format!("substr({}, {}, {})", text(dice, d), dice.leaf(&["1", "2", "-3"]), dice.leaf(&["0", "1", "3", "100"])),
        16 => format!("substr({}, 1, {})", text(dice, d), number(dice, d)),
        17 => format!("left({}, {})", text(dice, d), dice.leaf(&["0", "1", "3", "-1"])),
        18 => format!("right({}, {})", text(dice, d), dice.leaf(&["0", "1", "3", "-1"])),
        19 => format!("{}({}, {}, {})", dice.pick(&["lpad", "rpad"]), text(dice, d), dice.pick(&["0", "2", "5"]), text(dice, d)),
        20 => format!("repeat({}, {})", text(dice, d), dice.pick(&["0", "1", "2", "-1"])),
        21 => format!("replace({}, {}, {})", text(dice, d), text(dice, d), text(dice, d)),
        22 => format!("split_part({}, {}, {})", text(dice, d), dice.leaf(&["'.'", "' '", "''", "'a'"]), dice.leaf(&["1", "2", "-1", "0"])),
        23 => format!("concat({}, {})", text(dice, d), text(dice, d)),
        24 => format!("concat_ws({}, {}, {})", dice.leaf(&["'/'", "''", "NULL"]), text(dice, d), text(dice, d)),
        25 => format!("({} || {})", text(dice, d), text(dice, d)),
        26 => format!("json_get({}, {})", text(dice, d), dice.pick(&["'k'", "'n[1].z'", "'missing'", "'[0]'"])),
        27 => format!("regexp_replace({}, {}, {})", text(dice, d), quoted(dice.pick(&REGEXES)), dice.pick(&["'x'", "''", "'\\1'"])),
        28 => format!("regexp_extract({}, {})", text(dice, d), dice.pick(&["'([a-z]+)'", "'\\d+'", "'^(x)?'"])),
        29 => format!("format_time({}, {})", time(dice, d), dice.pick(&["'%Y-%m-%d'", "'%H:%M'"])),
        30 => format!("lookup('table', {}, {})", text(dice, d), dice.pick(&["'owner'", "'zone'"])),
        31 => format!("CAST({} AS text)", number(dice, d)),
        32 => format!("translate({}, 'abc', 'xy')", text(dice, d)),
        _ => format!("encode({}, 'hex')", text(dice, d)),
    }
}

pub fn number(dice: &mut Dice<'_>, depth: usize) -> String {
    if depth == 0 {
        return match dice.below(4) {
            0 | 1 => format!("number({})", path(dice)),
            2 => format!("{}::number", path(dice)),
            _ => dice.leaf(&["0", "1", "-1", "2.5", "-0.5", "1e3", "9007199254740993", "0.1"]).to_owned(),
        };
    }
    let d = depth - 1;
    match dice.below(30) {
        0..=5 => number(dice, 0),
        6 => format!("number({})", text(dice, d)),
        7 => format!("number({})", condition(dice, d)),
        8 => format!("number({})", duration(dice, d)),
        9..=11 => chosen(dice, depth, number),
        12..=15 => format!("({} {} {})", number(dice, d), dice.pick(&["+", "-", "*", "/", "%"]), number(dice, d)),
        16 => format!("(-{})", number(dice, d)),
        17 => {
            let function = dice.pick(&["length", "char_length", "octet_length", "bit_length", "ascii"]);
            format!("{function}({})", text(dice, d))
        }
        18 => format!("strpos({}, {})", text(dice, d), text(dice, d)),
        19..=21 => {
            let function = dice.pick(&["abs", "ceil", "floor", "round", "trunc", "sqrt", "signum", "ln", "log10", "exp", "cbrt"]);
            format!("{function}({})", number(dice, d))
        }
        22 => format!("power({}, {})", number(dice, d), number(dice, d)),
        23 => format!("severity({}{})", text(dice, d), dice.pick(&["", ", 'words'", ", 'p1-p5'", ", '0-10'", ", '0-100'", ", 'syslog'"])),
        24 => format!("array_length({})", text(dice, d)),
        25 => format!("CAST({} AS integer)", number(dice, d)),
        26 => format!("CAST(concat({}, a) AS number)", text(dice, d)),
        27 => format!("levenshtein({}, {})", text(dice, d), text(dice, d)),
        28 => format!("date_part('hour', {})", time(dice, d)),
        _ => format!("number({})", time(dice, d)),
    }
}

pub fn condition(dice: &mut Dice<'_>, depth: usize) -> String {
    if depth == 0 {
        return match dice.below(5) {
            0 | 1 => format!("boolean({})", path(dice)),
            2 => format!("({} = TRUE)", path(dice)),
            3 => "TRUE".to_owned(),
            _ => dice.pick(&["FALSE", "NULL"]).to_owned(),
        };
    }
    let d = depth - 1;
    match dice.below(34) {
        0..=2 => condition(dice, 0),
        3 => format!("({} {} {})", text(dice, d), compare(dice), text(dice, d)),
        4 => format!("({} {} {})", number(dice, d), compare(dice), number(dice, d)),
        5 => format!("({} {} {})", path(dice), compare(dice), number(dice, d)),
        6 => format!("({} {} {})", time(dice, d), compare(dice), time(dice, d)),
        7 => format!("({} {} {})", duration(dice, d), compare(dice), duration(dice, d)),
        8 => format!("({} {} {})", condition(dice, d), dice.pick(&["=", "!="]), condition(dice, d)),
        9 | 10 => format!("({} AND {})", condition(dice, d), condition(dice, d)),
        11 | 12 => format!("({} OR {})", condition(dice, d), condition(dice, d)),
        13 | 14 => format!("(NOT {})", condition(dice, d)),
        15 => format!("({} IS NULL)", any(dice, d)),
        16 => format!("({} IS NOT NULL)", any(dice, d)),
        17 => format!("({} IS {}{})", condition(dice, d), dice.pick(&["", "NOT "]), dice.pick(&["TRUE", "FALSE"])),
        18..=20 => {
            let like = dice.pick(&["LIKE", "ILIKE", "NOT LIKE", "NOT ILIKE"]);
            format!("({} {like} {})", text(dice, d), quoted(dice.pick(&PATTERNS)))
        }
        21 => format!("({} {} {})", text(dice, d), dice.pick(&["~", "!~"]), quoted(dice.pick(&REGEXES))),
        22 => {
            let list: Vec<String> = (0..1 + dice.below(4)).map(|_| quoted(dice.pick(&TEXTS))).collect();
            format!("({} {}IN ({}))", text(dice, d), dice.pick(&["", "NOT "]), list.join(", "))
        }
        23 => {
            let list: Vec<&str> = (0..1 + dice.below(4)).map(|_| dice.pick(&["0", "1", "2.5", "-0.5", "NULL", "9007199254740993"])).collect();
            format!("({} {}IN ({}))", number(dice, d), dice.pick(&["", "NOT "]), list.join(", "))
        }
        24 => format!("({} {}BETWEEN {} AND {})", number(dice, d), dice.pick(&["", "NOT "]), number(dice, d), number(dice, d)),
        25 => format!("exists({})", path(dice)),
        26 => format!("{}({}, {})", dice.pick(&["starts_with", "ends_with", "contains"]), text(dice, d), text(dice, d)),
        27 => format!("regexp_like({}, {})", text(dice, d), quoted(dice.pick(&REGEXES))),
        28 => format!("ip_in({}, '10.0.0.0/8', '2001:db8::/32')", text(dice, d)),
        29 => format!("array_any({}, 'a', '1', 'x y')", text(dice, d)),
        30 => format!("array_any_like({}, 'a%', '%1')", text(dice, d)),
        31 | 32 => chosen(dice, depth, condition),
        _ => format!("CAST(concat({}, a) AS boolean)", text(dice, d)),
    }
}

pub fn time(dice: &mut Dice<'_>, depth: usize) -> String {
    if depth == 0 {
        return match dice.below(6) {
            0 | 1 => format!("parse_time({})", path(dice)),
            2 => format!(
                "parse_time({}, {})",
                path(dice),
                dice.pick(&["'epoch'", "'epoch_ms'", "'rfc3339'", "'syslog'", "'auto', 'Europe/Berlin'", "'%Y-%m-%d'"])
            ),
            3 => format!("CAST({} AS time)", path(dice)),
            4 => "parse_time('2026-01-02T03:04:05.5Z')".to_owned(),
            _ => "_timestamp".to_owned(),
        };
    }
    let d = depth - 1;
    match dice.below(9) {
        0..=2 => time(dice, 0),
        3 => format!("({} {} {})", time(dice, d), dice.pick(&["+", "-"]), number(dice, d)),
        4 => format!("({} {} {})", time(dice, d), dice.pick(&["+", "-"]), duration(dice, d)),
        5 => format!("date_trunc({}, {})", dice.pick(&["'hour'", "'day'", "'month'"]), time(dice, d)),
        6 => format!("parse_time({})", text(dice, d)),
        _ => chosen(dice, depth, time),
    }
}

pub fn duration(dice: &mut Dice<'_>, depth: usize) -> String {
    let d = depth.saturating_sub(1);
    match dice.below(if depth == 0 { 1 } else { 5 }) {
        0 | 1 => format!("({} - {})", time(dice, d), time(dice, d)),
        2 => format!("({} {} {})", duration(dice, d), dice.pick(&["+", "-", "*", "/"]), number(dice, d)),
        3 => format!("({} + {})", duration(dice, d), duration(dice, d)),
        _ => chosen(dice, depth, duration),
    }
}

/// A condition of the kind that pipelines are full of: paths compared with constants that
/// events often hold.
pub fn near(dice: &mut Dice<'_>) -> String {
    let atom = |dice: &mut Dice<'_>| {
        let path = path(dice);
        match dice.below(12) {
            0 | 1 => format!("{path} = {}", quoted(dice.pick(&TEXTS))),
            2 | 3 => format!("{path} = {}", dice.pick(&["0", "1", "10", "-1", "2.5", "1e3", "123456789012345", "9007199254740993", "0.5"])),
            4 => format!("lower({path}) = {}", dice.pick(&["'abc'", "'a'", "'ä'", "'true'", "'i̇'", "'ABC'"])),
            5 => format!("{path} IN ({}, {})", quoted(dice.pick(&TEXTS)), quoted(dice.pick(&TEXTS))),
            6 => format!("{path} IN (1, 10, {})", dice.pick(&["0", "1e3", "NULL", "-0.5"])),
            7 => format!("{path} {} {}", dice.pick(&["LIKE", "ILIKE"]), quoted(dice.pick(&PATTERNS))),
            8 => format!("{path} IS {}NULL", dice.pick(&["", "NOT "])),
            9 => format!("{path} {} {}", compare(dice), dice.pick(&["'a'", "'10'", "10", "0", "TRUE"])),
            10 => format!("{path} ~ {}", quoted(dice.pick(&REGEXES))),
            _ => format!("coalesce({path}, {}) = {}", dice.pick(&["'a'", "a", "''"]), quoted(dice.pick(&TEXTS))),
        }
    };
    let mut text = atom(dice);
    for _ in 0..dice.below(4) {
        let next = atom(dice);
        text = match dice.below(5) {
            0 | 1 => format!("{text} AND {next}"),
            2 => format!("({text} OR {next})"),
            3 => format!("{text} AND NOT {next}"),
            _ => format!("NOT ({text}) OR {next}"),
        };
    }
    text
}
