//! Owns playbooks as they are read: inputs, outputs, and a graph of tasks. What a task does is
//! in [`task`], the shape of the graph in [`graph`].

mod graph;
mod message;
mod read_task;
pub mod task;

use crate::config::node::Node;
use crate::config::source_map::Spanned;

use super::argument::Expression;
use super::read::{Keys, Reader};
pub use task::Task;

/// Tasks of a playbook. The largest real one has below 300.
pub const TASKS_MAX: usize = 10_000;

/// A playbook.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Playbook {
    /// The id of the task that it starts with.
    pub start: Spanned<String>,
    /// In the order of the file.
    pub tasks: Vec<Task>,
    /// What it is given.
    pub inputs: Vec<Input>,
    /// Which context paths its caller gets.
    pub outputs: Vec<Output>,
    /// Its tasks write nothing into the war room unless they say otherwise.
    pub quiet: bool,
    /// It is not offered to people.
    pub hidden: bool,
    /// Roles that may change it.
    pub roles: Vec<String>,
    /// For people.
    pub tags: Vec<String>,
}

impl Playbook {
    /// A task by id.
    pub fn task(&self, id: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.id == id)
    }
}

/// An input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Input {
    /// Its name: tasks read `inputs.<key>`.
    pub key: Spanned<String>,
    /// What it is where the caller gives nothing, evaluated in the caller.
    pub value: Expression,
    /// Checked by the product's pages only.
    pub required: bool,
    /// For people.
    pub description: String,
    /// Its value is the result of a query instead, as `playbookQuery`.
    pub query: Option<Query>,
}

/// A query for indicators or incidents.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Query {
    /// Its text.
    pub text: String,
    /// Incidents; else indicators.
    pub incidents: bool,
    /// How many at the most; 0: as many as there are.
    pub results: i64,
    /// Only what changed since the job ran last.
    pub since_last_run: bool,
}

/// An output.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Output {
    /// A context path.
    pub path: Spanned<String>,
    /// What it holds, as written.
    pub kind: String,
    /// For people.
    pub description: String,
}

const WITHOUT_EFFECT: [&str; 20] = [
    "view",
    "sourceplaybookid",
    "tests",
    "internal",
    "issilent",
    "inputSections",
    "outputSections",
    "vcShouldKeepItemLegacyProdMachine",
    "prettyname",
    "comment",
    "dependson",
    "system",
    "missingScriptsIds",
    "scriptIds",
    "commands",
    "brands",
    "missingDeps",
    "unknown",
    "searchableName",
    "silent",
];

impl Playbook {
    /// Reads a playbook.
    pub fn read(mut keys: Keys<'_>, reader: &mut Reader<'_>) -> Option<Playbook> {
        let start = keys.spanned("starttaskid", reader);
        let mut usable = start.is_some();
        if start.is_none() {
            reader.error("missing-key", "a playbook needs `starttaskid`", keys.head());
        }
        let entries = keys.entries("tasks", reader);
        if entries.is_empty() {
            reader.error("missing-key", "a playbook needs `tasks`", keys.head());
            usable = false;
        }
        if let Some((key, _)) = entries.get(TASKS_MAX) {
            reader.error("too-many", format!("the playbook has {} tasks; {TASKS_MAX} are possible", entries.len()), key.span);
            usable = false;
        }
        let mut tasks = Vec::new();
        for (id, node) in entries.iter().take(TASKS_MAX) {
            match read_task::read(id, node, reader) {
                Some(task) => tasks.push(task),
                None => usable = false,
            }
        }
        let playbook = Playbook {
            start: start.unwrap_or_default(),
            tasks,
            inputs: keys.list("inputs", reader).iter().filter_map(|node| input(node, reader)).collect(),
            outputs: keys.list("outputs", reader).iter().filter_map(|node| output(node, reader)).collect(),
            quiet: keys.truth("quiet", reader),
            hidden: keys.truth("hidden", reader),
            roles: keys.texts("rolename", reader),
            tags: keys.texts("tags", reader),
        };
        keys.close(&WITHOUT_EFFECT, reader);
        if usable {
            usable = graph::check(&playbook, reader);
        }
        usable.then_some(playbook)
    }
}

fn input(node: &Node, reader: &mut Reader<'_>) -> Option<Input> {
    let mut keys = Keys::open(node, "an input", reader)?;
    let key = keys.spanned("key", reader);
    let value = Expression::maybe(keys.get("value"), "`value` of an input", reader);
    let required = keys.truth("required", reader);
    let description = keys.text("description", reader);
    let query = keys.get("playbookInputQuery").filter(|node| reader.text_of(node).is_none()).and_then(|node| query(node, reader));
    let head = keys.head();
    keys.close(&["section"], reader);
    if key.is_none() && query.is_none() {
        reader.warn("missing-key", "an input without `key`; passed over", head);
        return None;
    }
    Some(Input { key: key.unwrap_or_default(), value, required, description, query })
}

fn query(node: &Node, reader: &mut Reader<'_>) -> Option<Query> {
    let mut keys = Keys::open(node, "`playbookInputQuery`", reader)?;
    let query = Query {
        text: keys.text("query", reader),
        incidents: keys.text("queryEntity", reader).eq_ignore_ascii_case("incidents"),
        results: keys.whole("results", reader).unwrap_or(0),
        since_last_run: keys.truth("runFromLastJobTime", reader),
    };
    keys.close(&["daterange"], reader);
    Some(query)
}

fn output(node: &Node, reader: &mut Reader<'_>) -> Option<Output> {
    let mut keys = Keys::open(node, "an output", reader)?;
    let path = keys.spanned("contextPath", reader);
    let output = path.map(|path| Output { path, kind: keys.text("type", reader), description: keys.text("description", reader) });
    keys.close(&["section"], reader);
    output
}
