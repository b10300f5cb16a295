//! A profile: the events of one product, as kinds with their shapes, how often each
//! occurs, and what the pipeline must make of it.

use super::event::Outcome;
use super::template::{Template, TemplateError};

/// One product's events.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// Name on the command line.
    pub name: &'static str,
    /// What the events are, in a line for `--help` and the README.
    pub about: &'static str,
    /// Kafka topic.
    pub topic: &'static str,
    /// Template of the Kafka key; it sees the variables of the event's template.
    pub key: &'static str,
    /// A top-level member that the pipeline reads: hostile events duplicate it.
    pub reads: &'static str,
    /// How events are put into messages.
    pub wrap: Wrap,
    /// The shapes: `=== name` starts the template of a kind, `--- name` a shared part.
    pub shapes: &'static str,
    /// The kinds.
    pub kinds: &'static [Kind],
    /// Share of the events that tell a story; the others are background.
    pub story_share: f64,
}

/// How a product puts events into messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrap {
    /// One event, one message.
    One,
    /// `{"Records":[…]}` with up to so many events.
    Records(u32),
}

/// One kind of event.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Name of its shape.
    pub name: &'static str,
    /// How often it occurs among the kinds of its sort (background or stories).
    pub weight: u32,
    /// What becomes of it.
    pub plan: Plan,
}

/// What the pipeline must make of a kind.
#[derive(Debug, Clone, Copy)]
pub enum Plan {
    /// Background: always the same, whatever came before.
    Noise(Outcome),
    /// Events that remember: the first of a story and its repeats end differently.
    Story {
        /// What the first event of a story becomes, and any event that no rule of `again` finds an incident for.
        first: Outcome,
        /// The rules that may find an older incident of the story, in the pipeline's order.
        again: &'static [Memory],
        /// Shape of the later events, if it is another one.
        later: Option<&'static str>,
        /// Events after which the story is over; 0 = none.
        most: u32,
        /// True when all events of the kind are one story, because nothing tells them apart.
        single: bool,
    },
}

/// A rule that remembers created incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Its name.
    pub rule: &'static str,
    /// How long it remembers, from the created incident on (milliseconds).
    pub within_ms: i64,
    /// What it does with a later event.
    pub does: Does,
    /// Type of the incident that it links, where it is not the first event's.
    pub type_name: Option<&'static str>,
}

/// The actions of rules that match older incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// `drop_and_update`
    Attach,
    /// `link`
    Link,
    /// `link_and_close`
    LinkAndClose,
}

impl Memory {
    /// A `drop_and_update` rule.
    pub const fn attach(rule: &'static str, within_ms: i64) -> Memory {
        Memory { rule, within_ms, does: Does::Attach, type_name: None }
    }

    /// A `link` rule.
    pub const fn link(rule: &'static str, within_ms: i64) -> Memory {
        Memory { rule, within_ms, does: Does::Link, type_name: None }
    }
}

/// A kind with its compiled shape.
#[derive(Debug)]
pub struct Compiled {
    /// The kind.
    pub kind: Kind,
    /// Its event, and the message key made of the same values.
    pub event: Shape,
    /// The later events of its stories, if they look different.
    pub later: Option<Shape>,
}

/// An event's template and that of its message key.
#[derive(Debug)]
pub struct Shape {
    /// The payload.
    pub event: Template,
    /// The Kafka key.
    pub key: Template,
}

impl Profile {
    /// Compiles the shapes. An error is a mistake in a profile, which tests find.
    pub fn compile(&self) -> Result<Vec<Compiled>, TemplateError> {
        let mut shapes: Vec<(&str, &str)> = Vec::new();
        let mut parts: Vec<(&str, &str)> = Vec::new();
        for (is_part, section) in self.shapes.split("\n=== ").flat_map(split_parts) {
            let Some((name, text)) = section.split_once('\n') else { continue };
            let list = if is_part { &mut parts } else { &mut shapes };
            list.push((name.trim(), text.trim()));
        }
        let shape = |name: &str| {
            let text = shapes.iter().find(|(n, _)| *n == name).map(|(_, text)| *text);
            let text = text.ok_or_else(|| TemplateError { near: format!("{}: {name}", self.name), message: "no such shape" })?;
            let event = Template::parse(text, &parts)?;
            let key = event.companion(self.key)?;
            Ok(Shape { event, key })
        };
        self.kinds
            .iter()
            .map(|kind| {
                let later = match kind.plan {
                    Plan::Story { later: Some(name), .. } => Some(shape(name)?),
                    _ => None,
                };
                Ok(Compiled { kind: *kind, event: shape(kind.name)?, later })
            })
            .collect()
    }
}

/// Splits a section at its parts: the shape in front, then the parts behind it.
fn split_parts(section: &str) -> impl Iterator<Item = (bool, &str)> {
    section.split("\n--- ").enumerate().map(|(at, text)| (at > 0, text))
}
