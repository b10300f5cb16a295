//! What a worker hands on: incidents, attachments, links and dead letters of one
//! batch, with its offsets and counts.

use super::batch::Message;
use super::control::Acted;
use super::decide::{Notes, Origin};
use super::ledger::Counts;
use super::offsets::Offsets;
use super::scene::Scene;
use crate::incident::id::IncidentId;
use crate::incident::state::State;

/// Bytes kept free for the changing part of an incident when its size is checked.
pub const STATE_BYTES_RESERVED: usize = 16 * 1024;

/// One batch, done.
#[derive(Debug, Default)]
pub struct Output {
    /// The batch's cut number.
    pub seq: u64,
    /// Its source.
    pub source: u16,
    /// The offsets that it covers.
    pub offsets: Offsets,
    /// Messages in it.
    pub messages: u64,
    /// What became of its events.
    pub counts: Counts,
    /// The incidents created, as JSON objects one after the other; each in its fact, where the run writes facts.
    pub incidents: Vec<u8>,
    /// Where each of them ends, and what it is.
    pub lines: Vec<Created>,
    /// Events attached to incidents, in order.
    pub attaches: Vec<AttachOut>,
    /// Incidents linked to earlier ones, in order.
    pub links: Vec<LinkOut>,
    /// Dead letters as JSON lines, in the order of their events.
    pub dead: Vec<u8>,
    /// Where each of them ends, and its event.
    pub letters: Vec<LetterEnd>,
    /// The arena, for the next batch.
    pub arena: Option<Vec<u8>>,
    /// What became of each event, where that was asked for.
    pub trace: Option<Vec<Traced>>,
    /// What the indexes remember of it, where that is noted.
    pub notes: Option<Notes>,
    /// As in the batch.
    pub generation: u32,
    /// The control that this batch was.
    pub control: Option<Acted>,
}

/// An incident created.
#[derive(Debug)]
pub struct Created {
    /// Bytes of the part that never changes, the head of its fact included.
    pub body: u32,
    /// Bytes of the whole object.
    pub len: u32,
    /// The event it was made from.
    pub origin: Origin,
    /// Its id.
    pub id: IncidentId,
    /// Its state, where a rule closed or linked it.
    pub state: Option<Box<State>>,
    /// When it was created, in microseconds.
    pub created: i64,
}

/// An event attached to an incident.
#[derive(Debug, Clone, Copy)]
pub struct AttachOut {
    /// The incident.
    pub target: Origin,
    /// Its id.
    pub target_id: IncidentId,
    /// The rule.
    pub rule: u16,
    /// The event.
    pub event: Origin,
    /// When it occurred, in microseconds.
    pub occurred: i64,
}

/// A created incident linked to an earlier one.
#[derive(Debug, Clone, Copy)]
pub struct LinkOut {
    /// The earlier incident.
    pub target: Origin,
    /// Its id.
    pub target_id: IncidentId,
    /// The rule.
    pub rule: u16,
    /// The new incident.
    pub other: IncidentId,
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// Number of the message in the batch.
    pub message: u32,
    /// Number of the event in the message; 0 where the message as a whole failed.
    pub element: u16,
    /// Type code, where it was classified.
    pub code: Option<u16>,
    /// How it ended.
    pub end: TraceEnd,
    /// For incidents: number in [`Output::lines`].
    pub line: Option<u32>,
}

/// How an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceEnd {
    /// As an incident; the rule that closed it.
    Incident(Option<u16>),
    /// Dropped by a filter.
    Filtered(u16),
    /// Not classified.
    Unclassified,
    /// Dropped by a rule.
    Dropped(u16),
    /// Attached by a rule.
    Attached(u16),
    /// As a dead letter, for this reason.
    Dead(&'static str),
}

/// A dead letter among [`Output::dead`].
#[derive(Debug, Clone, Copy)]
pub struct LetterEnd {
    /// Number of the message in the batch.
    pub message: u32,
    /// Number of the event in the message; `None`: the message as a whole.
    pub element: Option<u16>,
    /// Dense partition number.
    pub partition: u16,
    /// Offset.
    pub offset: i64,
    /// Where it ends in [`Output::dead`], with its line break.
    pub end: usize,
}

impl LetterEnd {
    fn place(&self) -> (u32, Option<u16>) {
        (self.message, self.element)
    }
}

impl Output {
    /// Ends the line of a dead letter.
    pub(super) fn end_letter(&mut self, number: u32, message: &Message, element: Option<u16>) {
        self.dead.push(b'\n');
        self.letters.push(LetterEnd { message: number, element, partition: message.partition, offset: message.offset, end: self.dead.len() });
    }

    /// Puts the dead letters, which the stages write one after the other, in the order of
    /// their events: so that it does not depend on how batches were cut.
    pub(super) fn sort_letters(&mut self) {
        if self.letters.is_sorted_by_key(LetterEnd::place) {
            return;
        }
        let starts = std::iter::once(0).chain(self.letters.iter().map(|letter| letter.end));
        let mut parts: Vec<(usize, LetterEnd)> = starts.zip(self.letters.iter().copied()).collect();
        parts.sort_by_key(|(_, letter)| letter.place());
        let mut sorted = Vec::with_capacity(self.dead.len());
        self.letters.clear();
        for (start, letter) in parts {
            sorted.extend_from_slice(self.dead.get(start..letter.end).unwrap_or_default());
            self.letters.push(LetterEnd { end: sorted.len(), ..letter });
        }
        self.dead = sorted;
    }

    /// Notes the end of a row, where that was asked for.
    pub(super) fn note(&mut self, scene: &Scene<'_>, row: u32, code: Option<u16>, end: TraceEnd, line: Option<u32>) {
        if let Some(trace) = &mut self.trace {
            let row = row as usize;
            let message = scene.rows.messages.get(row).copied().unwrap_or_default();
            trace.push(Traced { message, element: scene.rows.elements.get(row).copied().unwrap_or_default(), code, end, line });
        }
    }
}
