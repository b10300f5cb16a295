//! Groups as numbers: each column's values become small numbers, and the numbers of a row's columns
//! become the number of its group.

use datafusion::arrow::array::{Array, ArrayData, ArrayRef, make_array};
use datafusion::arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};
use hashbrown::HashMap;

use super::text::TextCoder;

/// Keys that are remembered with their number (count): what fits the caches of a core.
const RECENT: usize = 1 << 14;
/// Two numbers below this find their pair in a table without a hash.
const NEAR: usize = 256;
const NONE: u32 = u32::MAX;

/// The number of one more.
pub(super) fn next(known: usize) -> Result<u32> {
    u32::try_from(known).ok().filter(|code| *code != NONE).ok_or_else(|| DataFusionError::ResourcesExhausted("more than 4 billion groups".into()))
}

/// Keys with their numbers; a key takes the place of another one that falls upon the same place.
pub(super) struct Recent<K> {
    keys: Vec<K>,
    codes: Vec<u32>,
}

impl<K: Copy + Default + PartialEq> Recent<K> {
    pub(super) fn new() -> Recent<K> {
        Recent { keys: vec![K::default(); RECENT], codes: vec![NONE; RECENT] }
    }

    fn place(hash: u64) -> usize {
        (hash >> (64 - RECENT.trailing_zeros())) as usize
    }

    #[inline]
    pub(super) fn get(&self, key: K, hash: u64) -> Option<u32> {
        let place = Self::place(hash);
        let (known, code) = (self.keys.get(place)?, *self.codes.get(place)?);
        (*known == key && code != NONE).then_some(code)
    }

    pub(super) fn put(&mut self, key: K, hash: u64, code: u32) {
        let place = Self::place(hash);
        if let (Some(known), Some(of)) = (self.keys.get_mut(place), self.codes.get_mut(place)) {
            (*known, *of) = (key, code);
        }
    }

    pub(super) fn clear(&mut self) {
        self.codes.fill(NONE);
    }

    pub(super) fn size(&self) -> usize {
        self.keys.capacity() * size_of::<K>() + self.codes.capacity() * size_of::<u32>()
    }
}

/// Values of 64 bits: numbers and times.
struct WordCoder {
    kind: DataType,
    recent: Recent<u64>,
    codes: HashMap<u64, u32>,
    words: Vec<u64>,
    null: Option<u32>,
}

impl WordCoder {
    fn codes(&mut self, array: &ArrayRef, codes: &mut Vec<u32>) -> Result<()> {
        let data = array.to_data();
        let buffer = data.buffers().first().ok_or_else(|| DataFusionError::Internal("numbers without values".into()))?;
        let words = ScalarBuffer::<u64>::new(buffer.clone(), data.offset(), data.len());
        codes.reserve(words.len());
        for (row, word) in words.iter().enumerate() {
            if array.is_null(row) {
                codes.push(self.of_null()?);
                continue;
            }
            let hash = (word ^ (word >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let code = match self.recent.get(*word, hash) {
                Some(code) => code,
                None => {
                    let new = next(self.words.len())?;
                    let code = *self.codes.entry(*word).or_insert(new);
                    if code == new {
                        self.words.push(*word);
                    }
                    self.recent.put(*word, hash, code);
                    code
                }
            };
            codes.push(code);
        }
        Ok(())
    }

    fn of_null(&mut self) -> Result<u32> {
        if let Some(code) = self.null {
            return Ok(code);
        }
        let code = next(self.words.len())?;
        self.words.push(0);
        self.null = Some(code);
        Ok(code)
    }

    fn values(&self, codes: &[u32]) -> Result<ArrayRef> {
        let words: Vec<u64> = codes.iter().map(|code| self.words.get(*code as usize).copied().unwrap_or_default()).collect();
        let nulls = self.null.map(|null| NullBuffer::new(BooleanBuffer::collect_bool(codes.len(), |row| codes.get(row) != Some(&null))));
        let data = ArrayData::builder(self.kind.clone()).len(codes.len()).add_buffer(Buffer::from_vec(words)).nulls(nulls).build()?;
        Ok(make_array(data))
    }

    fn size(&self) -> usize {
        self.recent.size() + self.codes.capacity() * size_of::<(u64, u32)>() + self.words.capacity() * size_of::<u64>()
    }
}

enum Coder {
    Text(TextCoder),
    Word(WordCoder),
}

/// True for a type whose values have numbers.
pub(super) fn has_codes(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8View | DataType::Int64 | DataType::UInt64 | DataType::Float64 | DataType::Timestamp(_, _))
}

impl Coder {
    fn new(kind: &DataType) -> Result<Coder> {
        match kind {
            DataType::Utf8View => Ok(Coder::Text(TextCoder::new())),
            kind if has_codes(kind) => {
                Ok(Coder::Word(WordCoder { kind: kind.clone(), recent: Recent::new(), codes: HashMap::new(), words: Vec::new(), null: None }))
            }
            other => Err(DataFusionError::Internal(format!("groups by {other}"))),
        }
    }

    fn codes(&mut self, array: &ArrayRef, codes: &mut Vec<u32>) -> Result<()> {
        match self {
            Coder::Text(coder) => coder.codes(array, codes),
            Coder::Word(coder) => coder.codes(array, codes),
        }
    }

    fn values(&self, codes: &[u32]) -> Result<ArrayRef> {
        match self {
            Coder::Text(coder) => coder.values(codes),
            Coder::Word(coder) => coder.values(codes),
        }
    }

    fn len(&self) -> usize {
        match self {
            Coder::Text(coder) => coder.len(),
            Coder::Word(coder) => coder.words.len(),
        }
    }

    fn size(&self) -> usize {
        match self {
            Coder::Text(coder) => coder.size(),
            Coder::Word(coder) => coder.size(),
        }
    }
}

/// The numbers of pairs of numbers.
struct Pairs {
    near: Vec<u32>,
    far: HashMap<(u32, u32), u32>,
    pairs: Vec<(u32, u32)>,
}

impl Pairs {
    fn new() -> Pairs {
        Pairs { near: vec![NONE; NEAR * NEAR], far: HashMap::new(), pairs: Vec::new() }
    }

    /// Turns the numbers to the left into those of the pairs.
    fn fold(&mut self, left: &mut [u32], right: &[u32]) -> Result<()> {
        let Pairs { near, far, pairs } = self;
        for (left, right) in left.iter_mut().zip(right) {
            let (a, b) = (*left as usize, *right as usize);
            let place = if a < NEAR && b < NEAR { near.get_mut(a * NEAR + b) } else { None };
            let known = match place {
                Some(place) => place,
                None => far.entry((*left, *right)).or_insert(NONE),
            };
            if *known == NONE {
                *known = next(pairs.len())?;
                pairs.push((*left, *right));
            }
            *left = *known;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.near.capacity() * size_of::<u32>() + self.far.capacity() * size_of::<(u64, u32)>() + self.pairs.capacity() * size_of::<u64>()
    }
}

/// The groups of some columns. They are numbered from 0 in the order in which they come.
pub(super) struct Groups {
    kinds: Vec<DataType>,
    coders: Vec<Coder>,
    /// Of the columns up to number n + 1.
    pairs: Vec<Pairs>,
    left: Vec<u32>,
    right: Vec<u32>,
}

impl Groups {
    /// For columns of these types: at least one.
    pub(super) fn new(kinds: Vec<DataType>) -> Result<Groups> {
        let coders = kinds.iter().map(Coder::new).collect::<Result<Vec<_>>>()?;
        let pairs = (1..kinds.len()).map(|_| Pairs::new()).collect();
        Ok(Groups { kinds, coders, pairs, left: Vec::new(), right: Vec::new() })
    }

    /// Writes the number of each row's group.
    pub(super) fn of(&mut self, columns: &[ArrayRef], groups: &mut Vec<usize>) -> Result<()> {
        self.left.clear();
        for (at, (coder, column)) in self.coders.iter_mut().zip(columns).enumerate() {
            match at.checked_sub(1).and_then(|level| self.pairs.get_mut(level)) {
                None => coder.codes(column, &mut self.left)?,
                Some(pairs) => {
                    self.right.clear();
                    coder.codes(column, &mut self.right)?;
                    pairs.fold(&mut self.left, &self.right)?;
                }
            }
        }
        groups.clear();
        groups.extend(self.left.iter().map(|group| *group as usize));
        Ok(())
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        match self.pairs.last() {
            Some(pairs) => pairs.pairs.len(),
            None => self.coders.first().map_or(0, Coder::len),
        }
    }

    /// Bytes of memory.
    pub(super) fn size(&self) -> usize {
        self.coders.iter().map(Coder::size).sum::<usize>() + self.pairs.iter().map(Pairs::size).sum::<usize>()
    }

    /// The values of all groups, a column each, and begins anew.
    pub(super) fn take(&mut self) -> Result<Vec<ArrayRef>> {
        let mut codes: Vec<u32> = (0..next(self.len())?).collect();
        let mut columns = Vec::with_capacity(self.coders.len());
        for (at, coder) in self.coders.iter().enumerate().rev() {
            let of = match at.checked_sub(1).and_then(|level| self.pairs.get(level)) {
                None => std::mem::take(&mut codes),
                Some(pairs) => {
                    let pair = |code: &u32| pairs.pairs.get(*code as usize).copied().unwrap_or_default();
                    let right = codes.iter().map(|code| pair(code).1).collect();
                    codes.iter_mut().for_each(|code| *code = pair(code).0);
                    right
                }
            };
            columns.push(coder.values(&of)?);
        }
        columns.reverse();
        *self = Groups::new(std::mem::take(&mut self.kinds))?;
        Ok(columns)
    }
}
