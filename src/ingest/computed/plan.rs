//! Expressions → nodes: equal parts once, paths numbered.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::Value;

use super::kernel::{Kernel, Shape};
use crate::content::Content;
use crate::expr::path::{Path, Step};
use crate::expr::xsoar::columnar::{self, Change, ExternalStep, Hop, NotColumnar, Read, TemplatePart};
use crate::expr::xsoar::path::Dt;
use crate::expr::xsoar::prepared::{Chain, Prepared};

/// What computes a column.
#[derive(Debug)]
pub enum Node {
    /// The same for every row; the JSON.
    Constant(Value),
    /// A path.
    Path {
        /// Number of the decoded column of the whole path.
        leaf: usize,
        /// Its beginnings, shortest first.
        prefixes: Vec<Prefix>,
    },
    /// Texts and nodes by turns.
    Template(Vec<Part>),
    /// The items of another node that pass the tests of a chain's source.
    Filtered(usize, Arc<Chain>),
    /// A kernel over another node.
    Kernel(usize, Kernel),
    /// A user's script over another node.
    External(usize, Arc<ExternalStep>),
    /// The reference evaluator on the whole event.
    Reference(Arc<Prepared>),
}

impl Node {
    /// The nodes that it reads.
    pub fn inputs(&self) -> impl Iterator<Item = usize> + '_ {
        let (one, parts) = match self {
            Node::Kernel(input, _) | Node::Filtered(input, _) | Node::External(input, _) => (Some(*input), &[][..]),
            Node::Template(parts) => (None, parts.as_slice()),
            Node::Constant(_) | Node::Path { .. } | Node::Reference(_) => (None, &[][..]),
        };
        one.into_iter().chain(parts.iter().filter_map(|part| match part {
            Part::Node(node) => Some(*node),
            Part::Text(_) => None,
        }))
    }
}

/// The beginning of a path.
#[derive(Debug)]
pub struct Prefix {
    /// Number of its decoded column.
    pub column: usize,
    /// True where an index comes next: what is not a list leaves the shape. Else what is a list does.
    pub index_next: bool,
    /// The rest of the path, for a value that leaves the shape.
    pub rest: Dt,
}

/// A part of a template.
#[derive(Debug)]
pub enum Part {
    /// Text as it is.
    Text(Arc<str>),
    /// The text of a node.
    Node(usize),
}

/// Which rows a column is computed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// All, before anything is known of them: classification.
    First,
    /// All.
    All,
    /// Those that the classifier gives one of these types; all where it does not decide alone.
    Types(Vec<u16>),
}

/// A computed column.
#[derive(Debug)]
pub struct Output {
    /// What it is for, for people: mapper and field.
    pub name: Arc<str>,
    /// Number of its column among the source's.
    pub column: usize,
    /// The node that it is.
    pub node: usize,
    /// The rows.
    pub when: When,
    /// Why it does not run over columns, if it does not.
    pub not_columnar: Option<NotColumnar>,
    /// What it has cost so far.
    pub counters: Counters,
}

/// What a column has cost, counted once a batch by all workers.
#[derive(Debug, Default)]
pub struct Counters {
    /// Rows that were computed as a column.
    pub columnar: AtomicU64,
    /// Rows that went through the reference evaluator.
    pub fallback: AtomicU64,
    /// Rows on which the expression failed.
    pub faults: AtomicU64,
    /// Nanoseconds in the reference evaluator.
    pub fallback_ns: AtomicU64,
}

/// All computed columns of a source.
#[derive(Debug, Default)]
pub struct Computed {
    /// Nodes; a node reads those before it.
    pub nodes: Vec<Node>,
    /// Per node: the rows that need it.
    pub node_when: Vec<When>,
    /// Columns.
    pub outputs: Vec<Output>,
    /// Key value → type code, where the classifier decides alone.
    pub table: Option<hashbrown::HashMap<Box<str>, u16>>,
    /// The type code of what the table does not have.
    pub default: Option<u16>,
    /// Columns of when the event occurred.
    pub occurred: Vec<usize>,
    /// Some expression depends on the time.
    pub reads_clock: bool,
    /// Where `lists.…` is read.
    pub content: Option<Arc<Content>>,
}

impl Computed {
    /// True when there is nothing to compute.
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    /// Columns that leave, or never have, the columnar shape; the most expensive first, as far as is known.
    pub fn fallbacks(&self) -> Vec<&Output> {
        let cost = |output: &Output| output.counters.fallback_ns.load(Relaxed);
        let mut found: Vec<&Output> = self.outputs.iter().filter(|output| output.not_columnar.is_some() || cost(output) > 0).collect();
        found.sort_by_key(|output| std::cmp::Reverse(cost(output)));
        found
    }
}

/// Builds [`Computed`].
pub struct Builder<'n> {
    computed: Computed,
    known: HashMap<String, usize>,
    number: &'n mut dyn FnMut(&Path) -> usize,
}

impl<'n> Builder<'n> {
    /// A builder; `number` gives the number of a decoded column.
    pub fn new(number: &'n mut dyn FnMut(&Path) -> usize) -> Builder<'n> {
        Builder { computed: Computed::default(), known: HashMap::new(), number }
    }

    /// Adds an expression as computed column `id`; gives its number among all columns. `shape`: that of the
    /// field that it is for.
    pub fn add(&mut self, id: u32, name: &str, prepared: &Prepared, shape: Option<Shape>, when: When) -> usize {
        self.computed.reads_clock |= prepared.reads_clock();
        let (mut node, not_columnar) = match columnar::plan(prepared) {
            Ok(columnar) => {
                let mut node = self.read(&columnar.read, &when);
                for step in &columnar.steps {
                    node = match step {
                        Change::Known(step) => self.kernel(node, Kernel::new(step), &when),
                        Change::External(step) => self.node(format!("{node} script {step:?}"), Node::External(node, step.clone()), &when),
                    };
                }
                (node, None)
            }
            Err(why) => {
                let key = format!("reference {prepared:?}");
                (self.node(key, Node::Reference(Arc::new(prepared.clone())), &when), Some(why))
            }
        };
        match (shape, &when) {
            (Some(shape), _) => node = self.kernel(node, Kernel::shape(shape), &when),
            // A key that is a list: its first item counts.
            (None, When::First) => node = self.kernel(node, Kernel::first(), &when),
            (None, _) => {}
        }
        let column = (self.number)(&Path::computed(id));
        self.computed.outputs.push(Output { name: name.into(), column, node, when, not_columnar, counters: Counters::default() });
        column
    }

    fn kernel(&mut self, input: usize, kernel: Kernel, when: &When) -> usize {
        self.node(format!("{input} {}", kernel.key()), Node::Kernel(input, kernel), when)
    }

    /// What was built.
    pub fn finish(self) -> Computed {
        self.computed
    }

    fn node(&mut self, key: String, node: Node, when: &When) -> usize {
        if let Some(known) = self.known.get(&key).copied() {
            self.widen(known, when);
            return known;
        }
        self.computed.nodes.push(node);
        self.computed.node_when.push(when.clone());
        let number = self.computed.nodes.len() - 1;
        self.known.insert(key, number);
        number
    }

    /// A node, and all that it reads, is needed for more rows.
    fn widen(&mut self, node: usize, when: &When) {
        let mut ahead = vec![node];
        while let Some(node) = ahead.pop() {
            if let Some(known) = self.computed.node_when.get_mut(node) {
                *known = wider(known, when);
            }
            ahead.extend(self.computed.nodes.get(node).into_iter().flat_map(Node::inputs));
        }
    }

    fn read(&mut self, read: &Read, when: &When) -> usize {
        match read {
            Read::Constant(value) => self.node(format!("constant {value}"), Node::Constant(value.clone()), when),
            Read::Path(hops) => self.path(hops, when),
            Read::Filtered(hops, chain) => {
                let root = self.path(hops, when);
                self.node(format!("filtered {root} {:?}", chain.source), Node::Filtered(root, chain.clone()), when)
            }
            Read::Template(parts) => {
                let mut key = String::from("template");
                let mut list = Vec::new();
                for part in parts {
                    list.push(match part {
                        TemplatePart::Text(text) => {
                            key.push_str(&format!(" {text:?}"));
                            Part::Text(text.clone())
                        }
                        TemplatePart::Path(hops) => {
                            let node = self.path(hops, when);
                            key.push_str(&format!(" {node}"));
                            Part::Node(node)
                        }
                    });
                }
                self.node(key, Node::Template(list), when)
            }
        }
    }

    fn path(&mut self, hops: &[Hop], when: &When) -> usize {
        let path_of = |hops: &[Hop]| {
            let exact = |hop: &Hop| match hop {
                // One key alone is exact anyway: shared with native expressions.
                Hop::Name(name) if hops.len() == 1 => Step::Key(name.clone()),
                Hop::Name(name) => Step::Member(name.clone()),
                Hop::Index(index) => Step::Index(*index),
            };
            Path::new(hops.iter().map(exact).collect())
        };
        let mut prefixes = Vec::new();
        for length in 1..hops.len() {
            let (before, rest) = hops.split_at(length);
            let Some(path) = path_of(before) else { continue };
            let index_next = matches!(rest.first(), Some(Hop::Index(_)));
            prefixes.push(Prefix { column: (self.number)(&path), index_next, rest: columnar::dt_of(rest) });
        }
        let leaf = path_of(hops).map_or(usize::MAX, |path| (self.number)(&path));
        self.node(format!("path {hops:?}"), Node::Path { leaf, prefixes }, when)
    }
}

fn wider(a: &When, b: &When) -> When {
    match (a, b) {
        (When::First, _) | (_, When::First) => When::First,
        (When::All, _) | (_, When::All) => When::All,
        (When::Types(a), When::Types(b)) => {
            let mut all = a.clone();
            all.extend(b.iter().filter(|code| !a.contains(code)));
            all.sort_unstable();
            When::Types(all)
        }
    }
}
