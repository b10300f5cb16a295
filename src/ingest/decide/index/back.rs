//! Taking back what entered an index since the last commit, and knowing it again.

use super::super::chain::{Member, Rest, Window};
use super::super::entry::{Held, Key};
use super::super::segment::Place;
use super::super::slices::AGE_MAX;
use super::super::{LinkTo, Origin};
use super::{Index, one, segment_of};

impl Index {
    /// Undoes the last `enter` of a key, if it added something; with the incident whose place
    /// was taken. False if it is not there, which can only be after something was lost.
    pub(in crate::ingest::decide) fn take_back(&mut self, fingerprint: u128, replaced: Option<Member>) -> bool {
        let key = Key::new(fingerprint);
        let at = segment_of(key);
        let Some(place) = self.place(at, key) else { return false };
        let segment = &mut self.segments[at];
        let (entry, _) = segment.get(place);
        let (left, held) = match (entry.held(), replaced) {
            (Held::One { .. }, Some(old)) => (old.time, one(old.origin)),
            (Held::One { .. }, None) => {
                segment.clear(place);
                self.keys -= 1;
                return true;
            }
            (Held::Chain(number), Some(old)) => return self.chains.replace_last(number, old),
            (Held::Chain(number), None) => match self.chains.pop(number, &mut self.purse) {
                Some(Rest::Many { newest }) => (newest, Held::Chain(number)),
                Some(Rest::One(member)) => {
                    self.chains.free(number, &mut self.purse);
                    (member.time, one(member.origin))
                }
                Some(Rest::None) => {
                    self.chains.free(number, &mut self.purse);
                    segment.clear(place);
                    self.keys -= 1;
                    return true;
                }
                None => return false,
            },
        };
        let (entry, tag) = self.entry(key, left, held);
        self.segments[at].set(place, entry, key.print(), tag);
        true
    }

    /// Whether the index remembers this very incident.
    pub(in crate::ingest::decide) fn knows(&mut self, fingerprint: u128, time: i64, origin: Origin) -> bool {
        let key = Key::new(fingerprint);
        let at = segment_of(key);
        let Some(place) = self.place(at, key) else { return false };
        match self.segments[at].get(place).0.held() {
            Held::Chain(number) => self.chains.find(number, Window { from: time, to: time }, LinkTo::Newest, |other| Some(other == origin)).is_some(),
            Held::One { offset, partition, element } => self.anchors.origin(offset, partition, element) == origin,
        }
    }

    /// From now on, what is live now stays until [`Index::commit`], so that what was entered
    /// since can be taken back.
    pub(in crate::ingest::decide) fn hold(&mut self) {
        self.horizon.hold();
    }

    /// All up to this clock is committed.
    pub(in crate::ingest::decide) fn commit(&mut self, clock: i64) {
        self.horizon.commit(clock);
    }

    /// Moves the clock back to that of the last commit; what was entered since was taken back.
    pub(in crate::ingest::decide) fn rewind(&mut self, clock: i64) {
        self.horizon.rewind(clock);
    }

    /// Whether something went since the last call that taking back would need.
    pub(in crate::ingest::decide) fn take_lost(&mut self) -> bool {
        self.horizon.take_lost()
    }

    /// Where the entry of a key is.
    fn place(&mut self, at: usize, key: Key) -> Option<Place> {
        if self.segments.get(at)?.lower() + AGE_MAX <= self.horizon.live.now {
            self.sweep(at);
        }
        self.segments.get(at)?.find(key, self.horizon.live)
    }
}
