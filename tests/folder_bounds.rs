//! `replay`'s sink beyond its bounds: more incidents than memory takes, more attachments than
//! are noted at once, attachments before and after, also to incidents that are written already;
//! none lost and none at the wrong incident.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use catchment::incident::id::IncidentId;
use catchment::ingest::batch::Partitions;
use catchment::ingest::decide::Origin;
use catchment::ingest::folder::{Folder, HELD_BYTES, RESIDENT_BYTES, Target};
use catchment::ingest::lines_file::LinesFile;
use catchment::ingest::output::{AttachOut, Created, LinkOut, Output};
use catchment::ingest::spare::Spare;
use serde_json::Value;

use crate::one_batch::plan_of;
use crate::replay_run::lines;

const INCIDENTS: i64 = 3_000;
const BATCHES: i64 = 60;
/// More than the folder notes before it coalesces.
const ATTACHMENTS: i64 = 1_150_000;

#[test]
fn what_does_not_fit_into_memory_is_not_lost() {
    for (attachments, unordered) in [(ATTACHMENTS, false), (ATTACHMENTS / 100, false), (ATTACHMENTS / 100, true)] {
        let (mut out, mut expected) = (Vec::new(), Expected::default());
        fill(Target::Stream(Box::new(&mut out)), attachments, unordered, &mut expected);
        expected.hold(&lines(&out));

        let mut file = tempfile::tempfile().unwrap();
        fill(Target::File(LinesFile::new(file.try_clone().unwrap())), attachments, unordered, &mut Expected::default());
        let mut corrected = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut corrected).unwrap();
        assert!(out == corrected, "a file that was corrected holds what a stream gets at the end");
    }
}

#[derive(Default)]
struct Expected {
    /// Per incident and rule, the offsets attached.
    attached: BTreeMap<i64, [Vec<i64>; 2]>,
    links: BTreeMap<i64, u64>,
}

fn filling() -> String {
    "x".repeat((RESIDENT_BYTES + 2 * HELD_BYTES) / INCIDENTS as usize)
}

fn fill(target: Target<'_>, attachments: i64, unordered: bool, expected: &mut Expected) {
    let plan = plan_of(
        "name: f\nsource: { topics: [t], format: json }\nclassify: { key: k, types: { a: A }, default: drop }\nmap: { '*': { key: key } }\npreprocess:\n- { name: first, match: [key], within: 1h, action: drop_and_update }\n- { name: second, match: [key], within: 2h, action: drop_and_update }\n- { name: linked, match: [key], within: 3h, action: link }\n",
    );
    let mut partitions = Partitions::default();
    partitions.append("t");
    partitions.append("u");
    let mut folder = Folder::new(plan, Arc::new(partitions), target, Spare::default());
    let filling = filling();
    let at = |offset: i64| Origin { partition: u16::from(unordered && offset % 7 == 3), offset, element: 0 };
    let (per_batch, attach_per_batch) = (INCIDENTS / BATCHES, attachments / BATCHES);
    let mut event = INCIDENTS;
    for batch in 0..BATCHES {
        let mut output = Output::default();
        for offset in batch * per_batch..(batch + 1) * per_batch {
            let body = format!("{{\"id\":\"{offset}\",\"filling\":\"{filling}\"");
            let line = format!("{body},\"status\":\"open\",\"version\":1}}");
            output.incidents.extend_from_slice(line.as_bytes());
            output.lines.push(Created {
                body: body.len() as u32,
                len: line.len() as u32,
                origin: at(offset),
                id: IncidentId(offset as u128),
                state: None,
                created: offset,
            });
        }
        let known = (batch + 1) * per_batch;
        for n in 0..attach_per_batch {
            // A third of the incidents is never touched.
            let target = (n * 7_919 + batch) % known / 3 * 3 % known + n % 2;
            let target = if target >= known || target % 3 == 2 { 0 } else { target };
            let rule = (n % 5 == 0) as u16;
            let event_at = Origin { partition: 0, offset: event, element: 0 };
            output.attaches.push(AttachOut { target: at(target), target_id: IncidentId(target as u128), rule, event: event_at, occurred: event * 1_000_000 });
            expected.attached.entry(target).or_default()[rule as usize].push(event);
            event += 1;
        }
        output.links.push(LinkOut { target: at(batch), target_id: IncidentId(batch as u128), rule: 2, other: IncidentId(7) });
        *expected.links.entry(batch).or_insert(0) += 1;
        folder.add(&mut output).unwrap();
    }
    assert_eq!(folder.len() as i64, INCIDENTS);
    folder.finish().unwrap();
}

impl Expected {
    fn hold(&self, lines: &[&[u8]]) {
        let filled = filling().len();
        assert_eq!(lines.len() as i64, INCIDENTS);
        for (offset, line) in lines.iter().enumerate() {
            let incident: Value = serde_json::from_slice(line).unwrap();
            let offset = offset as i64;
            assert_eq!(incident["id"].as_str().unwrap(), offset.to_string());
            assert_eq!(incident["filling"].as_str().unwrap().len(), filled);
            let attached = self.attached.get(&offset);
            let counts = attached.map_or([0, 0], |rules| rules.each_ref().map(Vec::len));
            assert_eq!(incident["attached"]["count"].as_u64().unwrap_or(0) as usize, counts[0] + counts[1], "{offset}");
            let linked = self.links.get(&offset).copied().unwrap_or(0);
            assert_eq!(incident["linked"].as_array().map_or(0, Vec::len) as u64, linked);
            let rules = counts.iter().filter(|n| **n > 0).count() as u64;
            assert_eq!(incident["version"].as_u64().unwrap(), 1 + rules + linked);
            if let Some(attached) = attached {
                let all = || attached.iter().flatten().copied();
                let time = |event: i64| chrono::DateTime::from_timestamp(event, 0).unwrap().format("%Y-%m-%dT%H:%M:%SZ").to_string();
                assert_eq!(incident["attached"]["first"], time(all().min().unwrap()));
                assert_eq!(incident["attached"]["last"], time(all().max().unwrap()));
                let samples: Vec<i64> = incident["attached"]["samples"].as_array().unwrap().iter().map(|sample| sample["offset"].as_i64().unwrap()).collect();
                assert_eq!(samples.len(), (counts[0] + counts[1]).min(20));
                let [first, second] = attached;
                if first.is_empty() != second.is_empty() {
                    let only = if first.is_empty() { second } else { first };
                    assert_eq!(samples, only[only.len().saturating_sub(20)..]);
                }
            }
        }
    }
}
