//! The program's own error: whose fault it is, whether a retry helps, and the exit code.

use std::fmt;

/// Who has to do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The person at the keyboard: a wrong argument, a bad pipeline, a missing file.
    User,
    /// The machine or the network: a disk, a broker.
    Environment,
    /// Us.
    Bug,
}

/// An error that ends a command.
#[derive(Debug)]
pub struct Error {
    /// Whose fault it is.
    pub fault: Fault,
    /// True when trying again may help.
    pub retry: bool,
    /// What happened, without any value of an event.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Error {
    /// The user's fault.
    pub fn user(message: impl Into<String>) -> Error {
        Error { fault: Fault::User, retry: false, message: message.into(), hint: None }
    }

    /// The environment's fault; a retry may help.
    pub fn environment(message: impl Into<String>) -> Error {
        Error { fault: Fault::Environment, retry: true, message: message.into(), hint: None }
    }

    /// Our fault.
    pub fn bug(message: impl Into<String>) -> Error {
        Error { fault: Fault::Bug, retry: false, message: message.into(), hint: Some("please report it".into()) }
    }

    /// The same with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::environment(error.to_string())
    }
}

impl From<crate::ingest::files::FileError> for Error {
    fn from(error: crate::ingest::files::FileError) -> Error {
        Error::user(error.to_string())
    }
}

impl From<crate::ingest::pool::WorkerFailed> for Error {
    fn from(error: crate::ingest::pool::WorkerFailed) -> Error {
        Error::bug(error.to_string())
    }
}

impl From<crate::kafka::Error> for Error {
    fn from(error: crate::kafka::Error) -> Error {
        let fault = match error.fault() {
            // Two of them would throw each other out for ever.
            _ if matches!(error, crate::kafka::Error::Fenced) => Fault::User,
            crate::kafka::Fault::Programmer => Fault::Bug,
            _ => Fault::Environment,
        };
        Error { fault, retry: error.retryable(), message: error.to_string(), hint: error.hint().map(str::to_owned) }
    }
}
