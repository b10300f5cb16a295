//! The walk over the tokens of one event: checks all of the grammar and records what the shape asks for.

use super::index::INDEX_TOKENS_KEPT;
use super::key::Ends;
use super::rows::Rows;
use super::shape::{NO_TOP_KEY, Node, Shape, Target};
use super::slot::Slot;
use super::text::unescape;
use super::tokens::{Fault, KEY_COLON, Tokens};

/// What has been found in the event under way. Reused from event to event.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// One value per path.
    pub slots: Vec<Slot>,
    /// The rank of each, see [`super::shape`].
    ranks: Vec<u8>,
    /// For each edge with a node: the number of the object in which its key was last seen.
    seen: Vec<u32>,
    /// Number of the object under way, counted over all events.
    object: u32,
    /// A key that leads on came twice in one object: what was found below the first is void.
    pub repeated: bool,
    /// Tokens of the keys that the walk compared, in order: with the kinds of tokens they decide what is found where.
    pub keys: Vec<u32>,
    /// Space for a key with escapes.
    key: Vec<u8>,
}

impl Found {
    pub fn new(shape: &Shape) -> Found {
        Found {
            slots: vec![Slot::MISSING; shape.path_count()],
            ranks: vec![0; shape.path_count()],
            seen: vec![0; shape.edges.len()],
            object: 0,
            repeated: false,
            keys: Vec::new(),
            key: Vec::new(),
        }
    }

    #[inline(always)]
    fn reset(&mut self) {
        self.slots.fill(Slot::MISSING);
        self.ranks.fill(0);
        self.repeated = false;
        self.keys.clear();
        // One hostile message must not hold memory for ever.
        self.keys.shrink_to(INDEX_TOKENS_KEPT);
        if self.object > u32::MAX / 2 {
            self.object = 0;
            self.seen.fill(0);
        }
    }
}

/// A walk over one message.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a> {
    pub tokens: Tokens<'a>,
    pub shape: &'a Shape,
}

impl Walk<'_> {
    /// Walks the event whose opening brace is token `i`; what it holds is then in `found`, top-level
    /// members are appended to `rows`. `depth` levels of containers are allowed, the event's own included.
    /// Returns the number of the token after the event.
    #[inline(always)]
    pub fn event(&self, found: &mut Found, i: usize, depth: u32, rows: &mut Rows) -> Result<usize, Fault> {
        found.reset();
        let Some(root) = self.shape.nodes.first().filter(|_| depth > 0) else {
            return Err(Fault::depth(self.tokens.position(i)));
        };
        if self.shape.options.top_level {
            self.object::<true>(found, i + 1, root, depth - 1, rows)
        } else {
            self.object::<false>(found, i + 1, root, depth - 1, rows)
        }
    }

    /// Walks an object from the token after its brace on.
    fn object<const TOP: bool>(&self, found: &mut Found, mut i: usize, node: &Node, depth: u32, rows: &mut Rows) -> Result<usize, Fault> {
        let tokens = &self.tokens;
        let edges = self.shape.edges_of(node);
        found.object += 1;
        let object = found.object;
        if tokens.kind(i) == b'}' {
            return Ok(i + 1);
        }
        loop {
            let kinds = tokens.kinds4(i);
            if kinds & 0xffff != KEY_COLON {
                return Err(Fault::syntax(tokens.position(i)));
            }
            found.keys.push(i as u32);
            let (start, len) = tokens.string(i);
            let number = if tokens.has_escape(start, len) {
                self.find_escaped(found, node, start, len)
            } else {
                let ends = Ends::new(tokens.word(start), tokens.word(start + Ends::last_at(len)), len);
                node.keys.find_ends(edges, ends, || tokens.text(start, len))
            };
            let value = i + 2;
            let (mut after, is_string) = (value + 1, (kinds >> 16) as u8 == b'"');
            if let Some(number) = number
                && let Some(edge) = edges.get(number as usize)
            {
                if edge.target.node != 0
                    && let Some(seen) = found.seen.get_mut(node.first_edge as usize + number as usize)
                {
                    found.repeated |= *seen == object;
                    *seen = object;
                }
                if is_string {
                    record(self.shape, found, &edge.target, tokens.string_slot(value));
                } else {
                    after = self.value(found, value, &edge.target, depth, rows)?;
                }
            } else if !is_string {
                after = tokens.skip_value(value, depth)?;
            }
            if TOP {
                rows.top.push((tokens.string_slot(i), tokens.slot(value, after)));
                rows.top_keys.push(number.unwrap_or(NO_TOP_KEY));
            }
            match tokens.kind(after) {
                b',' => i = after + 1,
                b'}' => return Ok(after + 1),
                _ => return Err(Fault::syntax(tokens.position(after))),
            }
        }
    }

    /// Walks an array of which some elements are asked for, from the token after its bracket on.
    fn array(&self, found: &mut Found, mut i: usize, node: &Node, depth: u32, rows: &mut Rows) -> Result<usize, Fault> {
        let mut wanted = self.shape.elements_of(node).iter();
        let mut next = wanted.next();
        if self.tokens.kind(i) == b']' {
            return Ok(i + 1);
        }
        for element in 0u32.. {
            let after = match next {
                Some((index, target)) if *index == element => {
                    next = wanted.next();
                    self.value(found, i, target, depth, rows)?
                }
                _ => self.tokens.skip_value(i, depth)?,
            };
            match self.tokens.kind(after) {
                b',' => i = after + 1,
                b']' => return Ok(after + 1),
                _ => return Err(Fault::syntax(self.tokens.position(after))),
            }
        }
        Err(Fault::syntax(self.tokens.position(i)))
    }

    /// Walks a value that a target asks for, and records it for the paths that end here.
    #[inline(always)]
    fn value(&self, found: &mut Found, i: usize, target: &Target, depth: u32, rows: &mut Rows) -> Result<usize, Fault> {
        let tokens = &self.tokens;
        let after = match tokens.kind(i) {
            open @ (b'{' | b'[') if target.node != 0 => {
                let Some(node) = self.shape.nodes.get(target.node as usize).filter(|_| depth != 0) else {
                    return Err(Fault::depth(tokens.position(i)));
                };
                if open == b'{' { self.object::<false>(found, i + 1, node, depth - 1, rows)? } else { self.array(found, i + 1, node, depth - 1, rows)? }
            }
            _ => tokens.skip_value(i, depth)?,
        };
        if target.terminals.0 != target.terminals.1 {
            record(self.shape, found, target, tokens.slot(i, after));
        }
        Ok(after)
    }

    #[cold]
    #[inline(never)]
    fn find_escaped(&self, found: &mut Found, node: &Node, start: u32, len: u32) -> Option<u16> {
        found.key.clear();
        unescape(self.tokens.text(start, len), &mut found.key);
        node.keys.find(self.shape.edges_of(node), &found.key)
    }
}

/// Notes a value for the paths that end at a target, unless they have one that wins.
#[inline(always)]
fn record(shape: &Shape, found: &mut Found, target: &Target, slot: Slot) {
    for path in shape.ends(target) {
        let path = *path as usize;
        if let (Some(to), Some(rank)) = (found.slots.get_mut(path), found.ranks.get_mut(path))
            && target.rank >= *rank
        {
            *to = slot;
            *rank = target.rank;
        }
    }
}
