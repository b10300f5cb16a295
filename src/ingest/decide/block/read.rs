//! Bytes → what a block says.

use super::varint::Reader;
use super::{BlockError, Clocks, FINGERPRINT_BYTES, HEAD_BYTES, Header, INCIDENT_BYTES_MIN, MAGIC, ORDERED, VERSION, kind, tag};
use crate::ingest::decide::notes::{Notes, noted};
use crate::ingest::decide::{DecideSpec, Origin};

/// A block whose sections were told apart; its incidents are read by whoever wants them.
#[derive(Debug, Clone)]
pub struct Block<'a> {
    /// Whose it is.
    pub header: Header<'a>,
    /// The clocks of its shard after the batch; `None` if no row was decided yet.
    pub clocks: Option<Clocks>,
    /// What the writer gave as the ledger.
    pub ledger: &'a [u8],
    /// Major and minor version of its format.
    pub version: (u8, u8),
    /// First and last order of its incidents in the shard, if they have one.
    pub(in crate::ingest::decide) orders: Option<(u64, u64)>,
    incidents: Option<Incidents<'a>>,
}

/// The section of incidents, up to the first of them.
#[derive(Debug, Clone)]
struct Incidents<'a> {
    ordered: bool,
    keys: &'a [[u8; 8]],
    where_key: u64,
    first: u64,
    last: u64,
    count: u64,
    rows: Reader<'a>,
}

/// What was left out when reading incidents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::ingest::decide) struct LeftOut {
    /// Entries of indexes of rules that are unknown now.
    pub entries: u64,
    /// Values whose layout is another now.
    pub values: u64,
}

impl<'a> Block<'a> {
    /// Reads the first block of bytes; what follows it is returned too.
    pub fn read(bytes: &'a [u8]) -> Result<(Block<'a>, &'a [u8]), BlockError> {
        let mut reader = Reader(bytes);
        if reader.array() != Some(&MAGIC) {
            return Err(BlockError::NotABlock);
        }
        let Some(&[major, minor]) = reader.array() else { return Err(damaged("version")) };
        if major > VERSION.0 {
            return Err(BlockError::TooNew { found: (major, minor), known: VERSION });
        }
        let length = reader.array().map(|length| u32::from_le_bytes(*length));
        let body = length.and_then(|length| reader.bytes(u64::from(length))).ok_or(damaged("length"))?;
        let (mut header, mut clocks, mut incidents, mut ledger) = (None, None, None, &[][..]);
        let mut sections = Reader(body);
        while let Some(tag) = sections.byte() {
            let length = sections.array().map(|length| u32::from_le_bytes(*length));
            let content = length.and_then(|length| sections.bytes(u64::from(length))).ok_or(damaged("length of a section"))?;
            match tag {
                tag::SOURCE => header = Some(read_source(content).ok_or(damaged("source"))?),
                tag::CLOCKS => clocks = Some(read_clocks(content).ok_or(damaged("clocks"))?),
                tag::INCIDENTS => incidents = Some(read_incidents(content).ok_or(damaged("incidents"))?),
                tag::LEDGER => ledger = content,
                _ if minor > VERSION.1 => {}
                _ => return Err(damaged("unknown section")),
            }
        }
        let header: Header<'a> = header.ok_or(damaged("no source"))?;
        if header.from > header.to {
            return Err(damaged("offsets"));
        }
        let orders = incidents.as_ref().filter(|incidents: &&Incidents<'_>| incidents.ordered).map(|incidents| (incidents.first, incidents.last));
        let rest = bytes.get(HEAD_BYTES + body.len()..).unwrap_or_default();
        Ok((Block { header, clocks, ledger, version: (major, minor), orders, incidents }, rest))
    }

    /// Number of incidents that it says it has.
    pub fn incidents(&self) -> u64 {
        self.incidents.as_ref().map_or(0, |incidents| incidents.count)
    }

    /// Appends its incidents to notes, as incidents of a partition of this process, for the rules
    /// of a spec. If it fails, what was appended is of no use.
    pub(in crate::ingest::decide) fn read_rows(&self, spec: &DecideSpec, partition: u16, notes: &mut Notes) -> Result<LeftOut, BlockError> {
        let mut left_out = LeftOut::default();
        let Some(incidents) = &self.incidents else { return Ok(left_out) };
        let number = |key: &[u8; 8]| spec.rules.iter().position(|rule| rule.matches && rule.rule_key == u64::from_le_bytes(*key));
        let rules: Vec<Option<usize>> = incidents.keys.iter().map(number).collect();
        let takes_values = incidents.where_key == spec.where_key;
        let mut rows = incidents.rows;
        let fits = (rows.0.len() / INCIDENT_BYTES_MIN) as u64;
        if incidents.count > fits {
            return Err(damaged("number of incidents"));
        }
        notes.rows.reserve(incidents.count as usize);
        let mut row = Before { offset: self.header.from, time: 0, order: incidents.first };
        for _ in 0..incidents.count {
            read_row(incidents, &rules, takes_values, partition, &mut rows, &mut row, notes, &mut left_out).ok_or(damaged("an incident"))?;
        }
        if !rows.0.is_empty() || incidents.ordered && row.order != incidents.last {
            return Err(damaged("end of the incidents"));
        }
        Ok(left_out)
    }
}

/// What the next incident is told from.
struct Before {
    offset: i64,
    time: i64,
    order: u64,
}

#[allow(clippy::too_many_arguments)]
#[inline]
fn read_row(
    incidents: &Incidents<'_>,
    rules: &[Option<usize>],
    takes_values: bool,
    partition: u16,
    rows: &mut Reader<'_>,
    before: &mut Before,
    notes: &mut Notes,
    left_out: &mut LeftOut,
) -> Option<()> {
    before.offset = before.offset.wrapping_add(rows.signed()?);
    before.time = before.time.wrapping_add(rows.signed()?);
    if incidents.ordered {
        before.order = before.order.checked_add(rows.number()?)?;
    }
    let kinds = rows.number()?;
    let element = if kinds & kind::ELEMENT == 0 { 0 } else { u16::try_from(rows.number()?).ok()? };
    for _ in 0..kinds >> kind::SHIFT {
        let rule = rules.get(usize::try_from(rows.number()?).ok()?)?;
        let mut bytes = [0; 16];
        bytes.first_chunk_mut::<FINGERPRINT_BYTES>()?.copy_from_slice(rows.array::<FINGERPRINT_BYTES>()?);
        match (rule, u128::from_le_bytes(bytes)) {
            (_, 0) => return None,
            (Some(rule), fingerprint) => notes.prints.push(noted(*rule, fingerprint)),
            (None, _) => left_out.entries += 1,
        }
    }
    let mut has_values = false;
    if kinds & kind::VALUES != 0 {
        let values = rows.counted()?;
        if takes_values {
            notes.values.extend_from_slice(values);
            has_values = true;
        } else {
            left_out.values += 1;
        }
    }
    notes.end_row(Origin { partition, offset: before.offset, element }, before.time, before.order, has_values);
    Some(())
}

fn damaged(what: &'static str) -> BlockError {
    BlockError::Damaged { what }
}

fn read_source(content: &[u8]) -> Option<Header<'_>> {
    let mut reader = Reader(content);
    let mut text = || std::str::from_utf8(reader.counted()?).ok();
    let (pipeline, version, topic) = (text()?, text()?, text()?);
    let partition = i32::try_from(reader.signed()?).ok()?;
    Some(Header { pipeline, version, topic, partition, from: reader.signed()?, to: reader.signed()? })
}

fn read_clocks(content: &[u8]) -> Option<Clocks> {
    let mut reader = Reader(content);
    Some(Clocks { clock_ms: reader.signed()?, row_clock_us: reader.signed()? })
}

fn read_incidents(content: &[u8]) -> Option<Incidents<'_>> {
    let mut reader = Reader(content);
    let ordered = reader.byte()? & ORDERED != 0;
    let bytes = reader.number()?.checked_mul(8)?;
    let (keys, _) = reader.bytes(bytes)?.as_chunks::<8>();
    let where_key = u64::from_le_bytes(*reader.array()?);
    let (first, span) = if ordered { (reader.number()?, reader.number()?) } else { (0, 0) };
    let count = reader.number()?;
    Some(Incidents { ordered, keys, where_key, first, last: first.checked_add(span)?, count, rows: reader })
}
