//! What can go wrong with a transaction, told by what has to happen now; and librdkafka's
//! error object, from which that is read.

use std::ptr::NonNull;

use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::error::Error;

/// What went wrong with a transaction, by what has to happen now.
#[derive(Debug, thiserror::Error)]
pub enum TxnError {
    /// Abort, and read again from the committed offsets.
    #[error(transparent)]
    Abort(Error),
    /// This producer was fenced, or is broken: make a new one, then as [`TxnError::Abort`].
    #[error(transparent)]
    Fatal(Error),
    /// The broker refuses: a person has to do something (authorisation, a topic that is
    /// missing, a size limit). Abort; trying again at once does not help.
    #[error(transparent)]
    Refused(Error),
}

impl TxnError {
    /// The error inside.
    pub fn error(&self) -> &Error {
        match self {
            TxnError::Abort(error) | TxnError::Fatal(error) | TxnError::Refused(error) => error,
        }
    }

    /// The same.
    pub fn into_error(self) -> Error {
        match self {
            TxnError::Abort(error) | TxnError::Fatal(error) | TxnError::Refused(error) => error,
        }
    }

    pub(super) fn of(action: &'static str, code: Code, fatal: bool) -> TxnError {
        let error = Error::Failed { action, code, fatal };
        // Also where it broke the client: a new one is refused as well, and `abort` says that one is due.
        if refuses(code) {
            TxnError::Refused(error)
        } else if fatal {
            TxnError::Fatal(error)
        } else {
            TxnError::Abort(error)
        }
    }
}

/// Answers that stay the same until a person changes something.
fn refuses(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopic
            | Code::UnknownPartition
            | Code::MessageSizeTooLarge
            | Code::PolicyViolation
    )
}

pub(super) fn checked(action: &'static str, error: *mut sys::rd_kafka_error_t) -> Result<(), TxnError> {
    match TransactionError::of(error) {
        None => Ok(()),
        Some(error) => Err(TxnError::of(action, error.code(), error.fatal())),
    }
}

/// librdkafka's error object, destroyed with this value.
pub(super) struct TransactionError(NonNull<sys::rd_kafka_error_t>);

impl TransactionError {
    pub(super) fn of(error: *mut sys::rd_kafka_error_t) -> Option<TransactionError> {
        NonNull::new(error).map(TransactionError)
    }

    pub(super) fn code(&self) -> Code {
        // SAFETY: the object is alive until drop.
        unsafe { sys::rd_kafka_error_code(self.0.as_ptr()) }.into()
    }

    pub(super) fn fatal(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::rd_kafka_error_is_fatal(self.0.as_ptr()) != 0 }
    }

    pub(super) fn retriable(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::rd_kafka_error_is_retriable(self.0.as_ptr()) != 0 }
    }

    pub(super) fn requires_abort(&self) -> bool {
        // SAFETY: as above.
        unsafe { sys::rd_kafka_error_txn_requires_abort(self.0.as_ptr()) != 0 }
    }
}

impl Drop for TransactionError {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::rd_kafka_error_destroy(self.0.as_ptr()) };
    }
}
