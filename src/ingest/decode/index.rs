//! The structural index: one SIMD pass that turns a message into a dense list of tokens.
//!
//! A token is an operator (`{ } [ ] : ,`), the opening quote of a string or the first byte of a
//! primitive. Kinds (the byte itself; `0` for any primitive) and positions are stored in two arrays, so that the
//! walk reads the grammar from consecutive bytes, whatever the white space and however long the texts.
//! The same pass finds control characters in strings, bad escapes, unclosed strings and bytes
//! that are not UTF-8; whatever it accepts, the walk must still check for grammar.

use super::block::{Block, Portable};
use super::reject::{Reject, RejectReason};

/// Zero kinds after the last token: the walk may look a few tokens ahead of one that it has seen
/// without a bounds check.
pub(super) const SENTINELS: usize = 8;

/// The kind of all primitives, whatever they start with.
pub(super) const PRIMITIVE: u8 = b'0';

/// Tokens whose memory is kept from message to message (5 bytes each). One hostile message may need 64 times
/// as much for a moment.
pub const INDEX_TOKENS_KEPT: usize = 1 << 20;

/// Which instructions build the index. All levels give the same tokens; only those that this machine can run
/// are ever made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Level(pub(super) Instructions);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Instructions {
    /// Any machine.
    Portable,
    /// x86-64 with AVX2 and carry-less multiplication.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// x86-64 with AVX-512 BW and VBMI2 (Ice Lake and later).
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// Runs everywhere.
    pub const PORTABLE: Level = Level(Instructions::Portable);

    /// The levels that this machine can run, the slowest first.
    pub fn available() -> Vec<Level> {
        #[allow(unused_mut)]
        let mut levels = vec![Level::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        {
            if super::x86::has_avx2() {
                levels.push(Level(Instructions::Avx2));
            }
            if super::x86::has_avx512() {
                levels.push(Level(Instructions::Avx512));
            }
        }
        levels
    }

    /// The fastest level that this machine can run.
    pub fn detect() -> Level {
        Level::available().last().copied().unwrap_or(Level::PORTABLE)
    }
}

/// The tokens of one message. Reused from message to message.
#[derive(Debug, Default)]
pub struct Index {
    /// Token kinds; `count` of them, then [`SENTINELS`] zeros, then rubbish.
    kinds: Vec<u8>,
    /// Byte offset in the arena of each token; same length as `kinds`. Sentinels hold the end of the message.
    positions: Vec<u32>,
    /// Backslashes, one bit a byte, from the start of the message.
    escapes: Vec<u64>,
    count: usize,
    has_escapes: bool,
    /// The message before had control characters, so this one probably has, too: line ends of indented JSON.
    had_control: bool,
}

impl Index {
    /// Indexes `arena[start..end]`; `end - start` must be at most [`super::slot::SLOT_LEN_MAX`] and `end` fit 32 bits.
    /// Fails on what only bytes can tell: UTF-8, control characters and escapes in strings, an unclosed string.
    pub fn build(&mut self, level: Level, arena: &[u8], start: usize, end: usize) -> Result<(), Reject> {
        let text = arena.get(start..end).unwrap_or_default();
        // SAFETY: a level exists only if `Level::available` found its features on this machine.
        unsafe {
            match level.0 {
                Instructions::Portable => self.build_by::<Portable>(text, start as u32),
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx2 => super::x86::build_avx2(self, text, start as u32),
                #[cfg(target_arch = "x86_64")]
                Instructions::Avx512 => super::x86::build_avx512(self, text, start as u32),
            }
        }
    }

    /// [`Index::build`] of `text`, which starts at arena offset `base`.
    ///
    /// # Safety
    /// The CPU must have the features that `B` needs.
    #[inline(always)]
    pub(super) unsafe fn build_by<B: Block>(&mut self, text: &[u8], base: u32) -> Result<(), Reject> {
        self.prepare(text.len());
        // SAFETY: passed on to the caller, here and below.
        let mut seen = if self.had_control { unsafe { scan::<B, true>(text, base, self) } } else { unsafe { scan::<B, false>(text, base, self) } };
        if seen.control && !self.had_control {
            seen = unsafe { scan::<B, true>(text, base, self) };
        }
        self.had_control = seen.control;
        if seen.ascii && !seen.fault { Ok(()) } else { look_again(text, seen) }
    }

    /// Kinds of all tokens and the sentinels.
    #[inline(always)]
    pub fn kinds(&self) -> &[u8] {
        self.kinds.get(..self.count + SENTINELS).unwrap_or_default()
    }

    /// Arena offsets of all tokens and the sentinels.
    #[inline(always)]
    pub fn positions(&self) -> &[u32] {
        self.positions.get(..self.count + SENTINELS).unwrap_or_default()
    }

    /// How many tokens there are.
    #[inline(always)]
    pub fn count(&self) -> usize {
        self.count
    }

    /// One bit a byte of the message: backslashes.
    #[inline(always)]
    pub(super) fn escapes(&self) -> &[u64] {
        &self.escapes
    }

    /// True when the message has any backslash.
    #[inline(always)]
    pub(super) fn has_escapes(&self) -> bool {
        self.has_escapes
    }

    #[inline(always)]
    fn prepare(&mut self, len: usize) {
        // One word more than there are blocks: ranges are tested by two words at a time.
        let words = len / 64 + 2;
        if self.escapes.len() < words {
            self.escapes.resize(words, 0);
        }
        if self.kinds.len() > INDEX_TOKENS_KEPT + 64 && len < INDEX_TOKENS_KEPT {
            self.kinds = Vec::new();
            self.positions = Vec::new();
            self.escapes = vec![0; words];
        }
    }

    /// Makes room for the tokens of one more block and the sentinels, `count` being in use.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, count: usize) {
        let len = (count + 64 + SENTINELS).max(512).next_power_of_two();
        self.kinds.resize(len, 0);
        self.positions.resize(len, 0);
    }
}

/// What a scan noticed besides tokens.
#[derive(Debug, Clone, Copy)]
struct Seen {
    ascii: bool,
    /// There were control characters; only a scan that looks for them tells whether in strings.
    control: bool,
    fault: bool,
}

/// A scan under way: what goes from block to block.
struct Scan<B: Block> {
    count: usize,
    /// 1 when the next byte is escaped.
    escaped: u64,
    /// All ones when the next byte is in a string.
    string: u64,
    /// 1 when the byte before was part of a primitive.
    scalar: u64,
    fault: u64,
    backslashes: u64,
    range: B::Range,
}

/// The pass over the bytes, for any kind of block. Control characters in strings are looked for only on request:
/// nearly all messages have no control characters at all.
///
/// # Safety
/// The CPU must have the features that `B` needs.
#[inline(always)]
unsafe fn scan<B: Block, const CONTROL: bool>(text: &[u8], base: u32, index: &mut Index) -> Seen {
    let mut scan = Scan::<B> { count: 0, escaped: 0, string: 0, scalar: 0, fault: 0, backslashes: 0, range: B::NO_BYTES };
    let mut at = 0;
    while at + 64 <= text.len() {
        // SAFETY: 64 bytes from `at` on are in the text; the features are the caller's promise.
        let block = unsafe { B::load(text.as_ptr().add(at)) };
        scan.step::<CONTROL>(block, text, at, base, index);
        at += 64;
    }
    if at < text.len() {
        // SAFETY: as above, for the bytes that are left.
        let block = unsafe { B::load_part(text.as_ptr().add(at), text.len() - at) };
        scan.step::<CONTROL>(block, text, at, base, index);
    }

    let count = scan.count;
    if count + SENTINELS > index.kinds.len() {
        index.grow(count);
    }
    if let (Some(kinds), Some(positions)) = (index.kinds.get_mut(count..count + SENTINELS), index.positions.get_mut(count..count + SENTINELS)) {
        kinds.fill(0);
        positions.fill(base + text.len() as u32);
    }
    index.count = count;
    index.has_escapes = scan.backslashes != 0;
    // An escape may not be the last byte, nor a string stay open.
    let fault = scan.fault | scan.string | scan.escaped;
    Seen { ascii: B::is_ascii(scan.range), control: B::has_control(scan.range), fault: fault != 0 }
}

impl<B: Block> Scan<B> {
    /// One block, which starts at byte `at` of the text.
    #[inline(always)]
    fn step<const CONTROL: bool>(&mut self, block: B, text: &[u8], at: usize, base: u32, index: &mut Index) {
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        let count = self.count;
        if count + 64 + SENTINELS > index.kinds.len() {
            index.grow(count);
        }
        block.add_to(&mut self.range);

        // Which bytes are escaped: those after an odd run of backslashes. The subtraction carries along each run;
        // see "Escape characters" in simdjson's json_escape_scanner.
        let backslash = block.backslashes();
        let escaped = if backslash | self.escaped == 0 {
            0
        } else {
            let potential = backslash & !self.escaped;
            let code = ((potential << 1 | ODD).wrapping_sub(potential)) ^ ODD;
            let escaped = code ^ (backslash | self.escaped);
            self.escaped = (code & backslash) >> 63;
            self.fault |= escaped & !block.escapable();
            let mut hex = escaped & block.letters_u();
            while hex != 0 {
                self.fault |= u64::from(!is_hex4(text, at + hex.trailing_zeros() as usize + 1));
                hex &= hex - 1;
            }
            escaped
        };
        if let Some(word) = index.escapes.get_mut(at / 64) {
            *word = backslash;
        }
        self.backslashes |= backslash;

        // In strings: from an opening quote up to, not including, the closing one.
        let any_quote = block.quotes();
        let quote = any_quote & !escaped;
        let string = B::prefix_xor(quote) ^ self.string;
        self.string = ((string as i64) >> 63) as u64;
        if CONTROL {
            self.fault |= block.control() & string;
        }

        let (operator, space) = (block.operators(), block.spaces());
        let scalar = !(operator | space | string | quote);
        let first = scalar & !(scalar << 1 | self.scalar);
        self.scalar = scalar >> 63;
        let tokens = operator & !string | quote & string | first;
        // SAFETY: there is room for 64 more tokens and the sentinels, see `grow`.
        unsafe {
            let kinds = index.kinds.as_mut_ptr().add(count);
            let positions = index.positions.as_mut_ptr().add(count);
            // Of tokens, all that are not operators or quotes are primitives.
            block.store(tokens, operator | any_quote, base + at as u32, kinds, positions);
        }
        self.count = count + tokens.count_ones() as usize;
    }
}

/// What is left to find out about a text with bytes that are not ASCII, or with a fault.
#[inline(never)]
fn look_again(text: &[u8], seen: Seen) -> Result<(), Reject> {
    if !seen.ascii && simdutf8::basic::from_utf8(text).is_err() {
        let at = std::str::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len);
        return Err(Reject { reason: RejectReason::NotUtf8, at: at as u32 });
    }
    if seen.fault { Err(locate(text)) } else { Ok(()) }
}

#[inline]
fn is_hex4(text: &[u8], at: usize) -> bool {
    text.get(at..at + 4).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// Finds the first fault of a text in which the index has noticed one.
#[cold]
fn locate(text: &[u8]) -> Reject {
    let mut in_string = false;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' => {
                let ok = match text.get(at + 1) {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => true,
                    Some(b'u') => is_hex4(text, at + 2),
                    _ => false,
                };
                if !in_string || !ok {
                    return Reject { reason: RejectReason::Syntax, at: at as u32 };
                }
                at += 1;
            }
            0..0x20 if in_string => return Reject { reason: RejectReason::ControlCharacter, at: at as u32 },
            _ => {}
        }
        at += 1;
    }
    Reject { reason: RejectReason::Syntax, at: text.len() as u32 }
}
