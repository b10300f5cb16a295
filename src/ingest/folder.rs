//! `replay`'s sink: incidents in their state at the end of the input, in the order of
//! their creation.
//!
//! Incidents wait in memory while new ones come: most of what happens to an incident
//! happens soon. The oldest are written, in the state that they have by then, straight to
//! the output if it is a regular file, else to a file without a name. Only if something
//! happens to an incident after that are lines written anew, once, at the end.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::Arc;

use super::batch::Partitions;
use super::decide::Origin;
use super::lines_file::{Copy, LinesFile, Pass, READ_BYTES};
use super::output::Output;
use super::plan::Plan;
use super::spare::Spare;
use super::touches::{Noted, Touch, Touches};
use crate::incident::state::push_state;
use crate::incident::time_text::TimeText;

/// Bytes of incidents that wait for what happens to them.
pub const HELD_BYTES: usize = 32 << 20;
/// Bytes of incidents that stay in memory to the end where the output cannot be corrected: what
/// fits costs no file beside it.
pub const RESIDENT_BYTES: usize = 112 << 20;
/// Bytes written at once when there are too many, so that attachments are not sorted for every batch.
const STEP_BYTES: usize = 6 << 20;
/// Bytes of lines collected for one write.
const WRITE_BYTES: usize = 256 << 10;

/// Where incidents go.
pub enum Target<'a> {
    /// A regular file, empty: lines are written early and corrected.
    File(LinesFile),
    /// Anything else: lines are written at the end.
    Stream(Box<dyn Write + Send + 'a>),
}

impl<'a> Target<'a> {
    /// A plain writer.
    pub fn into_writer(self) -> Box<dyn Write + Send + 'a> {
        match self {
            Target::File(file) => Box::new(io::BufWriter::with_capacity(WRITE_BYTES, file)),
            Target::Stream(stream) => stream,
        }
    }
}

/// Incidents and what happened to them.
pub struct Folder<'a> {
    plan: Arc<Plan>,
    partitions: Arc<Partitions>,
    /// Takes buffers whose incidents are written.
    spare: Spare,
    /// Where lines go at the end; `None`: to `early`.
    stream: Option<Box<dyn Write + Send + 'a>>,
    /// The first incidents, which stay in memory.
    resident: Chunks,
    /// The lines written so far.
    early: Option<LinesFile>,
    /// Which of `entries` they are.
    written: Range<usize>,
    /// The incidents behind them.
    held: Chunks,
    entries: Vec<Entry>,
    touches: Touches,
}

/// Incidents, as workers wrote them.
#[derive(Default)]
struct Chunks {
    list: VecDeque<Vec<u8>>,
    bytes: usize,
}

struct Entry {
    origin: Origin,
    /// Bytes of the part that never changes.
    body: u32,
    /// Bytes of the whole; once it is written, with the line break.
    len: u32,
}

impl<'a> Folder<'a> {
    /// An empty folder.
    pub fn new(plan: Arc<Plan>, partitions: Arc<Partitions>, target: Target<'a>, spare: Spare) -> Folder<'a> {
        let (early, stream) = match target {
            Target::File(file) => (Some(file), None),
            Target::Stream(stream) => (None, Some(stream)),
        };
        Folder {
            plan,
            partitions,
            spare,
            stream,
            early,
            resident: Chunks::default(),
            written: 0..0,
            held: Chunks::default(),
            entries: Vec::new(),
            touches: Touches::default(),
        }
    }

    /// Takes the incidents, attachments and links of a batch.
    pub fn add(&mut self, output: &mut Output) -> io::Result<()> {
        for line in output.lines.drain(..) {
            if let Some(state) = line.state {
                self.touches.created(line.origin, state);
            }
            if self.entries.last().is_some_and(|last| last.origin > line.origin) && !self.touches.unordered {
                self.touches.coalesce(&self.partitions);
                self.touches.unordered = true;
            }
            self.entries.push(Entry { origin: line.origin, body: line.body, len: line.len });
        }
        let mut incidents = std::mem::take(&mut output.incidents);
        if incidents.capacity() > incidents.len() * 2 {
            incidents.shrink_to_fit();
        }
        if self.stream.is_some() && self.held.list.is_empty() && self.early.is_none() && self.resident.bytes + incidents.capacity() <= RESIDENT_BYTES {
            self.resident.push(incidents);
            self.touches.resident = self.entries.last().map(|entry| entry.origin);
            self.written = self.entries.len()..self.entries.len();
        } else {
            self.held.push(incidents);
        }
        for attach in &output.attaches {
            let noted = Noted { target: attach.target, event: attach.event, occurred: attach.occurred, rule: attach.rule };
            self.touches.add(noted, &self.partitions);
        }
        for link in &output.links {
            self.touches.link(*link);
        }
        if self.held.bytes > HELD_BYTES {
            let mut early = match self.early.take() {
                Some(early) => early,
                None => LinesFile::unnamed()?,
            };
            self.write_held(HELD_BYTES - STEP_BYTES, &mut early)?;
            self.early = Some(early);
        }
        Ok(())
    }

    /// Writes the oldest of the incidents that wait until at most `keep` bytes of them are left.
    fn write_held(&mut self, keep: usize, out: &mut dyn Write) -> io::Result<()> {
        let mut noted = std::mem::take(&mut self.touches.noted);
        let rest = self.write(&mut noted, keep, out)?;
        let done = noted.len() - rest;
        noted.drain(..done);
        self.touches.noted = noted;
        Ok(())
    }

    /// Writes held incidents and what `noted` has about them; returns how many of `noted`,
    /// which are sorted by then, are left.
    fn write(&mut self, noted: &mut [Noted], keep: usize, out: &mut dyn Write) -> io::Result<usize> {
        noted.sort_by_key(|noted| noted.target);
        let mut rest = &*noted;
        let Touches { done, coalesced, frontier, .. } = &mut self.touches;
        let mut writer = Writer::new(&self.plan, &self.partitions);
        while self.held.bytes > keep
            && let Some(incidents) = self.held.list.pop_front()
        {
            let mut at = 0;
            while at < incidents.len()
                && let Some(entry) = self.entries.get_mut(self.written.end)
            {
                let incident = incidents.get(at..at + entry.len as usize).unwrap_or_default();
                let body = incident.get(..entry.body as usize).unwrap_or_default();
                at += entry.len as usize;
                let count = rest.iter().take_while(|noted| noted.target <= entry.origin).count();
                let (mut own, others) = rest.split_at(count);
                rest = others;
                // What was attached to an event whose incident was too large for the output has no place.
                while let Some((_, others)) = own.split_first().filter(|(first, _)| first.target != entry.origin) {
                    own = others;
                }
                entry.len = match coalesced.get_mut(&entry.origin) {
                    None if own.is_empty() => writer.line(incident, None),
                    None => {
                        let mut touch = Touch::default();
                        own.iter().for_each(|noted| touch.attach(*noted, &self.partitions));
                        done.extend_from_slice(own);
                        writer.line(body, Some(&touch))
                    }
                    Some(touch) => {
                        own.iter().for_each(|noted| touch.attach(*noted, &self.partitions));
                        touch.late = false;
                        writer.line(body, Some(touch))
                    }
                };
                if writer.lines.len() >= WRITE_BYTES {
                    writer.write(out)?;
                }
                self.written.end += 1;
                *frontier = (*frontier).max(Some(entry.origin));
            }
            self.held.bytes -= incidents.capacity();
            self.spare.give(incidents);
        }
        writer.write(out)?;
        Ok(rest.len())
    }

    /// Writes all incidents, one a line, in the order of their creation.
    pub fn finish(mut self) -> io::Result<()> {
        let any_late = self.touches.gather(&self.partitions);
        match (self.early.take(), self.stream.take()) {
            (Some(mut early), None) => {
                if any_late {
                    self.correct(&mut early)?;
                }
                self.write_held(0, &mut early)?;
                early.flush()
            }
            (early, Some(mut stream)) => {
                self.write_resident(&mut *stream)?;
                if let Some(early) = early {
                    let mut copy = Copy::new(&early, &mut *stream);
                    if any_late { self.anew(0, &mut copy)? } else { copy.rest()? }
                }
                self.write_held(0, &mut *stream)?;
                stream.flush()
            }
            (None, None) => Ok(()),
        }
    }

    /// Writes the incidents that stayed in memory.
    fn write_resident(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let mut noted = std::mem::take(&mut self.touches.early);
        let (held, written) = (std::mem::replace(&mut self.held, std::mem::take(&mut self.resident)), std::mem::replace(&mut self.written, 0..0));
        self.write(&mut noted, 0, out)?;
        (self.held, self.written) = (held, written);
        Ok(())
    }

    /// Writes the file anew from the first line on that is not as it should be.
    fn correct(&self, early: &mut LinesFile) -> io::Result<()> {
        let lines = self.entries.get(self.written.clone()).unwrap_or_default();
        let Some(first) = lines.iter().position(|entry| self.touches.late(entry.origin).is_some()) else { return Ok(()) };
        let mut rewrite = early.rewrite(lines.iter().take(first).map(|entry| u64::from(entry.len)).sum());
        self.anew(first, &mut rewrite)?;
        rewrite.finish()
    }

    /// Takes the written lines from number `first` on through `pass`, those that changed in their new state.
    fn anew(&self, first: usize, pass: &mut dyn Pass) -> io::Result<()> {
        let mut lines = self.entries.get(self.written.clone()).and_then(|lines| lines.get(first..)).unwrap_or_default();
        let mut writer = Writer::new(&self.plan, &self.partitions);
        let mut buffer = vec![0; READ_BYTES];
        let mut have = 0;
        while let Some(next) = lines.first() {
            if buffer.len() < next.len as usize {
                buffer.resize(next.len as usize, 0);
            }
            have += pass.read(buffer.get_mut(have..).unwrap_or_default())?;
            let mut at = 0;
            while let Some((entry, rest)) = lines.split_first()
                && let Some(line) = buffer.get(at..have).and_then(|bytes| bytes.get(..entry.len as usize))
            {
                match self.touches.late(entry.origin) {
                    None => writer.lines.extend_from_slice(line),
                    touch => _ = writer.line(line.get(..entry.body as usize).unwrap_or_default(), touch),
                }
                at += line.len();
                lines = rest;
                if writer.lines.len() >= WRITE_BYTES {
                    pass.push(&writer.lines)?;
                    writer.lines.clear();
                }
            }
            if at == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file of incidents is shorter than what was written to it"));
            }
            buffer.copy_within(at..have, 0);
            have -= at;
        }
        pass.push(&writer.lines)
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

/// Collects lines for few and large writes.
struct Writer<'a> {
    plan: &'a Plan,
    partitions: &'a Partitions,
    lines: Vec<u8>,
    times: TimeText,
}

impl<'a> Writer<'a> {
    fn new(plan: &'a Plan, partitions: &'a Partitions) -> Writer<'a> {
        Writer { plan, partitions, lines: Vec::with_capacity(WRITE_BYTES * 2), times: TimeText::default() }
    }

    /// Adds an incident: as it is, or its body with the state after `touch`. Returns the bytes of the line.
    fn line(&mut self, incident: &[u8], touch: Option<&Touch>) -> u32 {
        let start = self.lines.len();
        self.lines.extend_from_slice(incident);
        if let Some(touch) = touch {
            push_state(&mut self.lines, &touch.state(self.plan, self.partitions), &mut self.times);
        }
        self.lines.push(b'\n');
        (self.lines.len() - start) as u32
    }

    fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.lines)?;
        self.lines.clear();
        Ok(())
    }
}

impl Chunks {
    fn push(&mut self, incidents: Vec<u8>) {
        if !incidents.is_empty() {
            self.bytes += incidents.capacity();
            self.list.push_back(incidents);
        }
    }
}
