//! Topics: making them, reading their configuration, and (for tests) deleting them.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::ptr::{self, NonNull};

use rdkafka::bindings::{self as sys, rd_kafka_admin_op_t as Op, rd_kafka_resp_err_t as RespErr};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::Admin;
use super::request::{c_name, list, text};
use crate::kafka::error::Error;

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How many copies; -1: the brokers' default.
    pub replication: i32,
    /// Topic configuration that differs from the brokers' defaults.
    pub configs: Vec<(String, String)>,
}

/// A topic's configuration property as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigValue {
    /// The value; secrets are empty.
    pub value: String,
    /// True if the topic does not set it: the brokers' value holds.
    pub inherited: bool,
}

/// What became of each topic of a request, by name.
type Results = Vec<(String, Result<(), Error>)>;

struct Made(NonNull<sys::rd_kafka_NewTopic_t>);

impl Drop for Made {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_NewTopic_new`, destroyed here only.
        unsafe { sys::rd_kafka_NewTopic_destroy(self.0.as_ptr()) }
    }
}

struct Deleted(NonNull<sys::rd_kafka_DeleteTopic_t>);

impl Drop for Deleted {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_DeleteTopic_new`, destroyed here only.
        unsafe { sys::rd_kafka_DeleteTopic_destroy(self.0.as_ptr()) }
    }
}

struct Resource(NonNull<sys::rd_kafka_ConfigResource_t>);

impl Drop for Resource {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_ConfigResource_new`, destroyed here only.
        unsafe { sys::rd_kafka_ConfigResource_destroy(self.0.as_ptr()) }
    }
}

fn refused(action: &'static str, reason: &str) -> Error {
    Error::Refused { action, reason: reason.to_owned() }
}

fn made(topic: &NewTopic) -> Result<Made, Error> {
    let action = "creating a topic";
    let name = c_name(&topic.name)?;
    // SAFETY: the name outlives the call, which copies it; returns a new object or null.
    let made = unsafe { sys::rd_kafka_NewTopic_new(name.as_ptr(), topic.partitions, topic.replication, ptr::null_mut(), 0) };
    let made = Made(NonNull::new(made).ok_or_else(|| refused(action, "its partitions or replication are not possible"))?);
    for (key, value) in &topic.configs {
        let (key, value) = (c_name(key)?, c_name(value)?);
        // SAFETY: all are alive during the call, which copies the texts.
        if unsafe { sys::rd_kafka_NewTopic_set_config(made.0.as_ptr(), key.as_ptr(), value.as_ptr()) } != RespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(refused(action, "its configuration is not possible"));
        }
    }
    Ok(made)
}

impl Admin {
    /// Makes topics; each has a result of its own. One that exists already is left as it is and
    /// fails with [`Code::TopicAlreadyExists`].
    ///
    /// # Errors
    /// If the request as a whole failed.
    pub fn create(&self, topics: &[NewTopic]) -> Result<Results, Error> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let made = topics.iter().map(made).collect::<Result<Vec<Made>, Error>>()?;
        let mut pointers: Vec<_> = made.iter().map(|topic| topic.0.as_ptr()).collect();
        let event = self.client.request("creating topics", Op::RD_KAFKA_ADMIN_OP_CREATETOPICS, |(rk, options, queue)| {
            // SAFETY: all are alive during the call, which copies the topics.
            unsafe { sys::rd_kafka_CreateTopics(rk, pointers.as_mut_ptr(), pointers.len(), options, queue) }
        })?;
        // SAFETY: the event is alive and of this type, and owns the results.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_CreateTopics_result(event.ptr());
            Ok(read_results("creating the topic", sys::rd_kafka_CreateTopics_result_topics(result, &mut count).cast_const(), count))
        }
    }

    /// Deletes topics. No command does: it is for tests.
    ///
    /// # Errors
    /// If the request as a whole failed.
    pub fn delete(&self, topics: &[&str]) -> Result<Results, Error> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let names = topics.iter().map(|name| c_name(name)).collect::<Result<Vec<CString>, Error>>()?;
        let deleted = |name: &CString| {
            // SAFETY: the name outlives the call, which copies it; returns a new object or null.
            NonNull::new(unsafe { sys::rd_kafka_DeleteTopic_new(name.as_ptr()) }).map(Deleted)
        };
        let deleted = names.iter().map(deleted).collect::<Option<Vec<Deleted>>>().ok_or_else(|| refused("deleting topics", "librdkafka is out of memory"))?;
        let mut pointers: Vec<_> = deleted.iter().map(|topic| topic.0.as_ptr()).collect();
        let event = self.client.request("deleting topics", Op::RD_KAFKA_ADMIN_OP_DELETETOPICS, |(rk, options, queue)| {
            // SAFETY: all are alive during the call, which copies the topics.
            unsafe { sys::rd_kafka_DeleteTopics(rk, pointers.as_mut_ptr(), pointers.len(), options, queue) }
        })?;
        // SAFETY: the event is alive and of this type, and owns the results.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_DeleteTopics_result(event.ptr());
            Ok(read_results("deleting the topic", sys::rd_kafka_DeleteTopics_result_topics(result, &mut count).cast_const(), count))
        }
    }

    /// The configuration of these topics, in their order.
    ///
    /// # Errors
    /// What the brokers answered, also for a single topic.
    pub fn configs(&self, topics: &[&str]) -> Result<Vec<BTreeMap<String, ConfigValue>>, Error> {
        let action = "reading the configuration of topics";
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let names = topics.iter().map(|name| c_name(name)).collect::<Result<Vec<CString>, Error>>()?;
        let resource = |name: &CString| {
            // SAFETY: the name outlives the call, which copies it; returns a new object or null.
            NonNull::new(unsafe { sys::rd_kafka_ConfigResource_new(sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, name.as_ptr()) }).map(Resource)
        };
        let resources = names.iter().map(resource).collect::<Option<Vec<Resource>>>().ok_or_else(|| refused(action, "librdkafka is out of memory"))?;
        let mut pointers: Vec<_> = resources.iter().map(|resource| resource.0.as_ptr()).collect();
        let event = self.client.request(action, Op::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, |(rk, options, queue)| {
            // SAFETY: all are alive during the call, which copies the resources.
            unsafe { sys::rd_kafka_DescribeConfigs(rk, pointers.as_mut_ptr(), pointers.len(), options, queue) }
        })?;
        let mut found: BTreeMap<String, Result<BTreeMap<String, ConfigValue>, Code>> = BTreeMap::new();
        // SAFETY: the event is alive and of this type, and owns the resources, which are copied.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_DescribeConfigs_result(event.ptr());
            let all = sys::rd_kafka_DescribeConfigs_result_resources(result, &mut count);
            for resource in list(all.cast_const().cast::<*const sys::rd_kafka_ConfigResource_t>(), count) {
                found.insert(text(sys::rd_kafka_ConfigResource_name(*resource)), read_resource(*resource));
            }
        }
        let failed = |code| Error::Failed { action, code, fatal: false };
        topics.iter().map(|name| found.remove(*name).unwrap_or(Err(Code::UnknownTopic)).map_err(failed)).collect()
    }
}

/// # Safety
/// `resource` is alive.
unsafe fn read_resource(resource: *const sys::rd_kafka_ConfigResource_t) -> Result<BTreeMap<String, ConfigValue>, Code> {
    // SAFETY: the caller's promise; what is read belongs to the resource.
    unsafe {
        let error = sys::rd_kafka_ConfigResource_error(resource);
        if error != RespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(error.into());
        }
        let mut count = 0;
        let entries = sys::rd_kafka_ConfigResource_configs(resource, &mut count);
        let mut configs = BTreeMap::new();
        for entry in list(entries.cast_const(), count) {
            let inherited = sys::rd_kafka_ConfigEntry_source(*entry) != sys::rd_kafka_ConfigSource_t::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG;
            configs.insert(text(sys::rd_kafka_ConfigEntry_name(*entry)), ConfigValue { value: text(sys::rd_kafka_ConfigEntry_value(*entry)), inherited });
        }
        Ok(configs)
    }
}

/// # Safety
/// `results` points to `count` results that are alive.
unsafe fn read_results(action: &'static str, results: *const *const sys::rd_kafka_topic_result_t, count: usize) -> Results {
    // SAFETY: the caller's promise.
    let results = unsafe { list(results, count) };
    let one = |result: &*const sys::rd_kafka_topic_result_t| {
        // SAFETY: the caller's promise.
        let (name, error, words) = unsafe {
            (text(sys::rd_kafka_topic_result_name(*result)), sys::rd_kafka_topic_result_error(*result), text(sys::rd_kafka_topic_result_error_string(*result)))
        };
        let outcome = match error {
            RespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            // The broker says more than its code: which bound, which property.
            error => Err(Error::Answered { action, code: error.into(), reason: words }),
        };
        (name, outcome)
    };
    results.iter().map(one).collect()
}
