//! Time zones: what a local time without an offset means.
//!
//! A named zone becomes a table of its transitions, so that a row costs one binary search
//! and the rule for the odd hours is the same everywhere: a local time that occurs twice
//! is the first of the two, one that never occurs is moved forward by the length of the gap.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::scan::Scan;

/// Seconds of a day.
const DAY: i64 = 86_400;
/// Tables reach from 1900 to 2100: the zone database has nothing that matters outside.
const TABLE_FROM: i64 = -2_208_988_800;
const TABLE_TO: i64 = 4_102_444_800;

/// A time zone.
#[derive(Debug, Clone)]
pub(super) enum Zone {
    /// Seconds east of UTC.
    Fixed(i32),
    /// A zone with a history.
    Named(Arc<Table>),
}

impl Zone {
    /// `UTC`, `Z`, `GMT`, `+02:00`, `+0200`, `+02`, or an IANA name.
    pub(super) fn parse(name: &str) -> Option<Zone> {
        let mut scan = Scan::new(name.as_bytes());
        if let Some(seconds) = scan.offset()
            && scan.is_end()
        {
            return Some(Zone::Fixed(seconds));
        }
        match name {
            "Z" | "z" | "UTC" | "utc" | "GMT" => Some(Zone::Fixed(0)),
            _ => Tz::from_str(name).ok().map(Zone::named),
        }
    }

    /// A zone of the IANA database. Tables are made once per process.
    pub(super) fn named(tz: Tz) -> Zone {
        static TABLES: Mutex<Option<HashMap<Tz, Arc<Table>>>> = Mutex::new(None);
        let mut tables = TABLES.lock().unwrap_or_else(PoisonError::into_inner);
        let table = tables.get_or_insert_default().entry(tz).or_insert_with(|| Arc::new(Table::of(tz)));
        Zone::Named(Arc::clone(table))
    }

    /// Local seconds (since the epoch, as if they were UTC) → seconds since the epoch.
    #[inline]
    pub(super) fn to_utc(&self, local: i64) -> i64 {
        match self {
            Zone::Fixed(seconds) => local - i64::from(*seconds),
            Zone::Named(table) => local - i64::from(table.at(local, |change| change.local_from)),
        }
    }

    /// Seconds since the epoch → local seconds and the offset that they have.
    pub(super) fn to_local(&self, utc: i64) -> (i64, i32) {
        let offset = match self {
            Zone::Fixed(seconds) => *seconds,
            Zone::Named(table) => table.at(utc, |change| change.from),
        };
        (utc + i64::from(offset), offset)
    }
}

/// The name that may be meant: the same in other letter case, or with its continent.
pub(super) fn similar_name(name: &str) -> Option<&'static str> {
    let wanted = name.trim().replace(' ', "_");
    let same = |known: &str| known.eq_ignore_ascii_case(&wanted) || known.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(&wanted));
    TZ_VARIANTS.iter().map(|tz| tz.name()).find(|known| same(known))
}

/// The offsets of a zone over time.
#[derive(Debug)]
pub(super) struct Table {
    /// Offset before the first change, in seconds east of UTC.
    first: i32,
    changes: Box<[Change]>,
}

#[derive(Debug)]
struct Change {
    /// First second of UTC with the new offset.
    from: i64,
    /// First local second that is read with the new offset.
    local_from: i64,
    offset: i32,
}

impl Table {
    fn of(tz: Tz) -> Table {
        let first = offset_at(tz, TABLE_FROM);
        let mut changes = Vec::new();
        let (mut before, mut day) = (first, TABLE_FROM);
        while day < TABLE_TO {
            let after = offset_at(tz, day + DAY);
            if after != before {
                // The second of the change lies in (low, high].
                let (mut low, mut high) = (day, day + DAY);
                while high - low > 1 {
                    let middle = low + (high - low) / 2;
                    if offset_at(tz, middle) == before { low = middle } else { high = middle }
                }
                // Clocks set forward: the local hour that is left out is read with the old offset, which
                // moves it forward. Clocks set back: the hour that comes twice is read with the old one too.
                changes.push(Change { from: high, local_from: high + i64::from(before.max(after)), offset: after });
            }
            before = after;
            day += DAY;
        }
        Table { first, changes: changes.into() }
    }

    // Not inlined: texts without an offset in a zone with a history are the rare case.
    #[inline(never)]
    fn at(&self, seconds: i64, key: impl Fn(&Change) -> i64) -> i32 {
        let after = self.changes.partition_point(|change| key(change) <= seconds);
        after.checked_sub(1).and_then(|at| self.changes.get(at)).map_or(self.first, |change| change.offset)
    }
}

fn offset_at(tz: Tz, utc: i64) -> i32 {
    DateTime::from_timestamp(utc, 0).map_or(0, |time| tz.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc())
}

#[cfg(test)]
impl Table {
    /// The first local second that is read with the new offset of a change.
    pub(super) fn change(&self, index: usize) -> Option<i64> {
        self.changes.get(index % self.changes.len().max(1)).map(|change| change.local_from)
    }
}
