//! Owns versions of the product, and windows of versions that an item is for.

use std::fmt;

use crate::config::source_map::Spanned;

use super::read::{Keys, Reader};

/// A version of the product: `6.5.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// Reads `6`, `6.5`, `6.5.0`; more parts (a build number) are passed over.
    pub fn parse(text: &str) -> Option<Version> {
        let mut parts = text.trim().split('.').map(|part| part.parse::<u32>().ok());
        let first = parts.next()??;
        let mut next = || parts.next().map_or(Some(0), |part| part);
        Some(Version(first, next()?, next()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The versions that an item is for, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// The first one; none: all before, too.
    pub from: Option<Version>,
    /// The last one; none: all after, too.
    pub to: Option<Version>,
}

/// What most packs write where they mean "no end".
const NO_END: u32 = 99;

impl Window {
    /// Reads `fromVersion` and `toVersion` in either spelling.
    pub fn read(keys: &mut Keys<'_>, reader: &mut Reader<'_>) -> Window {
        let from = keys.spanned("fromVersion", reader);
        let to = keys.spanned("toVersion", reader);
        let from = from.and_then(|text| one(&text, reader));
        let to = to.and_then(|text| one(&text, reader)).filter(|version| version.0 < NO_END);
        Window { from, to }
    }

    /// True if it holds a version; `None` is the newest there can be.
    pub fn holds(&self, server: Option<Version>) -> bool {
        match server {
            Some(server) => self.from.is_none_or(|from| from <= server) && self.to.is_none_or(|to| server <= to),
            None => self.to.is_none(),
        }
    }

    /// True if one version is in both.
    pub fn overlaps(&self, other: &Window) -> bool {
        let before = |a: &Window, b: &Window| matches!((a.to, b.from), (Some(to), Some(from)) if to < from);
        !before(self, other) && !before(other, self)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.to) {
            (None, None) => f.write_str("every version"),
            (Some(from), None) => write!(f, "{from} and later"),
            (None, Some(to)) => write!(f, "up to {to}"),
            (Some(from), Some(to)) => write!(f, "{from} to {to}"),
        }
    }
}

fn one(text: &Spanned<String>, reader: &mut Reader<'_>) -> Option<Version> {
    let version = Version::parse(&text.value);
    if version.is_none() {
        reader.warn("bad-value", "this is not a version such as 6.5.0; passed over", text.span);
    }
    version
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        let window = |from: &str, to: &str| Window { from: Version::parse(from), to: Version::parse(to) };
        assert_eq!(Version::parse("6.10"), Some(Version(6, 10, 0)));
        assert!(Version(6, 10, 0) > Version(6, 9, 9));
        assert_eq!(Version::parse("x"), None);
        assert!(window("5.0.0", "5.9.9").holds(Version::parse("5.5")));
        assert!(!window("5.0.0", "5.9.9").holds(None));
        assert!(window("6.0.0", "").holds(None));
        assert!(!window("6.0.0", "").overlaps(&window("", "5.9.9")));
        assert!(window("5.0.0", "").overlaps(&window("", "5.9.9")));
    }
}
