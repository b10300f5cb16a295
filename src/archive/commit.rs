//! Rows of the rings → files → one commit a table, together with the positions at which they end.

use std::sync::Arc;
use std::time::Instant;

use super::ArchiveError;
use super::files::{FILE_BYTES, FileWriter, Partition, put};
use super::ring::Segment;
use super::scan::padded;
use super::table::{Committed, Position, Table};
use super::work::{Role, target_of};
use crate::error::Error;
use crate::run::failpoint;

impl Role<'_> {
    /// Takes over what others have committed, and what compaction did.
    pub(super) fn refresh(&mut self) -> Result<(), Error> {
        self.refreshed = Instant::now();
        for target in &mut self.targets {
            if self.runtime.block_on(target.table.refresh())? {
                target.ring.committed(target.table.pinned()?, &[]);
            }
        }
        Ok(())
    }

    /// Commits what was read so far, table after table.
    pub(super) fn commit(&mut self) -> Result<(), Error> {
        self.committed = Instant::now();
        let mut foreign = false;
        for number in 0..self.targets.len() {
            foreign |= !self.commit_one(number)?;
        }
        if foreign {
            tracing::warn!("somebody else has archived rows of our partitions: they are read again from where the tables end");
            self.reopen()?;
        }
        Ok(())
    }

    /// False where the table holds other positions than we knew of.
    fn commit_one(&mut self, number: usize) -> Result<bool, Error> {
        let Role { targets, owned, runtime, .. } = self;
        let target = &mut targets[number];
        target.cut()?;
        let segments = target.ring.waiting();
        if segments.iter().all(|segment| segment.batch.num_rows() == 0) {
            return Ok(true);
        }
        let mut positions = Vec::new();
        let mut notes = Vec::new();
        for (feed, owned) in owned.iter().filter(|(feed, _)| target_of(feed.0) == number) {
            match owned.next {
                Some(next) if owned.stored != Some(next) => {
                    positions.push(Position { app: owned.app.clone(), from: owned.stored, next });
                    if owned.note {
                        notes.push((format!("{}/first", owned.app), owned.first));
                    }
                }
                _ => tracing::trace!(?feed, "nothing new"),
            }
        }
        let began = Instant::now();
        let rows: usize = segments.iter().map(|segment| segment.batch.num_rows()).sum();
        let committed = runtime.block_on(async {
            let adds = written(&target.table, &segments, target.layered).await?;
            failpoint::hit("archive_after_put");
            let committed = target.table.append(&adds, &positions, &notes).await?;
            failpoint::hit("archive_after_commit");
            Ok::<_, ArchiveError>(committed)
        })?;
        match committed {
            Committed::Yes => {}
            Committed::Foreign(_) | Committed::Replaced => return Ok(false),
        }
        target.ring.committed(target.table.pinned()?, &segments);
        for owned in owned.iter_mut().filter(|(feed, _)| target_of(feed.0) == number).map(|(_, owned)| owned) {
            owned.stored = owned.next;
            owned.note = false;
        }
        metrics::counter!("catchment_archive_rows_total", "table" => target.table.name()).increment(rows as u64);
        metrics::histogram!("catchment_archive_commit_seconds").record(began.elapsed().as_secs_f64());
        tracing::debug!(table = target.table.name(), rows, took = ?began.elapsed(), "committed");
        Ok(true)
    }
}

/// Writes the rows of segments to files that are not in the table yet.
///
/// # Errors
/// A store that refuses or stays away.
pub async fn written(table: &Table, segments: &[Arc<Segment>], layered: bool) -> Result<Vec<deltalake_core::kernel::Add>, ArchiveError> {
    let schema = table.pinned()?.columns.arrow();
    let partition = Partition { layer: layered.then_some("tail"), day: None };
    let path = || format!("{}part-{}.parquet", partition.directory(), uuid());
    let mut adds = Vec::new();
    let mut writer = FileWriter::new(&schema, false)?;
    for segment in segments {
        writer.write(&padded(&segment.batch, &schema)?)?;
        if writer.bytes() >= FILE_BYTES {
            let (bytes, stats) = std::mem::replace(&mut writer, FileWriter::new(&schema, false)?).finish()?;
            adds.push(put(table.store(), path(), &partition, bytes, stats).await?);
        }
    }
    if writer.rows() > 0 {
        let (bytes, stats) = writer.finish()?;
        adds.push(put(table.store(), path(), &partition, bytes, stats).await?);
    }
    Ok(adds)
}

/// A name that nobody else takes.
pub(super) fn uuid() -> String {
    format!("{:032x}", rand::random::<u128>())
}
