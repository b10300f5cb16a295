//! Index blocks: what a batch put into the index of one input partition, as bytes, so that the
//! index can be built again elsewhere. `docs/formats.md` describes the format.
//!
//! A block is a head (magic, version, length) and sections, each with a tag and a length. One
//! block stands for one batch and one partition; the value of a record may be several blocks one
//! after the other. Who reads takes every byte for hostile: a damaged block is an error, never a
//! panic, and memory asked for is in proportion to the bytes that are there.

mod read;
mod varint;
mod write;

pub use read::Block;
pub use write::encode;

use super::notes::Clocks;

/// First bytes of a block.
const MAGIC: [u8; 4] = *b"CTIX";
/// Format that this build writes. A reader refuses blocks of a higher major version, and skips
/// the sections that it does not know of a higher minor one.
pub const VERSION: (u8, u8) = (1, 0);
/// For proofs of rolling upgrades: this build writes blocks as one with this minor version
/// would, with a section that nobody knows.
pub const MINOR_VARIABLE: &str = "CATCHMENT_FORMAT_MINOR";

/// The minor version that is written. Read from the environment once.
fn minor() -> u8 {
    static MINOR: std::sync::OnceLock<u8> = std::sync::OnceLock::new();
    *MINOR.get_or_init(|| std::env::var(MINOR_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(VERSION.1))
}

/// Bytes before the sections: magic, version, length of the sections.
const HEAD_BYTES: usize = 10;
/// Bytes of a fingerprint: 112 bits.
const FINGERPRINT_BYTES: usize = 14;
/// Fewest bytes of an incident: offset, time, kind.
const INCIDENT_BYTES_MIN: usize = 3;

/// Tags of sections, in the order in which they stand.
mod tag {
    /// Whose block it is. Always there.
    pub const SOURCE: u8 = 1;
    /// The clocks of the shard after the batch. Missing if it has seen no row yet.
    pub const CLOCKS: u8 = 2;
    /// What was remembered. Missing if that is nothing.
    pub const INCIDENTS: u8 = 3;
    /// The ledger of the batch, opaque here. Missing if empty.
    pub const LEDGER: u8 = 4;
    /// See [`MINOR_VARIABLE`](super::MINOR_VARIABLE).
    pub const OF_THE_FUTURE: u8 = 250;
}

/// Flag of INCIDENTS: each incident has its number among all of the shard.
const ORDERED: u8 = 1;
/// Bits of an incident's kind below the number of its fingerprints.
mod kind {
    /// It has values for `where`.
    pub const VALUES: u64 = 1;
    /// Its element is not 0, and given.
    pub const ELEMENT: u64 = 2;
    /// How far the number of fingerprints is shifted.
    pub const SHIFT: u32 = 2;
}

/// Whose block it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The pipeline's name.
    pub pipeline: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The input topic: its id, or its name where the broker has no ids.
    pub topic: &'a str,
    /// The input partition.
    pub partition: i32,
    /// First offset of the input that the block covers.
    pub from: i64,
    /// The offset behind the last one.
    pub to: i64,
}

/// Why bytes could not be read as a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// They do not begin as a block does.
    #[error("this is not an index block: somebody else wrote to the index topic, or another topic was read")]
    NotABlock,
    /// A newer build wrote it.
    #[error(
        "the index block has format {}.{}, this build reads up to {}.x: a newer catchment wrote it. Run that version here too, or let the index start empty",
        found.0, found.1, known.0
    )]
    TooNew {
        /// Major and minor version of the block.
        found: (u8, u8),
        /// Highest version that is read here.
        known: (u8, u8),
    },
    /// Bytes are missing or make no sense.
    #[error("the index block is damaged ({what}): its record was cut or changed after it was written")]
    Damaged {
        /// What made no sense.
        what: &'static str,
    },
}
