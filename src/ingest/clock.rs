//! The time that `now` means in expressions of packs: when the event arrived. Nothing asks the
//! machine's clock, so a replay computes what the first run did.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::TimestampMicrosecondType;

use super::batch::{Header, Message, Partitions};
use super::columns::Arena;
use super::computed::{self, Runner};
use super::decode::Rows;
use super::plan::SourcePlan;
use super::plan::build::Arrival;
use super::scene::{NO_TIME, Scene};
use crate::expr::xsoar::dates;

/// A decoded batch.
pub struct Decoded<'b> {
    /// The bytes; what is computed is appended.
    pub arena: &'b mut Vec<u8>,
    /// The messages that rows came from.
    pub messages: &'b [Message],
    /// Their headers.
    pub headers: &'b [Header],
    /// Names of partitions.
    pub partitions: &'b Partitions,
    /// The rows.
    pub rows: &'b mut Rows,
}

/// Fills the computed columns of a batch. `arrival` says where times come from if not from records.
pub fn fill(runner: &mut Runner, source: &SourcePlan, arrival: Option<&Arrival>, batch: Decoded<'_>) {
    let Decoded { arena, messages, headers, partitions, rows } = batch;
    if source.computed.is_empty() {
        return;
    }
    let of_messages: Vec<i64> = rows.messages.iter().map(|m| messages.get(*m as usize).map_or(NO_TIME, |m| m.timestamp_us)).collect();
    let known = |times: &[i64], row: u32| times.get(row as usize).copied().filter(|time| *time != NO_TIME);
    runner.fill(&source.computed, arena, rows, &|row| known(&of_messages, row));
    let Some(arrival) = arrival.filter(|_| source.computed.reads_clock) else { return };
    // Files have no records: the time is itself read from the event, by what has just been computed.
    let times = times(source, arrival, Arena::new(arena.clone()), messages, headers, partitions, rows);
    runner.fill(&source.computed, arena, rows, &|row| known(&of_messages, row).or_else(|| known(&times, row)));
}

fn times(source: &SourcePlan, arrival: &Arrival, arena: Arena, messages: &[Message], headers: &[Header], partitions: &Partitions, rows: &Rows) -> Vec<i64> {
    let mut scene = Scene::new(source, &arena, messages, headers, partitions, rows);
    let all: Vec<u32> = (0..rows.len() as u32).collect();
    let phase = match arrival {
        Arrival::Occurred => &source.occurred,
        Arrival::Path(_) => &source.arrival,
    };
    let column: Option<ArrayRef> = scene.evaluate(phase, &all, &mut Vec::new()).pop();
    let column = column.as_ref().and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let mapped = column.map(|times| (0..times.len()).map(|row| if times.is_valid(row) { times.value(row) } else { NO_TIME }).collect());
    let mut times: Vec<i64> = mapped.unwrap_or_default();
    times.resize(rows.len(), NO_TIME);
    // What a section of one type says about it.
    for column in source.computed.occurred.iter().filter_map(|column| rows.columns.get(*column)) {
        for (row, slot) in column.present() {
            if let Some(time) = times.get_mut(row as usize).filter(|time| **time == NO_TIME) {
                *time = computed::text(arena.bytes(), slot).and_then(|text| dates::read(&text, None)).map_or(NO_TIME, |moment| moment.utc_us());
            }
        }
    }
    times
}
