//! What is known of attachments depends neither on the order of facts nor on how they were cut.

use std::collections::BTreeSet;
use std::sync::Arc;

use catchment::incident::state::{Attachment, Change, SAMPLES_MAX, Sample, State};
use proptest::prelude::*;

/// An attached event: when, topic, partition, offset, element; and by which rule.
type Event = (i64, u8, i32, i64, u16, u8);

fn sample(event: &Event) -> Sample {
    let (occurred, topic, partition, offset, element, _) = *event;
    Sample { occurred, topic: Arc::from(format!("t{topic}")), partition, offset, element }
}

/// The facts of a transaction: one per rule.
fn facts(events: &[Event]) -> Vec<Change> {
    let rules: BTreeSet<u8> = events.iter().map(|event| event.5).collect();
    let of_rule = |rule: u8| {
        let own: Vec<&Event> = events.iter().filter(|event| event.5 == rule).collect();
        let mut samples: Vec<Sample> = own.iter().map(|event| sample(event)).collect::<BTreeSet<_>>().into_iter().collect();
        samples.drain(..samples.len().saturating_sub(SAMPLES_MAX));
        let times = || own.iter().map(|event| event.0);
        Change::Attached(Attachment {
            rule: Arc::from(format!("r{rule}")),
            count: own.len() as u64,
            first: times().min().unwrap(),
            last: times().max().unwrap(),
            samples,
        })
    };
    rules.into_iter().map(of_rule).collect()
}

fn folded(changes: &[Change]) -> State {
    let mut state = State::default();
    assert!(changes.iter().all(|change| state.apply(change)));
    state
}

fn event() -> impl Strategy<Value = Event> {
    (0..40i64, 0..2u8, 0..2i32, 0..30i64, 0..2u16, 0..3u8)
}

proptest! {
    #[test]
    fn neither_order_nor_cuts_matter(events in prop::collection::vec(event(), 1..120), cuts in prop::collection::vec(1..20usize, 1..30), turn in any::<prop::sample::Index>()) {
        let whole = folded(&facts(&events));
        let mut cut: Vec<Change> = Vec::new();
        let mut rest = &events[..];
        for size in cuts.iter().cycle() {
            let (head, tail) = rest.split_at((*size).min(rest.len()));
            cut.extend(facts(head));
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        let place = turn.index(cut.len());
        cut.rotate_left(place);
        let pieces = folded(&cut);
        prop_assert_eq!(&whole.attached, &pieces.attached);
        prop_assert_eq!(pieces.version, 1 + cut.len() as u64);
        let mut plain: Vec<Sample> = events.iter().map(sample).collect::<BTreeSet<_>>().into_iter().collect();
        plain.drain(..plain.len().saturating_sub(SAMPLES_MAX));
        let attached = whole.attached.unwrap();
        prop_assert_eq!(attached.samples, plain);
        prop_assert_eq!(attached.count, events.len() as u64);
    }
}
