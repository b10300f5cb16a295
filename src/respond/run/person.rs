//! Owns what people have to do with a run: tasks that wait for them, and what they answer.

use serde_json::{Map, Value};

use super::effect::{Answer, Ask, Effect, Failure, FailureKind, Output};
use super::state::{Key, RunState};
use super::step::Step;
use super::task::{Status, Wait};
use crate::expr::xsoar::context::overwrite;
use crate::respond::clock::iso_us;
use crate::respond::limits::cut;
use crate::respond::program::{Asked, Kind, Node, Program};

const MINUTE_US: i64 = 60_000_000;
/// The kind of a question that is no new one: it reminds of one that waits.
pub const REMINDER: &str = "reminder";

impl Step<'_> {
    /// A task waits for a person.
    pub(super) fn start_person(&mut self, frame: u32, task: u32, program: &Program, node: &Node) {
        let asked = match self.question(frame, task, node) {
            Ok(asked) => asked,
            Err(failure) => return self.failed(frame, task, program, failure),
        };
        let assignee = match self.text(frame, "the assignee", &node.assignee) {
            Ok(assignee) => assignee,
            Err(failure) => return self.failed(frame, task, program, failure),
        };
        if let Some(task) = self.run.task_mut(frame, task) {
            task.status = Status::Person;
            task.wait = Some(Box::new(Wait::Person { due_us: asked.due_us, assignee, restricted: node.restricted, remind_us: asked.remind_us }));
        }
        self.effects.push(Effect::Ask(asked));
    }

    fn question(&mut self, frame: u32, task: u32, node: &Node) -> Result<Ask, Failure> {
        let due_us = if node.sla_minutes > 0 { self.now_us.saturating_add(node.sla_minutes.saturating_mul(MINUTE_US)) } else { 0 };
        let remind_us = if due_us > 0 && node.reminder_minutes > 0 { due_us.saturating_sub(node.reminder_minutes.saturating_mul(MINUTE_US)) } else { 0 };
        let mut ask = Ask {
            key: Key { frame, task, attempt: 0 },
            task: node.id.clone(),
            name: node.name.clone(),
            kind: String::new(),
            to: String::new(),
            subject: String::new(),
            body: String::new(),
            replies: Vec::new(),
            questions: Vec::new(),
            due_us,
            remind_us,
        };
        let labels = || node.edges.iter().map(|(label, _)| label.clone()).filter(|label| !label.starts_with('#')).collect::<Vec<_>>();
        match &node.kind {
            Kind::Decide => {
                ask.kind = "decision".to_owned();
                ask.replies = labels();
            }
            Kind::Ask(asked) => {
                ask.kind = "question".to_owned();
                ask.replies = asked.replies.clone();
                self.message(frame, asked, &mut ask)?;
            }
            Kind::Collect(form) => {
                ask.kind = "form".to_owned();
                ask.subject = form.title.clone();
                for question in &form.questions {
                    let label = self.text(frame, "a question", &question.label)?;
                    ask.questions.push((question.id.clone(), label, question.kind.clone(), question.options.clone()));
                }
                if let Some(message) = &form.message {
                    self.message(frame, message, &mut ask)?;
                }
            }
            _ => ask.kind = "manual".to_owned(),
        }
        Ok(ask)
    }

    /// Reminds of the questions whose time for that has come.
    pub(super) fn remind(&mut self) {
        let mut due: Vec<(u32, u32, i64, String)> = Vec::new();
        for (number, frame) in &mut self.run.frames {
            for (at, task) in frame.tasks.iter_mut().enumerate().filter(|(_, task)| task.status == Status::Person) {
                if let Some(Wait::Person { due_us, assignee, remind_us, .. }) = task.wait.as_deref_mut()
                    && *remind_us > 0
                    && *remind_us <= self.now_us
                {
                    *remind_us = 0;
                    due.push((*number, u32::try_from(at).unwrap_or(u32::MAX), *due_us, assignee.clone()));
                }
            }
        }
        for (frame, task, due_us, assignee) in due {
            let Some(program) = self.program_of(frame) else { continue };
            let Some(node) = program.tasks.get(task as usize) else { continue };
            let text = format!("`{}` waits for {}, and is due at {}", node.name, if assignee.is_empty() { "somebody" } else { &assignee }, iso_us(due_us));
            self.entry(&node.id, "", "reminder", &text);
            self.effects.push(Effect::Ask(Ask {
                key: Key { frame, task, attempt: 0 },
                task: node.id.clone(),
                name: node.name.clone(),
                kind: REMINDER.to_owned(),
                to: assignee,
                subject: text,
                body: String::new(),
                replies: Vec::new(),
                questions: Vec::new(),
                due_us,
                remind_us: 0,
            }));
        }
    }

    fn message(&mut self, frame: u32, asked: &Asked, ask: &mut Ask) -> Result<(), Failure> {
        ask.to = self.text(frame, "`to`", &asked.to)?;
        ask.subject = self.text(frame, "`subject`", &asked.subject)?;
        ask.body = self.text(frame, "`body`", &asked.body)?;
        Ok(())
    }

    /// A task completes another one.
    pub fn answer_from_inside(&mut self, answer: Answer) {
        let entries = std::mem::take(&mut self.task_entries);
        self.answer(answer);
        self.task_entries = entries;
    }

    /// A person answers, approves, mends.
    pub(super) fn answer(&mut self, answer: Answer) {
        let Some((frame, task)) = self.meant(&answer) else { return };
        let Some(program) = self.program_of(frame) else { return };
        let Some(node) = program.tasks.get(task as usize) else { return };
        let Some(state) = self.run.task(frame, task) else { return };
        self.task_entries.clear();
        match state.status {
            Status::Approval => self.approved(frame, task, &program, node, &answer),
            Status::Failed => self.mended(frame, task, node, &answer),
            Status::Person => self.answered(frame, task, &program, node, &answer),
            _ => {}
        }
    }

    /// The task that is meant: by its id, the first that waits.
    fn meant(&self, answer: &Answer) -> Option<(u32, u32)> {
        let waits = |status: Status| matches!(status, Status::Person | Status::Approval | Status::Failed);
        self.run.frames.iter().filter(|(number, _)| answer.frame.is_none_or(|frame| frame == **number)).find_map(|(number, frame)| {
            let version = self.run.pinned.get(&frame.playbook)?;
            let program = self.world.library.version(version)?;
            let at = program.tasks.iter().zip(&frame.tasks).position(|(node, task)| node.id == answer.task && waits(task.status))?;
            Some((*number, u32::try_from(at).ok()?))
        })
    }

    fn answered(&mut self, frame: u32, task: u32, program: &Program, node: &Node, answer: &Answer) {
        if let Some(Wait::Person { assignee, restricted: true, .. }) = self.run.task(frame, task).and_then(|task| task.wait.as_deref())
            && !assignee.is_empty()
            && *assignee != answer.actor
        {
            let text = format!("task {} may be completed by its assignee only", node.id);
            self.entry_by(&answer.actor, &node.id, "", "warning", &text);
            return;
        }
        if let Kind::Collect(form) = &node.kind
            && let Some(missing) = form.questions.iter().find(|question| question.required && !answer.answers.contains_key(&question.id))
        {
            let text = format!("the question `{}` must be answered", missing.id);
            self.entry_by(&answer.actor, &node.id, "", "warning", &text);
            return;
        }
        self.go_on();
        let said = match (answer.label.is_empty(), answer.comment.is_empty()) {
            (true, true) => "done".to_owned(),
            (false, true) => answer.label.clone(),
            (true, false) => answer.comment.clone(),
            (false, false) => format!("{}: {}", answer.label, answer.comment),
        };
        self.entry_by(&answer.actor, &node.id, "", "answer", &said);
        if let Kind::Collect(form) = &node.kind {
            self.keep_answers(frame, &node.name, answer);
            let mut fields = Map::new();
            for question in &form.questions {
                if let (Some(field), Some(value)) = (&question.field, answer.answers.get(&question.id)) {
                    fields.insert(self.field_name(field), value.clone());
                }
            }
            self.set_fields(fields);
        }
        if let Err(failure) = self.keep(frame, program, node, Output::default()) {
            return self.failed(frame, task, program, failure);
        }
        let labelled = matches!(node.kind, Kind::Ask(_) | Kind::Decide);
        self.complete(frame, task, labelled.then_some(answer.label.as_str()));
    }

    /// `<task name>.Answers.<id>`, `.Questions.<id>`, `.Answers.name`.
    fn keep_answers(&mut self, frame: u32, name: &str, answer: &Answer) {
        let name = name.replace('.', "");
        let mut answers = answer.answers.clone();
        answers.insert("name".to_owned(), Value::String(answer.actor.clone()));
        overwrite(self.context_of(frame), &format!("{name}.Answers"), Value::Object(answers));
    }

    fn approved(&mut self, frame: u32, task: u32, program: &Program, node: &Node, answer: &Answer) {
        self.go_on();
        let Some(wait) = self.run.task_mut(frame, task).and_then(|task| task.wait.take()) else { return };
        let Wait::Call(pending) = *wait else { return };
        let no = answer.refuse || answer.label.eq_ignore_ascii_case("no");
        let text = format!(
            "`{}` was {}{}",
            pending.command,
            if no { "refused" } else { "approved" },
            if answer.comment.is_empty() { String::new() } else { format!(": {}", cut(&answer.comment, 1_000)) }
        );
        self.entry_by(&answer.actor, &node.id, &pending.command, "answer", &text);
        if no {
            return self.failed(frame, task, program, Failure::new(FailureKind::Refused, format!("`{}` was refused by a person", pending.command)));
        }
        self.emit_call(frame, task, node, *pending);
    }

    /// A failed task is tried again, or counts as done.
    fn mended(&mut self, frame: u32, task: u32, node: &Node, answer: &Answer) {
        let text = if answer.again { "the task is tried again" } else { "the task counts as done" };
        self.entry_by(&answer.actor, &node.id, "", "answer", text);
        if answer.again {
            if let Some(task) = self.run.task_mut(frame, task) {
                task.status = Status::Ready;
                task.retries = None;
                task.turns = None;
                task.error.clear();
            }
            self.run.ready.push_back((frame, task));
        } else {
            if let Some(task) = self.run.task_mut(frame, task) {
                task.status = Status::Running;
            }
            let label = (!answer.label.is_empty()).then_some(answer.label.as_str());
            self.complete(frame, task, label);
        }
        self.go_on();
    }

    /// The run goes on, unless a failed task still waits for somebody to mend it.
    fn go_on(&mut self) {
        if self.run.state.is_over() || self.run.frames.values().flat_map(|frame| &frame.tasks).any(|task| task.status == Status::Failed) {
            return;
        }
        self.run.state = RunState::Running;
        self.run.reason.clear();
    }
}
