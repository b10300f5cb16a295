//! Owns what people tell the role `respond` by way of the topic of facts: answers to tasks that wait, runs that are
//! ended, runs that are asked for. It changes no incident by itself, so the keeper passes over it.

use super::encode::{push_integer, push_string};
use super::split::{Member, find, integer, members, text};

/// Bytes of the answers to a form, as JSON.
pub const ANSWERS_BYTES_MAX: usize = 32 << 10;
/// Bytes of a label, a task, a name of a playbook.
pub const WORD_BYTES_MAX: usize = 1 << 10;
/// Bytes of a comment: a page.
pub const COMMENT_BYTES_MAX: usize = 16 << 10;

/// Something that the role `respond` is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// A person answers a task that waits.
    Answer(AnswerOrder),
    /// A run is ended.
    Cancel {
        /// Which, 32 hex digits.
        run: Box<str>,
    },
    /// A playbook is to be run.
    Start {
        /// Its name.
        playbook: Box<str>,
        /// What its commands with an effect do: `run`, `ask`, `simulate`; `None`: as `respond.yaml` says.
        mode: Option<Box<str>>,
        /// The incident as it is now: a JSON object.
        incident: Box<str>,
    },
}

/// What a person says about a task of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnswerOrder {
    /// The run, 32 hex digits.
    pub run: Box<str>,
    /// The task, by its id in the playbook.
    pub task: Box<str>,
    /// The turn of the playbook, where the task is not enough.
    pub frame: Option<u32>,
    /// The label; may be empty.
    pub label: Box<str>,
    /// Answers to a form: a JSON object, `{}` where there are none.
    pub answers: Box<str>,
    /// A comment; may be empty.
    pub comment: Box<str>,
    /// A task that failed is tried again, instead of counting as done.
    pub again: bool,
    /// An approval is refused.
    pub refuse: bool,
}

impl Order {
    /// As in the member `fact`.
    pub fn kind(&self) -> &'static str {
        match self {
            Order::Answer(_) => "answer",
            Order::Cancel { .. } => "cancel_run",
            Order::Start { .. } => "start_run",
        }
    }

    /// Reads the members of a fact of this kind; the member that is not what it should be otherwise.
    pub(super) fn read(kind: &str, of: &[Member<'_>]) -> Result<Order, &'static str> {
        Ok(match kind {
            "answer" => Order::Answer(AnswerOrder {
                run: run(of)?,
                task: word(of, "task", WORD_BYTES_MAX)?.filter(|task| !task.is_empty()).ok_or("task")?,
                frame: some(of, "frame").map(|token| integer(token).ok_or("frame")).transpose()?,
                label: word(of, "label", WORD_BYTES_MAX)?.unwrap_or_default(),
                answers: match some(of, "answers") {
                    None => "{}".into(),
                    Some(token) => members(token).filter(|_| token.len() <= ANSWERS_BYTES_MAX).map(|_| token.into()).ok_or("answers")?,
                },
                comment: word(of, "comment", COMMENT_BYTES_MAX)?.unwrap_or_default(),
                again: flag(of, "again")?,
                refuse: flag(of, "refuse")?,
            }),
            "cancel_run" => Order::Cancel { run: run(of)? },
            _ => Order::Start {
                playbook: word(of, "playbook", WORD_BYTES_MAX)?.filter(|name| !name.is_empty()).ok_or("playbook")?,
                mode: match word(of, "mode", WORD_BYTES_MAX)? {
                    Some(mode) if !["run", "ask", "simulate"].contains(&&*mode) => return Err("mode"),
                    mode => mode,
                },
                incident: some(of, "incident").filter(|token| token.starts_with('{')).ok_or("incident")?.into(),
            },
        })
    }

    /// Appends the members that are its own.
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        match self {
            Order::Answer(answer) => {
                push_text(out, "run", &answer.run);
                push_text(out, "task", &answer.task);
                if let Some(frame) = answer.frame {
                    out.extend_from_slice(b",\"frame\":");
                    push_integer(out, i64::from(frame));
                }
                push_text(out, "label", &answer.label);
                out.extend_from_slice(b",\"answers\":");
                out.extend_from_slice(answer.answers.as_bytes());
                push_text(out, "comment", &answer.comment);
                for (name, set) in [("again", answer.again), ("refuse", answer.refuse)] {
                    out.extend_from_slice(format!(",\"{name}\":{set}").as_bytes());
                }
            }
            Order::Cancel { run } => push_text(out, "run", run),
            Order::Start { playbook, mode, incident } => {
                push_text(out, "playbook", playbook);
                out.extend_from_slice(b",\"incident\":");
                out.extend_from_slice(incident.as_bytes());
                if let Some(mode) = mode {
                    push_text(out, "mode", mode);
                }
            }
        }
    }
}

fn some<'a>(of: &[Member<'a>], key: &str) -> Option<&'a str> {
    find(of, key).filter(|token| *token != "null")
}

fn word(of: &[Member<'_>], key: &'static str, max: usize) -> Result<Option<Box<str>>, &'static str> {
    some(of, key).map(|token| text(token).filter(|text| text.len() <= max).map(|text| (&*text).into()).ok_or(key)).transpose()
}

fn flag(of: &[Member<'_>], key: &'static str) -> Result<bool, &'static str> {
    match some(of, key) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(key),
    }
}

/// The id of a run: 32 lower-case hex digits.
fn run(of: &[Member<'_>]) -> Result<Box<str>, &'static str> {
    let is_id = |id: &str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    word(of, "run", WORD_BYTES_MAX)?.filter(|id| is_id(id)).ok_or("run")
}

fn push_text(out: &mut Vec<u8>, key: &str, text: &str) {
    out.push(b',');
    push_string(out, key);
    out.push(b':');
    push_string(out, text);
}
