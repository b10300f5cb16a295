//! From messages to rows: JSON is checked completely, and only what the pipeline reads is recorded.
//!
//! 1. [`index`]: one pass of SIMD code turns a message into tokens. It checks UTF-8, control characters in strings, escapes,
//!    and that strings end.
//! 2. `form`: if the tokens and the keys that matter are those of an event seen before, the grammar is known to be good and all values
//!    are where they were; only literals and numbers are checked.
//! 3. `walk` (and `skip`, for what nobody reads): otherwise the whole grammar is checked token by token, and one
//!    [`Slot`] per path is filled.
//! 4. `resolve`: if a key that leads on came twice in one object, paths are looked up anew, slowly.
//!
//! A message that breaks any rule of RFC 8259 is rejected as a whole and changes nothing else.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod block;
mod column;
mod form;
pub mod index;
mod key;
mod primitive;
mod reject;
mod resolve;
mod rows;
mod shape;
mod skip;
mod slot;
mod text;
mod tokens;
mod walk;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;
use std::sync::Arc;

pub use column::{Cursor, SlotColumn};
use form::Forms;
pub use form::{FORM_KEY_BYTES_MAX, FORM_TOKENS_MAX};
use index::Instructions;
pub use index::{INDEX_TOKENS_KEPT, Index, Level};
pub use reject::{Reject, RejectReason};
pub use rows::Rows;
pub use shape::{FLAT_STEPS_MAX, NO_TOP_KEY, Shape, ShapeOptions};
pub use slot::{Kind, SLOT_LEN_MAX, Slot};
pub use text::unescape;
use tokens::{Fault, Tokens};
use walk::{Found, Walk};

/// Bytes that must follow a message in the arena, so that loads may run over its end.
pub const PADDING: usize = 64;

/// Deepest nesting that can be allowed, in levels of containers: the walk keeps the open ones in 128 bits.
pub const DEPTH_MAX: u32 = 128;

/// Most bytes of one message that can be allowed: one less than 64 MiB, what a [`Slot`] can point at.
pub const MESSAGE_BYTES_MAX: usize = SLOT_LEN_MAX;

/// Most events of one message that can be allowed: element numbers have 16 bits.
pub const ELEMENTS_MAX: u32 = u16::MAX as u32;

/// What a message may be. Values above the `_MAX` constants count as these.
#[derive(Debug, Clone, Copy)]
pub struct DecodeLimits {
    /// Levels of nested containers, the event's own included.
    pub depth: u32,
    /// Bytes of a message.
    pub message_bytes: usize,
    /// Events of a message.
    pub elements: u32,
}

impl Default for DecodeLimits {
    fn default() -> DecodeLimits {
        DecodeLimits { depth: DEPTH_MAX, message_bytes: MESSAGE_BYTES_MAX, elements: ELEMENTS_MAX }
    }
}

/// Decodes messages of one shape. Holds scratch memory only; no state goes from one message to the next.
#[derive(Debug)]
pub struct Decoder {
    shape: Arc<Shape>,
    limits: DecodeLimits,
    level: Level,
    index: Index,
    found: Found,
    forms: Option<Forms>,
    padded: Vec<u8>,
}

impl Decoder {
    /// A decoder that uses the fastest instructions this machine has.
    pub fn new(shape: Arc<Shape>, limits: DecodeLimits) -> Decoder {
        Decoder::with_level(shape, limits, Level::detect())
    }

    /// A decoder that uses the given instructions, for tests and benches. `level` must be one of [`Level::available`].
    pub fn with_level(shape: Arc<Shape>, limits: DecodeLimits, level: Level) -> Decoder {
        let limits = DecodeLimits {
            depth: limits.depth.min(DEPTH_MAX),
            message_bytes: limits.message_bytes.min(MESSAGE_BYTES_MAX),
            elements: limits.elements.min(ELEMENTS_MAX),
        };
        let found = Found::new(&shape);
        Decoder { shape, limits, level, index: Index::default(), found, forms: Some(Forms::new()), padded: Vec::new() }
    }

    /// Walks every event from now on, also those of a form that is known: for tests and benches of the walk.
    pub fn without_forms(mut self) -> Decoder {
        self.forms = None;
        self
    }

    /// The shape that this decoder fills rows for.
    pub fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// Appends the events of the message at `arena[range]` to `rows` and returns how many they are; `message` is what to
    /// note in [`Rows::messages`]. On error nothing is appended.
    ///
    /// At least [`PADDING`] bytes should follow the message in the arena (whatever they are); without them
    /// the message is copied first, which is slow. Slots hold 32-bit offsets: the arena must be below 4 GiB.
    pub fn decode(&mut self, arena: &[u8], range: Range<usize>, message: u32, rows: &mut Rows) -> Result<u32, Reject> {
        let before = rows.len();
        if rows.columns.len() != self.shape.path_count() {
            rows.columns.resize_with(self.shape.path_count(), SlotColumn::default);
        }
        let result = if range.end.checked_add(PADDING).is_some_and(|end| end <= arena.len()) {
            self.message(arena, range, message, rows)
        } else {
            self.unpadded(arena, range, message, rows)
        };
        if result.is_err() {
            rows.truncate(before);
        }
        result
    }

    #[cold]
    fn unpadded(&mut self, arena: &[u8], range: Range<usize>, message: u32, rows: &mut Rows) -> Result<u32, Reject> {
        let mut padded = std::mem::take(&mut self.padded);
        padded.clear();
        padded.extend_from_slice(arena.get(..range.end).unwrap_or_default());
        padded.extend_from_slice(&[0; PADDING]);
        // A range that is not in the arena holds nothing.
        let range = if range.end <= arena.len() { range } else { 0..0 };
        let result = self.message(&padded, range, message, rows);
        self.padded = padded;
        result
    }

    #[inline(always)]
    fn message(&mut self, arena: &[u8], range: Range<usize>, message: u32, rows: &mut Rows) -> Result<u32, Reject> {
        let Range { mut start, end } = range;
        if start >= end {
            return Err(Reject { reason: RejectReason::Empty, at: 0 });
        }
        if end - start > self.limits.message_bytes || end > u32::MAX as usize {
            return Err(Reject { reason: RejectReason::TooLarge, at: self.limits.message_bytes as u32 });
        }
        // A byte order mark is not JSON, but harmless.
        if arena.get(start..end).is_some_and(|text| text.starts_with(b"\xef\xbb\xbf")) {
            start += 3;
        }
        let shift = (start - range.start) as u32;
        self.events(arena, start, end, message, rows).map_err(|reject| Reject { reason: reject.reason, at: reject.at + shift })
    }

    /// The events of `arena[start..end]`. What follows the index is compiled twice too: bit manipulation instructions help.
    #[inline(always)]
    fn events(&mut self, arena: &[u8], start: usize, end: usize, message: u32, rows: &mut Rows) -> Result<u32, Reject> {
        self.index.build(self.level, arena, start, end)?;
        match self.level.0 {
            Instructions::Portable => self.indexed(arena, start, message, rows),
            // SAFETY: a level exists only if `Level::available` found its features on this machine.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 | Instructions::Avx512 => unsafe { self.indexed_bmi(arena, start, message, rows) },
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,popcnt")]
    fn indexed_bmi(&mut self, arena: &[u8], start: usize, message: u32, rows: &mut Rows) -> Result<u32, Reject> {
        self.indexed(arena, start, message, rows)
    }

    /// The events of the message that starts at `start` and is in the index.
    #[inline(always)]
    fn indexed(&mut self, arena: &[u8], start: usize, message: u32, rows: &mut Rows) -> Result<u32, Reject> {
        let tokens = Tokens::new(&self.index, arena, start as u32);
        let count = tokens.count();
        if count == 0 {
            return Err(Reject { reason: RejectReason::Empty, at: 0 });
        }
        let mut forms = self.forms.as_mut();
        // Nearly always a message is one event of a known form.
        let mut missed = None;
        if self.shape.options.explode.is_none()
            && let Some(forms) = &mut forms
            && let Some(hash) = Forms::hash(&tokens)
        {
            if forms.fill(hash, &tokens, rows) {
                rows.end_row(tokens.container_slot(0, count), message, 0, self.shape.options.top_level);
                return Ok(1);
            }
            missed = Some(hash);
        }
        let (walk, found, limits) = (Walk { tokens, shape: &self.shape }, &mut self.found, self.limits);
        let mut cut = Cut { walk, found, forms, missed, rows, start, message, elements: 0, limits };
        let mut i = 0;
        while i < count {
            if tokens.kind(i) != b'{' {
                return Err(not_an_event(&tokens, i, self.limits.depth, start));
            }
            let end = if i == 0 { count } else { tokens.checked_end(i) };
            i = match &self.shape.options.explode {
                None => cut.event(i, end)?,
                Some(path) => cut.explode(i, path.steps())?,
            };
        }
        Ok(cut.elements)
    }
}

/// Cutting one message into events.
struct Cut<'a> {
    walk: Walk<'a>,
    found: &'a mut Found,
    forms: Option<&'a mut Forms>,
    /// The hash of the next event, when it is known to be of no known form.
    missed: Option<u64>,
    rows: &'a mut Rows,
    start: usize,
    message: u32,
    elements: u32,
    limits: DecodeLimits,
}

impl Cut<'_> {
    /// One event, whose brace is token `i` and which ends, if it is whole, before token `end` or earlier. Returns the
    /// token after it.
    #[inline(always)]
    fn event(&mut self, i: usize, end: usize) -> Result<usize, Reject> {
        let tokens = &self.walk.tokens;
        if self.elements >= self.limits.elements {
            return Err(self.reject(RejectReason::TooManyElements, tokens.position(i)));
        }
        let part = tokens.part(i, end);
        let missed = self.missed.take();
        let hash = if missed.is_none() && self.forms.is_some() { Forms::hash(&part) } else { missed };
        if missed.is_none()
            && let (Some(hash), Some(forms)) = (hash, &mut self.forms)
            && forms.fill(hash, &part, self.rows)
        {
            self.row(i, end);
            return Ok(end);
        }
        let after = self.walked(i)?;
        self.row(i, after);
        if let (Some(hash), Some(forms)) = (hash, &mut self.forms)
            && after == end
        {
            forms.learn(hash, &part, i, self.found, self.rows);
        }
        Ok(after)
    }

    /// Columns and top-level members of an event of no known form.
    #[inline(never)]
    fn walked(&mut self, i: usize) -> Result<usize, Reject> {
        let after = self.walk.event(self.found, i, self.limits.depth, self.rows).map_err(|fault| fault.reject(self.start))?;
        if self.found.repeated {
            resolve_again(&self.walk, self.found, i);
        }
        let row = self.rows.events.len();
        for (column, slot) in self.rows.columns.iter_mut().zip(&self.found.slots) {
            if !slot.is_missing() {
                column.push(row, *slot);
            }
        }
        Ok(after)
    }

    fn row(&mut self, i: usize, after: usize) {
        let event = self.walk.tokens.container_slot(i, after);
        self.rows.end_row(event, self.message, self.elements as u16, self.walk.shape.options.top_level);
        self.elements += 1;
    }

    /// The events in the array at `steps` of the object at token `i`; the object itself without such an array.
    fn explode(&mut self, i: usize, steps: &[crate::expr::path::Step]) -> Result<usize, Reject> {
        let tokens = self.walk.tokens;
        // What is not an event must be good too, and the depth of the message counts from its own brace.
        let after = tokens.skip(i, self.limits.depth).map_err(|fault| fault.reject(self.start))?;
        let Some(array) = tokens.find(i, steps).filter(|array| tokens.kind(*array) == b'[') else {
            return self.event(i, after);
        };
        let mut element = array + 1;
        while tokens.kind(element) != b']' {
            if tokens.kind(element) != b'{' {
                return Err(self.reject(RejectReason::ExplodeElement, tokens.position(element)));
            }
            element = self.event(element, tokens.checked_end(element))?;
            if tokens.kind(element) == b',' {
                element += 1;
            }
        }
        Ok(after)
    }

    fn reject(&self, reason: RejectReason, position: u32) -> Reject {
        Reject { reason, at: position - self.start as u32 }
    }
}

/// Finds all paths anew in an event in which the walk met a key twice.
#[cold]
fn resolve_again(walk: &Walk<'_>, found: &mut Found, i: usize) {
    for (path, slot) in walk.shape.paths.iter().zip(&mut found.slots) {
        let found = walk.tokens.find(i, path.steps());
        *slot = found.map_or(Slot::MISSING, |token| walk.tokens.checked_slot(token));
    }
}

/// What is wrong with a message that has something else than an object at token `i`.
#[cold]
fn not_an_event(tokens: &Tokens<'_>, i: usize, depth: u32, start: usize) -> Reject {
    match tokens.skip_value(i, depth) {
        Ok(_) => Reject { reason: RejectReason::NotAnObject, at: tokens.position(i) - start as u32 },
        Err(fault) => Fault::reject(fault, start),
    }
}
