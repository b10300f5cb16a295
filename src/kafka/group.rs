//! Consumer groups, seen from outside: members, what they are assigned, what is committed.

use rdkafka::bindings::{self as sys, rd_kafka_admin_op_t as Op, rd_kafka_consumer_group_state_t as State};
use rdkafka::error::RDKafkaErrorCode as Code;

use super::admin::Admin;
use super::admin::wire::{Partitions, c_name, code, list, read_partitions, text};
use super::error::Error;

/// A consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: GroupState,
    /// How partitions are divided; empty without members.
    pub assignor: String,
    /// Its members, by instance and client id.
    pub members: Vec<GroupMember>,
}

/// What a group is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// No member has ever committed in it, or it was forgotten.
    Absent,
    /// It has committed offsets and no members.
    Empty,
    /// All partitions are assigned.
    Stable,
    /// Partitions are being assigned anew.
    Rebalancing,
    /// The brokers do not say.
    Unknown,
}

impl GroupState {
    /// One word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            GroupState::Absent => "absent",
            GroupState::Empty => "empty",
            GroupState::Stable => "stable",
            GroupState::Rebalancing => "rebalancing",
            GroupState::Unknown => "unknown",
        }
    }
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Its static id (`group.instance.id`), where it has one.
    pub instance: Option<String>,
    /// Its client id.
    pub client: String,
    /// The address that the broker sees.
    pub host: String,
    /// Its partitions, in order.
    pub assigned: Vec<(String, i32)>,
}

impl Admin {
    /// These groups, in the order given.
    ///
    /// # Errors
    /// What the brokers answered, also for a single group.
    pub fn groups(&self, names: &[&str]) -> Result<Vec<Group>, Error> {
        self.retry(|| self.groups_now(names))
    }

    fn groups_now(&self, names: &[&str]) -> Result<Vec<Group>, Error> {
        let action = "describing consumer groups";
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let owned = names.iter().map(|name| c_name(name)).collect::<Result<Vec<_>, Error>>()?;
        let mut pointers: Vec<_> = owned.iter().map(|name| name.as_ptr()).collect();
        let event = self.request(action, Op::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS, |(rk, options, queue)| {
            // SAFETY: all are alive during the call, which copies the names.
            unsafe { sys::rd_kafka_DescribeConsumerGroups(rk, pointers.as_mut_ptr(), pointers.len(), options, queue) }
        })?;
        let mut found = Vec::with_capacity(names.len());
        // SAFETY: the event is alive and of this type, and owns the groups, which are copied.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event.ptr());
            let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
            for group in list(groups.cast_const(), count) {
                found.push((text(sys::rd_kafka_ConsumerGroupDescription_group_id(*group)), read_group(*group)));
            }
        }
        let absent = |name: &str| Group { name: name.to_owned(), state: GroupState::Absent, assignor: String::new(), members: Vec::new() };
        names
            .iter()
            .map(|name| match found.iter().find(|(known, _)| known == name) {
                None | Some((_, Err(Code::GroupIdNotFound))) => Ok(absent(name)),
                Some((_, Ok(group))) => Ok(group.clone()),
                Some((_, Err(code))) => Err(Error::Failed { action, code: *code, fatal: false }),
            })
            .collect()
    }

    /// What the group has committed for these partitions, in their order: the next offset to
    /// read, `None` where nothing is committed. Offsets of open transactions do not count.
    ///
    /// # Errors
    /// What the brokers answered, also for a single partition.
    pub fn committed(&self, group: &str, partitions: &[(&str, i32)]) -> Result<Vec<Option<i64>>, Error> {
        self.retry(|| self.committed_now(group, partitions))
    }

    fn committed_now(&self, group: &str, partitions: &[(&str, i32)]) -> Result<Vec<Option<i64>>, Error> {
        let action = "reading committed offsets";
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let name = c_name(group)?;
        let wanted = Partitions::new(partitions.iter().map(|(topic, partition)| (*topic, *partition, -1)))?;
        // SAFETY: both are alive during the call, which copies them; the result is ours.
        let mut asked = unsafe { sys::rd_kafka_ListConsumerGroupOffsets_new(name.as_ptr(), wanted.ptr()) };
        let event = self.request(action, Op::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS, |(rk, options, queue)| {
            // SAFETY: all are alive during the call, which copies what is asked.
            unsafe { sys::rd_kafka_ListConsumerGroupOffsets(rk, &mut asked, 1, options, queue) }
        });
        // SAFETY: ours, destroyed once, after the call that copied it.
        unsafe { sys::rd_kafka_ListConsumerGroupOffsets_destroy(asked) };
        let event = match event {
            Err(Error::Failed { code: Code::GroupIdNotFound, .. }) => return Ok(vec![None; partitions.len()]),
            event => event?,
        };
        let mut found = Vec::new();
        // SAFETY: the event is alive and of this type, and owns the results, which are copied.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(event.ptr());
            let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count);
            for group in list(groups.cast_const(), count) {
                match code(sys::rd_kafka_group_result_error(*group)) {
                    None => found.extend(read_partitions(sys::rd_kafka_group_result_partitions(*group))),
                    Some(Code::GroupIdNotFound) => {}
                    Some(code) => return Err(Error::Failed { action, code, fatal: false }),
                }
            }
        }
        let found: std::collections::HashMap<(&str, i32), Result<i64, Code>> =
            found.iter().map(|(topic, partition, offset)| ((topic.as_str(), *partition), *offset)).collect();
        let failed = |code| Error::Failed { action, code, fatal: false };
        partitions
            .iter()
            .map(|place| match found.get(place).copied() {
                None => Ok(None),
                Some(offset) => offset.map(|offset| (offset >= 0).then_some(offset)).map_err(failed),
            })
            .collect()
    }
}

/// # Safety
/// `group` is alive.
unsafe fn read_group(group: *const sys::rd_kafka_ConsumerGroupDescription_t) -> Result<Group, Code> {
    // SAFETY: the caller's promise; what is read belongs to the description.
    unsafe {
        if let Some(code) = code(sys::rd_kafka_ConsumerGroupDescription_error(group)) {
            return Err(code);
        }
        let state = match sys::rd_kafka_ConsumerGroupDescription_state(group) {
            State::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD => GroupState::Absent,
            State::RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY => GroupState::Empty,
            State::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE => GroupState::Stable,
            State::RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE | State::RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE => GroupState::Rebalancing,
            _ => GroupState::Unknown,
        };
        let members = 0..sys::rd_kafka_ConsumerGroupDescription_member_count(group);
        let mut members: Vec<GroupMember> = members.map(|number| read_member(sys::rd_kafka_ConsumerGroupDescription_member(group, number))).collect();
        members.sort_by(|a, b| (&a.instance, &a.client, &a.assigned).cmp(&(&b.instance, &b.client, &b.assigned)));
        Ok(Group {
            name: text(sys::rd_kafka_ConsumerGroupDescription_group_id(group)),
            state,
            assignor: text(sys::rd_kafka_ConsumerGroupDescription_partition_assignor(group)),
            members,
        })
    }
}

/// # Safety
/// `member` is alive.
unsafe fn read_member(member: *const sys::rd_kafka_MemberDescription_t) -> GroupMember {
    // SAFETY: the caller's promise; what is read belongs to the description.
    unsafe {
        let assignment = sys::rd_kafka_MemberDescription_assignment(member);
        let partitions = if assignment.is_null() { Vec::new() } else { read_partitions(sys::rd_kafka_MemberAssignment_partitions(assignment)) };
        let mut assigned: Vec<(String, i32)> = partitions.into_iter().map(|(topic, partition, _)| (topic, partition)).collect();
        assigned.sort();
        let instance = text(sys::rd_kafka_MemberDescription_group_instance_id(member));
        GroupMember {
            instance: (!instance.is_empty()).then_some(instance),
            client: text(sys::rd_kafka_MemberDescription_client_id(member)),
            host: text(sys::rd_kafka_MemberDescription_host(member)).trim_start_matches('/').to_owned(),
            assigned,
        }
    }
}
