//! Event paths: `user.name`, `@timestamp`, `Records[0].a`, `"odd key".b`.
//!
//! A path is ours, before SQL: case-sensitive, 0-based, any key. Where an event
//! has both `{"a": {"b": 1}}` and `{"a.b": 2}`, the nested value wins; a flat
//! dotted key is found when no nested one exists.

use std::fmt;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// A member of an object, compared byte for byte with the unescaped key.
    Key(Box<str>),
    /// An element of an array, 0-based.
    Index(u32),
    /// A member of an object, never found as a part of a flat dotted key: XSOAR's paths.
    Member(Box<str>),
    /// A column that is computed beside the event's own values, by number: no event has it.
    Computed(u32),
}

/// A way from the root of an event to one value. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Box<[Step]>);

impl Path {
    /// A path of the given steps; `None` when there are none.
    pub fn new(steps: Vec<Step>) -> Option<Path> {
        if steps.is_empty() { None } else { Some(Path(steps.into())) }
    }

    /// A path of one key, taken as it is (dots are part of the key).
    pub fn key(key: &str) -> Path {
        Path(Box::new([Step::Key(key.into())]))
    }

    /// The steps, root first.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The path of computed column `number`.
    pub fn computed(number: u32) -> Path {
        Path(Box::new([Step::Computed(number)]))
    }

    /// The number of the computed column, if the path is one.
    pub fn as_computed(&self) -> Option<u32> {
        match &*self.0 {
            [Step::Computed(number)] => Some(*number),
            _ => None,
        }
    }

    /// The single key, if the path is one key long.
    pub fn as_key(&self) -> Option<&str> {
        match &*self.0 {
            [Step::Key(key) | Step::Member(key)] => Some(key),
            _ => None,
        }
    }

    /// The first key, which is the event's top-level member that this path reads.
    pub fn root_key(&self) -> Option<&str> {
        match self.0.first() {
            Some(Step::Key(key) | Step::Member(key)) => Some(key),
            _ => None,
        }
    }
}

/// True for keys that may stand in a path without quotes: they start with a
/// letter, `_`, `@` or `$` and go on with those, digits, `-` between letters excluded
/// (a minus is an operator).
pub fn is_bare_key(key: &str) -> bool {
    let mut chars = key.chars();
    chars.next().is_some_and(is_key_start) && chars.all(is_key_continue)
}

/// May start an unquoted key.
pub fn is_key_start(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '_' | '@' | '$')
}

/// May continue an unquoted key.
pub fn is_key_continue(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '@' | '$')
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Computed(number) => write!(f, "computed.{number}")?,
                Step::Key(key) | Step::Member(key) => {
                    if i > 0 {
                        f.write_str(".")?;
                    }
                    if is_bare_key(key) {
                        f.write_str(key)?;
                    } else {
                        write!(f, "\"{}\"", key.replace('"', "\"\""))?;
                    }
                }
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
