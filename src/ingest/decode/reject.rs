//! Why a message is not a list of events.

/// The reason a message becomes a dead letter. The texts of [`RejectReason::as_str`] are part of the dead letter format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectReason {
    /// No bytes, or nothing but white space.
    Empty,
    /// Not UTF-8.
    NotUtf8,
    /// Not JSON.
    Syntax,
    /// A raw control character (below U+0020) inside a string.
    ControlCharacter,
    /// Nested deeper than the limit.
    Depth,
    /// More bytes than the limit.
    TooLarge,
    /// More events in one message than the limit.
    TooManyElements,
    /// Valid JSON, but an event is an object.
    NotAnObject,
    /// An element of the `explode` array is not an object.
    ExplodeElement,
}

impl RejectReason {
    /// All reasons, for metrics that register every label value up front.
    pub const ALL: [RejectReason; 9] = [
        RejectReason::Empty,
        RejectReason::NotUtf8,
        RejectReason::Syntax,
        RejectReason::ControlCharacter,
        RejectReason::Depth,
        RejectReason::TooLarge,
        RejectReason::TooManyElements,
        RejectReason::NotAnObject,
        RejectReason::ExplodeElement,
    ];

    /// The stable name: a metric label and a dead letter field.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectReason::Empty => "empty",
            RejectReason::NotUtf8 => "not_utf8",
            RejectReason::Syntax => "syntax",
            RejectReason::ControlCharacter => "control_character",
            RejectReason::Depth => "depth",
            RejectReason::TooLarge => "too_large",
            RejectReason::TooManyElements => "too_many_elements",
            RejectReason::NotAnObject => "not_an_object",
            RejectReason::ExplodeElement => "explode_element",
        }
    }
}

/// A message that is not a list of events. Holds no byte of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} at byte {at}", reason.as_str())]
pub struct Reject {
    /// Why.
    pub reason: RejectReason,
    /// Byte offset in the message at which it was noticed.
    pub at: u32,
}
