//! What happened to incidents after their creation, from the whole input: noted in plain lists, put
//! together per incident where that takes less memory or the incident is written already.

use std::cmp::Ordering;
use std::sync::Arc;

use hashbrown::HashMap;

use super::batch::Partitions;
use super::decide::Origin;
use super::output::{AttachOut, LinkOut};
use super::plan::Plan;
use crate::incident::state::{Attachment, Change, Sample, State, keep_last};

/// Attachments noted before they are coalesced per incident (count; 48 bytes each).
const NOTED_MAX: usize = 1 << 20;

/// What happened to incidents.
#[derive(Default)]
pub(super) struct Touches {
    /// Incidents came in the order of their origins so far (files one after the other).
    /// Then attachments are lists: cheap to write and, once sorted, to read beside the incidents.
    pub(super) unordered: bool,
    /// The last of the incidents that stay in memory.
    pub(super) resident: Option<Origin>,
    /// The last of those that are written.
    pub(super) frontier: Option<Origin>,
    /// Attachments to incidents that stay in memory.
    pub(super) early: Vec<Noted>,
    /// Attachments to incidents that wait, sorted when these are written.
    pub(super) noted: Vec<Noted>,
    /// Those that were written with their incidents, by target.
    pub(super) done: Vec<Noted>,
    /// Those that came too late for that.
    late: Vec<Noted>,
    /// Everything else, coalesced.
    pub(super) coalesced: HashMap<Origin, Touch>,
}

/// One attachment.
#[derive(Clone, Copy)]
pub(super) struct Noted {
    pub(super) target: Origin,
    pub(super) event: Origin,
    pub(super) occurred: i64,
    pub(super) rule: u16,
}

/// What happened to an incident after its creation, coalesced.
#[derive(Default)]
pub(super) struct Touch {
    /// Its state at creation, where that is not the plain one.
    created: Option<Box<State>>,
    attached: Vec<Attachments>,
    links: Vec<LinkOut>,
    /// Some of it happened after the incident was written.
    pub(super) late: bool,
}

struct Attachments {
    rule: u16,
    count: u64,
    first: i64,
    last: i64,
    /// The last samples, in order: event and when it occurred.
    samples: Vec<(Origin, i64)>,
}

impl Touches {
    /// Notes the state of an incident at its creation, where that is not the plain one.
    pub(super) fn created(&mut self, incident: Origin, state: Box<State>) {
        self.coalesced.entry(incident).or_default().created = Some(state);
    }

    /// True where an incident may be written already; certain while they come in order.
    fn is_late(&self, target: Origin) -> bool {
        Some(target) <= self.frontier && (self.unordered || Some(target) > self.resident)
    }

    /// Notes an attachment.
    pub(super) fn add(&mut self, noted: Noted, partitions: &Partitions) {
        let late = self.is_late(noted.target);
        if self.unordered {
            let touch = self.coalesced.entry(noted.target).or_default();
            touch.late |= late;
            touch.attach(noted, partitions);
        } else if late {
            self.late.push(noted);
        } else if Some(noted.target) <= self.resident {
            self.early.push(noted);
        } else {
            self.noted.push(noted);
        }
        if self.early.len() + self.noted.len() + self.done.len() + self.late.len() > NOTED_MAX {
            self.coalesce(partitions);
        }
    }

    /// Notes a link.
    pub(super) fn link(&mut self, link: LinkOut) {
        let late = self.is_late(link.target);
        let touch = self.coalesced.entry(link.target).or_default();
        touch.late |= late;
        touch.links.push(link);
    }

    /// Makes the lists empty.
    pub(super) fn coalesce(&mut self, partitions: &Partitions) {
        let lists = [(&mut self.early, false), (&mut self.done, false), (&mut self.late, true), (&mut self.noted, false)];
        for (list, late) in lists {
            for noted in list.drain(..) {
                let touch = self.coalesced.entry(noted.target).or_default();
                touch.late |= late;
                touch.attach(noted, partitions);
            }
        }
    }

    /// Puts together what happened to each incident that changed after it was written; false
    /// where there is none.
    pub(super) fn gather(&mut self, partitions: &Partitions) -> bool {
        let known = self.coalesced.iter().filter(|(_, touch)| touch.late).map(|(origin, _)| *origin);
        let mut targets: Vec<Origin> = known.chain(self.late.iter().map(|noted| noted.target)).collect();
        targets.sort_unstable();
        targets.dedup();
        self.late.sort_by_key(|noted| noted.target);
        let of = |list: &[Noted], target: Origin| {
            let from = list.partition_point(|noted| noted.target < target);
            let count = list[from..].partition_point(|noted| noted.target == target);
            from..from + count
        };
        for target in &targets {
            let touch = self.coalesced.entry(*target).or_default();
            touch.late = true;
            for list in [&self.done, &self.late] {
                list[of(list, *target)].iter().for_each(|noted| touch.attach(*noted, partitions));
            }
        }
        !targets.is_empty()
    }

    /// What happened to an incident, if some of it came too late.
    pub(super) fn late(&self, incident: Origin) -> Option<&Touch> {
        self.coalesced.get(&incident).filter(|touch| touch.late)
    }
}

impl Touch {
    /// Adds an attachment.
    pub(super) fn attach(&mut self, attach: Noted, partitions: &Partitions) {
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
    pub(super) fn state(&self, plan: &Plan, partitions: &Partitions) -> State {
        let mut state = self.created.as_deref().cloned().unwrap_or_default();
        let name = |rule: u16| plan.rules.get(rule as usize).map_or_else(|| Arc::from(""), |rule| rule.name.clone());
        for one in &self.attached {
            let samples = one.samples.iter().map(|(event, occurred)| sample(*event, *occurred, partitions)).collect();
            state.apply(&Change::Attached(Attachment { rule: name(one.rule), count: one.count, first: one.first, last: one.last, samples }));
        }
        for link in &self.links {
            state.apply(&Change::Linked { rule: name(link.rule), other: link.other });
        }
        state
    }
}

fn sample(event: Origin, occurred: i64, partitions: &Partitions) -> Sample {
    let (topic, partition) = partitions.shared_name(event.partition);
    Sample { topic, partition, offset: event.offset, element: event.element, occurred }
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
