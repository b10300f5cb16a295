//! Stories: what happened before, as far as the pipeline's rules remember it. This is
//! the generator's own model of the dedup window, kept apart from the engine's on
//! purpose: a repeat is only told where the answer cannot be disputed.

use super::event::Outcome;
use super::profile::{Does, Plan};
use super::rng::Draw;

/// Stories of one kind that may still be repeated: a bound, and the reason that
/// repeats come from recent stories.
pub const LIVE_STORIES_MAX: usize = 256;
/// Distance to the end of a window within which no repeat is told (milliseconds).
pub const WINDOW_MARGIN_MS: i64 = 5_000;
/// Created incidents of one story that are remembered; then the story is over.
pub const CREATED_MAX: usize = 8;

/// When something happened, as far as it matters: a pipeline's clock may go by the
/// record or by the event's own time, clamped, so it lies between these two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// The event's own time.
    pub occurred_ms: i64,
    /// The record's time, never before `occurred_ms`.
    pub record_ms: i64,
}

impl When {
    /// Smallest and largest distance in time, over all clocks.
    fn distance(self, other: When) -> (i64, i64) {
        let apart = (self.occurred_ms - other.record_ms).max(other.occurred_ms - self.record_ms).max(0);
        let far = (self.record_ms - other.occurred_ms).max(other.record_ms - self.occurred_ms);
        (apart, far)
    }
}

#[derive(Debug, Clone, Copy)]
struct Story {
    number: u64,
    /// Events told so far.
    told: u32,
    /// The incidents that the rules can find, `created[..incidents]`.
    created: [Incident; CREATED_MAX],
    incidents: usize,
}

/// An incident of a story: when its event came, and its number in the run.
#[derive(Debug, Clone, Copy)]
struct Incident {
    when: When,
    event: u64,
}

/// The live stories of one kind.
#[derive(Debug, Default)]
pub struct Stories {
    live: Vec<Story>,
    /// Where the next story goes once the list is full.
    oldest: usize,
}

/// What the next event of a kind is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The story's number.
    pub number: u64,
    /// What must become of the event.
    pub outcome: Outcome,
    /// Whether the story was told before.
    pub again: bool,
    /// Number of the event whose incident this one becomes or is attached to; `None` for
    /// other outcomes, and where late events leave two incidents to choose from.
    pub group: Option<u64>,
}

/// What is known about a rule's search for an older incident.
enum Found {
    Yes,
    No,
    /// Too near to the end of the window.
    Doubtful,
}

impl Stories {
    /// Begins a story with event number `event` of the run.
    pub fn begin(&mut self, plan: Plan, number: u64, when: When, event: u64) -> Told {
        let first = match plan {
            Plan::Noise(outcome) => outcome,
            Plan::Story { first, again, most, .. } => {
                if !again.is_empty() && most != 1 {
                    let created = [Incident { when, event }; CREATED_MAX];
                    self.remember(Story { number, told: 1, created, incidents: 1 });
                }
                first
            }
        };
        let group = matches!(first, Outcome::Incident { .. }).then_some(event);
        Told { number, outcome: first, again: false, group }
    }

    /// Repeats one of the live stories, if there is one whose answer is beyond doubt.
    pub fn repeat(&mut self, plan: Plan, when: When, event: u64, draw: &mut impl Draw) -> Option<Told> {
        // A few tries: near the end of its window a story cannot be told.
        for _ in 0..4 {
            let at = draw.below(self.live.len() as u64) as usize;
            let told = self.tell(plan, at, when, event);
            if told.is_some() {
                return told;
            }
        }
        None
    }

    /// Repeats one story: a burst.
    pub fn repeat_number(&mut self, plan: Plan, number: u64, when: When, event: u64) -> Option<Told> {
        let at = self.live.iter().position(|s| s.number == number)?;
        self.tell(plan, at, when, event)
    }

    /// True when no story of the kind can be repeated.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    fn tell(&mut self, plan: Plan, at: usize, when: When, event: u64) -> Option<Told> {
        let Plan::Story { first, again, most, .. } = plan else { return None };
        let story = self.live.get_mut(at)?;
        // The rules in their order: the first that finds an incident acts.
        let mut outcome = first;
        let mut target = None;
        for memory in again {
            match story.find(memory.within_ms, when) {
                Found::Yes => {
                    outcome = memory.outcome(first);
                    target = story.only(memory.within_ms, when);
                    break;
                }
                Found::No => {}
                Found::Doubtful => return None,
            }
        }
        let group = match outcome {
            Outcome::Attached(_) => target,
            Outcome::Incident { .. } => Some(event),
            _ => None,
        };
        let told = Told { number: story.number, outcome, again: true, group };
        story.told += 1;
        let mut over = story.told == most;
        if !matches!(outcome, Outcome::Attached(_)) {
            match story.created.get_mut(story.incidents) {
                Some(slot) => {
                    *slot = Incident { when, event };
                    story.incidents += 1;
                }
                None => over = true,
            }
        }
        if over {
            self.live.swap_remove(at);
            self.oldest = 0;
        }
        Some(told)
    }

    fn remember(&mut self, story: Story) {
        if self.live.len() < LIVE_STORIES_MAX {
            self.live.push(story);
        } else if let Some(slot) = self.live.get_mut(self.oldest) {
            *slot = story;
            self.oldest = (self.oldest + 1) % LIVE_STORIES_MAX;
        }
    }
}

impl Story {
    fn find(&self, within_ms: i64, when: When) -> Found {
        let mut found = Found::No;
        for created in self.created.iter().take(self.incidents) {
            let (apart, far) = created.when.distance(when);
            if far <= within_ms - WINDOW_MARGIN_MS {
                return Found::Yes;
            }
            if apart <= within_ms + WINDOW_MARGIN_MS {
                found = Found::Doubtful;
            }
        }
        found
    }

    /// The event of the only incident that a rule can find by any clock; `None` if there are several.
    fn only(&self, within_ms: i64, when: When) -> Option<u64> {
        let near = |created: &&Incident| created.when.distance(when).0 <= within_ms + WINDOW_MARGIN_MS;
        let mut found = self.created.iter().take(self.incidents).filter(near);
        found.next().filter(|_| found.next().is_none()).map(|created| created.event)
    }
}

impl super::profile::Memory {
    fn outcome(&self, first: Outcome) -> Outcome {
        let (linked_by, closed_by) = match self.does {
            Does::Attach => return Outcome::Attached(self.rule),
            Does::Link => (Some(self.rule), None),
            Does::LinkAndClose => (Some(self.rule), Some(self.rule)),
        };
        let type_name = match (self.type_name, first) {
            (Some(type_name), _) | (None, Outcome::Incident { type_name, .. }) => type_name,
            (None, _) => return first,
        };
        Outcome::Incident { type_name, linked_by, closed_by }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::load::profile::Memory;
    use crate::load::rng::EventRng;

    const HOUR: i64 = 3_600_000;
    const PLAN: Plan = story(&[Memory::attach("repeats", HOUR)]);

    const fn story(again: &'static [Memory]) -> Plan {
        Plan::Story { first: Outcome::incident("T"), again, later: None, most: 0, single: false }
    }

    fn at(seconds: i64) -> When {
        When { occurred_ms: seconds * 1000, record_ms: seconds * 1000 }
    }

    #[test]
    fn within_the_window_it_is_attached_and_after_it_new() {
        let (mut stories, mut rng) = (Stories::default(), EventRng::new(1));
        assert_eq!(stories.repeat(PLAN, at(0), 0, &mut rng), None);
        stories.begin(PLAN, 7, at(0), 5);
        let told = stories.repeat(PLAN, at(3_500), 9, &mut rng).unwrap();
        assert_eq!((told.number, told.outcome, told.group), (7, Outcome::Attached("repeats"), Some(5)));
        assert_eq!(stories.repeat(PLAN, at(3_599), 9, &mut rng), None, "too near to the end to be sure");
        assert_eq!(stories.repeat(PLAN, at(3_700), 9, &mut rng).unwrap().outcome, Outcome::incident("T"));
        assert_eq!(stories.repeat(PLAN, at(5_000), 9, &mut rng).unwrap().outcome, Outcome::Attached("repeats"));
    }

    #[test]
    fn an_event_between_two_clocks_is_not_told() {
        let (mut stories, mut rng) = (Stories::default(), EventRng::new(1));
        stories.begin(PLAN, 7, at(10_000), 5);
        let late = When { occurred_ms: 9_000_000, record_ms: 13_700_000 };
        assert_eq!(stories.repeat(PLAN, late, 9, &mut rng), None, "near by its own time, far by the record's");
    }

    #[test]
    fn a_chain_moves_on_until_it_is_forgotten() {
        const AGAIN: &[Memory] = &[Memory::link("campaign", HOUR)];
        let plan = story(AGAIN);
        let (mut stories, mut rng) = (Stories::default(), EventRng::new(1));
        stories.begin(plan, 1, at(0), 5);
        for seconds in [3_000, 6_000, 9_000] {
            assert_eq!(stories.repeat(plan, at(seconds), 9, &mut rng).unwrap().outcome, Outcome::linked("T", "campaign"));
        }
        assert_eq!(stories.repeat(plan, at(20_000), 9, &mut rng).unwrap().outcome, Outcome::incident("T"));
    }

    #[test]
    fn rules_are_tried_in_their_order() {
        const AGAIN: &[Memory] = &[Memory::attach("short", HOUR), Memory::link("long", 4 * HOUR)];
        let plan = story(AGAIN);
        let (mut stories, mut rng) = (Stories::default(), EventRng::new(1));
        stories.begin(plan, 1, at(0), 5);
        let mut outcome = |seconds| stories.repeat(plan, at(seconds), 9, &mut rng).map(|t| t.outcome);
        assert_eq!(outcome(3_000), Some(Outcome::Attached("short")));
        assert_eq!(outcome(4_000), Some(Outcome::linked("T", "long")));
        assert_eq!(outcome(7_000), Some(Outcome::Attached("short")), "the linked one is remembered, too");
        assert_eq!(outcome(7_600), None, "the second one's hour ends about now");
        assert_eq!(outcome(25_000), Some(Outcome::incident("T")));
    }

    #[test]
    fn a_story_with_an_end_is_told_that_often() {
        let again: &[Memory] = &[Memory { rule: "after", within_ms: HOUR, does: Does::LinkAndClose, type_name: Some("U") }];
        let plan = Plan::Story { first: Outcome::incident("T"), again, later: None, most: 2, single: false };
        let (mut stories, mut rng) = (Stories::default(), EventRng::new(1));
        stories.begin(plan, 1, at(0), 5);
        let closed = Outcome::Incident { type_name: "U", linked_by: Some("after"), closed_by: Some("after") };
        assert_eq!(stories.repeat(plan, at(60), 9, &mut rng).unwrap().outcome, closed);
        assert_eq!(stories.repeat(plan, at(61), 9, &mut rng), None);
    }

    #[test]
    fn the_list_is_bounded() {
        let mut stories = Stories::default();
        for number in 0..10_000 {
            stories.begin(PLAN, number, at(number as i64), 5);
        }
        assert_eq!(stories.live.len(), LIVE_STORIES_MAX);
        assert!(stories.repeat_number(PLAN, 9_999, at(10_000), 9).is_some());
        assert!(stories.repeat_number(PLAN, 1, at(10_000), 9).is_none());
    }
}
