//! Runs a compiled [`Template`]: one pass over its steps, bytes pushed into the
//! caller's buffer, no allocation once the buffers have grown.

use super::rng::{Draw, EventRng, StoryRng};
use super::stamp::{Stamp, push_int};
use super::template::{Alphabet, Filler, Op, ROLLS_MAX, Step, Template, VARIABLES_MAX};
use super::world;

/// A roll that has not been made for this event.
const NOT_ROLLED: u8 = u8::MAX;

/// What an event is about: the values its places are filled from.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// The story's number; noise draws one from a small range, so that hosts and users recur.
    pub story: u64,
    /// The cloud account: all records of a message share it.
    pub account: u64,
    /// When the event happened, in its own words (milliseconds since the epoch).
    pub occurred_ms: i64,
}

/// Renders templates; keeps the buffers and the values named in the last event.
#[derive(Debug)]
pub struct Renderer {
    scratch: Vec<u8>,
    values: [(u32, u32); VARIABLES_MAX],
    rolls: [u8; ROLLS_MAX],
}

impl Default for Renderer {
    fn default() -> Renderer {
        Renderer { scratch: Vec::new(), values: [(0, 0); VARIABLES_MAX], rolls: [NOT_ROLLED; ROLLS_MAX] }
    }
}

impl Renderer {
    /// Appends one event.
    pub fn event(&mut self, template: &Template, subject: Subject, rng: &mut EventRng, out: &mut Vec<u8>) {
        self.scratch.clear();
        self.values = [(0, 0); VARIABLES_MAX];
        self.rolls = [NOT_ROLLED; ROLLS_MAX];
        self.run(template, subject, rng, out);
    }

    /// Appends a companion text (the key) with the values of the event before.
    pub fn companion(&mut self, template: &Template, subject: Subject, rng: &mut EventRng, out: &mut Vec<u8>) {
        self.run(template, subject, rng, out);
    }

    fn run(&mut self, template: &Template, subject: Subject, rng: &mut EventRng, out: &mut Vec<u8>) {
        let stamp = Stamp::new(subject.occurred_ms);
        let start = out.len();
        let mut at = 0;
        while let Some(step) = template.steps.get(at) {
            at += 1;
            match step {
                Step::Literal(from, to) => {
                    out.extend_from_slice(template.literals.get(*from as usize..*to as usize).unwrap_or_default());
                }
                Step::Define { variable, write } => {
                    let from = self.scratch.len();
                    match template.steps.get(at) {
                        Some(Step::Event(op)) => push(op, subject, &stamp, rng, &mut self.scratch),
                        Some(Step::Story(op, salt)) => {
                            push(op, subject, &stamp, &mut StoryRng::new(subject.story, *salt), &mut self.scratch);
                        }
                        _ => {}
                    }
                    at += 1;
                    let range = (from as u32, self.scratch.len() as u32);
                    if let Some(value) = self.values.get_mut(*variable as usize) {
                        *value = range;
                    }
                    if *write {
                        out.extend_from_slice(self.scratch.get(from..).unwrap_or_default());
                    }
                }
                Step::Event(Op::Pad(total)) => {
                    // What follows a padding is literal text: its length is known.
                    let behind = match template.steps.get(at) {
                        Some(Step::Literal(from, to)) => (to - from) as usize,
                        _ => 0,
                    };
                    let length = (*total as usize).saturating_sub(out.len() - start + behind);
                    push_filler(Filler::Words, length, length, rng, out);
                }
                Step::Event(op) => push(op, subject, &stamp, rng, out),
                Step::Story(op, salt) => push(op, subject, &stamp, &mut StoryRng::new(subject.story, *salt), out),
                Step::Variable(variable) => {
                    let (from, to) = self.values.get(*variable as usize).copied().unwrap_or_default();
                    out.extend_from_slice(self.scratch.get(from as usize..to as usize).unwrap_or_default());
                }
                Step::Unless { roll, below, to } => {
                    let rolled = match self.rolls.get_mut(*roll as usize) {
                        Some(roll) => {
                            if *roll == NOT_ROLLED {
                                *roll = rng.below(100) as u8;
                            }
                            *roll
                        }
                        None => rng.below(100) as u8,
                    };
                    if rolled >= *below {
                        at = *to as usize;
                    }
                }
                Step::Jump(to) => at = *to as usize,
            }
        }
    }
}

fn push(op: &Op, subject: Subject, stamp: &Stamp, draw: &mut impl Draw, out: &mut Vec<u8>) {
    match op {
        Op::Time(format, 0) => stamp.push(*format, draw, out),
        Op::Time(format, offset) => Stamp::new(stamp.ms() + offset * 1000).push(*format, draw, out),
        Op::Int(low, high) => push_int(draw.between(*low, *high), out),
        Op::Chars(alphabet, count) => push_chars(*alphabet, *count as usize, draw, out),
        Op::Guid => push_guid(b"0123456789abcdef", draw, out),
        Op::GuidUpper => push_guid(b"0123456789ABCDEF", draw, out),
        Op::Pick(texts) => {
            let at = draw.below(texts.len() as u64) as usize;
            out.extend_from_slice(texts.get(at).map(|t| t.as_bytes()).unwrap_or_default());
        }
        Op::Filler(filler, low, high) => push_filler(*filler, *low as usize, *high as usize, draw, out),
        Op::Entity(entity, which) => world::push(*entity, *which, subject, out),
        Op::Serial => push_int(subject.story, out),
        // Only known where the event's length is, see `run`.
        Op::Pad(_) => {}
    }
}

fn push_chars(alphabet: Alphabet, count: usize, draw: &mut impl Draw, out: &mut Vec<u8>) {
    let start = out.len();
    match alphabet {
        Alphabet::Hex => push_sixteenths(b"0123456789abcdef", count, draw, out),
        Alphabet::HexUpper => push_sixteenths(b"0123456789ABCDEF", count, draw, out),
        Alphabet::Digits => {
            push_bytes(b"0123456789", count, draw, out);
            // A number must not begin with 0.
            if let Some(first) = out.get_mut(start)
                && *first == b'0'
            {
                *first = b'1' + draw.below(9) as u8;
            }
        }
        Alphabet::Base62 => {
            push_bytes(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", count, draw, out);
        }
        Alphabet::Base32 => push_bytes(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", count, draw, out),
    }
}

/// Sixteen digits for each draw.
fn push_sixteenths(digits: &[u8; 16], count: usize, draw: &mut impl Draw, out: &mut Vec<u8>) {
    let mut left = count;
    while left > 0 {
        let mut bits = draw.bits();
        let mut block = [0u8; 16];
        for byte in &mut block {
            *byte = digits[(bits & 15) as usize];
            bits >>= 4;
        }
        let n = left.min(16);
        out.extend_from_slice(&block[..n]);
        left -= n;
    }
}

/// Eight letters for each draw, each from its own byte (the bias does not matter here).
fn push_bytes(letters: &[u8], count: usize, draw: &mut impl Draw, out: &mut Vec<u8>) {
    let mut left = count;
    while left > 0 {
        let mut bits = draw.bits();
        for _ in 0..left.min(8) {
            let at = ((bits & 0xff) as usize * letters.len()) >> 8;
            out.push(letters.get(at).copied().unwrap_or(b'0'));
            bits >>= 8;
        }
        left -= left.min(8);
    }
}

fn push_guid(digits: &[u8; 16], draw: &mut impl Draw, out: &mut Vec<u8>) {
    let mut text = [b'-'; 36];
    let mut bits = draw.bits();
    for (at, byte) in text.iter_mut().enumerate() {
        if at == 18 {
            bits = draw.bits();
        }
        if !matches!(at, 8 | 13 | 18 | 23) {
            *byte = digits[(bits & 15) as usize];
            bits >>= 4;
        }
    }
    out.extend_from_slice(&text);
}

fn push_filler(filler: Filler, low: usize, high: usize, draw: &mut impl Draw, out: &mut Vec<u8>) {
    let pool = world::pool(filler);
    let length = draw.between(low as u64, high as u64) as usize;
    let mut left = length;
    while left > 0 {
        let n = left.min(pool.len() / 2).max(1);
        let mut at = draw.below((pool.len() - n) as u64 + 1) as usize;
        if filler == Filler::Trace {
            // Start behind a `|`, so that no escape is cut in two at the front.
            at = pool.get(..at).and_then(|p| p.iter().rposition(|b| *b == b'|')).map_or(0, |p| p + 1);
        }
        let mut slice = pool.get(at..at + n).unwrap_or_default();
        while let Some((b'\\', rest)) = slice.split_last() {
            slice = rest;
        }
        out.extend_from_slice(slice);
        left -= n;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn render(text: &str, story: u64, seed: u64) -> String {
        let template = Template::parse(text, &[("p", "1${int 2 2}3")]).unwrap();
        let mut out = Vec::new();
        let subject = Subject { story, account: 1, occurred_ms: 1_772_438_400_123 };
        Renderer::default().event(&template, subject, &mut EventRng::new(seed), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn places() {
        assert_eq!(render("\"${x=int 5 5} ${x} ${>p}\"", 1, 1), "\"5 5 123\"");
        assert_eq!(render("${!x=int 7 7}[${x}]", 1, 1), "[7]");
        assert_eq!(render("${?a<100}1${:}2${/}${?a<0}3${:}4${/}", 1, 1), "14");
        assert_eq!(render("${time space -60}", 1, 1), "2026-03-02 07:59:00");
        assert_eq!(render("${guid}", 1, 1).len(), 36);
        assert_eq!(render("${hex 21}${HEX 3}${b62 9}${b32 16}", 1, 1).len(), 49);
        assert_ne!(render("${digits 5}", 1, 3).as_bytes()[0], b'0');
    }

    #[test]
    fn a_story_tells_the_same_things() {
        let text = "${s:hex 8}-${s:hex 8}-${host}-${s:pick a|b|c|d|e}";
        assert_eq!(render(text, 9, 1), render(text, 9, 2));
        assert_ne!(render(text, 9, 1), render(text, 10, 1));
        let drawn = render("${s:hex 8}-${s:hex 8}", 9, 1);
        let (a, b) = drawn.split_once('-').unwrap();
        assert_ne!(a, b, "two places of a story differ");
    }

    #[test]
    fn one_roll_per_name() {
        for seed in 0..200 {
            let text = render("${?a<50}x${/}${?a<50}${:}y${/}", 1, seed);
            assert!(text == "x" || text == "y", "{text}");
        }
    }

    #[test]
    fn fillers_are_whole_json() {
        for seed in 0..300 {
            for filler in ["words", "base64", "trace"] {
                let text = render(&format!("\"${{{filler} 0 300}}\""), 1, seed);
                serde_json::from_str::<String>(&text).unwrap_or_else(|e| panic!("{filler}: {e}: {text}"));
            }
        }
    }
}
