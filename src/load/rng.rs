//! Random numbers that stay the same: ChaCha8 words turned into ranges by our own
//! arithmetic, so that a seed gives the same bytes with every version of `rand`.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// Where an operation of a template gets its randomness from.
pub trait Draw {
    /// The next 64 random bits.
    fn bits(&mut self) -> u64;

    /// A number in `0..n` (0 when `n` is 0).
    fn below(&mut self, n: u64) -> u64 {
        // Multiply and shift: the bias is below n / 2^64.
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// A number in `low..=high` (`low` when the range is empty).
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True in `share` of the cases; `share` from 0.0 to 1.0.
    fn chance(&mut self, share: f64) -> bool {
        // 53 bits are what a f64 holds exactly.
        ((self.bits() >> 11) as f64) < share * (1u64 << 53) as f64
    }
}

/// The generator's stream: one per run, read once per decision and per random field.
#[derive(Debug, Clone)]
pub struct EventRng(ChaCha8Rng);

impl EventRng {
    /// The stream of a seed.
    pub fn new(seed: u64) -> EventRng {
        EventRng(ChaCha8Rng::seed_from_u64(seed))
    }
}

impl Draw for EventRng {
    fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// The stream of one story: cheap to start anew for every field, so that each
/// event of a story draws the same values in the same places.
#[derive(Debug, Clone, Copy)]
pub struct StoryRng(u64);

impl StoryRng {
    /// The stream of a place (`salt`) in the story `number`.
    pub fn new(number: u64, salt: u64) -> StoryRng {
        StoryRng(mix(number ^ mix(salt ^ 0x5851_f42d_4c95_7f2d)))
    }
}

impl Draw for StoryRng {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

/// SplitMix64's finaliser: every bit of the input reaches every bit of the output.
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut rng = EventRng::new(1);
        let first: Vec<u64> = (0..3).map(|_| rng.below(1_000_000)).collect();
        assert_eq!(first, PINNED, "a changed stream changes every fixture and every recorded answer");
    }

    const PINNED: [u64; 3] = [402_485, 80_383, 596_560];

    #[test]
    fn ranges_hold() {
        let mut rng = EventRng::new(7);
        for _ in 0..10_000 {
            assert!((3..=9).contains(&rng.between(3, 9)));
        }
        assert_eq!(rng.between(5, 5), 5);
        assert_eq!(rng.below(0), 0);
        let hits = (0..100_000).filter(|_| rng.chance(0.25)).count();
        assert!((24_000..26_000).contains(&hits), "{hits}");
        assert!(!rng.chance(0.0));
        assert!(rng.chance(1.0));
    }
}
