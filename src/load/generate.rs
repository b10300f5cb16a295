//! The generator: draws what happens next, renders it, and says what must become of it.

use super::event::{Message, Outcome};
use super::hostile;
use super::profile::{Compiled, Kind, Plan, Profile, Wrap};
use super::render::{Renderer, Subject};
use super::rng::{Draw, EventRng};
use super::spec::GeneratorSpec;
use super::story::{Stories, Told, When};
use super::template::TemplateError;

/// Hosts and people the background draws from: enough for keys to spread over
/// partitions, few enough for them to recur.
const CROWD: u64 = 4_000;
/// Largest distance between an event and its record (milliseconds).
const LAG_MAX_MS: u64 = 1_500;
/// Late events lie this far back (milliseconds): from ten minutes to three days, on
/// both sides of the pipeline's `late_max` of an hour.
const LATE_MS: [(u64, u64); 2] = [(600_000, 3_000_000), (4_000_000, 259_200_000)];
/// Events of a burst.
const BURST_EVENTS: (u64, u64) = (20, 300);
/// While a burst lasts, it makes up this share of the flood.
const BURST_INTENSITY: f64 = 0.4;
/// One in so many messages of a `Records` product is an empty list.
const EMPTY_RECORDS_EVERY: u64 = 500;
/// Of the hostile messages, the share that is only odd and must be read.
const ODD_SHARE: f64 = 0.5;
/// Cloud accounts of the background; every story has one of its own.
const ACCOUNTS: u64 = 24;

/// One profile, ready to be drawn from.
#[derive(Debug)]
struct Source {
    profile: &'static Profile,
    kinds: Vec<Compiled>,
    stories: Vec<Stories>,
    noise: Weights,
    told: Weights,
}

/// Weighted choice: cumulative weights and what they choose.
#[derive(Debug, Default)]
struct Weights {
    sums: Vec<u64>,
    chosen: Vec<usize>,
}

impl Weights {
    fn push(&mut self, weight: u32, choice: usize) {
        if weight > 0 {
            self.sums.push(self.total() + u64::from(weight));
            self.chosen.push(choice);
        }
    }

    fn total(&self) -> u64 {
        self.sums.last().copied().unwrap_or(0)
    }

    fn draw(&self, draw: &mut impl Draw) -> Option<usize> {
        let at = draw.below(self.total());
        self.chosen.get(self.sums.partition_point(|sum| *sum <= at)).copied()
    }
}

#[derive(Debug, Clone, Copy)]
struct Burst {
    source: usize,
    kind: usize,
    number: u64,
    left: u64,
}

/// What the next event is.
#[derive(Debug, Clone, Copy)]
struct Next {
    kind: usize,
    told: Told,
    when: When,
    /// The cloud account it is about.
    account: u64,
}

/// Hands out messages, one after the other.
#[derive(Debug)]
pub struct Generator {
    spec: GeneratorSpec,
    rng: EventRng,
    renderer: Renderer,
    sources: Vec<Source>,
    mix: Weights,
    made: u64,
    /// Number of the event that is drawn next; ahead of `made` within a message.
    event: u64,
    next_story: u64,
    burst: Option<Burst>,
    pace: Pace,
}

/// How simulated time goes on: `rate` events per second since event `from`, which was at `at_ms`.
#[derive(Debug, Clone, Copy)]
struct Pace {
    from: u64,
    at_ms: i64,
    rate: u32,
}

impl Generator {
    /// Compiles the profiles of the mix. An error is a mistake in a profile of ours.
    pub fn new(spec: GeneratorSpec) -> Result<Generator, TemplateError> {
        let mut sources = Vec::with_capacity(spec.mix.len());
        let mut mix = Weights::default();
        for (at, (profile, weight)) in spec.mix.iter().enumerate() {
            let kinds = profile.compile()?;
            let (mut noise, mut told) = (Weights::default(), Weights::default());
            for (number, Compiled { kind, .. }) in kinds.iter().enumerate() {
                match kind.plan {
                    Plan::Noise(_) => noise.push(kind.weight, number),
                    Plan::Story { .. } => told.push(kind.weight, number),
                }
            }
            let stories = kinds.iter().map(|_| Stories::default()).collect();
            sources.push(Source { profile, kinds, stories, noise, told });
            mix.push(*weight, at);
        }
        let rng = EventRng::new(spec.seed);
        let pace = Pace { from: 0, at_ms: spec.start_ms, rate: spec.rate };
        let next_story = spec.first_story;
        Ok(Generator { spec, rng, renderer: Renderer::default(), sources, mix, made: 0, event: 0, next_story, burst: None, pace })
    }

    /// From the next event on, simulated time goes on with so many events per second, and
    /// is not before `not_before_ms`. It never goes back: answers rest on that.
    pub fn pace(&mut self, rate: u32, not_before_ms: i64) {
        self.pace = Pace { from: self.made, at_ms: self.now().max(not_before_ms), rate };
    }

    /// Events handed out so far.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Fills in the next message. False when all events are made (or the mix holds
    /// nothing to make); the message is then empty.
    pub fn next(&mut self, message: &mut Message) -> bool {
        message.clear();
        if self.made >= self.spec.events {
            return false;
        }
        message.timestamp_ms = self.now();
        self.event = self.made;
        let burst = self.take_burst();
        let source = match burst {
            Some(burst) => burst.source,
            None => match self.mix.draw(&mut self.rng) {
                Some(source) => source,
                None => return false,
            },
        };
        let Some(profile) = self.sources.get(source).map(|s| s.profile) else { return false };
        message.profile = profile.name;
        message.topic = profile.topic;
        match profile.wrap {
            Wrap::One => {
                self.one(source, burst, message);
                if burst.is_none() && self.rng.chance(self.spec.hostile_share) {
                    self.make_hostile(source, profile, message);
                }
            }
            Wrap::Records(most) => {
                self.records(source, burst, most, message);
                if burst.is_none() && self.rng.chance(self.spec.hostile_share) {
                    self.poison(message);
                }
            }
        }
        self.made += message.outcomes.len() as u64;
        // Empty payloads are made on purpose, and have an answer.
        !(message.payload.is_empty() && message.outcomes.is_empty())
    }

    /// The record time of the next event.
    fn now(&self) -> i64 {
        self.pace.at_ms + ((self.made - self.pace.from) * 1000 / u64::from(self.pace.rate.max(1))) as i64
    }

    fn take_burst(&mut self) -> Option<Burst> {
        let burst = self.burst.as_mut()?;
        if !self.rng.chance(BURST_INTENSITY) {
            return None;
        }
        burst.left = burst.left.saturating_sub(1);
        let burst = *burst;
        if burst.left == 0 {
            self.burst = None;
        }
        Some(burst)
    }

    fn one(&mut self, source: usize, burst: Option<Burst>, message: &mut Message) {
        if let Some(next) = self.draw(source, burst) {
            self.render(source, next, true, message);
        }
    }

    fn records(&mut self, source: usize, burst: Option<Burst>, most: u32, message: &mut Message) {
        let Some(first) = self.draw(source, burst) else { return };
        message.payload.extend_from_slice(b"{\"Records\":[");
        let from = message.payload.len();
        self.render(source, first, true, message);
        if matches!(first.told.outcome, Outcome::Filtered(_)) && self.rng.below(EMPTY_RECORDS_EVERY) == 0 {
            // The key tells the account; the message tells nothing.
            message.payload.truncate(from);
            message.outcomes.clear();
            message.groups.clear();
        } else {
            let left = self.spec.events - self.made - 1;
            // A burst that cannot be told now gave way to background of another account.
            let burst = burst.filter(|burst| first.told.again && first.told.number == burst.number);
            for _ in 0..self.rng.below(u64::from(most)).min(left) {
                let next = match burst {
                    Some(burst) => self.burst_event(burst),
                    None => self.background(source, Some(first.account)),
                };
                let Some(next) = next else { break };
                message.payload.push(b',');
                self.render(source, next, false, message);
            }
        }
        message.payload.extend_from_slice(b"]}");
    }

    /// Draws the next event of a source: a burst's, a story's or background.
    fn draw(&mut self, source: usize, burst: Option<Burst>) -> Option<Next> {
        if let Some(next) = burst.and_then(|burst| self.burst_event(burst)) {
            return Some(next);
        }
        let share = self.spec.story_share.unwrap_or(self.sources.get(source)?.profile.story_share);
        let story = if self.rng.chance(share) { self.story(source) } else { None };
        story.or_else(|| self.background(source, None)).or_else(|| self.story(source))
    }

    /// An event whose answer does not depend on what came before.
    fn background(&mut self, source: usize, account: Option<u64>) -> Option<Next> {
        let when = self.when();
        let from = self.sources.get(source)?;
        let kind = from.noise.draw(&mut self.rng)?;
        let Kind { plan: Plan::Noise(outcome), .. } = from.kinds.get(kind)?.kind else { return None };
        // The smaller of two draws: a few hosts are busy, most are not.
        let number = self.rng.below(CROWD).min(self.rng.below(CROWD));
        let account = account.unwrap_or(number % ACCOUNTS);
        let group = matches!(outcome, Outcome::Incident { .. }).then_some(self.event);
        Some(Next { kind, told: Told { number, outcome, again: false, group }, when, account })
    }

    /// An event of a story: a repeat, or the first of a new one.
    fn story(&mut self, source: usize) -> Option<Next> {
        let (when, event) = (self.when(), self.event);
        let from = self.sources.get_mut(source)?;
        let kind = from.told.draw(&mut self.rng)?;
        let plan = from.kinds.get(kind)?.kind.plan;
        let Plan::Story { again, single, .. } = plan else { return None };
        let stories = from.stories.get_mut(kind)?;
        if (single && !stories.is_empty()) || self.rng.chance(self.spec.duplicate_share) {
            let told = stories.repeat(plan, when, event, &mut self.rng);
            if let Some(told) = told {
                return Some(Next { kind, told, when, account: told.number });
            }
            if single && !stories.is_empty() {
                return None;
            }
        }
        let number = self.next_story;
        self.next_story += 1;
        let told = stories.begin(plan, number, when, event);
        if !again.is_empty() && self.burst.is_none() && self.rng.chance(self.spec.burst_share) {
            let left = self.rng.between(BURST_EVENTS.0, BURST_EVENTS.1);
            self.burst = Some(Burst { source, kind, number, left });
        }
        Some(Next { kind, told, when, account: number })
    }

    fn burst_event(&mut self, burst: Burst) -> Option<Next> {
        let (when, event) = (self.when(), self.event);
        let source = self.sources.get_mut(burst.source)?;
        let plan = source.kinds.get(burst.kind)?.kind.plan;
        let told = source.stories.get_mut(burst.kind)?.repeat_number(plan, burst.number, when, event)?;
        Some(Next { kind: burst.kind, told, when, account: told.number })
    }

    /// When the next event happened and is recorded.
    fn when(&mut self) -> When {
        let record_ms = self.now();
        let lag = if self.rng.chance(self.spec.late_share) {
            let (low, high) = LATE_MS[self.rng.below(2) as usize];
            self.rng.between(low, high)
        } else {
            self.rng.below(LAG_MAX_MS)
        };
        When { occurred_ms: record_ms - lag as i64, record_ms }
    }

    fn render(&mut self, source: usize, next: Next, key: bool, message: &mut Message) {
        let Some(compiled) = self.sources.get(source).and_then(|s| s.kinds.get(next.kind)) else { return };
        let shape = match &compiled.later {
            Some(later) if next.told.again => later,
            _ => &compiled.event,
        };
        let subject = Subject { story: next.told.number, account: next.account, occurred_ms: next.when.occurred_ms };
        self.renderer.event(&shape.event, subject, &mut self.rng, &mut message.payload);
        if key {
            self.renderer.companion(&shape.key, subject, &mut self.rng, &mut message.key);
            message.kind = compiled.kind.name;
        }
        message.outcomes.push(next.told.outcome);
        message.groups.push(next.told.group);
        self.event += 1;
    }

    fn make_hostile(&mut self, source: usize, profile: &'static Profile, message: &mut Message) {
        if !self.rng.chance(ODD_SHARE) {
            self.poison(message);
        } else if self.rng.below(4) == 0 && self.made + 4 <= self.spec.events {
            // Several objects in one message. Same key: the later ones are background,
            // whose answer does not depend on their partition.
            for _ in 0..self.rng.between(1, 3) {
                if self.rng.below(2) == 0 {
                    message.payload.push(b' ');
                }
                let Some(next) = self.background(source, None) else { return };
                self.render(source, next, false, message);
            }
        } else {
            hostile::twist(&mut message.payload, profile.reads, &mut self.rng);
        }
    }

    fn poison(&mut self, message: &mut Message) {
        // A spoilt message must not take a story's first event with it: its repeats
        // would wait for an incident that never came. Repeats and background may go.
        let safe = message.outcomes.iter().all(|o| !matches!(o, Outcome::Incident { .. }));
        if !safe || message.outcomes.is_empty() {
            return;
        }
        let outcome = hostile::poison(&mut message.payload, self.spec.lines, &mut self.rng);
        message.outcomes.clear();
        message.outcomes.push(outcome);
        message.groups.clear();
        message.groups.push(None);
    }
}
