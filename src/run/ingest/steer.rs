//! Decides when a partition may be read and when it may go: the owner's side of
//! [`Steering`].
//!
//! A partition is read when its index is restored to the committed offset. It goes when
//! all that was read of it is committed, or, where that cannot be had in time, when
//! nothing of this generation can be committed any more. After an abort everything is
//! rewound: what the open transaction had put into the indexes is taken out again, and
//! reading goes on from the committed offsets.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::gate::Gate;
use super::prepare::{Prepared, Task};
use crate::ingest::control::{Acted, Control};
use crate::ingest::decide::Decider;
use crate::kafka::{Command, Steering};
use crate::run::failpoint;

/// How long what was handed on may take to be committed before partitions go. Together with the
/// time for handing on far below `max.poll.interval.ms`, at which the group gives up on a member.
const SETTLE_WAIT: Duration = Duration::from_secs(30);

/// What other threads tell the poll thread.
pub enum Note {
    /// A control was carried out.
    Acted(Acted),
    /// A partition is ready.
    Prepared(Prepared),
}

/// What is known of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Somebody else's.
    Foreign,
    /// Ours; it is being prepared.
    Preparing,
    /// Ours, and read.
    Reading,
    /// Ours, and to be prepared when the undo has said how.
    Undoing,
}

/// The owner's side of the poll thread.
pub struct Steer {
    gate: Arc<Gate>,
    parts: Vec<Part>,
    /// Per partition: how often it was given or rewound. What was prepared for an earlier time is void.
    epochs: Arc<[AtomicU32]>,
    notes: Receiver<Note>,
    tasks: Sender<Task>,
    commands: VecDeque<Command>,
    tickets: u64,
    /// Controls that undo and are still under way.
    undoing: Vec<u64>,
    /// Partitions that the undo could not mend in place.
    broken: BTreeSet<u16>,
    /// The control behind which revoked partitions may go.
    leaving: Option<u64>,
    /// Partitions whose indexes are forgotten with the next undo.
    gone: Vec<u16>,
    /// All partitions share one index, so they are made ready together.
    together: bool,
    /// Raised when partitions must be divided anew.
    rejoin: Arc<AtomicBool>,
    /// Raised when the topics are no longer those of the start.
    changed: Arc<AtomicBool>,
}

impl Steer {
    /// Nothing is owned yet.
    pub fn new(
        gate: Arc<Gate>,
        epochs: Arc<[AtomicU32]>,
        notes: Receiver<Note>,
        tasks: Sender<Task>,
        together: bool,
        rejoin: Arc<AtomicBool>,
        changed: Arc<AtomicBool>,
    ) -> Steer {
        Steer {
            gate,
            parts: vec![Part::Foreign; epochs.len()],
            epochs,
            notes,
            tasks,
            commands: VecDeque::new(),
            tickets: 0,
            undoing: Vec::new(),
            broken: BTreeSet::new(),
            leaving: None,
            gone: Vec::new(),
            together,
            rejoin,
            changed,
        }
    }

    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    fn set(&mut self, partition: u16, part: Part) {
        if let Some(known) = self.parts.get_mut(partition as usize) {
            *known = part;
        }
    }

    fn get(&self, partition: u16) -> Part {
        self.parts.get(partition as usize).copied().unwrap_or(Part::Foreign)
    }

    /// Asks for partitions to be prepared, as one. The channel has no bound, but there are never
    /// more tasks than partitions whose epoch is current.
    fn prepare(&mut self, partitions: &[u16], whole: bool) {
        let mut list = Vec::with_capacity(partitions.len());
        for partition in partitions {
            self.set(*partition, Part::Preparing);
            let epoch = self.epochs.get(*partition as usize).map_or(0, |epoch| epoch.fetch_add(1, Ordering::AcqRel) + 1);
            list.push((*partition, epoch));
        }
        if self.tasks.send(Task { partitions: list, whole }).is_err() {
            tracing::error!("the thread that restores indexes has ended");
        }
    }

    /// The partitions in this state.
    fn those(&self, part: Part) -> Vec<u16> {
        (0..=u16::MAX).zip(&self.parts).filter(|(_, known)| **known == part).map(|(number, _)| number).collect()
    }

    /// Begins a generation: undo, then read again from what is committed.
    fn rewind(&mut self) {
        for part in &mut self.parts {
            if *part == Part::Reading {
                *part = Part::Undoing;
            }
        }
        let ticket = self.ticket();
        self.undoing.push(ticket);
        let gone = std::mem::take(&mut self.gone);
        let act = move |decider: &mut Decider| {
            let mut restore = decider.undo().restore;
            for partition in &gone {
                decider.drop_shard(*partition);
            }
            restore.retain(|partition| !gone.contains(partition));
            restore
        };
        let then = Control { ticket, act: Some(Box::new(act)) };
        self.commands.push_back(Command::Rewind { generation: self.gate.generation(), then });
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Acted(acted) if self.undoing.contains(&acted.ticket) => {
                self.undoing.retain(|ticket| *ticket != acted.ticket);
                self.broken.extend(acted.partitions);
                if !self.undoing.is_empty() {
                    return;
                }
                let undone = self.those(Part::Undoing);
                let broken = std::mem::take(&mut self.broken);
                if self.together {
                    self.prepare(&undone, !broken.is_empty());
                } else {
                    for partition in undone {
                        self.prepare(&[partition], broken.contains(&partition));
                    }
                }
            }
            Note::Acted(_) => {}
            Note::Prepared(prepared) => {
                let current = |epochs: &[AtomicU32], partition: u16| epochs.get(partition as usize).map(|epoch| epoch.load(Ordering::Acquire));
                let void =
                    |(partition, epoch, _): &(u16, u32, i64)| self.get(*partition) != Part::Preparing || current(&self.epochs, *partition) != Some(*epoch);
                if prepared.partitions.iter().any(void) {
                    return;
                }
                for (partition, ..) in &prepared.partitions {
                    self.set(*partition, Part::Reading);
                }
                if let Some(install) = prepared.install {
                    let ticket = self.ticket();
                    let act = move |decider: &mut Decider| {
                        install(decider);
                        Vec::new()
                    };
                    self.commands.push_back(Command::Through(Control { ticket, act: Some(Box::new(act)) }));
                }
                self.commands.push_back(Command::Start(prepared.partitions.iter().map(|(partition, _, start)| (*partition, *start)).collect()));
            }
        }
    }
}

impl Steering for Steer {
    fn assigned(&mut self, partitions: &[u16]) {
        if !self.together {
            for partition in partitions {
                self.prepare(&[*partition], true);
            }
            return;
        }
        let reading = !self.those(Part::Reading).is_empty();
        for partition in partitions.iter().copied().chain(self.those(Part::Preparing)) {
            self.set(partition, Part::Undoing);
        }
        self.broken.extend(partitions);
        if reading {
            self.gate.close();
            self.rewind();
        } else if self.undoing.is_empty() {
            let all = self.those(Part::Undoing);
            self.broken.clear();
            self.prepare(&all, true);
        }
    }

    fn revoking(&mut self, partitions: &[u16], lost: bool) -> Option<Control> {
        if !lost && self.undoing.is_empty() && partitions.iter().any(|partition| self.get(*partition) == Part::Reading) {
            let ticket = self.ticket();
            self.leaving = Some(ticket);
            return Some(Control { ticket, act: None });
        }
        None
    }

    fn settle(&mut self, partitions: &[u16], handed_on: bool) {
        failpoint::hit("in_revoke");
        let leaving = self.leaving.take();
        let touched = partitions.iter().any(|partition| matches!(self.get(*partition), Part::Reading | Part::Undoing));
        for partition in partitions {
            self.set(*partition, Part::Foreign);
            if let Some(epoch) = self.epochs.get(*partition as usize) {
                epoch.fetch_add(1, Ordering::AcqRel);
            }
        }
        // Commands for them that were not carried out yet.
        let revoked = |command: &Command| matches!(command, Command::Start(list) if list.iter().all(|(partition, _)| partitions.contains(partition)));
        self.commands.retain(|command| !revoked(command));
        if !touched && leaving.is_none() {
            let ticket = self.ticket();
            self.commands.push_back(forget(ticket, partitions));
            return;
        }
        let clean = match leaving {
            Some(ticket) if handed_on => self.gate.wait_flushed(ticket, Instant::now() + SETTLE_WAIT),
            _ => false,
        };
        let rest = self.together && self.parts.iter().any(|part| *part != Part::Foreign);
        if clean && !rest {
            let ticket = self.ticket();
            self.commands.push_back(forget(ticket, partitions));
            return;
        }
        if !clean {
            tracing::warn!(partitions = partitions.len(), "given back before all was committed: what was read is read again by the next owner");
        }
        if rest {
            // Their index went with the shared one.
            self.broken.extend(self.those(Part::Reading));
        }
        self.gate.close();
        self.gone.extend_from_slice(partitions);
        self.gate.take_rewind();
        self.rewind();
    }

    fn unknown(&mut self, topic: &str, partition: i32) {
        tracing::warn!(topic, partition, "a partition that was not there at the start: reading begins anew to take it in");
        self.changed.store(true, Ordering::Release);
    }

    fn next(&mut self) -> Option<Command> {
        if self.rejoin.swap(false, Ordering::AcqRel) {
            self.commands.push_back(Command::Rejoin);
        }
        if self.gate.take_rewind() {
            self.rewind();
        }
        while let Ok(note) = self.notes.try_recv() {
            self.note(note);
        }
        self.commands.pop_front()
    }
}

/// Forgets the indexes of partitions that went.
fn forget(ticket: u64, partitions: &[u16]) -> Command {
    let partitions = partitions.to_vec();
    let act = move |decider: &mut Decider| {
        for partition in &partitions {
            decider.drop_shard(*partition);
        }
        Vec::new()
    };
    Command::Through(Control { ticket, act: Some(Box::new(act)) })
}
