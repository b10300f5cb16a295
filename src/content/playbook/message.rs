//! Owns what people are asked: messages with reply options, and forms.

use crate::config::node::Node;
use crate::config::source_map::Spanned;
use crate::content::argument::Expression;
use crate::content::read::{Keys, Reader};

/// A question that is sent to people.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Message {
    /// Who gets it.
    pub to: Expression,
    /// Its subject.
    pub subject: Expression,
    /// Its text.
    pub body: Expression,
    /// Who gets a copy.
    pub cc: Expression,
    /// Who gets a copy that others do not see.
    pub bcc: Expression,
    /// `email`, `slack`, …
    pub methods: Vec<String>,
    /// `html` or nothing.
    pub format: String,
    /// What may be answered.
    pub replies: Vec<Spanned<String>>,
    /// How often it is sent again.
    pub retries: i64,
    /// Minutes in between.
    pub retry_minutes: i64,
    /// How many answers complete it.
    pub answers: i64,
}

/// Questions that people fill in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Form {
    /// Its title.
    pub title: String,
    /// What stands above.
    pub description: String,
    /// Who asks.
    pub sender: String,
    /// How many answers it waits for.
    pub answers: i64,
    /// In their order.
    pub questions: Vec<Question>,
}

/// A question of a form.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Question {
    /// Answers stand at `<task name>.Answers.<id>`.
    pub id: String,
    /// What is asked.
    pub label: Expression,
    /// `shortText`, `singleSelect`, `multiSelect`, `date`, `attachments`, `grid`, …
    pub kind: String,
    /// It must be answered.
    pub required: bool,
    /// What may be chosen.
    pub options: Vec<String>,
    /// The incident field that the answer is written into, too.
    pub field: Option<Spanned<String>>,
}

impl Message {
    /// Reads a message.
    pub fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Message> {
        let mut keys = Keys::open(node, "a message", reader)?;
        let mut part = |key: &'static str, what: &str| Expression::maybe(keys.get(key), what, reader);
        let mut message = Message {
            to: part("to", "`to`"),
            subject: part("subject", "`subject`"),
            body: part("body", "`body`"),
            cc: part("cc", "`cc`"),
            bcc: part("bcc", "`bcc`"),
            ..Message::default()
        };
        message.methods = keys.texts("methods", reader);
        message.format = keys.text("format", reader);
        for node in keys.list("replyOptions", reader) {
            message.replies.extend(reader.text(node, "a reply option").map(|text| Spanned::new(text, node.span)));
        }
        if let Some(mut timings) = keys.get("timings").and_then(|node| Keys::open(node, "`timings`", reader)) {
            message.retries = timings.whole("retriescount", reader).unwrap_or(0);
            message.retry_minutes = timings.whole("retriesinterval", reader).unwrap_or(0);
            message.answers = timings.whole("completeafterreplies", reader).unwrap_or(1);
            let without_effect = ["completeafterv2", "completeaftersla", "retriesuntilcompletion", "completeafterexpiry", "customFieldsDefaults"];
            timings.close(&without_effect, reader);
        }
        keys.close(&["hasform", "expiry"], reader);
        Some(message)
    }
}

impl Form {
    /// Reads a form.
    pub fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Form> {
        let mut keys = Keys::open(node, "a form", reader)?;
        let form = Form {
            title: keys.text("title", reader),
            description: keys.text("description", reader),
            sender: keys.text("sender", reader),
            answers: keys.whole("totalanswers", reader).unwrap_or(0),
            questions: keys.list("questions", reader).iter().filter_map(|node| question(node, reader)).collect(),
        };
        keys.close(&["expired", "titlearg", "descriptionarg", "logo"], reader);
        Some(form)
    }
}

fn question(node: &Node, reader: &mut Reader<'_>) -> Option<Question> {
    let mut keys = Keys::open(node, "a question", reader)?;
    let plain = keys.get("label").and_then(|node| Expression::read(node, "`label`", reader));
    let label = Expression::maybe(keys.get("labelarg"), "`labelarg`", reader);
    let question = Question {
        id: keys.text("id", reader),
        // The plain label is what older exports have.
        label: if label.argument.is_blank() { plain.unwrap_or(label) } else { label },
        kind: keys.text("type", reader),
        required: keys.truth("required", reader),
        options: keys.texts("options", reader),
        field: keys.spanned("fieldassociated", reader),
    };
    let without_effect =
        ["gridcolumns", "defaultrows", "optionsarg", "placeholder", "tooltip", "readonly", "placeholderarg", "tooltiparg", "fieldtype", "defaultvalue"];
    keys.close(&without_effect, reader);
    Some(question)
}
