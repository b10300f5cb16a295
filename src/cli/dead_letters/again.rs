//! `catchment dead-letters replay` from the topic: the messages go back to the topics that they
//! came from, with key, headers and time as they were, and with a header that names their first
//! coordinates. The running members take them through the pipeline as it is now.

use std::collections::{BTreeMap, HashMap};

use super::input::{Input, TopicInput};
use super::letter::Letter;
use super::replay::ReplayArgs;
use super::report_bad;
use crate::cli::Answer;
use crate::cli::environment::{connect, warn};
use crate::cli::load::require_pipeline;
use crate::cli::output::{Style, number, style};
use crate::cli::text::{count, visible};
use crate::error::Error;
use crate::kafka::{Admin, Delivery, OutputTopic, Settings, Topic, Transactor, TxnError};
use crate::run::Names;

/// Bytes of messages that wait to be put in order and produced together.
const CHUNK_BYTES: usize = 32 << 20;
/// The same in letters.
const CHUNK_LETTERS: usize = 10_000;

/// What became of the letters.
#[derive(Default)]
struct Tally {
    read: u64,
    bad: u64,
    again: u64,
    by_reason: BTreeMap<String, u64>,
    by_topic: BTreeMap<String, u64>,
    other_reason: u64,
    other_pipeline: u64,
    /// Letters whose topic the pipeline does not read any more, by topic.
    unread: BTreeMap<String, u64>,
    /// Letters of a topic, or of a cluster, that was made anew since: their incidents get other ids.
    remade: u64,
}

/// Where messages go: the topics that the pipeline reads.
struct Targets {
    cluster: String,
    topics: Vec<Topic>,
    numbers: HashMap<String, u16>,
}

impl Targets {
    fn of(&self, letter: &Letter) -> Option<(u16, &Topic)> {
        let number = *self.numbers.get(&letter.source.topic)?;
        let topic = self.topics.get(usize::from(number))?;
        (letter.source.partition >= 0 && letter.source.partition < topic.partitions).then_some((number, topic))
    }
}

/// Runs the command.
pub fn run(args: &ReplayArgs) -> Result<Answer, Error> {
    let pipeline = require_pipeline(&args.pipeline)?;
    let (environment, bootstrap) = args.environment.require(Some(&args.pipeline))?;
    let names = Names::of(&pipeline);
    let properties = environment.client_properties();
    let admin = connect(&environment, &bootstrap)?;
    let input = super::topic_input(&admin, &bootstrap, &properties, args.topic.as_deref().unwrap_or(&names.dead_letters), &args.range)?;
    let targets = targets(&admin, &pipeline.sources, &names)?;
    let mut producer = match args.dry_run {
        true => None,
        false => {
            let topics = targets.topics.iter().map(|topic| OutputTopic { name: topic.name.clone(), partitions: topic.partitions });
            let settings = Settings::producer(&bootstrap).only_failures().with_user(&properties)?;
            Some(Transactor::start(&settings, Delivery::AtLeastOnce, topics.collect()).map_err(TxnError::into_error)?)
        }
    };
    let mut tally = Tally::default();
    let mut chunk: Vec<Letter> = Vec::new();
    let mut bytes = 0;
    // What was looked at, and of it what is stored again.
    let mut seen: BTreeMap<i32, i64> = BTreeMap::new();
    let mut done: BTreeMap<i32, i64> = BTreeMap::new();
    let input = Input::Topic(input);
    let read = input.each(&mut |place, line| {
        if args.limit.is_some_and(|limit| tally.again >= limit) {
            return Ok(false);
        }
        if let super::input::Place::Record(_, partition, offset) = place {
            seen.insert(*partition, offset + 1);
        }
        tally.read += 1;
        match Letter::parse(line).and_then(Letter::whole) {
            Err(why) => report_bad(place, why, &mut tally.bad),
            Ok(letter) => {
                if tally.takes(&letter, args, &names, &targets) {
                    bytes += letter.bytes().len();
                    chunk.push(letter);
                }
            }
        }
        if bytes >= CHUNK_BYTES || chunk.len() >= CHUNK_LETTERS {
            send(producer.as_mut(), &mut chunk, &targets)?;
            (bytes, done) = (0, seen.clone());
        }
        Ok(true)
    });
    let sent = read.and_then(|()| send(producer.as_mut(), &mut chunk, &targets));
    let Input::Topic(input) = input else { return Err(Error::bug("letters of a topic came from files")) };
    if let Err(error) = sent {
        if !done.is_empty() {
            warn(&format!("what was fed again before the failure: {}", input.options(&done)));
        }
        return Err(error);
    }
    if args.limit.is_none() {
        seen = input.ends();
    }
    super::coverage_print(&report(&tally, args, &names, &input, &seen))?;
    Ok(if tally.bad == 0 && tally.unread.is_empty() { Answer::Yes } else { Answer::No })
}

impl Tally {
    /// Counts a letter; true if it goes back.
    fn takes(&mut self, letter: &Letter, args: &ReplayArgs, names: &Names, targets: &Targets) -> bool {
        if letter.pipeline != names.pipeline {
            self.other_pipeline += 1;
            return false;
        }
        if args.reason.as_ref().is_some_and(|reason| *reason != letter.reason) {
            self.other_reason += 1;
            return false;
        }
        let Some((_, topic)) = targets.of(letter) else {
            *self.unread.entry(letter.source.topic.clone()).or_default() += 1;
            return false;
        };
        let same = letter.source.topic_id.as_deref() == Some(topic.identity().as_str()) && letter.source.cluster.as_deref() == Some(targets.cluster.as_str());
        self.remade += u64::from(!same);
        self.again += 1;
        *self.by_reason.entry(letter.reason.clone()).or_default() += 1;
        *self.by_topic.entry(topic.name.clone()).or_default() += 1;
        true
    }
}

fn targets(admin: &Admin, sources: &[crate::config::Source], names: &Names) -> Result<Targets, Error> {
    let found = admin.sources(sources, &names.own())?;
    let topics: Vec<Topic> = found.into_iter().filter_map(|(_, _, topic)| topic).collect();
    let numbers = (0..).zip(&topics).map(|(number, topic)| (topic.name.clone(), number)).collect();
    Ok(Targets { cluster: admin.cluster_id().to_owned(), topics, numbers })
}

/// Produces a chunk, in the order of the first coordinates, and waits until it is stored.
fn send(producer: Option<&mut Transactor>, chunk: &mut Vec<Letter>, targets: &Targets) -> Result<(), Error> {
    let mut letters = std::mem::take(chunk);
    let Some(producer) = producer else { return Ok(()) };
    if letters.is_empty() {
        return Ok(());
    }
    letters.sort_by(|a, b| {
        let place = |letter: &Letter| (letter.source.topic.clone(), letter.source.partition, letter.source.offset, letter.source.element);
        place(a).cmp(&place(b))
    });
    let wrong = |error: TxnError| Error::from(error.into_error());
    producer.begin().map_err(wrong)?;
    for letter in &letters {
        let Some((number, _)) = targets.of(letter) else { continue };
        let origin = letter.origin();
        let headers = letter.headers();
        let mut headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        if let Some(origin) = &origin {
            headers.push((crate::ingest::origin::HEADER, origin.as_bytes()));
        }
        let time = letter.timestamp_us().div_euclid(1000).max(0);
        producer.produce(number, Some(letter.source.partition), &letter.key(), &letter.bytes(), &headers, time).map_err(wrong)?;
    }
    producer.commit().map_err(wrong)
}

fn report(tally: &Tally, args: &ReplayArgs, names: &Names, input: &TopicInput, seen: &BTreeMap<i32, i64>) -> String {
    let what = if args.dry_run { "would be fed again" } else { "fed again" };
    let head = format!("{} of {} {what}", number(tally.again), count(tally.read, "dead letter", "dead letters"));
    let mut text = format!("{} {}\n", style(&head, Style::Head), style(&format!("({} of {})", input.name, names.pipeline), Style::Dim));
    let list = |counts: &BTreeMap<String, u64>| counts.iter().map(|(name, n)| format!("{} {}", visible(name), number(*n))).collect::<Vec<_>>().join(", ");
    if tally.again > 0 {
        text.push_str(&format!("  reasons: {}\n  topics: {}\n", list(&tally.by_reason), list(&tally.by_topic)));
    }
    let mut left = |n: u64, words: &str| {
        if n > 0 {
            text.push_str(&format!("  left out: {} {words}\n", number(n)));
        }
    };
    left(tally.other_reason, "of other reasons");
    left(tally.other_pipeline, "of another pipeline");
    left(tally.bad, "that cannot be used (see above)");
    for (topic, letters) in &tally.unread {
        left(*letters, &format!("from {}, which the pipeline does not read (any more)", visible(topic)));
    }
    if tally.remade > 0 {
        text.push_str(&format!(
            "  {}: {} come from a topic that was made anew since, so their incidents get ids of their own\n",
            style("note", Style::Warn),
            number(tally.remade)
        ));
    }
    if tally.read > 0 {
        text.push_str(&format!(
            "  exactly these again: {}{}\n",
            input.options(seen),
            args.reason.as_ref().map(|reason| format!(" --reason {reason}")).unwrap_or_default()
        ));
    }
    text
}
