//! Owns a playbook that is ready to run: tasks by number, expressions prepared, edges resolved,
//! and for each task how many edges lead to it. A program never changes; runs are pinned to its
//! version.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::content::argument::{Conditions, Expression};
use crate::content::playbook::task::{Action, Automation, Form, Message, OnError, Quiet, Until};
use crate::content::playbook::{self, Playbook};
use crate::content::{Head, names::normalise};
use crate::expr::xsoar::model::{Argument, Place};
use crate::expr::xsoar::path::Dt;
use crate::expr::xsoar::prepare::{Mode, Options, prepare, prepare_tests};
use crate::expr::xsoar::prepared::{Prepared, PreparedTests};

/// A playbook, ready to run.
#[derive(Debug)]
pub struct Program {
    /// By which others refer to it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Twelve hex digits of its text.
    pub version: String,
    /// The task it starts with.
    pub start: usize,
    /// Tasks in the order of the file.
    pub tasks: Vec<Node>,
    /// What it is given.
    pub inputs: Vec<Input>,
    /// What its caller gets: path, and the same prepared.
    pub outputs: Vec<(String, Dt)>,
    /// Its tasks write nothing into the war room unless they say otherwise.
    pub quiet: bool,
    /// Some expression reads the list of integration instances.
    pub reads_modules: bool,
}

/// An input of a playbook.
#[derive(Debug)]
pub struct Input {
    /// Its name.
    pub key: String,
    /// What it is where nothing is given.
    pub value: Prepared,
    /// Whoever calls has to give it.
    pub required: bool,
    /// It comes from a query for indicators or incidents.
    pub query: bool,
}

/// A task.
#[derive(Debug)]
pub struct Node {
    /// Its id in the file.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// What that is given.
    pub arguments: Vec<(String, Prepared)>,
    /// What is for the engine.
    pub options: NodeOptions,
    /// Label in lower case → tasks.
    pub edges: Vec<(String, Vec<usize>)>,
    /// How many edges lead here.
    pub incoming: u32,
    /// A sub-playbook has a context of its own.
    pub private: bool,
    /// What an error means.
    pub on_error: OnError,
    /// If what it runs is missing, it does not run.
    pub skip_unavailable: bool,
    /// Whether it writes into the war room.
    pub quiet: Quiet,
    /// What it writes becomes notes.
    pub note: bool,
    /// Incident fields that are set after it: name, value.
    pub field_mapping: Vec<(String, Prepared)>,
    /// Timers: cliName of the field, `start`, `stop` or `pause`.
    pub timers: Vec<(String, String)>,
    /// Who has to do it.
    pub assignee: Prepared,
    /// Nobody else may.
    pub restricted: bool,
    /// Minutes a person has.
    pub sla_minutes: i64,
    /// Minutes before that at which the person is reminded.
    pub reminder_minutes: i64,
    /// How its sub-playbook is repeated.
    pub repeat: Option<Repeat>,
    /// Its entries become evidence with this description.
    pub evidence: Option<Prepared>,
}

/// Special arguments, evaluated when the task starts.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct NodeOptions {
    pub extend_context: Prepared,
    pub ignore_outputs: Prepared,
    pub using: Prepared,
    pub using_brand: Prepared,
    pub execution_timeout: Prepared,
    pub retry_count: Prepared,
    pub retry_interval: Prepared,
}

/// What a task does.
#[derive(Debug)]
pub enum Kind {
    /// Nothing.
    Pass,
    /// A person does it.
    Manual,
    /// A command or a script; in conditions its text is the label.
    Automation {
        /// Whose it is.
        brand: Option<String>,
        /// Its name.
        name: String,
        /// It is a script, not a command.
        script: bool,
        /// Its text is the label.
        labels: bool,
    },
    /// A sub-playbook, by name or id.
    Playbook(String),
    /// The first condition that holds gives the label.
    Condition(Vec<(String, PreparedTests)>),
    /// A person is asked; the reply is the label.
    Ask(Box<Asked>),
    /// A person decides; the decision is the label.
    Decide,
    /// People fill in a form.
    Collect(Box<Collected>),
}

/// A question to a person.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Asked {
    pub to: Prepared,
    pub subject: Prepared,
    pub body: Prepared,
    pub methods: Vec<String>,
    pub replies: Vec<String>,
    pub retries: i64,
    pub retry_minutes: i64,
}

/// A form.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Collected {
    pub title: String,
    pub message: Option<Asked>,
    pub questions: Vec<Question>,
}

/// A question of a form.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Question {
    pub id: String,
    pub label: Prepared,
    pub kind: String,
    pub required: bool,
    pub options: Vec<String>,
    pub field: Option<String>,
}

/// How a sub-playbook is repeated.
#[derive(Debug)]
pub struct Repeat {
    /// Seconds between two turns.
    pub wait_seconds: i64,
    /// Turns at the most.
    pub max: u32,
    /// Until when.
    pub until: Ends,
}

/// When repeating ends.
#[derive(Debug)]
pub enum Ends {
    /// After the longest list among the inputs.
    ForEach,
    /// When this holds on the sub-playbook's context.
    Holds(PreparedTests),
    /// When an automation says this.
    Says {
        /// The automation.
        script: String,
        /// What it is given.
        arguments: Vec<(String, Prepared)>,
        /// What it says then.
        answer: String,
    },
}

/// Longest wait between turns, in seconds (a day).
const TURN_WAIT_MAX: i64 = 86_400;
/// Turns of a loop at the most, whatever a playbook says.
pub const TURNS_MAX: i64 = 10_000;

impl Program {
    /// Prepares a playbook; `text` is what it was read from, and gives the version.
    pub fn compile(head: &Head, playbook: &Playbook, text: &str) -> Program {
        let number = |id: &str| playbook.tasks.iter().position(|task| task.id == id);
        let mut tasks: Vec<Node> = playbook.tasks.iter().map(|task| node(task, &number)).collect();
        let targets: Vec<usize> = tasks.iter().flat_map(|task| task.edges.iter().flat_map(|(_, to)| to.iter().copied())).collect();
        for target in targets {
            if let Some(task) = tasks.get_mut(target) {
                task.incoming += 1;
            }
        }
        let inputs = playbook.inputs.iter().map(input).collect();
        let outputs = playbook.outputs.iter().map(|output| output.path.value.trim().to_owned()).filter(|path| !path.is_empty());
        Program {
            id: head.id.clone(),
            name: head.name.clone(),
            version: version_of(text),
            start: number(&playbook.start.value).unwrap_or(0),
            tasks,
            inputs,
            outputs: outputs.map(|path| (path.clone(), Dt::parse(&path).unwrap_or_else(|_| Dt::plain(&path)))).collect(),
            quiet: playbook.quiet,
            reads_modules: text.contains("modules"),
        }
    }

    /// The number of a task.
    pub fn task(&self, id: &str) -> Option<usize> {
        self.tasks.iter().position(|task| task.id == id)
    }
}

/// Twelve hex digits that change with any byte of a text.
pub fn version_of(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn text(expression: &Expression) -> Prepared {
    prepare(&expression.argument, Place::Text, &Options::default()).0
}

fn maybe(expression: Option<&Expression>) -> Prepared {
    expression.map_or(Prepared::Unset, text)
}

fn tests(conditions: &Conditions) -> PreparedTests {
    prepare_tests(&conditions.tests, Mode::Condition, &Options::default()).0
}

fn input(input: &playbook::Input) -> Input {
    Input { key: input.key.value.clone(), value: text(&input.value), required: input.required, query: input.query.is_some() }
}

fn asked(message: &Message) -> Asked {
    Asked {
        to: text(&message.to),
        subject: text(&message.subject),
        body: text(&message.body),
        methods: message.methods.clone(),
        replies: message.replies.iter().map(|reply| reply.value.clone()).collect(),
        retries: message.retries.clamp(0, 100),
        retry_minutes: message.retry_minutes.clamp(0, 60 * 24 * 7),
    }
}

fn collected(form: &Form, message: Option<&Message>) -> Collected {
    let question = |question: &crate::content::playbook::task::Question| Question {
        id: question.id.clone(),
        label: text(&question.label),
        kind: question.kind.clone(),
        required: question.required,
        options: question.options.clone(),
        field: question.field.as_ref().map(|field| normalise(field.value.strip_prefix("incident_").unwrap_or(&field.value))),
    };
    Collected { title: form.title.clone(), message: message.map(asked), questions: form.questions.iter().map(question).collect() }
}

fn automation(automation: &Automation, labels: bool) -> Kind {
    match automation {
        Automation::Command(command) => {
            Kind::Automation { brand: command.brand.clone().filter(|brand| !brand.is_empty()), name: command.name.value.clone(), script: false, labels }
        }
        Automation::Script(name) => Kind::Automation { brand: None, name: name.value.clone(), script: true, labels },
    }
}

fn node(task: &crate::content::playbook::Task, number: &dyn Fn(&str) -> Option<usize>) -> Node {
    let kind = match &task.action {
        Action::Start | Action::Title => Kind::Pass,
        Action::Manual => Kind::Manual,
        Action::Command(command) => automation(&Automation::Command(command.clone()), false),
        Action::Script(name) => automation(&Automation::Script(name.clone()), false),
        Action::ConditionBy(by) => automation(by, true),
        Action::Playbook(name) => Kind::Playbook(name.value.clone()),
        Action::Condition(branches) => Kind::Condition(branches.iter().map(|branch| (branch.label.value.clone(), tests(&branch.when))).collect()),
        Action::Ask(message) => Kind::Ask(Box::new(asked(message))),
        Action::Decide => Kind::Decide,
        Action::Collect(form, message) => Kind::Collect(Box::new(collected(form, message.as_deref()))),
    };
    let edges = task.next.iter().map(|(label, targets)| {
        let mut targets: Vec<usize> = targets.iter().filter_map(|target| number(&target.value)).collect();
        // The same way twice is one way.
        let mut seen = std::collections::HashSet::new();
        targets.retain(|target| seen.insert(*target));
        (label.value.trim().to_lowercase(), targets)
    });
    let options = &task.options;
    Node {
        id: task.id.clone(),
        name: task.name.clone(),
        kind,
        arguments: task
            .arguments
            .iter()
            .filter(|(_, value)| !matches!(value.argument, Argument::Unset))
            .map(|(name, value)| (name.value.clone(), text(value)))
            .collect(),
        options: NodeOptions {
            extend_context: maybe(options.extend_context.as_ref()),
            ignore_outputs: maybe(options.ignore_outputs.as_ref()),
            using: maybe(options.using.as_ref()),
            using_brand: maybe(options.using_brand.as_ref()),
            execution_timeout: maybe(options.execution_timeout.as_ref()),
            retry_count: maybe(options.retry_count.as_ref()),
            retry_interval: maybe(options.retry_interval.as_ref()),
        },
        edges: edges.collect(),
        incoming: 0,
        private: task.separate_context,
        on_error: task.on_error,
        skip_unavailable: task.skip_unavailable,
        quiet: task.quiet,
        note: task.note,
        field_mapping: task.field_mapping.iter().map(|(field, value)| (field.value.clone(), text(value))).collect(),
        timers: task.timers.iter().map(|timer| (timer.field.value.clone(), timer.action.to_lowercase())).collect(),
        assignee: text(&task.assignee),
        restricted: task.restricted,
        sla_minutes: task.sla_minutes,
        reminder_minutes: task.reminder_minutes,
        repeat: task.repeat.as_ref().map(|repeat| Repeat {
            wait_seconds: repeat.wait_seconds.clamp(0, TURN_WAIT_MAX),
            max: u32::try_from(repeat.max.clamp(1, TURNS_MAX)).unwrap_or(1),
            until: match &repeat.until {
                Until::ForEach => Ends::ForEach,
                Until::Holds(conditions) => Ends::Holds(tests(conditions)),
                Until::Says { script, arguments, answer } => Ends::Says {
                    script: script.value.clone(),
                    arguments: arguments.iter().map(|(name, value)| (name.value.clone(), text(value))).collect(),
                    answer: answer.clone(),
                },
            },
        }),
        evidence: task.evidence.as_ref().map(text),
    }
}

/// Programs by version and by name.
pub type Shared = Arc<Program>;
