//! Which files a condition can concern, by what the log says of them; and how the work on those is
//! shared. Both before a query runs: files that are left out then are not opened, and what is left is
//! cut so that all threads have work until the end.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Statistics;
use datafusion::common::pruning::PrunableStatistics;
use datafusion::datasource::listing::{FileRange, PartitionedFile};
use datafusion::datasource::physical_plan::FileGroup;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;

/// Parts that each thread should find (count): a thread that ends early takes more of them.
const PARTS_PER_THREAD: usize = 4;
/// Smallest part of a file, in bytes: a few groups of rows.
const PART_BYTES: u64 = 8 << 20;

/// For each of these files, whether it can have rows for which the condition holds. What cannot be told
/// can be.
pub fn concerned(statistics: &[Arc<Statistics>], schema: &SchemaRef, condition: Option<&Arc<dyn PhysicalExpr>>) -> Vec<bool> {
    let all = vec![true; statistics.len()];
    let Some(condition) = condition else { return all };
    let Ok(predicate) = PruningPredicateBuilder::new().with_file_schema(schema.clone()).try_build(condition.clone()) else { return all };
    let known = PrunableStatistics::new(statistics.to_vec(), schema.clone());
    predicate.prune(&known).ok().filter(|found| found.len() == all.len()).unwrap_or(all)
}

/// Shares files among threads, by size, each in their order; few large ones in parts.
pub fn shared(files: Vec<PartitionedFile>, threads: usize) -> Vec<FileGroup> {
    let threads = threads.max(1);
    let bytes: u64 = files.iter().map(|file| file.object_meta.size).sum();
    let part = bytes.div_ceil((threads * PARTS_PER_THREAD) as u64).max(PART_BYTES);
    let parts: Vec<(u64, PartitionedFile)> = files.into_iter().flat_map(|file| cut(file, part)).collect();
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); threads.min(parts.len().max(1))];
    for (size, file) in parts {
        if let Some(least) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            least.0 += size;
            least.1.push(file);
        }
    }
    groups.into_iter().map(|(_, files)| FileGroup::new(files)).collect()
}

/// A file in parts of about this size: the groups of rows that begin in a part are its.
fn cut(file: PartitionedFile, part: u64) -> Vec<(u64, PartitionedFile)> {
    let size = file.object_meta.size;
    let parts = size / part;
    // Rows that were chosen by their place are counted from the start of the file.
    if parts < 2 || file.range.is_some() || !file.extensions.is_empty() {
        return vec![(size, file)];
    }
    let ranges = (0..parts).map(|number| (size * number / parts, size * (number + 1) / parts));
    let of = |(start, end): (u64, u64)| {
        let range = FileRange { start: i64::try_from(start).unwrap_or(i64::MAX), end: i64::try_from(end).unwrap_or(i64::MAX) };
        let mut file = file.clone();
        // These are of the whole.
        file.statistics = file.statistics.map(|statistics| Arc::new(statistics.as_ref().clone().to_inexact()));
        file.range = Some(range);
        (end - start, file)
    };
    ranges.map(of).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn file(name: &str, size: u64) -> PartitionedFile {
        PartitionedFile::new(name, size)
    }

    #[test]
    fn every_byte_is_in_one_part() {
        let groups = shared(vec![file("a", 100 << 20), file("b", 10 << 20), file("c", 3)], 2);
        assert_eq!(groups.len(), 2);
        let mut parts: Vec<(String, Option<FileRange>)> =
            groups.iter().flat_map(|group| group.iter().map(|file| (file.object_meta.location.to_string(), file.range.clone()))).collect();
        parts.sort_by_key(|(name, range)| (name.clone(), range.as_ref().map_or(0, |range| range.start)));
        let a: Vec<FileRange> = parts.iter().filter(|(name, _)| name == "a").map(|(_, range)| range.clone().unwrap()).collect();
        assert!(a.len() > 4, "{a:?}");
        assert_eq!((a[0].start, a[a.len() - 1].end), (0, 100 << 20));
        assert!(a.windows(2).all(|pair| pair[0].end == pair[1].start));
        // Small ones stay whole.
        assert!(parts.iter().filter(|(name, _)| name != "a").all(|(_, range)| range.is_none()));
    }

    #[test]
    fn no_files_are_one_empty_group() {
        assert_eq!(shared(Vec::new(), 4).len(), 1);
    }
}
