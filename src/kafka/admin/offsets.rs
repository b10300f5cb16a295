//! Offsets of partitions: where they begin, where they end, and what was first at a time.

use std::ptr::NonNull;
use std::slice;

use rdkafka::bindings::{self as sys, rd_kafka_admin_op_t as Op, rd_kafka_resp_err_t as RespErr};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::Admin;
use super::request::{c_name, list, text};
use crate::config::model::Start;
use crate::kafka::error::Error;

/// A place in a partition, by what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The oldest record that is kept.
    Begin,
    /// Behind the newest record: the high watermark. Records of open transactions lie before it.
    End,
    /// The first record at or after this time, in milliseconds since 1970.
    Time(i64),
}

/// A list of partitions that is ours to destroy.
pub(in crate::kafka) struct Partitions(NonNull<sys::rd_kafka_topic_partition_list_t>);

impl Partitions {
    pub fn new<'a>(all: impl ExactSizeIterator<Item = (&'a str, i32, i64)>) -> Result<Partitions, Error> {
        let size = i32::try_from(all.len()).map_err(|_| Error::TooManyPartitions)?;
        // SAFETY: returns a new list or null.
        let made = unsafe { sys::rd_kafka_topic_partition_list_new(size) };
        let made = NonNull::new(made).ok_or(Error::Refused { action: "listing partitions", reason: "librdkafka is out of memory".to_owned() })?;
        let made = Partitions(made);
        for (topic, partition, offset) in all {
            let topic = c_name(topic)?;
            // SAFETY: the list is alive; the call copies the name and returns the new element.
            unsafe {
                let element = sys::rd_kafka_topic_partition_list_add(made.0.as_ptr(), topic.as_ptr(), partition);
                if let Some(element) = element.as_mut() {
                    element.offset = offset;
                }
            }
        }
        Ok(made)
    }

    pub fn ptr(&self) -> *mut sys::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }
}

impl Drop for Partitions {
    fn drop(&mut self) {
        // SAFETY: made in `new`, destroyed here only.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.0.as_ptr()) }
    }
}

/// One element of a list of partitions: topic, partition, offset or error.
pub(in crate::kafka) type Found = (String, i32, Result<i64, Code>);

/// # Safety
/// `element` is alive.
unsafe fn read_element(element: &sys::rd_kafka_topic_partition_t) -> Found {
    // SAFETY: the caller's promise: the topic is its C string.
    let topic = unsafe { text(element.topic) };
    let offset = match element.err {
        RespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(element.offset),
        error => Err(error.into()),
    };
    (topic, element.partition, offset)
}

/// Copies a list of partitions.
///
/// # Safety
/// `list` is null or alive.
pub(in crate::kafka) unsafe fn read_partitions(list: *const sys::rd_kafka_topic_partition_list_t) -> Vec<Found> {
    // SAFETY: the caller's promise; `cnt` elements are valid.
    unsafe {
        let Some(list) = list.as_ref().filter(|list| !list.elems.is_null()) else { return Vec::new() };
        slice::from_raw_parts(list.elems, usize::try_from(list.cnt).unwrap_or(0)).iter().map(|element| read_element(element)).collect()
    }
}

impl Admin {
    /// The offset at `at` of each of these partitions, in their order. A time behind the last
    /// record gives the end.
    ///
    /// # Errors
    /// What the brokers answered, also for a single partition.
    pub fn offsets(&self, partitions: &[(&str, i32)], at: At) -> Result<Vec<i64>, Error> {
        self.client.retry(|| self.offsets_now(partitions, at))
    }

    fn offsets_now(&self, partitions: &[(&str, i32)], at: At) -> Result<Vec<i64>, Error> {
        let action = "asking for offsets";
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let spec = match at {
            At::Begin => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_EARLIEST as i64,
            At::End => sys::rd_kafka_OffsetSpec_t::RD_KAFKA_OFFSET_SPEC_LATEST as i64,
            At::Time(ms) => ms.max(0),
        };
        let wanted = Partitions::new(partitions.iter().map(|(topic, partition)| (*topic, *partition, spec)))?;
        let event = self.client.request(action, Op::RD_KAFKA_ADMIN_OP_LISTOFFSETS, |(rk, options, queue)| {
            // SAFETY: all are alive during the call, which copies the list.
            unsafe { sys::rd_kafka_ListOffsets(rk, wanted.ptr(), options, queue) }
        });
        let event = event.map_err(|error| match (error, partitions.first()) {
            (Error::Failed { code: Code::NoEnt, .. }, Some((topic, _))) => Error::NoSuchTopic { topic: (*topic).to_owned() },
            (error, _) => error,
        })?;
        let mut found = Vec::with_capacity(partitions.len());
        // SAFETY: the event is alive, of this type, and owns the list, which is copied.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_ListOffsets_result(event.ptr());
            let infos = sys::rd_kafka_ListOffsets_result_infos(result, &mut count);
            for info in list(infos.cast_const(), count) {
                if let Some(element) = sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*info).as_ref() {
                    found.push(read_element(element));
                }
            }
        }
        let failed = |code, topic: &str| match code {
            Code::NoEnt | Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => Error::NoSuchTopic { topic: topic.to_owned() },
            code => Error::Failed { action, code, fatal: false },
        };
        // Brokers answer in an order of their own.
        let found: std::collections::HashMap<(String, i32), Result<i64, Code>> =
            found.into_iter().map(|(topic, partition, offset)| ((topic, partition), offset)).collect();
        let mut offsets = Vec::with_capacity(partitions.len());
        let mut behind = Vec::new();
        for (number, (topic, partition)) in partitions.iter().enumerate() {
            let offset = found.get(&((*topic).to_owned(), *partition)).copied().unwrap_or(Err(Code::UnknownPartition)).map_err(|code| failed(code, topic))?;
            if offset < 0 {
                behind.push(number);
            }
            offsets.push(offset);
        }
        if !behind.is_empty() && at != At::End {
            let rest: Vec<(&str, i32)> = behind.iter().filter_map(|number| partitions.get(*number).copied()).collect();
            for (number, offset) in behind.into_iter().zip(self.offsets(&rest, At::End)?) {
                if let Some(place) = offsets.get_mut(number) {
                    *place = offset;
                }
            }
        }
        Ok(offsets)
    }

    /// Where a source starts in a partition for which its group has no committed offset.
    ///
    /// # Errors
    /// What the brokers answered.
    pub fn start_offset(&self, topic: &str, partition: i32, start: Start) -> Result<i64, Error> {
        let at = match start {
            Start::Earliest => At::Begin,
            Start::Latest => At::End,
            Start::At(ms) => At::Time(ms),
        };
        self.offsets(&[(topic, partition)], at)?.first().copied().ok_or(Error::NoSuchTopic { topic: topic.to_owned() })
    }

    /// Begin and end of each partition of a topic: `[begin, end)` holds what is kept.
    ///
    /// # Errors
    /// What the brokers answered.
    pub fn watermarks(&self, topic: &str, partitions: i32) -> Result<Vec<(i64, i64)>, Error> {
        let all: Vec<(&str, i32)> = (0..partitions).map(|partition| (topic, partition)).collect();
        Ok(self.offsets(&all, At::Begin)?.into_iter().zip(self.offsets(&all, At::End)?).collect())
    }
}
