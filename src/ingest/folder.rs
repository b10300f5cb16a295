//! `replay`'s sink: incidents in their state at the end of the input.
//!
//! Incidents are written to a spool as they are created (in memory up to a bound, then
//! to a file without a name); what happens to them later is kept beside it. At the end
//! the spool is read once, in order: untouched incidents are copied as they are.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use super::batch::Partitions;
use super::decide::Origin;
use super::output::{AttachOut, LinkOut, Output};
use super::plan::Plan;
use crate::incident::fold::{Fact, SAMPLES_MAX, Sample, State, fold, push_state};
use crate::incident::time_text::TimeText;

/// Bytes of incidents kept in memory before they go to a file.
pub const SPOOL_MEMORY_BYTES: usize = 64 << 20;

/// Incidents and what happened to them.
pub struct Folder {
    plan: Arc<Plan>,
    partitions: Arc<Partitions>,
    memory: Vec<u8>,
    file: Option<File>,
    entries: Vec<Entry>,
    touched: HashMap<Origin, Touch>,
}

struct Entry {
    origin: Origin,
    body: u32,
    len: u32,
}

/// What happened to an incident after its creation, coalesced.
#[derive(Default)]
struct Touch {
    /// Its state at creation, where that is not the plain one.
    created: Option<Box<State>>,
    attached: Vec<Attachments>,
    links: Vec<LinkOut>,
}

struct Attachments {
    rule: u16,
    count: u64,
    first: i64,
    last: i64,
    /// Ring of the last samples.
    samples: Vec<AttachOut>,
    next: usize,
}

impl Folder {
    /// An empty folder.
    pub fn new(plan: Arc<Plan>, partitions: Arc<Partitions>) -> Folder {
        Folder { plan, partitions, memory: Vec::new(), file: None, entries: Vec::new(), touched: HashMap::new() }
    }

    /// Takes the incidents, attachments and links of a batch.
    pub fn add(&mut self, output: &mut Output) -> io::Result<()> {
        for line in output.lines.drain(..) {
            if let Some(state) = line.state {
                self.touched.entry(line.origin).or_default().created = Some(state);
            }
            self.entries.push(Entry { origin: line.origin, body: line.body, len: line.len });
        }
        for attach in &output.attaches {
            self.touched.entry(attach.target).or_default().attach(attach);
        }
        for link in &output.links {
            self.touched.entry(link.target).or_default().links.push(*link);
        }
        if self.memory.len() + output.incidents.len() > SPOOL_MEMORY_BYTES {
            let file = match &mut self.file {
                Some(file) => file,
                none => none.insert(tempfile::tempfile()?),
            };
            file.write_all(&self.memory)?;
            self.memory.clear();
            file.write_all(&output.incidents)?;
        } else {
            self.memory.extend_from_slice(&output.incidents);
        }
        Ok(())
    }

    /// Writes all incidents, one a line, in the order of their creation.
    pub fn finish(self, out: &mut dyn Write, progress: &mut dyn FnMut(u64)) -> io::Result<()> {
        let Folder { plan, partitions, memory, file, entries, mut touched } = self;
        let mut spool: Box<dyn Read> = Box::new(io::Cursor::new(memory));
        if let Some(mut file) = file {
            file.seek(SeekFrom::Start(0))?;
            spool = Box::new(io::BufReader::with_capacity(1 << 20, file).chain(spool));
        }
        let mut line = Vec::new();
        let mut times = TimeText::default();
        for (number, entry) in entries.iter().enumerate() {
            line.clear();
            spool.by_ref().take(u64::from(entry.len)).read_to_end(&mut line)?;
            if line.len() < entry.len as usize {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the spool of incidents is shorter than it should be"));
            }
            if let Some(touch) = touched.remove(&entry.origin) {
                line.truncate(entry.body as usize);
                push_state(&mut line, &touch.state(&plan, &partitions), &mut times);
            }
            line.push(b'\n');
            out.write_all(&line)?;
            if number % 65_536 == 0 {
                progress(number as u64);
            }
        }
        out.flush()
    }

    /// How many incidents there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Touch {
    fn attach(&mut self, attach: &AttachOut) {
        let found = self.attached.iter_mut().position(|known| known.rule == attach.rule);
        let number = found.unwrap_or_else(|| {
            self.attached.push(Attachments { rule: attach.rule, count: 0, first: attach.occurred, last: attach.occurred, samples: Vec::new(), next: 0 });
            self.attached.len() - 1
        });
        let one = &mut self.attached[number];
        one.count += 1;
        one.first = one.first.min(attach.occurred);
        one.last = one.last.max(attach.occurred);
        if one.samples.len() < SAMPLES_MAX {
            one.samples.push(*attach);
        } else {
            one.samples[one.next] = *attach;
            one.next = (one.next + 1) % SAMPLES_MAX;
        }
    }

    /// The state at the end: all attachments by one rule are one fact, and so are links.
    fn state(self, plan: &Plan, partitions: &Partitions) -> State {
        let mut state = self.created.map(|state| *state).unwrap_or_default();
        let name = |rule: u16| plan.rules.get(rule as usize).map_or_else(|| Arc::from(""), |rule| rule.name.clone());
        for one in self.attached {
            let (later, earlier) = one.samples.split_at(one.next.min(one.samples.len()));
            let samples = earlier.iter().chain(later).map(|sample| sample_of(sample, partitions)).collect();
            state = fold(state, &Fact::Attached { rule: name(one.rule), count: one.count, first: one.first, last: one.last, samples });
        }
        for link in self.links {
            state = fold(state, &Fact::Linked { rule: name(link.rule), other: link.other });
        }
        state
    }
}

/// The sample that a fact carries for an attached event.
pub fn sample_of(attach: &AttachOut, partitions: &Partitions) -> Sample {
    let (topic, partition) = partitions.name(attach.event.partition);
    Sample { topic: topic.into(), partition, offset: attach.event.offset, element: attach.event.element, occurred: attach.occurred }
}
