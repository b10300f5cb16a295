//! `catchment status`: who runs, what they read, how far they are. Asked of the brokers alone,
//! so it works from anywhere, and when no member runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Answer;
use super::environment::{EnvironmentArgs, connect};
use super::load::require_pipeline;
use crate::error::Error;
use crate::kafka::{Admin, At, Cluster, Group, Range, Settings, Topic, read_ranges};
use crate::run::Names;

mod index;
mod print;

use index::Block;

/// Up to so many partitions each has a line of its own without being asked for (count): a screen.
const PARTITIONS_SHOWN: usize = 24;

/// Offsets that may be markers of transactions, which nobody reads, instead of lag: so few are
/// looked at.
const MARKERS_MAX: i64 = 8;

/// `status`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Lag is the number of offsets between what the group has committed and the end of the partition. `clock` is the time of events that rules have come to, as the newest block of the index says it.\n\nExamples:\n  catchment status pipelines/soc\n  catchment status pipelines/soc --partitions\n  catchment status pipelines/soc --json | jq '.roles[] | {role, lag}'\n\nExit codes: 0 every role has a member and every topic is there; 1 not; 2 could not be asked."
)]
pub struct StatusArgs {
    /// The pipeline: a directory with a pipeline.yaml, or the file
    pub pipeline: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub environment: EnvironmentArgs,
    /// Each partition on a line of its own, however many there are
    #[arg(long)]
    pub partitions: bool,
    /// Everything as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A partition that a group reads.
struct Part {
    topic: String,
    partition: i32,
    begin: i64,
    end: i64,
    /// The next offset to read; `None`: the group has not begun.
    committed: Option<i64>,
    /// The member that has it.
    member: Option<String>,
}

impl Part {
    /// Records not read yet; `None` before the group has begun.
    fn lag(&self) -> Option<i64> {
        self.committed.map(|committed| (self.end - committed.max(self.begin)).max(0))
    }
}

/// A role: its group and its partitions.
struct Role {
    name: &'static str,
    group: Group,
    parts: Vec<Part>,
}

/// Everything that is printed.
struct Status {
    names: Names,
    /// Of the pipeline that was named.
    version: String,
    bootstrap: String,
    cluster: Cluster,
    roles: Vec<Role>,
    /// Topics that should be there and are not.
    missing: Vec<String>,
    /// Newest block of each input partition, by topic and partition.
    index: BTreeMap<(String, i32), Block>,
    /// Begin and end of each partition; `None` if the topic is missing.
    dead_letters: Option<Vec<(i64, i64)>>,
}

/// Runs the command.
pub fn run(args: &StatusArgs) -> Result<Answer, Error> {
    let pipeline = require_pipeline(&args.pipeline)?;
    let (environment, bootstrap) = args.environment.require(Some(&args.pipeline))?;
    let names = Names::of(&pipeline);
    let reader = Settings::reader(&bootstrap).with_user(&environment.client_properties())?;
    let admin = connect(&environment, &bootstrap)?;

    let inputs = admin.sources(&pipeline.sources, &names.own())?;
    let mut missing: Vec<String> = inputs.iter().filter(|(_, _, topic)| topic.is_none()).map(|(_, name, _)| name.clone()).collect();
    let inputs: Vec<Topic> = inputs.into_iter().filter_map(|(_, _, topic)| topic).collect();
    let needed = names.needed(&pipeline);
    let found = admin.topics(&needed)?;
    missing.extend(needed.iter().zip(&found).filter(|(_, topic)| topic.is_none()).map(|(name, _)| (*name).to_owned()));
    let output = |name: &str| found.iter().flatten().find(|topic| topic.name == name);

    let respond = pipeline.responds().then_some(names.respond_group.as_str());
    let asked: Vec<&str> = [names.ingest_group.as_str(), &names.keeper_group].into_iter().chain(respond).collect();
    let mut groups = admin.groups(&asked)?.into_iter();
    let mut role = |name, topics: &[Topic]| -> Result<Option<Role>, Error> {
        let Some(group) = groups.next() else { return Ok(None) };
        let parts = parts(&admin, &reader, &group, topics)?;
        Ok(Some(Role { name, group, parts }))
    };
    let facts: Vec<Topic> = output(&names.incidents).cloned().into_iter().collect();
    let roles = [role("ingest", &inputs)?, role("keeper", &facts)?, role("respond", &facts)?].into_iter().flatten().collect();
    let index = match output(&names.index) {
        Some(topic) => index::newest(&admin, &reader, topic, &inputs)?,
        None => BTreeMap::new(),
    };
    let dead_letters = output(&names.dead_letters).map(|topic| admin.watermarks(&topic.name, topic.partitions)).transpose()?;
    let status = Status { version: pipeline.version, bootstrap, cluster: admin.cluster().clone(), names, roles, missing, index, dead_letters };
    let text = if args.json { format!("{:#}\n", print::json(&status)) } else { print::text(&status, args.partitions) };
    super::coverage::print(&text)?;
    let good = status.missing.is_empty() && status.roles.iter().all(|role| !role.group.members.is_empty());
    Ok(if good { Answer::Yes } else { Answer::No })
}

/// The partitions of these topics as the group sees them.
fn parts(admin: &Admin, reader: &Settings, group: &Group, topics: &[Topic]) -> Result<Vec<Part>, Error> {
    let places: Vec<(&str, i32)> = topics.iter().flat_map(|topic| (0..topic.partitions).map(|partition| (topic.name.as_str(), partition))).collect();
    let (begins, ends) = (admin.offsets(&places, At::Begin)?, admin.offsets(&places, At::End)?);
    let committed = admin.committed(&group.name, &places)?;
    let mut owners: BTreeMap<(&str, i32), &str> = BTreeMap::new();
    for member in &group.members {
        let name = member.instance.as_deref().unwrap_or(&member.client);
        owners.extend(member.assigned.iter().map(|(topic, partition)| ((topic.as_str(), *partition), name)));
    }
    let mut parts: Vec<Part> = Vec::with_capacity(places.len());
    for (((place, begin), end), committed) in places.into_iter().zip(begins).zip(ends).zip(committed) {
        let member = owners.get(&place).map(|name| (*name).to_owned());
        parts.push(Part { topic: place.0.to_owned(), partition: place.1, begin, end, committed, member });
    }
    for topic in topics {
        skip_markers(reader, &topic.name, &mut parts)?;
    }
    Ok(parts)
}

/// The last offset of a transaction is its marker, which is never read, so a group that has read
/// everything stands before it. Where only few offsets are left, see whether there are records.
fn skip_markers(reader: &Settings, topic: &str, parts: &mut [Part]) -> Result<(), Error> {
    let near = |part: &&mut Part| part.topic == topic && part.lag().is_some_and(|lag| (1..=MARKERS_MAX).contains(&lag));
    let mut near: Vec<&mut Part> = parts.iter_mut().filter(near).collect();
    let ranges: Vec<Range> =
        near.iter().map(|part| Range { partition: part.partition, from: part.committed.unwrap_or(0).max(part.begin), to: part.end }).collect();
    let mut first: BTreeMap<i32, i64> = BTreeMap::new();
    read_ranges(reader, topic, &ranges, |record| {
        first.entry(record.partition).or_insert(record.offset);
        Ok::<bool, Error>(true)
    })?;
    for part in &mut near {
        // No record: all of it is markers. (Records of an open transaction are not lag either.)
        let next = first.get(&part.partition).copied().unwrap_or(part.end);
        part.committed = Some(next);
    }
    Ok(())
}
