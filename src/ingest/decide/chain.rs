//! Several live incidents of one key, in the order in which they were created.
//!
//! Two or three are the usual case, a hot key has hundreds of thousands: links lie in
//! blocks that know their times, so a search skips what is out of reach and whole blocks
//! expire at once. Chains live in pages of slots, so that nothing big is ever copied.

use std::collections::VecDeque;

use super::purse::Purse;
use super::{LinkTo, Origin};

/// Links a block. More = fewer blocks to skip in a hot chain, but a longer scan in the block that is hit.
const BLOCK_LINKS: usize = 128;
/// Chains a page.
const PAGE_CHAINS: usize = 256;

/// One incident of a chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    /// Its time (ms).
    pub time: i64,
    /// Its origin.
    pub origin: Origin,
}

/// Times that a search accepts, both ends included (ms).
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Earliest.
    pub from: i64,
    /// Latest.
    pub to: i64,
}

impl Window {
    /// Whether a time lies inside.
    #[inline]
    pub fn holds(self, time: i64) -> bool {
        self.from <= time && time <= self.to
    }
}

/// Consecutive members.
#[derive(Debug)]
struct Block {
    earliest: i64,
    latest: i64,
    members: Vec<Member>,
}

#[derive(Debug)]
enum Chain {
    /// Not in use; the next free slot.
    Free(Option<u32>),
    /// All in one block.
    Short(Block),
    /// Several blocks; all but the last are full.
    Long(VecDeque<Block>),
}

/// All chains of one index.
#[derive(Debug, Default)]
pub(super) struct Chains {
    pages: Vec<Vec<Chain>>,
    free: Option<u32>,
    count: usize,
}

impl Block {
    const EMPTY: Block = Block { earliest: i64::MAX, latest: i64::MIN, members: Vec::new() };

    fn bytes(&self) -> usize {
        self.members.capacity() * size_of::<Member>()
    }

    fn push(&mut self, member: Member) {
        self.earliest = self.earliest.min(member.time);
        self.latest = self.latest.max(member.time);
        self.members.push(member);
    }

    /// Drops the members for which `keep` is false.
    fn retain(&mut self, mut keep: impl FnMut(&Member) -> bool) {
        (self.earliest, self.latest) = (i64::MAX, i64::MIN);
        let (earliest, latest) = (&mut self.earliest, &mut self.latest);
        self.members.retain(|member| {
            let stays = keep(member);
            if stays {
                (*earliest, *latest) = ((*earliest).min(member.time), (*latest).max(member.time));
            }
            stays
        });
    }

    /// Drops the last member.
    fn pop(&mut self) {
        if let Some(gone) = self.members.pop()
            && (gone.time == self.earliest || gone.time == self.latest)
        {
            self.retain(|_| true);
        }
    }

    fn find(&self, window: Window, link_to: LinkTo, accept: &mut impl FnMut(Origin) -> Option<bool>) -> Search {
        if self.latest < window.from || self.earliest > window.to {
            return Search::Next;
        }
        let mut ask = |member: &Member| {
            if !window.holds(member.time) {
                return None;
            }
            match accept(member.origin) {
                Some(true) => Some(Search::Found(member.origin)),
                Some(false) => None,
                None => Some(Search::Over),
            }
        };
        let found = match link_to {
            LinkTo::Oldest => self.members.iter().find_map(&mut ask),
            LinkTo::Newest => self.members.iter().rev().find_map(&mut ask),
        };
        found.unwrap_or(Search::Next)
    }
}

/// What is left of a chain.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rest {
    /// Nothing.
    None,
    /// One incident.
    One(Member),
    /// More; their newest time.
    Many {
        /// In ms.
        newest: i64,
    },
}

/// How far a search has come.
enum Search {
    /// Look into the next block.
    Next,
    /// This one.
    Found(Origin),
    /// The caller has had enough.
    Over,
}

impl Chains {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// A chain of two. `None` when the purse is empty.
    pub fn create(&mut self, first: Member, second: Member, purse: &mut Purse) -> Option<u32> {
        let members = 2 * size_of::<Member>();
        if !purse.take(members) {
            return None;
        }
        if self.free.is_none() && !self.add_page(purse) {
            purse.give(members);
            return None;
        }
        let number = self.free?;
        let slot = self.slot(number)?;
        let Chain::Free(next) = *slot else { return None };
        let mut block = Block { members: Vec::with_capacity(2), ..Block::EMPTY };
        block.push(first);
        block.push(second);
        *slot = Chain::Short(block);
        self.free = next;
        self.count += 1;
        Some(number)
    }

    fn add_page(&mut self, purse: &mut Purse) -> bool {
        let Ok(first) = u32::try_from(self.pages.len() * PAGE_CHAINS) else { return false };
        if !purse.take(PAGE_CHAINS * size_of::<Chain>()) {
            return false;
        }
        let last = first + PAGE_CHAINS as u32 - 1;
        self.pages.push((first..=last).map(|at| Chain::Free((at < last).then_some(at + 1))).collect());
        self.free = Some(first);
        true
    }

    #[inline]
    fn slot(&mut self, number: u32) -> Option<&mut Chain> {
        self.pages.get_mut(number as usize / PAGE_CHAINS)?.get_mut(number as usize % PAGE_CHAINS)
    }

    /// Appends a member; those before `horizon` may go. When the purse is empty the oldest
    /// go, and their number is returned.
    pub fn push(&mut self, number: u32, member: Member, horizon: i64, purse: &mut Purse) -> usize {
        let Some(slot) = self.slot(number) else { return 0 };
        if let Chain::Short(block) = slot {
            if block.members.len() == block.members.capacity() && block.earliest < horizon {
                block.retain(|member| member.time >= horizon);
            }
            let length = block.members.len();
            if length < block.members.capacity() || length < BLOCK_LINKS && grow(block, purse) {
                block.push(member);
                return 0;
            }
            let deque = 4 * size_of::<Block>();
            if length < BLOCK_LINKS || !purse.take(deque) {
                let mut first = true;
                block.retain(|_| !std::mem::take(&mut first));
                block.push(member);
                return 1;
            }
            let mut blocks = VecDeque::with_capacity(4);
            blocks.push_back(std::mem::replace(block, Block::EMPTY));
            *slot = Chain::Long(blocks);
        }
        let Chain::Long(blocks) = slot else { return 0 };
        while blocks.len() > 1 && blocks.front().is_some_and(|front| front.latest < horizon) {
            purse.give(blocks.pop_front().map_or(0, |block| block.bytes()));
        }
        if let Some(last) = blocks.back_mut()
            && last.members.len() < BLOCK_LINKS
        {
            last.push(member);
            return 0;
        }
        let (mut block, mut gone) = (Block::EMPTY, 0);
        let more = if blocks.len() == blocks.capacity() { blocks.capacity() * size_of::<Block>() } else { 0 };
        let bytes = BLOCK_LINKS * size_of::<Member>();
        if purse.take(more + bytes) {
            blocks.reserve_exact(if more > 0 { blocks.capacity() } else { 0 });
            block.members.reserve_exact(BLOCK_LINKS);
        } else if let Some(oldest) = blocks.pop_front() {
            block.members = oldest.members;
            gone = block.members.len();
            block.members.clear();
        }
        block.push(member);
        blocks.push_back(block);
        gone
    }

    /// The last member, if it was created at this very time.
    pub fn last_at(&mut self, number: u32, time: i64) -> Option<&mut Member> {
        let block = match self.slot(number)? {
            Chain::Free(_) => return None,
            Chain::Short(block) => block,
            Chain::Long(blocks) => blocks.back_mut()?,
        };
        block.members.last_mut().filter(|member| member.time == time)
    }

    /// Gives the last member's place back to the one that had it.
    pub fn replace_last(&mut self, number: u32, old: Member) -> bool {
        let last = self.last_at(number, old.time);
        last.map(|last| *last = old).is_some()
    }

    /// Takes the last member out and says what is left. `None`: there is no such chain.
    pub fn pop(&mut self, number: u32, purse: &mut Purse) -> Option<Rest> {
        let blocks = match self.slot(number)? {
            Chain::Free(_) => return None,
            Chain::Short(block) => {
                block.pop();
                std::slice::from_ref(block)
            }
            Chain::Long(blocks) => {
                let last = blocks.back_mut()?;
                last.pop();
                if last.members.is_empty() && blocks.len() > 1 {
                    purse.give(blocks.pop_back().map_or(0, |block| block.bytes()));
                }
                &*blocks.make_contiguous()
            }
        };
        Some(match blocks {
            [Block { members, .. }] if members.len() < 2 => members.first().map_or(Rest::None, |member| Rest::One(*member)),
            _ => Rest::Many { newest: blocks.iter().map(|block| block.latest).max()? },
        })
    }

    /// The first (by `link_to`) member inside the window for which `accept` says `Some(true)`;
    /// its `None` ends the search.
    pub fn find(&self, number: u32, window: Window, link_to: LinkTo, mut accept: impl FnMut(Origin) -> Option<bool>) -> Option<Origin> {
        let chain = self.pages.get(number as usize / PAGE_CHAINS)?.get(number as usize % PAGE_CHAINS)?;
        let mut look = |block: &Block| match block.find(window, link_to, &mut accept) {
            Search::Next => None,
            Search::Found(origin) => Some(Some(origin)),
            Search::Over => Some(None),
        };
        match (chain, link_to) {
            (Chain::Free(_), _) => None,
            (Chain::Short(block), _) => look(block),
            (Chain::Long(blocks), LinkTo::Oldest) => blocks.iter().find_map(look),
            (Chain::Long(blocks), LinkTo::Newest) => blocks.iter().rev().find_map(look),
        }
        .flatten()
    }

    /// Forgets a chain.
    pub fn free(&mut self, number: u32, purse: &mut Purse) {
        let next = self.free;
        let Some(slot) = self.slot(number) else { return };
        debug_assert!(!matches!(slot, Chain::Free(_)), "a chain is freed once");
        let bytes = match std::mem::replace(slot, Chain::Free(next)) {
            Chain::Free(_) => 0,
            Chain::Short(block) => block.bytes(),
            Chain::Long(blocks) => blocks.capacity() * size_of::<Block>() + blocks.iter().map(Block::bytes).sum::<usize>(),
        };
        purse.give(bytes);
        self.free = Some(number);
        self.count -= 1;
    }
}

/// Doubles a short chain's block, if the purse allows.
fn grow(block: &mut Block, purse: &mut Purse) -> bool {
    let more = block.members.capacity().min(BLOCK_LINKS - block.members.capacity());
    if !purse.take(more * size_of::<Member>()) {
        return false;
    }
    block.members.reserve_exact(more);
    true
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn member(time: i64) -> Member {
        Member { time, origin: Origin { partition: 0, offset: time, element: 0 } }
    }

    fn first(chains: &Chains, number: u32, from: i64) -> i64 {
        chains.find(number, Window { from, to: i64::MAX }, LinkTo::Oldest, |_| Some(true)).unwrap().offset
    }

    #[test]
    fn what_lies_on_the_horizon_stays_and_what_lies_before_goes() {
        let mut purse = Purse::alone(1 << 20);
        let mut chains = Chains::default();
        let number = chains.create(member(0), member(1), &mut purse).unwrap();
        let (mut most, mut horizon) = (0, 0);
        for time in 2..100_000 {
            // Sometimes few are live, sometimes many.
            horizon = horizon.max(if time % 20_000 < 10_000 { time - 2 } else { time - 700 });
            assert_eq!(chains.push(number, member(time), horizon, &mut purse), 0);
            assert_eq!(first(&chains, number, horizon), horizon, "at {time}");
            most = most.max(purse.spent());
        }
        assert!(most < PAGE_CHAINS * size_of::<Chain>() + 1_200 * size_of::<Member>(), "{most} bytes for 700 members");
        chains.free(number, &mut purse);
        assert_eq!(purse.spent(), PAGE_CHAINS * size_of::<Chain>());
        assert!(chains.is_empty());
    }

    #[test]
    fn an_empty_purse_costs_the_oldest() {
        for members in [10, 60, 128, 129, 500] {
            let bytes = PAGE_CHAINS * size_of::<Chain>() + members * size_of::<Member>();
            let mut purse = Purse::alone(bytes);
            let mut chains = Chains::default();
            let number = chains.create(member(0), member(1), &mut purse).unwrap();
            let mut gone = 0;
            for time in 2..2_000 {
                gone += chains.push(number, member(time), 0, &mut purse) as i64;
                assert_eq!(first(&chains, number, 0), gone, "{members} fit, at {time}");
                assert!(purse.spent() <= bytes);
            }
        }
        assert!(Chains::default().create(member(0), member(1), &mut Purse::alone(100)).is_none());
    }
}
