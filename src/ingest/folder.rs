//! `replay`'s sink: incidents in their state at the end of the input.
//!
//! Incidents are kept as they were created (in memory up to a bound, then in a file
//! without a name); what happens to them later is kept beside them. At the end they are
//! written once, in order: untouched ones in whole runs, as they are.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use hashbrown::HashMap;

use super::batch::Partitions;
use super::decide::Origin;
use super::output::{AttachOut, LinkOut, Output};
use super::plan::Plan;
use crate::incident::state::{Attachment, Change, Sample, State, keep_last, push_state};
use crate::incident::time_text::TimeText;

/// Bytes of incidents kept in memory before they go to a file.
pub const SPOOL_MEMORY_BYTES: usize = 160 << 20;
/// Attachments noted before they are coalesced per incident (count; 48 bytes each).
const NOTED_MAX: usize = 1 << 20;

/// Incidents and what happened to them.
pub struct Folder {
    plan: Arc<Plan>,
    partitions: Arc<Partitions>,
    /// The first incidents, as workers wrote them.
    memory: Vec<Vec<u8>>,
    memory_bytes: usize,
    /// The later ones.
    file: Option<File>,
    entries: Vec<Entry>,
    /// Attachments since they were coalesced last: a plain list is cheap to write and, once
    /// sorted, to read beside the incidents.
    noted: Vec<Noted>,
    /// Everything else that happened to incidents, coalesced.
    touched: HashMap<Origin, Touch>,
}

/// One attachment.
#[derive(Clone, Copy)]
struct Noted {
    target: Origin,
    event: Origin,
    occurred: i64,
    rule: u16,
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
    /// The last samples, in order: event and when it occurred.
    samples: Vec<(Origin, i64)>,
}

impl Folder {
    /// An empty folder.
    pub fn new(plan: Arc<Plan>, partitions: Arc<Partitions>) -> Folder {
        Folder { plan, partitions, memory: Vec::new(), memory_bytes: 0, file: None, entries: Vec::new(), noted: Vec::new(), touched: HashMap::new() }
    }

    /// Takes the incidents, attachments and links of a batch.
    pub fn add(&mut self, output: &mut Output) -> io::Result<()> {
        for line in output.lines.drain(..) {
            if let Some(state) = line.state {
                self.touched.entry(line.origin).or_default().created = Some(state);
            }
            self.entries.push(Entry { origin: line.origin, body: line.body, len: line.len });
        }
        self.noted.extend(output.attaches.iter().map(|a| Noted { target: a.target, event: a.event, occurred: a.occurred, rule: a.rule }));
        if self.noted.len() > NOTED_MAX {
            for noted in self.noted.drain(..) {
                self.touched.entry(noted.target).or_default().attach(noted, &self.partitions);
            }
        }
        for link in &output.links {
            self.touched.entry(link.target).or_default().links.push(*link);
        }
        if output.incidents.is_empty() {
            return Ok(());
        }
        if self.file.is_none() && self.memory_bytes + output.incidents.len() <= SPOOL_MEMORY_BYTES {
            let mut incidents = std::mem::take(&mut output.incidents);
            if incidents.capacity() > incidents.len() * 2 {
                incidents.shrink_to_fit();
            }
            self.memory_bytes += incidents.capacity();
            self.memory.push(incidents);
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        file.write_all(&output.incidents)
    }

    /// Writes all incidents, one a line, in the order of their creation.
    pub fn finish(self, out: &mut dyn Write) -> io::Result<()> {
        let Folder { plan, partitions, memory, file, entries, mut noted, mut touched, .. } = self;
        // Incidents were created in the order of their origins (files one after the other), so the
        // sorted list can be read beside them.
        if entries.is_sorted_by_key(|entry| entry.origin) {
            noted.sort_by_key(|noted| noted.target);
        } else {
            noted.drain(..).for_each(|noted| touched.entry(noted.target).or_default().attach(noted, &partitions));
        }
        let mut writer = Writer { plan: &plan, partitions: &partitions, noted: &noted, touched: &mut touched, line: Vec::new(), times: TimeText::default() };
        let mut entries = entries.iter();
        for chunk in memory {
            writer.chunk(&chunk, &mut entries, out)?;
        }
        if let Some(mut file) = file {
            file.seek(SeekFrom::Start(0))?;
            let mut chunk = Vec::with_capacity(READ_BYTES);
            loop {
                let want = READ_BYTES.max(entries.as_slice().first().map_or(0, |entry| entry.len as usize));
                let have = chunk.len();
                Read::by_ref(&mut file).take(want.saturating_sub(have) as u64).read_to_end(&mut chunk)?;
                let written = writer.chunk(&chunk, &mut entries, out)?;
                if written == 0 {
                    break;
                }
                chunk.drain(..written);
            }
        }
        if !entries.as_slice().is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the spool of incidents is shorter than it should be"));
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

/// Bytes read back from the file at once.
const READ_BYTES: usize = 1 << 20;

struct Writer<'a> {
    plan: &'a Plan,
    partitions: &'a Partitions,
    /// Sorted by target; what is before the current incident is cut off.
    noted: &'a [Noted],
    touched: &'a mut HashMap<Origin, Touch>,
    line: Vec<u8>,
    times: TimeText,
}

impl Writer<'_> {
    /// Writes the incidents that lie in `chunk` as a whole; returns their bytes.
    fn chunk(&mut self, chunk: &[u8], entries: &mut std::slice::Iter<'_, Entry>, out: &mut dyn Write) -> io::Result<usize> {
        let mut at = 0;
        self.line.clear();
        while let Some(entry) = entries.as_slice().first() {
            let Some(incident) = chunk.get(at..at + entry.len as usize) else { break };
            entries.next();
            at += entry.len as usize;
            match self.touch(entry.origin) {
                None => self.line.extend_from_slice(incident),
                Some(touch) => {
                    self.line.extend_from_slice(incident.get(..entry.body as usize).unwrap_or_default());
                    push_state(&mut self.line, &touch.state(self.plan, self.partitions), &mut self.times);
                }
            }
            self.line.push(b'\n');
            if self.line.len() > READ_BYTES / 4 {
                out.write_all(&self.line)?;
                self.line.clear();
            }
        }
        out.write_all(&self.line)?;
        Ok(at)
    }
}

impl Writer<'_> {
    /// What happened to an incident.
    fn touch(&mut self, origin: Origin) -> Option<Touch> {
        let mut touch = if self.touched.is_empty() { None } else { self.touched.remove(&origin) };
        while let Some((noted, rest)) = self.noted.split_first().filter(|(noted, _)| noted.target <= origin) {
            if noted.target == origin {
                touch.get_or_insert_default().attach(*noted, self.partitions);
            }
            self.noted = rest;
        }
        touch
    }
}

impl Touch {
    fn attach(&mut self, attach: Noted, partitions: &Partitions) {
        let found = self.attached.iter_mut().position(|known| known.rule == attach.rule);
        let number = found.unwrap_or_else(|| {
            let samples = Vec::with_capacity(1);
            self.attached.push(Attachments { rule: attach.rule, count: 0, first: attach.occurred, last: attach.occurred, samples });
            self.attached.len() - 1
        });
        let one = &mut self.attached[number];
        one.count += 1;
        one.first = one.first.min(attach.occurred);
        one.last = one.last.max(attach.occurred);
        keep_last(&mut one.samples, (attach.event, attach.occurred), |known, new| sample_order(*known, *new, partitions), |sample| sample);
    }

    /// The state at the end: all attachments by one rule are one fact, and so are links.
    fn state(self, plan: &Plan, partitions: &Partitions) -> State {
        let mut state = self.created.map(|state| *state).unwrap_or_default();
        let name = |rule: u16| plan.rules.get(rule as usize).map_or_else(|| Arc::from(""), |rule| rule.name.clone());
        for one in self.attached {
            let samples = one.samples.iter().map(|(event, occurred)| sample(*event, *occurred, partitions)).collect();
            state.apply(&Change::Attached(Attachment { rule: name(one.rule), count: one.count, first: one.first, last: one.last, samples }));
        }
        for link in self.links {
            state.apply(&Change::Linked { rule: name(link.rule), other: link.other });
        }
        state
    }
}

fn sample(event: Origin, occurred: i64, partitions: &Partitions) -> Sample {
    let (topic, partition) = partitions.name(event.partition);
    Sample { topic: topic.into(), partition, offset: event.offset, element: event.element, occurred }
}

/// The order of [`Sample`]s, of events that are not written out yet.
fn sample_order(one: (Origin, i64), other: (Origin, i64), partitions: &Partitions) -> Ordering {
    let by_partition =
        || if one.0.partition == other.0.partition { Ordering::Equal } else { partitions.name(one.0.partition).cmp(&partitions.name(other.0.partition)) };
    let place = |event: Origin| (event.offset, event.element);
    one.1.cmp(&other.1).then_with(by_partition).then_with(|| place(one.0).cmp(&place(other.0)))
}

/// The samples that a fact about these events carries.
pub(super) fn samples_of<'a>(attaches: impl Iterator<Item = &'a AttachOut>, partitions: &Partitions) -> Vec<Sample> {
    let mut last = Vec::new();
    for attach in attaches {
        keep_last(&mut last, (attach.event, attach.occurred), |known, new| sample_order(*known, *new, partitions), |sample| sample);
    }
    last.into_iter().map(|(event, occurred)| sample(event, occurred, partitions)).collect()
}
