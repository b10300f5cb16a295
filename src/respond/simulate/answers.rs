//! Owns answers that somebody wrote down: what commands yield and what people say, for
//! `playbook run --simulate` and `playbook test`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::Responder;
use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::node::Node;
use crate::config::read::{self, Fields};
use crate::respond::run::{Answer, Ask, Call, Failure, FailureKind, Output, Poll, Run};

/// Commands and people of one file (count).
const ENTRIES_MAX: usize = 10_000;

/// What commands that are not named do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Otherwise {
    /// They fail.
    #[default]
    Fail,
    /// They succeed and yield nothing.
    Empty,
}

/// Answers, written down.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// What commands that are not named do.
    pub otherwise: Otherwise,
    /// Command in lower case → its answers, one after the other; the last one again and again.
    pub commands: HashMap<String, Vec<Result<Output, Failure>>>,
    /// Task, by id or name → what people say.
    pub people: HashMap<String, Answer>,
    /// What is said to approvals; `None`: nothing.
    pub approvals: Option<bool>,
    used: HashMap<String, usize>,
}

impl Answers {
    /// Reads answers; mistakes go to `out`.
    pub fn read(node: &Node, out: &mut Diagnostics) -> Option<Answers> {
        let mut fields = Fields::open(node, "answers", out)?;
        let choices = [("fail", Otherwise::Fail), ("empty", Otherwise::Empty)];
        let mut answers = Answers::default();
        if let Some(otherwise) = fields.get("otherwise", out).and_then(|node| read::choice(node, "`otherwise`", &choices, out)) {
            answers.otherwise = otherwise;
        }
        if let Some(node) = fields.get("approvals", out) {
            answers.approvals = read::choice(node, "`approvals`", &[("yes", true), ("no", false), ("true", true), ("false", false)], out);
        }
        if let Some(node) = fields.get("commands", out) {
            for (name, node) in read::entries(node, "`commands`", ENTRIES_MAX, out) {
                let found = read::one_or_many(node).iter().filter_map(|node| output(node, out)).collect::<Vec<_>>();
                answers.commands.insert(name.value.to_lowercase(), found);
            }
        }
        if let Some(node) = fields.get("people", out) {
            for (name, node) in read::entries(node, "`people`", ENTRIES_MAX, out) {
                if let Some(answer) = person(node, out) {
                    answers.people.insert(name.value.clone(), answer);
                }
            }
        }
        fields.close(&[], out);
        Some(answers)
    }
}

fn output(node: &Node, out: &mut Diagnostics) -> Option<Result<Output, Failure>> {
    if node.is_nothing() {
        return Some(Ok(Output::default()));
    }
    let mut fields = Fields::open(node, "an answer of a command", out)?;
    let error = fields.get("error", out).and_then(|node| read::text(node, "`error`", out));
    let mut output = Output::default();
    if let Some(node) = fields.get("context", out) {
        match node.to_json() {
            Value::Object(members) => output.context = members,
            _ => read::wrong_type(node, "`context`", "a mapping (`key: value`)", out),
        }
    }
    if let Some(node) = fields.get("contents", out) {
        output.contents = node.to_json();
    }
    if let Some(text) = fields.get("readable", out).and_then(|node| read::text(node, "`readable`", out)) {
        output.readable = text.value;
    }
    if let Some(seconds) = fields.get("poll_after_seconds", out).and_then(|node| read::whole_number(node, "`poll_after_seconds`", 1, 86_400, out)) {
        output.poll = Some(Poll { after_s: u32::try_from(seconds).unwrap_or(60), arguments: Map::new(), timeout_s: 0 });
    }
    fields.close(&[], out);
    Some(match error {
        Some(error) => Err(Failure::new(FailureKind::Said, error.value)),
        None => Ok(output),
    })
}

fn person(node: &Node, out: &mut Diagnostics) -> Option<Answer> {
    if let Some(word) = node.word() {
        return Some(Answer { label: word.to_owned(), actor: "answers".to_owned(), ..Answer::default() });
    }
    let mut fields = Fields::open(node, "an answer of a person", out)?;
    let mut text = |key: &'static str, out: &mut Diagnostics| fields.get(key, out).and_then(|node| read::text(node, "an answer", out)).map(|text| text.value);
    let mut answer = Answer {
        actor: text("actor", out).unwrap_or_else(|| "answers".to_owned()),
        label: text("label", out).unwrap_or_default(),
        comment: text("comment", out).unwrap_or_default(),
        ..Answer::default()
    };
    if let Some(node) = fields.get("answers", out) {
        match node.to_json() {
            Value::Object(members) => answer.answers = members,
            _ => out.push(Diagnostic::error("type", "`answers` must be a mapping from questions to answers").at(node.span)),
        }
    }
    fields.close(&[], out);
    Some(answer)
}

impl Responder for Answers {
    fn call(&mut self, _: &Run, call: &Call) -> Result<Output, Failure> {
        let name = call.command.to_lowercase();
        let Some(all) = self.commands.get(&name) else {
            return match self.otherwise {
                Otherwise::Empty => Ok(Output::default()),
                Otherwise::Fail => Err(Failure::new(FailureKind::Unknown, format!("the answers do not say what `{}` yields", call.command))),
            };
        };
        let used = self.used.entry(name).or_default();
        let answer = all.get(*used).or_else(|| all.last()).cloned();
        *used += 1;
        answer.unwrap_or_else(|| Ok(Output::default()))
    }

    fn ask(&mut self, _: &Run, ask: &Ask) -> Option<Answer> {
        let answer = if ask.kind == "approval" {
            let yes = self.approvals?;
            Answer { actor: "answers".to_owned(), refuse: !yes, ..Answer::default() }
        } else {
            self.people.get(&ask.task).or_else(|| self.people.get(&ask.name)).cloned()?
        };
        Some(Answer { task: ask.task.clone(), frame: Some(ask.key.frame), ..answer })
    }
}
