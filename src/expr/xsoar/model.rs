//! The data model of an XSOAR value as a pack writes it: texts are not parsed, operator
//! names not resolved. What loads packs fills it; `prepare` makes it ready to evaluate.

use std::fmt;

/// A value in a pack (the product's `AdvanceArg`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Argument {
    /// `{}`, `null` or absent: not set, so a script's own default applies.
    #[default]
    Unset,
    /// `{simple: text}`, or a bare scalar in its text form. An explicit empty text is `Simple("")`.
    /// What the text means depends on the [`Place`].
    Simple(String),
    /// `{complex: {…}}`; it wins over `simple` when both are there and it is not empty.
    Complex(Box<Complex>),
}

impl Argument {
    /// True when nothing is written, not even an empty text.
    pub fn is_unset(&self) -> bool {
        matches!(self, Argument::Unset)
    }

    /// True when evaluating it can give nothing: not set, or an empty text. A mapper entry like
    /// this maps no field; a classifier's transformer like this has no key.
    pub fn is_blank(&self) -> bool {
        match self {
            Argument::Unset => true,
            Argument::Simple(text) => text.is_empty(),
            Argument::Complex(_) => false,
        }
    }
}

/// `{root, accessor, filters, transformers}`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Complex {
    /// A context path; or the first half of a DT expression that was cut at its first dot.
    pub root: String,
    /// A path from each item of the root; or the second half of that DT expression.
    pub accessor: String,
    /// Which items of the root are kept.
    pub filters: Tests,
    /// What happens to the value then, in order.
    pub transformers: Vec<Transformer>,
}

/// Tests: the outer list is AND, an inner list is OR. No outer list passes everything.
pub type Tests = Vec<Vec<Test>>;

/// One test of a filter or of a condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Test {
    /// The operator as written: modern, with a legacy prefix, or a script's name or GUID.
    pub operator: String,
    /// `ignoreCase`: for text comparisons.
    pub ignore_case: bool,
    /// The left side.
    pub left: Operand,
    /// The right side; unary operators have none.
    pub right: Option<Operand>,
    /// `type`: the field type that a pre-process rule casts to. Empty where none is written.
    pub cast: String,
}

/// One step of a chain of transformers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transformer {
    /// The operator as written: modern, with a legacy prefix, or a script's name or GUID.
    pub operator: String,
    /// Arguments by name, in the order of the file. Those written `{}` may be left out.
    pub args: Vec<(String, Operand)>,
}

/// A side of a test or an argument of a transformer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Operand {
    /// The value.
    pub value: Argument,
    /// `isContext`: a simple text is a context path, not a literal with templates.
    pub from_context: bool,
}

impl Operand {
    /// A literal text.
    pub fn text(text: impl Into<String>) -> Operand {
        Operand { value: Argument::Simple(text.into()), from_context: false }
    }

    /// A context path.
    pub fn path(path: impl Into<String>) -> Operand {
        Operand { value: Argument::Simple(path.into()), from_context: true }
    }
}

/// Where an [`Argument`] stands: it decides what a simple text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// A mapper's field or a classifier's key: a path on the event. With `${…}` in it a template,
    /// in double quotes a constant, with a leading `.=` a DT expression.
    Event,
    /// A script's argument, a playbook's input, a message: text in which `${…}` is replaced.
    Text,
    /// `isContext: true`: a context path; a `${…}` around it is stripped.
    Context,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Place::Event => "path on the event",
            Place::Text => "text",
            Place::Context => "context path",
        })
    }
}
