//! librdkafka's log lines and client-level errors, handed to `tracing`.

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

/// The context of a client that only logs.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Logging;

impl ClientContext for Logging {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level as i32, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for Logging {}

impl ProducerContext for Logging {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// One log line; `level` is a syslog severity (0 emergency … 7 debug).
pub(super) fn log_line(level: i32, facility: &str, line: &str) {
    match level {
        ..=3 => tracing::error!(target: "librdkafka", facility, "{line}"),
        4 => tracing::warn!(target: "librdkafka", facility, "{line}"),
        5 | 6 => tracing::info!(target: "librdkafka", facility, "{line}"),
        _ => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}

/// An error of the client as a whole. Those that librdkafka heals by itself are warnings.
pub(super) fn log_error(error: &KafkaError, reason: &str) {
    log_code(error.rdkafka_error_code().unwrap_or(Code::Unknown), reason);
}

/// The same for a bare code.
pub(super) fn log_code(code: Code, reason: &str) {
    if code == Code::PartitionEOF {
        return;
    }
    if super::error::is_passing(code) {
        tracing::warn!(target: "librdkafka", ?code, "{reason}");
    } else {
        tracing::error!(target: "librdkafka", ?code, "{reason}");
    }
}
