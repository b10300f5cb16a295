//! Owns `delivery:` and `transaction:`: what a crash may cost, and when a transaction is cut,
//! which is the knob that trades latency for throughput.

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::limits::{
    TRANSACTION_BYTES_DEFAULT, TRANSACTION_BYTES_MAX, TRANSACTION_BYTES_MIN, TRANSACTION_LINGER_MS_DEFAULT, TRANSACTION_LINGER_MS_MAX,
    TRANSACTION_ROWS_DEFAULT, TRANSACTION_ROWS_MAX, TRANSACTION_TIMEOUT_MS_DEFAULT, TRANSACTION_TIMEOUT_MS_MAX, TRANSACTION_TIMEOUT_MS_MIN,
};
use crate::config::node::Node;
use crate::config::read::{self, Fields, Note};
use crate::config::units;

/// What a crash may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// Nothing: results and offsets are one transaction.
    #[default]
    ExactlyOnce,
    /// Results may come twice: offsets follow when results are stored.
    AtLeastOnce,
}

const DELIVERIES: [(&str, Delivery); 2] = [("exactly_once", Delivery::ExactlyOnce), ("at_least_once", Delivery::AtLeastOnce)];

impl Delivery {
    /// As written in the environment file.
    pub fn as_str(self) -> &'static str {
        DELIVERIES.iter().find(|(_, delivery)| *delivery == self).map_or("exactly_once", |(word, _)| word)
    }
}

/// When a transaction is cut: whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction {
    /// Milliseconds after its first event.
    pub linger_ms: u64,
    /// Bytes of results.
    pub bytes: u64,
    /// Events.
    pub rows: u64,
    /// Milliseconds after which the brokers abort it, if the member that opened it is gone.
    pub timeout_ms: u64,
}

impl Default for Transaction {
    fn default() -> Transaction {
        Transaction {
            linger_ms: TRANSACTION_LINGER_MS_DEFAULT,
            bytes: TRANSACTION_BYTES_DEFAULT,
            rows: TRANSACTION_ROWS_DEFAULT,
            timeout_ms: TRANSACTION_TIMEOUT_MS_DEFAULT,
        }
    }
}

pub(super) fn read_delivery(node: &Node, out: &mut Diagnostics) -> Delivery {
    let delivery = read::choice(node, "`delivery`", &DELIVERIES, out).unwrap_or_default();
    if delivery == Delivery::AtLeastOnce {
        out.push(
            Diagnostic::warning("repeats", "with at_least_once incidents may come twice after a crash")
                .at(node.span)
                .hint("the keeper folds repeated facts into one; other readers of the topic must expect repeats"),
        );
    }
    delivery
}

pub(super) fn read_transaction(node: &Node, out: &mut Diagnostics) -> Transaction {
    let mut transaction = Transaction::default();
    let Some(mut fields) = Fields::open(node, "`transaction`", out) else { return transaction };
    if let Some(node) = fields.get("linger", out) {
        duration(node, "`linger`", "ms", 0, TRANSACTION_LINGER_MS_MAX, &mut transaction.linger_ms, out);
    }
    if let Some(node) = fields.get("timeout", out) {
        duration(node, "`timeout`", "s", TRANSACTION_TIMEOUT_MS_MIN, TRANSACTION_TIMEOUT_MS_MAX, &mut transaction.timeout_ms, out);
    }
    if let Some(node) = fields.get("bytes", out)
        && let Some(bytes) = read::bytes(node, "`bytes`", out)
    {
        if (TRANSACTION_BYTES_MIN..=TRANSACTION_BYTES_MAX).contains(&bytes) {
            transaction.bytes = bytes;
        } else {
            let range = format!("{} to {}", units::format_bytes(TRANSACTION_BYTES_MIN), units::format_bytes(TRANSACTION_BYTES_MAX));
            out.push(Diagnostic::error("bad-value", format!("`bytes` must be from {range}")).at(node.span));
        }
    }
    if let Some(rows) = fields.get("rows", out).and_then(|node| read::whole_number(node, "`rows`", 1, TRANSACTION_ROWS_MAX, out)) {
        transaction.rows = rows;
    }
    // A transaction that waits for half of its life has no time left to be stored.
    if transaction.linger_ms * 2 > transaction.timeout_ms {
        let span = fields.key_span("linger").or(fields.key_span("timeout")).unwrap_or(fields.head());
        let message = format!(
            "`linger` ({}) is more than half of `timeout` ({})",
            units::format_duration_ms(i64::try_from(transaction.linger_ms).unwrap_or(i64::MAX)),
            units::format_duration_ms(i64::try_from(transaction.timeout_ms).unwrap_or(i64::MAX))
        );
        out.push(Diagnostic::error("bad-value", message).at(span).hint("a transaction that is not committed in time is aborted by the brokers"));
    }
    let notes = [Note::Elsewhere("linger.ms", "the key is `linger`: linger: 10ms"), Note::Elsewhere("size", "the key is `bytes`: bytes: 4MiB")];
    fields.close(&notes, out);
    transaction
}

fn duration(node: &Node, what: &str, usual: &str, least: u64, most: u64, value: &mut u64, out: &mut Diagnostics) {
    let Some(ms) = read::duration_in(node, what, i64::try_from(most).unwrap_or(i64::MAX), usual, out) else { return };
    match u64::try_from(ms) {
        Ok(ms) if ms >= least => *value = ms,
        _ => {
            let least = units::format_duration_ms(i64::try_from(least).unwrap_or(0));
            out.push(Diagnostic::error("bad-value", format!("{what} must be at least {least}")).at(node.span));
        }
    }
}
