//! Event shapes as text: JSON with `${…}` places, compiled once into a flat list
//! of instructions that [`render`](super::render) runs for every event.
//!
//! ```text
//! ${time rfc3339ms}        the event's time in a format; `${time space -3600}` is an hour earlier
//! ${int 1 65535}           a random number          ${hex 8} ${HEX 8} ${digits 5} ${b62 17} ${b32 16} ${guid}
//! ${pick a|b|c}            one of the texts (written as JSON wants them: escape here)
//! ${words 10 80}           10 to 80 bytes of prose   ${base64 10 80} ${trace 10 80}
//! ${pad 525}               prose until the event, with what follows, has so many bytes
//! ${host} ${user} …        an entity of the invented organisation, see [`world`](super::world)
//! ${s:pick a|b|c}          the same for all events of one story
//! ${x=int 1 9} … ${x}      named once, written twice; `${!x=…}` names without writing
//! ${?a<60}…${:}…${/}       the first half in 60 % of the events; one roll per name and event
//! ${>part}                 the text of a shared part
//! ```
//! White space outside strings is for the reader and does not reach the event.

use super::rng::Draw as _;
use super::rng::StoryRng;
use super::stamp::TimeFormat;
use super::world::Entity;

/// Named values a template may hold: a bound so that rendering needs no map.
pub const VARIABLES_MAX: usize = 48;
/// Named rolls of `${?name<n}` a template may hold.
pub const ROLLS_MAX: usize = 16;
/// Parts within parts: templates are written by us, so this only stops a loop.
pub const PART_DEPTH_MAX: usize = 4;

/// What a place in a template becomes.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// The event's time plus an offset in seconds.
    Time(TimeFormat, i64),
    /// A number in an inclusive range.
    Int(u64, u64),
    /// Digits of an alphabet: which one and how many.
    Chars(Alphabet, u32),
    /// A GUID with lower-case digits.
    Guid,
    /// A GUID with upper-case digits.
    GuidUpper,
    /// One of some texts.
    Pick(Vec<Box<str>>),
    /// A slice of a prepared text; bytes, inclusive.
    Filler(Filler, u32, u32),
    /// Prose up to a total length of the event; bytes.
    Pad(u32),
    /// An entity of the world; the number tells several of one kind apart.
    Entity(Entity, u32),
    /// The story's own number: never the same in two stories of a run.
    Serial,
}

/// The alphabets of [`Op::Chars`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// `0-9a-f`
    Hex,
    /// `0-9A-F`
    HexUpper,
    /// `0-9`, no zero in front
    Digits,
    /// `0-9A-Za-z`
    Base62,
    /// `A-Z2-7`
    Base32,
}

/// The prepared texts of [`Op::Filler`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filler {
    /// Words and blanks.
    Words,
    /// Base64 letters.
    Base64,
    /// A Windows call trace, JSON-escaped.
    Trace,
}

/// One step of a compiled template.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Bytes `from..to` of [`Template::literals`].
    Literal(u32, u32),
    /// An operation with the event's randomness.
    Event(Op),
    /// An operation with the story's randomness; the number is its salt.
    Story(Op, u64),
    /// Runs the next step into a variable; `write` tells whether it also shows.
    Define {
        /// Number of the variable.
        variable: u16,
        /// Whether the value is written, too.
        write: bool,
    },
    /// A variable's value.
    Variable(u16),
    /// Jumps to a step unless the roll (0..100) is below the limit.
    Unless {
        /// Number of the roll; `u16::MAX` rolls anew.
        roll: u16,
        /// The limit in percent.
        below: u8,
        /// Step to go on with.
        to: u32,
    },
    /// Jumps to a step.
    Jump(u32),
}

/// A compiled event shape.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// All literal bytes.
    pub literals: Vec<u8>,
    /// The instructions.
    pub steps: Vec<Step>,
    /// Names of the variables, in the order of their numbers.
    pub variables: Vec<String>,
    rolls: Vec<String>,
}

/// Why a template does not compile: a mistake of ours, found by the tests.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template, near `{near}`: {message}")]
pub struct TemplateError {
    /// The place's text.
    pub near: String,
    /// What is wrong.
    pub message: &'static str,
}

/// Named texts that templates share.
pub type Parts<'a> = &'a [(&'a str, &'a str)];

impl Template {
    /// Compiles an event shape.
    pub fn parse(text: &str, parts: Parts<'_>) -> Result<Template, TemplateError> {
        let mut template = Template::default();
        template.more(text, parts)?;
        Ok(template)
    }

    /// Compiles a second text that sees the variables and rolls of this one, as
    /// the key of a message does.
    pub fn companion(&self, text: &str) -> Result<Template, TemplateError> {
        let mut template = Template { variables: self.variables.clone(), rolls: self.rolls.clone(), ..Template::default() };
        template.more(text, &[])?;
        Ok(template)
    }

    fn more(&mut self, text: &str, parts: Parts<'_>) -> Result<(), TemplateError> {
        let mut parser = Parser { template: self, open: Vec::new(), in_string: false, parts, depth: 0 };
        parser.text(text)?;
        if !parser.open.is_empty() {
            return Err(error(text, "a condition is not closed"));
        }
        Ok(())
    }
}

fn error(near: &str, message: &'static str) -> TemplateError {
    TemplateError { near: near.chars().take(60).collect(), message }
}

struct Parser<'a, 'p> {
    template: &'a mut Template,
    /// Steps whose jump target is still unknown.
    open: Vec<usize>,
    in_string: bool,
    parts: Parts<'p>,
    depth: usize,
}

impl Parser<'_, '_> {
    fn text(&mut self, text: &str) -> Result<(), TemplateError> {
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, place) = rest.split_at(at);
            self.literal(before);
            let end = place.find('}').ok_or_else(|| error(place, "a place is not closed"))?;
            self.place(place.get(2..end).unwrap_or_default())?;
            rest = place.get(end + 1..).unwrap_or_default();
        }
        self.literal(rest);
        Ok(())
    }

    fn literal(&mut self, text: &str) {
        let from = self.template.literals.len();
        let mut escaped = false;
        for &byte in text.as_bytes() {
            if self.in_string {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
            } else if byte == b'"' {
                self.in_string = true;
            } else if byte.is_ascii_whitespace() {
                continue;
            }
            self.template.literals.push(byte);
        }
        let to = self.template.literals.len();
        if to > from {
            self.template.steps.push(Step::Literal(from as u32, to as u32));
        }
    }

    fn place(&mut self, place: &str) -> Result<(), TemplateError> {
        if let Some(condition) = place.strip_prefix('?') {
            return self.condition(condition);
        }
        if let Some(name) = place.strip_prefix('>') {
            let (_, text) = *self.parts.iter().find(|(n, _)| *n == name).ok_or_else(|| error(place, "no such part"))?;
            if self.depth >= PART_DEPTH_MAX {
                return Err(error(place, "parts within parts within parts"));
            }
            self.depth += 1;
            self.text(text)?;
            self.depth -= 1;
            return Ok(());
        }
        match place {
            ":" => {
                let open = self.open.pop().ok_or_else(|| error(place, "`:` without a condition"))?;
                self.open.push(self.template.steps.len());
                self.template.steps.push(Step::Jump(0));
                self.close(open)
            }
            "/" => {
                let open = self.open.pop().ok_or_else(|| error(place, "`/` without a condition"))?;
                self.close(open)
            }
            _ => self.value(place),
        }
    }

    fn close(&mut self, open: usize) -> Result<(), TemplateError> {
        let here = self.template.steps.len() as u32;
        match self.template.steps.get_mut(open) {
            Some(Step::Unless { to, .. } | Step::Jump(to)) => {
                *to = here;
                Ok(())
            }
            _ => Err(error("", "a condition is not closed")),
        }
    }

    fn condition(&mut self, text: &str) -> Result<(), TemplateError> {
        let (name, below) = text.split_once('<').ok_or_else(|| error(text, "expected `name<percent`"))?;
        let below = below.trim().parse::<u8>().map_err(|_| error(text, "expected a percentage"))?;
        let rolls = &mut self.template.rolls;
        let roll = match rolls.iter().position(|n| n == name) {
            _ if name.is_empty() => u16::MAX,
            Some(at) => at as u16,
            None if rolls.len() >= ROLLS_MAX => return Err(error(text, "too many rolls")),
            None => {
                rolls.push(name.to_owned());
                (rolls.len() - 1) as u16
            }
        };
        self.open.push(self.template.steps.len());
        self.template.steps.push(Step::Unless { roll, below, to: 0 });
        Ok(())
    }

    fn value(&mut self, place: &str) -> Result<(), TemplateError> {
        let variables = &mut self.template.variables;
        if let Some(at) = variables.iter().position(|n| n == place) {
            self.template.steps.push(Step::Variable(at as u16));
            return Ok(());
        }
        let mut operation = place;
        if let Some((name, value)) = place.split_once('=')
            && name.trim_start_matches('!').bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            let write = !name.starts_with('!');
            let name = name.trim_start_matches('!');
            let at = match variables.iter().position(|n| n == name) {
                Some(at) => at,
                None if variables.len() >= VARIABLES_MAX => return Err(error(place, "too many variables")),
                None => {
                    variables.push(name.to_owned());
                    variables.len() - 1
                }
            };
            self.template.steps.push(Step::Define { variable: at as u16, write });
            operation = value;
        }
        let step = match operation.strip_prefix("s:") {
            Some(operation) => {
                // The salt is the place's number: two places of a story differ, all
                // events of the story agree.
                let salt = StoryRng::new(self.template.steps.len() as u64, 1).bits();
                Step::Story(self.operation(operation)?, salt)
            }
            None => Step::Event(self.operation(operation)?),
        };
        self.template.steps.push(step);
        Ok(())
    }

    fn operation(&self, text: &str) -> Result<Op, TemplateError> {
        let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut numbers = rest.split_ascii_whitespace().map(str::parse::<u64>);
        let mut number = |message| match numbers.next() {
            Some(Ok(n)) => Ok(n),
            _ => Err(error(text, message)),
        };
        let chars = |alphabet, n: u64| Op::Chars(alphabet, n as u32);
        Ok(match name {
            "time" => {
                let (format, offset) = rest.split_once(' ').unwrap_or((rest, "0"));
                let format = TimeFormat::from_name(format).ok_or_else(|| error(text, "no such time format"))?;
                Op::Time(format, offset.parse().map_err(|_| error(text, "expected seconds"))?)
            }
            "int" => Op::Int(number("expected a range")?, number("expected a range")?),
            "hex" => chars(Alphabet::Hex, number("how many?")?),
            "HEX" => chars(Alphabet::HexUpper, number("how many?")?),
            "digits" => chars(Alphabet::Digits, number("how many?")?),
            "b62" => chars(Alphabet::Base62, number("how many?")?),
            "b32" => chars(Alphabet::Base32, number("how many?")?),
            "guid" => Op::Guid,
            "GUID" => Op::GuidUpper,
            "serial" => Op::Serial,
            "pad" => Op::Pad(number("how long?")? as u32),
            "pick" => Op::Pick(rest.split('|').map(Box::from).collect()),
            "words" | "base64" | "trace" => {
                let filler = match name {
                    "words" => Filler::Words,
                    "base64" => Filler::Base64,
                    _ => Filler::Trace,
                };
                Op::Filler(filler, number("expected a range")? as u32, number("expected a range")? as u32)
            }
            _ => {
                let entity = Entity::from_name(name).ok_or_else(|| error(text, "no such operation"))?;
                Op::Entity(entity, if rest.is_empty() { 0 } else { number("expected a number")? as u32 })
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn white_space_is_only_kept_in_strings() {
        let template = Template::parse("{ \"a b\" : \"c \\\" d\" ,\n 1 }", &[]).unwrap();
        assert_eq!(template.literals, b"{\"a b\":\"c \\\" d\",1}");
    }

    #[test]
    fn mistakes_are_told() {
        for (text, message) in [
            ("${int 1", "a place is not closed"),
            ("${int 1}", "expected a range"),
            ("${nothing}", "no such operation"),
            ("${?a<5}x", "a condition is not closed"),
            ("x${/}", "`/` without a condition"),
            ("${:}", "`:` without a condition"),
            ("${>gone}", "no such part"),
            ("${time never}", "no such time format"),
        ] {
            assert_eq!(Template::parse(text, &[]).unwrap_err().message, message, "{text}");
        }
        assert_eq!(Template::parse("${>a}", &[("a", "${>a}")]).unwrap_err().message, "parts within parts within parts");
    }
}
