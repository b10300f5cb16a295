//! What to generate: which products, how much, and how much of it goes wrong.

use super::pace::Pace;
use super::profile::Profile;
use super::profiles;
use super::rng::mix;

/// Where simulated time begins unless told otherwise: 2026-03-02 08:00:00 UTC, a
/// Monday morning. Fixed, so that runs repeat byte by byte.
pub const START_MS: i64 = 1_772_438_400_000;

/// Number of the first story. Above the crowd of the background (4,000), so that no story
/// shares its host or user with it.
pub const FIRST_STORY: u64 = 10_000;

/// Fastest simulated time (events per second).
const RATE_MAX: u32 = 1_000_000;
/// The same for all products together.
const RATE_OF_ALL_MAX: u32 = 500;
/// Events of all products that fit between a day ago and now at that rate.
const EVENTS_OF_ALL_MAX: u64 = 86_400 * RATE_OF_ALL_MAX as u64;

/// What to generate.
#[derive(Debug, Clone)]
pub struct GeneratorSpec {
    /// Same seed and spec, same bytes.
    pub seed: u64,
    /// Events to generate (dead letters count as one each).
    pub events: u64,
    /// Profiles and their weights.
    pub mix: Vec<(&'static Profile, u32)>,
    /// Time of the first record, milliseconds since the epoch.
    pub start_ms: i64,
    /// Events per second of simulated time.
    pub rate: u32,
    /// Share of messages (0 to 1) that are hostile: half dead letters, half odd but good.
    pub hostile_share: f64,
    /// Share of events (0 to 1) that tell a story; `None` = what each profile says.
    pub story_share: Option<f64>,
    /// Share of story events (0 to 1) that repeat a recent story.
    pub duplicate_share: f64,
    /// Share of events (0 to 1) that happened long before their record.
    pub late_share: f64,
    /// Share of new stories (0 to 1) that begin a burst of repeats.
    pub burst_share: f64,
    /// Messages become NDJSON lines: nothing that is empty or holds a line end.
    pub lines: bool,
    /// Number of the first story: runs on the same topics within one window must not share stories.
    pub first_story: u64,
}

impl GeneratorSpec {
    /// By name: `soc` is [`GeneratorSpec::soc`], a profile's name [`GeneratorSpec::plain`].
    pub fn named(name: &str, seed: u64, events: u64) -> Option<GeneratorSpec> {
        match name {
            "soc" => Some(GeneratorSpec::soc(seed, events)),
            _ => profiles::by_name(name).map(|profile| GeneratorSpec::plain(profile, seed, events)),
        }
    }

    /// A flood of one profile, nothing hostile or late: for benches and fixtures.
    pub fn plain(profile: &'static Profile, seed: u64, events: u64) -> GeneratorSpec {
        GeneratorSpec {
            seed,
            events,
            mix: vec![(profile, 1)],
            start_ms: START_MS,
            rate: 500,
            hostile_share: 0.0,
            story_share: None,
            duplicate_share: 0.3,
            late_share: 0.0,
            burst_share: 0.0,
            lines: true,
            first_story: FIRST_STORY,
        }
    }

    /// What `demo` streams: every product, with everything that goes wrong in real life.
    pub fn soc(seed: u64, events: u64) -> GeneratorSpec {
        GeneratorSpec {
            seed,
            events,
            mix: profiles::SOC_MIX.to_vec(),
            start_ms: START_MS,
            rate: 50,
            hostile_share: 0.002,
            story_share: None,
            duplicate_share: 0.6,
            late_share: 0.01,
            burst_share: 0.01,
            lines: false,
            first_story: FIRST_STORY,
        }
    }

    /// Events without end for a run on a real cluster at `pace`, of which about `events` are
    /// sent, beginning about `now_ms`. Records carry simulated times near to now: retention goes
    /// by them, and brokers refuse times far ahead.
    pub fn load(name: &str, seed: u64, pace: Pace, events: u64, now_ms: i64) -> Option<GeneratorSpec> {
        let spec = GeneratorSpec::named(name, seed, u64::MAX)?;
        let many = spec.mix.len() > 1;
        let wanted = match pace {
            Pace::PerSecond(rate) => rate.ceil(),
            Pace::Max => f64::from(RATE_MAX),
        };
        // The events of all products together have so few strangers' addresses that they would
        // recur within a window if more happened in it; so there it must not be as busy.
        let rate = wanted.clamp(1.0, f64::from(if many { RATE_OF_ALL_MAX } else { RATE_MAX })) as u32;
        let seconds = if many { events.min(EVENTS_OF_ALL_MAX) / u64::from(rate) } else { 0 };
        let begin = now_ms - seconds as i64 * 1000;
        // Runs on the same topics must not share stories, or their events would attach to older incidents.
        let first_story = FIRST_STORY + mix(seed) % 90_000 * 10_000_000;
        Some(GeneratorSpec { rate, start_ms: begin, lines: false, first_story, ..spec })
    }
}
