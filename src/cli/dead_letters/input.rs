//! Where dead letters are read from: files, or a topic between two offsets.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::letter::lines;
use crate::error::Error;
use crate::kafka::{Admin, Range, Settings, Topic, read_ranges};

/// Which part of a topic.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RangeArgs {
    /// Begin at these offsets of the topic [default: the oldest]
    #[arg(long, value_name = "PARTITION:OFFSET,…", value_delimiter = ',', value_parser = place)]
    pub from: Vec<(i32, i64)>,
    /// End before these offsets of the topic [default: the end as it is now]
    #[arg(long, value_name = "PARTITION:OFFSET,…", value_delimiter = ',', value_parser = place)]
    pub until: Vec<(i32, i64)>,
}

/// `2:1234`
fn place(text: &str) -> Result<(i32, i64), String> {
    let parsed = text.split_once(':').and_then(|(partition, offset)| Some((partition.trim().parse::<i32>().ok()?, offset.trim().parse::<i64>().ok()?)));
    parsed.filter(|(partition, offset)| *partition >= 0 && *offset >= 0).ok_or_else(|| "a place is PARTITION:OFFSET, for example 2:1234".to_owned())
}

/// Where letters come from.
pub enum Input {
    /// Lines of files.
    Files(Vec<PathBuf>),
    /// Records of a topic.
    Topic(TopicInput),
}

/// A part of a topic.
pub struct TopicInput {
    reader: Settings,
    /// Its name.
    pub name: String,
    /// Its parts, one for each partition.
    pub ranges: Vec<Range>,
    /// Partitions whose beginning is not kept any more.
    pub trimmed: Vec<i32>,
}

/// The place of a letter, for messages.
pub enum Place<'a> {
    /// A line of a file, from 1.
    Line(&'a Path, u64),
    /// A record: topic, partition, offset.
    Record(&'a str, i32, i64),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(file, number) => write!(f, "{}:{number}", file.display()),
            Place::Record(topic, partition, offset) => write!(f, "{topic}/{partition}@{offset}"),
        }
    }
}

/// Takes a letter's place and bytes; says whether to go on.
pub type EachLetter<'a> = dyn FnMut(&Place<'_>, &[u8]) -> Result<bool, Error> + 'a;

impl Input {
    /// Calls `each` with every letter until it says `false`.
    pub fn each(&self, each: &mut EachLetter<'_>) -> Result<(), Error> {
        match self {
            Input::Files(files) => {
                for file in files {
                    lines(file, &mut |number, line| each(&Place::Line(file, number), line).map(|_| ()))?;
                }
                Ok(())
            }
            Input::Topic(input) => read_ranges(&input.reader, &input.name, &input.ranges, |record| {
                each(&Place::Record(&input.name, record.partition, record.offset), record.payload())
            }),
        }
    }

    /// What it is, for people.
    pub fn describe(&self) -> String {
        match self {
            Input::Files(files) => super::count(files.len() as u64, "file", "files"),
            Input::Topic(input) => input.name.clone(),
        }
    }
}

impl TopicInput {
    /// The part of `topic` that was asked for.
    pub fn find(admin: &Admin, reader: Settings, topic: &Topic, args: &RangeArgs) -> Result<TopicInput, Error> {
        let marks = admin.watermarks(&topic.name, topic.partitions)?;
        let (from, until): (BTreeMap<i32, i64>, BTreeMap<i32, i64>) = (args.from.iter().copied().collect(), args.until.iter().copied().collect());
        if let Some(partition) = from.keys().chain(until.keys()).find(|partition| **partition >= topic.partitions) {
            return Err(Error::user(format!("{} has no partition {partition}", topic.name)).hint(format!("its partitions are 0 to {}", topic.partitions - 1)));
        }
        let mut input = TopicInput { reader, name: topic.name.clone(), ranges: Vec::new(), trimmed: Vec::new() };
        for (partition, (begin, end)) in (0..).zip(marks) {
            let wanted = from.get(&partition).copied().unwrap_or(begin);
            if wanted < begin {
                input.trimmed.push(partition);
            }
            input.ranges.push(Range { partition, from: wanted.max(begin), to: until.get(&partition).copied().unwrap_or(end).min(end) });
        }
        Ok(input)
    }

    /// The options that name the part from its beginning to `done`, the next offsets to read.
    pub fn options(&self, done: &BTreeMap<i32, i64>) -> String {
        let list =
            |offset: &dyn Fn(&Range) -> i64| self.ranges.iter().map(|range| format!("{}:{}", range.partition, offset(range))).collect::<Vec<_>>().join(",");
        let end = |range: &Range| done.get(&range.partition).copied().unwrap_or(range.from);
        format!("--from {} --until {}", list(&|range| range.from), list(&end))
    }

    /// Its ends, as `options` wants them for all of it.
    pub fn ends(&self) -> BTreeMap<i32, i64> {
        self.ranges.iter().map(|range| (range.partition, range.to)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_partition_and_offset() {
        assert_eq!(place("2:1234"), Ok((2, 1234)));
        for bad in ["", "2", "2:", ":3", "-1:3", "1:-3", "a:b"] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
