//! Notes → bytes.

use super::varint::{push, push_signed};
use super::{FINGERPRINT_BYTES, Header, MAGIC, ORDERED, VERSION, kind, minor, tag};
use crate::ingest::decide::notes::{Notes, parts};
use crate::ingest::decide::{DecideSpec, Scope};

/// Appends the block of one batch and one partition, whose number in the notes is given.
/// `ledger`: bytes of the caller that [`Block`](super::Block) gives back as they are.
pub fn encode(header: &Header<'_>, spec: &DecideSpec, notes: &Notes, partition: u16, ledger: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    let minor = minor();
    out.extend_from_slice(&[VERSION.0, minor]);
    counted(out, |out| {
        section(out, tag::SOURCE, |out| {
            for text in [header.pipeline, header.version, header.topic] {
                push(out, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
            push_signed(out, i64::from(header.partition));
            push_signed(out, header.from);
            push_signed(out, header.to);
        });
        if let Some(clocks) = notes.clocks(partition) {
            section(out, tag::CLOCKS, |out| {
                push_signed(out, clocks.clock_ms);
                push_signed(out, clocks.row_clock_us);
            });
        }
        let rows = notes.rows.iter().filter(|row| row.origin.partition == partition);
        let (count, first, last) = rows.fold((0u64, 0, 0), |(count, first, _), row| (count + 1, if count == 0 { row.order } else { first }, row.order));
        if count > 0 {
            section(out, tag::INCIDENTS, |out| incidents(out, header, spec, notes, partition, (count, first, last)));
        }
        if !ledger.is_empty() {
            section(out, tag::LEDGER, |out| out.extend_from_slice(ledger));
        }
        if minor > VERSION.1 {
            section(out, tag::OF_THE_FUTURE, |out| out.extend_from_slice(b"unknown"));
        }
    });
}

/// `(count, first, last)`: how many incidents, and the order of the first and the last.
fn incidents(out: &mut Vec<u8>, header: &Header<'_>, spec: &DecideSpec, notes: &Notes, partition: u16, (count, first, last): (u64, u64, u64)) {
    let ordered = spec.scope == Scope::Process;
    out.push(if ordered { ORDERED } else { 0 });
    let rows = || notes.all().filter(|(row, ..)| row.origin.partition == partition);
    // Only rules that occur are named: their number in the block, by their number in the spec.
    let mut numbers = vec![None; spec.rules.len()];
    let mut keys = Vec::new();
    for print in rows().flat_map(|(_, prints, _)| prints) {
        let (rule, _) = parts(*print);
        if let (Some(number @ None), Some(rule)) = (numbers.get_mut(rule), spec.rules.get(rule)) {
            *number = Some(keys.len() as u64);
            keys.push(rule.rule_key);
        }
    }
    push(out, keys.len() as u64);
    keys.iter().for_each(|key| out.extend_from_slice(&key.to_le_bytes()));
    out.extend_from_slice(&spec.where_key.to_le_bytes());
    if ordered {
        push(out, first);
        push(out, last - first);
    }
    push(out, count);
    let (mut offset, mut time, mut order) = (header.from, 0i64, first);
    for (row, prints, values) in rows() {
        push_signed(out, row.origin.offset.wrapping_sub(offset));
        push_signed(out, row.time.wrapping_sub(time));
        if ordered {
            push(out, row.order - order);
        }
        (offset, time, order) = (row.origin.offset, row.time, row.order);
        let element = row.origin.element;
        let flags = if values.is_some() { kind::VALUES } else { 0 } | if element != 0 { kind::ELEMENT } else { 0 };
        push(out, (prints.len() as u64) << kind::SHIFT | flags);
        if element != 0 {
            push(out, u64::from(element));
        }
        for print in prints {
            let (rule, fingerprint) = parts(*print);
            push(out, numbers.get(rule).copied().flatten().unwrap_or_default());
            out.extend_from_slice(&fingerprint.to_le_bytes()[..FINGERPRINT_BYTES]);
        }
        if let Some(values) = values {
            push(out, values.len() as u64);
            out.extend_from_slice(values);
        }
    }
}

fn section(out: &mut Vec<u8>, tag: u8, content: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    counted(out, content);
}

/// Writes content behind its length. A batch has at most 4 GiB of messages, and its block is smaller.
fn counted(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    content(out);
    let bytes = (out.len() - at - 4) as u32;
    if let Some(length) = out.get_mut(at..at + 4) {
        length.copy_from_slice(&bytes.to_le_bytes());
    }
}
