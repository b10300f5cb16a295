//! The permissions that a pipeline's user needs, where brokers check them.

use super::Report;
use crate::run::layout::Role;

/// A permission: what may be done with which resource.
pub struct Acl {
    /// The option of `kafka-acls.sh`: topic, group, transactional-id.
    pub resource: &'static str,
    /// Names, or what names begin with.
    pub names: Vec<String>,
    /// True: all resources whose names begin so.
    pub prefixed: bool,
    /// The operations, in Kafka's words.
    pub operations: &'static [&'static str],
}

impl Acl {
    /// The arguments of `kafka-acls.sh`, behind [`adding`].
    pub fn arguments(&self) -> Vec<String> {
        let names = self.names.iter().map(|name| format!("--{} {name}", self.resource));
        let pattern = self.prefixed.then(|| "--resource-pattern-type prefixed".to_owned());
        let operations = self.operations.iter().map(|operation| format!("--operation {operation}"));
        names.chain(pattern).chain(operations).collect()
    }
}

/// The first arguments of `kafka-acls.sh`, behind its options for the connection.
pub fn adding(user: &str) -> String {
    format!("--add --allow-principal User:{user}")
}

/// The user whom the permissions are for.
pub fn user(report: &Report<'_>) -> String {
    report.environment.security.sasl.as_ref().map_or_else(|| "catchment".to_owned(), |sasl| sasl.username.clone())
}

/// The permissions of a member in any role; of `catchment topics`, `status` and `incident` too.
/// Reading and writing imply describing.
pub fn needed(report: &Report<'_>) -> Vec<Acl> {
    let name = &report.names.pipeline;
    let topics = |names: Vec<String>, operations| Acl { resource: "topic", names, prefixed: false, operations };
    let inputs: Vec<String> = report.rows.iter().filter(|row| row.wanted.role == Role::Events).map(|row| row.wanted.name.clone()).collect();
    let mut acls = Vec::new();
    if !inputs.is_empty() {
        acls.push(topics(inputs, &["Read", "DescribeConfigs"]));
    }
    let own = format!("{name}.");
    let writes: &'static [&'static str] = &["Read", "Write", "Create", "DescribeConfigs"];
    acls.push(Acl { resource: "topic", names: vec![own.clone()], prefixed: true, operations: writes });
    if !report.names.incidents.starts_with(&own) {
        acls.push(topics(vec![report.names.incidents.clone()], writes));
    }
    acls.push(Acl { resource: "group", names: vec![own], prefixed: true, operations: &["Read"] });
    acls.push(Acl { resource: "transactional-id", names: vec![format!("{name}-")], prefixed: true, operations: &["Write"] });
    acls
}
