//! One request of librdkafka's admin interface: start it on a queue of its own, wait for its
//! event while the client's errors are watched, hand the event on.
//!
//! What keeps the unsafe code sound: the queue and the options live in guards that outlast the
//! call; librdkafka copies names and lists when a request is made; an event is destroyed once,
//! by `OwnedEvent`, and nothing read from it outlives it.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;
use std::slice;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::bindings::{self as sys, rd_kafka_admin_op_t as Op, rd_kafka_resp_err_t as RespErr};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::Cluster;
use crate::kafka::error::{Error, Refusal};
use crate::kafka::events::OwnedEvent;

/// Longest single wait on the queue; the client's errors are looked at in between.
const STEP: Duration = Duration::from_millis(50);

/// Longest single wait for metadata, for the same reason. A connection that takes longer to be made is
/// there for the next one.
const METADATA_STEP: Duration = Duration::from_millis(500);

/// How long all brokers may be unreachable before we give up on them: two or three attempts of
/// librdkafka, whose first pauses are a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(3);

/// Pause before a question is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// How long beyond a request's own limit its answer may take to come through the queue.
const GRACE: Duration = Duration::from_secs(1);

/// The context of the admin client: keeps what went wrong instead of logging it, because a
/// person is waiting for one good sentence.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default, Clone)]
struct Seen {
    /// The last error that says why.
    reason: Option<(Code, String)>,
    /// Since when no broker can be reached.
    down: Option<Instant>,
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, "{line}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", ?error, "{reason}");
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match code {
            // It only counts brokers; the reason came before.
            Code::AllBrokersDown => seen.down = seen.down.or(Some(Instant::now())),
            code => seen.reason = Some((code, reason.to_owned())),
        }
    }
}

impl ConsumerContext for Watch {}

impl Watch {
    /// Why there is no hope, if there is none.
    fn hopeless(&self, since: Instant) -> Option<Error> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match seen.reason {
            Some((code @ (Code::Authentication | Code::SSL), reason)) => Some(refusal(code, &reason)),
            Some((code, reason)) if seen.down.is_some() && since.elapsed() > PATIENCE => Some(refusal(code, &reason)),
            None if seen.down.is_some() && since.elapsed() > PATIENCE => Some(refusal(Code::AllBrokersDown, "no broker answers")),
            _ => None,
        }
    }

    /// The best reason for a request that got no answer.
    pub fn why(&self) -> Option<Error> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        seen.reason.map(|(code, reason)| refusal(code, &reason))
    }
}

fn refusal(code: Code, reason: &str) -> Error {
    let kind = match code {
        Code::Authentication => Refusal::Login,
        Code::SSL => Refusal::Tls,
        _ => Refusal::Down,
    };
    Error::Unreachable { kind, reason: plain(reason) }
}

/// librdkafka's words without its name for the connection and without its timings.
fn plain(reason: &str) -> String {
    let reason = reason.split(" (after ").next().unwrap_or(reason).trim().trim_end_matches('.').replace("ipv4#", "").replace("ipv6#", "");
    match reason.split_once("/bootstrap: ") {
        Some((address, what)) => {
            let address = address.rsplit("//").next().unwrap_or(address);
            if what.contains(address) { what.to_owned() } else { format!("{address}: {what}") }
        }
        None => reason,
    }
}

/// The client behind the admin interface. It is in no group and reads nothing.
pub(super) struct Client {
    consumer: BaseConsumer<Watch>,
    timeout: Duration,
}

/// A queue that is ours to destroy.
struct Queue(NonNull<sys::rd_kafka_queue_t>);

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_queue_new`, destroyed here only; the client is still alive.
        unsafe { sys::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// Options that are ours to destroy.
struct Options(NonNull<sys::rd_kafka_AdminOptions_t>);

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_AdminOptions_new`, destroyed here only.
        unsafe { sys::rd_kafka_AdminOptions_destroy(self.0.as_ptr()) }
    }
}

/// What a request is started with: the client, its options, the queue for its answer.
pub(in crate::kafka) type Started = (*mut sys::rd_kafka_t, *mut sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t);

impl Client {
    pub fn new(consumer: BaseConsumer<Watch>, timeout: Duration) -> Client {
        Client { consumer, timeout }
    }

    pub fn consumer(&self) -> &BaseConsumer<Watch> {
        &self.consumer
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Calls `ask` until it neither fails for a moment only (a partition without a leader, a
    /// coordinator that is still loading) nor has taken too long.
    pub fn retry<T>(&self, mut ask: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        let since = Instant::now();
        loop {
            match ask() {
                Err(error @ Error::Failed { .. }) if error.retryable() && since.elapsed() < self.timeout => std::thread::sleep(RETRY_AFTER),
                answer => return answer,
            }
        }
    }

    /// What the cluster says about itself, from plain metadata: the request that is made for this
    /// (DescribeCluster) ends the process where a broker answers that has just started and does not
    /// know of any broker yet (an assertion of librdkafka 2.12).
    pub fn cluster(&self) -> Result<Cluster, Error> {
        let brokers = self.reach("asking the cluster for its id")?;
        let rk = self.consumer.client().native_ptr();
        // SAFETY: the client is alive; the text, if there is one, is ours to free.
        let id = unsafe {
            let id = sys::rd_kafka_clusterid(rk, METADATA_STEP.as_millis() as c_int);
            let copy = text(id);
            sys::rd_kafka_mem_free(rk, id.cast());
            copy
        };
        Ok(Cluster { id, brokers })
    }

    /// Waits until some broker answers; how many there are.
    fn reach(&self, action: &'static str) -> Result<usize, Error> {
        let rk = self.consumer.client().native_ptr();
        let since = Instant::now();
        loop {
            let wait = self.timeout.saturating_sub(since.elapsed()).min(METADATA_STEP);
            let millis = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX).max(1);
            let mut metadata: *const sys::rd_kafka_metadata = std::ptr::null();
            // SAFETY: the client is alive; no topic is asked for; the answer is ours to destroy.
            let brokers = unsafe {
                let answer = sys::rd_kafka_metadata(rk, 0, std::ptr::null_mut(), &mut metadata, millis);
                let brokers = metadata.as_ref().filter(|_| answer == RespErr::RD_KAFKA_RESP_ERR_NO_ERROR).map_or(0, |metadata| metadata.broker_cnt);
                if !metadata.is_null() {
                    sys::rd_kafka_metadata_destroy(metadata);
                }
                usize::try_from(brokers).unwrap_or(0)
            };
            if brokers > 0 {
                return Ok(brokers);
            }
            // Serves log lines and errors of the client, which end up in its `Watch`.
            drop(self.consumer.poll(Duration::ZERO));
            if let Some(error) = self.consumer.context().hopeless(since) {
                return Err(error);
            }
            if since.elapsed() >= self.timeout {
                return Err(self.consumer.context().why().unwrap_or(Error::TimedOut { action, waited: self.timeout }));
            }
            std::thread::sleep(STEP);
        }
    }

    /// Makes a request with `start` and waits for its answer. Not before a broker answers: librdkafka
    /// 2.12 looks for one for a waiting request without pause, on most of a core.
    pub fn request(&self, action: &'static str, op: Op, start: impl FnOnce(Started)) -> Result<OwnedEvent, Error> {
        self.reach(action)?;
        let rk = self.consumer.client().native_ptr();
        let refused = || Error::Refused { action, reason: "librdkafka is out of memory".to_owned() };
        // SAFETY: the client is alive; both calls return a new object or null.
        let (queue, options) = unsafe { (sys::rd_kafka_queue_new(rk), sys::rd_kafka_AdminOptions_new(rk, op)) };
        let queue = Queue(NonNull::new(queue).ok_or_else(refused)?);
        let options = Options(NonNull::new(options).ok_or_else(refused)?);
        let millis = c_int::try_from(self.timeout.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the options are alive; without a buffer for texts the call only returns its code.
        unsafe { sys::rd_kafka_AdminOptions_set_request_timeout(options.0.as_ptr(), millis, std::ptr::null_mut(), 0) };
        if op == Op::RD_KAFKA_ADMIN_OP_CREATETOPICS || op == Op::RD_KAFKA_ADMIN_OP_DELETETOPICS {
            // SAFETY: as above. The controller answers once the change has reached all brokers.
            unsafe { sys::rd_kafka_AdminOptions_set_operation_timeout(options.0.as_ptr(), millis, std::ptr::null_mut(), 0) };
        }
        start((rk, options.0.as_ptr(), queue.0.as_ptr()));
        let since = Instant::now();
        let event = loop {
            // SAFETY: the queue is alive; the event is ours to destroy.
            let event = unsafe { sys::rd_kafka_queue_poll(queue.0.as_ptr(), STEP.as_millis() as c_int) };
            if let Some(event) = NonNull::new(event) {
                break OwnedEvent(event);
            }
            // Serves log lines and errors of the client, which end up in its `Watch`.
            drop(self.consumer.poll(Duration::ZERO));
            if let Some(error) = self.consumer.context().hopeless(since) {
                return Err(error);
            }
            if since.elapsed() > self.timeout + GRACE {
                return Err(self.consumer.context().why().unwrap_or(Error::TimedOut { action, waited: self.timeout }));
            }
        };
        // SAFETY: the event is alive.
        match unsafe { sys::rd_kafka_event_error(event.ptr()) } {
            RespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(event),
            error => {
                let code = Code::from(error);
                let late = matches!(code, Code::OperationTimedOut | Code::BrokerTransportFailure);
                match self.consumer.context().why().filter(|_| late) {
                    Some(why) => Err(why),
                    None => Err(Error::Failed { action, code, fatal: false }),
                }
            }
        }
    }
}

/// A name as C wants it.
pub(in crate::kafka) fn c_name(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error::Refused { action: "naming a topic or group", reason: "the name holds a zero byte".to_owned() })
}

/// A list of pointers of librdkafka's as a slice.
///
/// # Safety
/// `start` is null or points to `count` pointers that live as long as `'a`.
pub(in crate::kafka) unsafe fn list<'a, T>(start: *const *const T, count: usize) -> &'a [*const T] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(start, count) }
}

/// # Safety
/// `start` is null or a C string.
pub(in crate::kafka) unsafe fn text(start: *const c_char) -> String {
    if start.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(start) }.to_string_lossy().into_owned()
}

/// The code of an error object, `None` if it says that nothing went wrong.
///
/// # Safety
/// `error` is null or alive.
pub(in crate::kafka) unsafe fn code(error: *const sys::rd_kafka_error_t) -> Option<Code> {
    if error.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    match unsafe { sys::rd_kafka_error_code(error) } {
        RespErr::RD_KAFKA_RESP_ERR_NO_ERROR => None,
        code => Some(code.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_once_and_plainly() {
        let refused = "127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)";
        assert_eq!(plain(refused), "Connect to 127.0.0.1:1 failed: Connection refused");
        let login = "sasl_ssl://kafka:9093/bootstrap: SASL authentication error: Authentication failed (after 9ms in state AUTH_REQ)";
        assert_eq!(plain(login), "kafka:9093: SASL authentication error: Authentication failed");
        assert_eq!(plain("1/1 brokers are down"), "1/1 brokers are down");
    }
}
