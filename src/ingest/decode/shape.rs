//! The paths that a pipeline reads, compiled to a tree of keys.
//!
//! A path `a.b.c` is also found under flat keys (`"a.b"` then `c`, `"a.b.c"` …). A node of the tree is a set of
//! (path, steps done) at one depth of nesting; each run of steps joined by dots is an edge. The depth at which a
//! path is complete is its *rank*: of several matches in one event the highest rank wins, then the last in the text.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::expr::path::{Path, Step};

use super::key::{Key, KeyTable};

/// Paths of more steps than this are not looked for under flat dotted keys: the number of ways to cut a path grows with the square of its steps.
pub const FLAT_STEPS_MAX: usize = 32;

/// No root key, in [`super::Rows::top_keys`].
pub const NO_TOP_KEY: u16 = u16::MAX;

/// What to decode besides the paths.
#[derive(Debug, Clone, Default)]
pub struct ShapeOptions {
    /// Record every top-level member of each event.
    pub top_level: bool,
    /// The elements of the array at this path of a message are the events.
    pub explode: Option<Path>,
}

/// Paths in the form in which the decoder matches them.
#[derive(Debug)]
pub struct Shape {
    pub(super) nodes: Vec<Node>,
    pub(super) edges: Vec<Edge>,
    pub(super) elements: Vec<(u32, Target)>,
    /// Numbers of paths that are complete at some target.
    pub(super) terminals: Vec<u32>,
    pub(super) paths: Box<[Path]>,
    pub(super) options: ShapeOptions,
    top_paths: Vec<Vec<u32>>,
}

/// A place in an event at which paths go on.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Keys of this node; values are numbers of edges, counted from `first_edge`.
    pub keys: KeyTable,
    pub first_edge: u32,
    /// Range in [`Shape::elements`], by index.
    pub elements: (u32, u32),
}

/// One key of a node.
#[derive(Debug)]
pub(super) struct Edge {
    pub key: Key,
    pub target: Target,
}

/// What a member or element of interest leads to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// Range in [`Shape::terminals`].
    pub terminals: (u32, u32),
    /// The node for the members of the value; 0 (the root, which nothing leads to) = none.
    pub node: u32,
    /// Depth of nesting at which this is.
    pub rank: u8,
}

impl Shape {
    /// Compiles paths; column *i* of the rows is `paths[i]`. The same path may come twice.
    pub fn new(paths: &[Path], options: ShapeOptions) -> Shape {
        let mut shape =
            Shape { nodes: Vec::new(), edges: Vec::new(), elements: Vec::new(), terminals: Vec::new(), paths: paths.into(), options, top_paths: Vec::new() };
        let start = (0..paths.len() as u32).map(|path| (path, 0)).collect();
        Builder { shape: &mut shape, known: HashMap::new() }.node(start, 0);
        shape.top_paths = shape.root_edges().iter().map(|edge| shape.paths_through(edge.target)).collect();
        shape
    }

    /// How many columns the rows have.
    pub fn path_count(&self) -> usize {
        self.paths.len()
    }

    /// The paths, in the order of the columns.
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// The options that the shape was made with.
    pub fn options(&self) -> &ShapeOptions {
        &self.options
    }

    /// True when a path reads the top-level member of this (unescaped) key or something in it.
    pub fn top_key_mapped(&self, key: &[u8]) -> bool {
        self.root().is_some_and(|root| root.keys.find(self.root_edges(), key).is_some())
    }

    /// How many different top-level keys the paths read, flat dotted ones included. They are what
    /// [`super::Rows::top_keys`] holds the numbers of.
    pub fn top_key_count(&self) -> usize {
        self.top_paths.len()
    }

    /// The numbers of the paths that read top-level key number `key` or something in it.
    pub fn top_key_paths(&self, key: u16) -> &[u32] {
        self.top_paths.get(key as usize).map_or(&[], Vec::as_slice)
    }

    fn root(&self) -> Option<&Node> {
        self.nodes.first()
    }

    fn root_edges(&self) -> &[Edge] {
        self.root()
            .and_then(|root| self.edges.get(root.first_edge as usize..))
            .map_or(&[], |edges| edges.get(..self.root().map_or(0, |root| root.keys.len())).unwrap_or_default())
    }

    /// The paths that end at a target.
    #[inline(always)]
    pub(super) fn ends(&self, target: &Target) -> &[u32] {
        self.terminals.get(target.terminals.0 as usize..target.terminals.1 as usize).unwrap_or_default()
    }

    /// The edges of a node.
    #[inline(always)]
    pub(super) fn edges_of(&self, node: &Node) -> &[Edge] {
        let first = node.first_edge as usize;
        self.edges.get(first..first + node.keys.len()).unwrap_or_default()
    }

    /// The elements of an array that a node asks for, by index.
    pub(super) fn elements_of(&self, node: &Node) -> &[(u32, Target)] {
        self.elements.get(node.elements.0 as usize..node.elements.1 as usize).unwrap_or_default()
    }

    fn paths_through(&self, target: Target) -> Vec<u32> {
        let mut paths = Vec::new();
        let (mut ahead, mut been) = (vec![target], HashSet::new());
        while let Some(target) = ahead.pop() {
            paths.extend_from_slice(self.ends(&target));
            // Several ways lead to one node.
            if target.node != 0
                && been.insert(target.node)
                && let Some(node) = self.nodes.get(target.node as usize)
            {
                ahead.extend(self.edges_of(node).iter().map(|edge| edge.target));
                ahead.extend(self.elements_of(node).iter().map(|(_, target)| *target));
            }
        }
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}

/// Paths under way: number and steps done.
type States = Vec<(u32, u32)>;

struct Builder<'a> {
    shape: &'a mut Shape,
    known: HashMap<(States, u8), u32>,
}

impl Builder<'_> {
    /// The number of the node for these states at this depth.
    fn node(&mut self, states: States, depth: u8) -> u32 {
        if let Some(known) = self.known.get(&(states.clone(), depth)) {
            return *known;
        }
        let number = self.shape.nodes.len() as u32;
        self.shape.nodes.push(Node::default());
        self.known.insert((states.clone(), depth), number);

        let mut keys: BTreeMap<String, States> = BTreeMap::new();
        let mut indexes: BTreeMap<u32, States> = BTreeMap::new();
        for (path, done) in states {
            let path_steps = self.shape.paths.get(path as usize).map_or(&[][..], Path::steps);
            let joined_max = if path_steps.len() > FLAT_STEPS_MAX { 1 } else { FLAT_STEPS_MAX };
            let steps = path_steps.get(done as usize..).unwrap_or_default();
            if let Some(Step::Index(index)) = steps.first() {
                indexes.entry(*index).or_default().push((path, done + 1));
                continue;
            }
            if let Some(Step::Member(key)) = steps.first() {
                keys.entry(key.to_string()).or_default().push((path, done + 1));
                continue;
            }
            let mut label = String::new();
            for (i, step) in steps.iter().take(joined_max).enumerate() {
                let Step::Key(key) = step else { break };
                if i > 0 {
                    label.push('.');
                }
                label.push_str(key);
                keys.entry(label.clone()).or_default().push((path, done + i as u32 + 1));
            }
        }
        let edges: Vec<Edge> = keys.into_iter().map(|(label, states)| Edge { key: Key::new(label.as_bytes()), target: self.target(states, depth) }).collect();
        let elements: Vec<(u32, Target)> = indexes.into_iter().map(|(index, states)| (index, self.target(states, depth))).collect();

        let keys = KeyTable::new(&edges);
        let shape = &mut *self.shape;
        let (first_edge, first_element) = (shape.edges.len() as u32, shape.elements.len() as u32);
        shape.edges.extend(edges);
        shape.elements.extend(elements);
        let elements = (first_element, shape.elements.len() as u32);
        if let Some(node) = shape.nodes.get_mut(number as usize) {
            *node = Node { keys, first_edge, elements };
        }
        number
    }

    /// What one level deeper than `depth` is complete, and what goes on.
    fn target(&mut self, mut states: States, depth: u8) -> Target {
        states.sort_unstable();
        states.dedup();
        let first = self.shape.terminals.len() as u32;
        let rank = depth.saturating_add(1);
        let mut onward = States::new();
        for (path, done) in states {
            let steps = self.shape.paths.get(path as usize).map_or(0, |path| path.steps().len());
            if done as usize >= steps {
                self.shape.terminals.push(path);
            } else {
                onward.push((path, done));
            }
        }
        let terminals = (first, self.shape.terminals.len() as u32);
        // Nesting is bounded, so what lies deeper can never be reached.
        let node = if onward.is_empty() || rank as u32 >= super::DEPTH_MAX { 0 } else { self.node(onward, rank) };
        Target { terminals, node, rank }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(keys: &[&str]) -> Path {
        #[allow(clippy::unwrap_used)]
        Path::new(keys.iter().map(|key| Step::Key((*key).into())).collect()).unwrap()
    }

    #[test]
    fn flat_keys_are_top_keys_too() {
        let shape = Shape::new(&[path(&["a", "b", "c"]), path(&["d"])], ShapeOptions::default());
        for key in ["a", "a.b", "a.b.c", "d"] {
            assert!(shape.top_key_mapped(key.as_bytes()), "{key}");
        }
        for key in ["", "b", "c", "b.c", "a.b.c.d", "a."] {
            assert!(!shape.top_key_mapped(key.as_bytes()), "{key}");
        }
        assert_eq!(shape.top_key_count(), 4);
        assert_eq!(shape.top_key_paths(0), &[0]);
        assert_eq!(shape.top_key_paths(3), &[1]);
    }

    #[test]
    fn long_paths_stay_small() {
        let keys: Vec<String> = (0..FLAT_STEPS_MAX).map(|i| format!("k{i}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let shape = Shape::new(&[path(&keys)], ShapeOptions::default());
        assert!(shape.nodes.len() <= FLAT_STEPS_MAX * FLAT_STEPS_MAX);
    }
}
