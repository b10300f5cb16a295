//! Questions to a real cluster, and `catchment topics` around them.

use std::collections::BTreeSet;
use std::time::Duration;

use catchment::config::Start;
use catchment::kafka::{Admin, At, Error, GroupState, NewTopic, Refusal, Settings};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::{Broker, Home, Input, WAIT, require_kafka, unique, until};

fn admin(broker: &Broker) -> Admin {
    Admin::connect(&Settings::admin(broker.bootstrap()), WAIT).unwrap()
}

#[test]
fn real_topics_have_ids_that_do_not_outlive_them() {
    let Some(kafka) = require_kafka() else { return };
    let admin = admin(kafka);
    assert!(!admin.cluster_id().is_empty() && admin.cluster().brokers == 1);
    let name = unique("ids");
    let new = NewTopic { name: name.clone(), partitions: 3, replication: -1, configs: vec![("retention.ms".into(), "7200000".into())] };
    let bad = NewTopic { name: unique("bad"), replication: 7, ..new.clone() };
    let made = admin.create(&[new.clone(), bad.clone()]).unwrap();
    let result = |name: &str| made.iter().find(|(known, _)| known == name).map(|(_, result)| result).unwrap();
    assert!(result(&name).is_ok());
    let said = result(&bad.name).as_ref().unwrap_err().to_string();
    assert!(said.contains("replication factor of 7"), "{said}");
    assert!(admin.create(std::slice::from_ref(&new)).unwrap()[0].1.as_ref().unwrap_err().already_exists());

    let topics = admin.topics(&["no-such-topic", &name]).unwrap();
    assert_eq!(topics[0], None);
    let first = topics[1].clone().unwrap();
    assert_eq!((first.partitions, first.replication), (3, 1));
    assert!(matches!(admin.existing(&[&name, "no-such-topic"]), Err(Error::NoSuchTopic { topic }) if topic == "no-such-topic"));
    // As Kafka's own tools write it.
    let described = kafka.tool(&["TopicCommand", "--describe", "--topic", &name]);
    assert!(described.contains(&format!("TopicId: {}", first.identity())), "{described}");
    let configs = admin.configs(&[&name]).unwrap().remove(0);
    assert_eq!((configs["retention.ms"].value.as_str(), configs["retention.ms"].inherited), ("7200000", false));
    assert!(configs["max.message.bytes"].inherited);

    assert!(admin.delete(&[&name]).unwrap()[0].1.is_ok());
    until("the topic is gone", WAIT, || admin.topics(&[&name]).unwrap()[0].is_none());
    assert!(admin.create(&[new]).unwrap()[0].1.is_ok());
    until("the topic is back", WAIT, || admin.topics(&[&name]).unwrap()[0].is_some());
    let second = admin.topics(&[&name]).unwrap().remove(0).unwrap();
    assert_ne!(first.id, second.id);
    assert!(admin.topic_names().unwrap().contains(&name));
}

#[test]
fn real_offsets_by_begin_end_and_time() {
    let Some(kafka) = require_kafka() else { return };
    let admin = admin(kafka);
    let topic = kafka.topic("offsets", 2, &[]);
    let base = 1_700_000_000_000;
    kafka.produce(&topic, (0..10).map(|n| Input { partition: Some(1), timestamp_ms: base + n * 1_000, ..Input::new("k", "v") }));
    assert_eq!(admin.watermarks(&topic, 2).unwrap(), [(0, 0), (0, 10)]);
    assert_eq!(admin.offsets(&[(&topic, 1), (&topic, 0)], At::Time(base + 4_500)).unwrap(), [5, 0]);
    assert_eq!(admin.start_offset(&topic, 1, Start::At(base + 60_000)).unwrap(), 10, "a time behind the last record is the end");
    assert_eq!(admin.start_offset(&topic, 1, Start::Earliest).unwrap(), 0);
    assert_eq!(admin.start_offset(&topic, 1, Start::Latest).unwrap(), 10);
    assert!(matches!(admin.offsets(&[("no-such-topic", 0)], At::End), Err(Error::NoSuchTopic { .. })));
    assert!(matches!(admin.offsets(&[(&topic, 7)], At::End), Err(Error::NoSuchTopic { .. })));
}

#[test]
fn real_groups_with_members_and_without() {
    let Some(kafka) = require_kafka() else { return };
    let admin = admin(kafka);
    let (topic, group) = (kafka.topic("grouped", 4, &[]), unique("group"));
    let all: Vec<(&str, i32)> = (0..4).map(|partition| (topic.as_str(), partition)).collect();
    assert_eq!(admin.groups(&[&group]).unwrap()[0].state, GroupState::Absent);
    assert_eq!(admin.committed(&group, &all).unwrap(), [None; 4]);

    let member = |instance: &str| -> BaseConsumer {
        let mut config = kafka.client();
        config.set("group.id", &group).set("group.instance.id", instance).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
        config.set("partition.assignment.strategy", "cooperative-sticky");
        let member: BaseConsumer = config.create().unwrap();
        member.subscribe(&[&topic]).unwrap();
        member
    };
    let members = [member("a"), member("b")];
    until("both have two partitions", WAIT, || {
        members.iter().for_each(|member| drop(member.poll(Duration::from_millis(50))));
        members.iter().all(|member| member.assignment().unwrap().count() == 2)
    });
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic, 2, Offset::Offset(7)).unwrap();
    let owner = members.iter().find(|member| member.assignment().unwrap().find_partition(&topic, 2).is_some()).unwrap();
    owner.commit(&list, CommitMode::Sync).unwrap();

    let found = admin.groups(&["nobody", &group]).unwrap().remove(1);
    assert_eq!((found.name.as_str(), found.state), (group.as_str(), GroupState::Stable));
    let instances: Vec<Option<&str>> = found.members.iter().map(|member| member.instance.as_deref()).collect();
    assert_eq!(instances, [Some("a"), Some("b")]);
    assert!(found.members.iter().all(|member| member.host == "127.0.0.1" && member.assigned.len() == 2), "{found:?}");
    let assigned: BTreeSet<i32> = found.members.iter().flat_map(|member| &member.assigned).map(|(_, partition)| *partition).collect();
    assert_eq!(assigned, BTreeSet::from([0, 1, 2, 3]));
    assert_eq!(admin.committed(&group, &all).unwrap(), [None, None, Some(7), None]);
    assert!(kafka.committed(&group, &topic).contains_key(&2));
}

#[test]
fn real_brokers_that_do_not_let_us_in_are_told_apart() {
    let Some(kafka) = require_kafka() else { return };
    let refused = |bootstrap: &str, user: &[(&str, &str)]| {
        let user = user.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let settings = Settings::admin(bootstrap).with_user(&user).unwrap();
        match Admin::connect(&settings, Duration::from_secs(15)).map(|_| ()).unwrap_err() {
            Error::Unreachable { kind, reason } => (kind, reason),
            error => panic!("{error:?}"),
        }
    };
    let (kind, reason) = refused("127.0.0.1:1", &[]);
    assert!(kind == Refusal::Down && reason == "Connect to 127.0.0.1:1 failed: Connection refused", "{reason}");
    let (kind, reason) = refused(kafka.bootstrap(), &[("security.protocol", "ssl")]);
    assert!(kind != Refusal::Login, "{kind:?} {reason}");

    let Some(secure) = Broker::secure() else { return };
    let sasl = |password: &str| {
        let mut user = vec![("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "SCRAM-SHA-512"), ("sasl.username", secure.fact("user"))];
        user.push(("sasl.password", password));
        user.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<std::collections::BTreeMap<_, _>>()
    };
    let settings = |password: &str| Settings::admin(secure.fact("sasl")).with_user(&sasl(password)).unwrap();
    match Admin::connect(&settings("hunter2"), WAIT).map(|_| ()).unwrap_err() {
        Error::Unreachable { kind: Refusal::Login, reason } => assert!(reason.contains("Authentication failed") && !reason.contains("hunter2"), "{reason}"),
        error => panic!("{error:?}"),
    }
    assert!(Admin::connect(&settings(secure.fact("password")), WAIT).is_ok());

    // A user with no more than `catchment topics` says it needs.
    let home = Home::new(&secure, "");
    home.write("p/pipeline.yaml", "name: soc\nsource: { topics: [in] }\nclassify: { default: drop }\n");
    home.write("password", secure.fact("password"));
    let security =
        format!("security: {{ protocol: sasl_plaintext, mechanism: scram-sha-512, username: {}, password: {{ file: password }} }}", secure.fact("user"));
    home.write("secure.yaml", &format!("brokers: [{}]\n{security}\n", secure.fact("sasl")));
    secure.create("in", 2, &[]);
    let acls = home.run(&["topics", "p", "--config", "secure.yaml", "--offline", "--format", "json"]);
    let acls: serde_json::Value = serde_json::from_slice(&acls.stdout).unwrap();
    secure.acl("revoke", &["--force", "--operation", "All", "--topic", "*", "--group", "*", "--transactional-id", "*", "--cluster"]);
    let topics = || home.run(&["topics", "p", "--config", "secure.yaml", "--create"]);
    until("the permissions are gone", WAIT, || topics().status.code() == Some(2));
    let said = String::from_utf8_lossy(&topics().stderr).into_owned();
    assert!(said.contains("prints the permissions (ACLs) that are needed"), "{said}");
    for acl in acls["acls"].as_array().unwrap() {
        let command = acl["command"].as_str().unwrap();
        let (_, arguments) = command.split_once(" --allow-principal ").unwrap();
        let arguments: Vec<&str> = arguments.split(' ').skip(1).collect();
        secure.acl("grant", &arguments);
    }
    until("the permissions are enough", WAIT, || topics().status.code() == Some(0));
}

#[test]
fn real_topics_makes_what_is_missing_and_changes_nothing() {
    let Some(kafka) = require_kafka() else { return };
    let (name, events) = (unique("soc"), unique("events"));
    let home = Home::new(kafka, "topics: { partitions: 4 }");
    home.write(
        "p/pipeline.yaml",
        &format!("name: {name}\nsource: {{ topics: [{events}, '^{events}[.]'] }}\nclassify: {{ default: drop }}\npreprocess:\n  rules:\n    - {{ name: r, match: [x], within: 2h, action: drop }}\n"),
    );
    let run = |more: &[&str]| {
        let output = home.run(&[&["topics", "p"], more].concat());
        (output.status.code(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
    };
    let (code, said) = run(&[]);
    assert!(code == Some(1) && said.contains("1 input topic is missing, 4 topics that it writes are missing"), "{said}");
    let (code, said) = run(&["--create"]);
    // The index waits for the input topics, which are not ours to make.
    assert!(code == Some(1) && said.contains("1 input topic is missing, 1 topic that it writes is missing"), "{said}");
    kafka.create(&events, 3, &[]);
    kafka.create(&format!("{events}.more"), 5, &[]);
    let (code, said) = run(&["--create"]);
    assert!(code == Some(0) && said.contains("everything that the pipeline needs is there"), "{said}");
    assert!(said.lines().all(|line| line.len() <= 100 || line.contains(kafka.bootstrap())), "{said}");
    assert_eq!(kafka.partitions(&format!("{name}.index")), 5);
    assert_eq!(kafka.partitions(&format!("{name}.incidents")), 4);
    assert_eq!(kafka.partitions(&format!("{name}.incident-state")), 4);
    let configs = admin(kafka).configs(&[&format!("{name}.incident-state")]).unwrap().remove(0);
    assert_eq!(configs["cleanup.policy"].value, "compact");

    // Somebody changes something that results rest on: it is told, and left alone.
    kafka.configure(&format!("{name}.index"), &[("cleanup.policy", "delete"), ("retention.ms", "60000")]);
    kafka.configure(&format!("{name}.incidents"), &[("cleanup.policy", "compact")]);
    let (code, said) = run(&["--create"]);
    assert!(code == Some(1) && said.contains("2 settings are wrong"), "{said}");
    let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("retention.ms is 1m, should be ≥ 1d3h5m"), "{said}");
    assert!(flat.contains(&format!("--entity-name {name}.incidents --add-config cleanup.policy=delete")), "{said}");
    let configs = admin(kafka).configs(&[&format!("{name}.incidents")]).unwrap().remove(0);
    assert_eq!(configs["cleanup.policy"].value, "compact");
    let output = home.run(&["topics", "p", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["ready"], json["topics"].as_array().unwrap().len()), (&serde_json::json!(false), 6));

    // And input topics, where they are asked for.
    let other = unique("other");
    home.write("q/pipeline.yaml", &format!("name: {other}\nsource: {{ topics: [{other}-in] }}\nclassify: {{ default: drop }}\n"));
    let output = home.run(&["topics", "q", "--create", "--create-inputs", "2"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((kafka.partitions(&format!("{other}-in")), kafka.partitions(&format!("{other}.index"))), (2, 2));
}

/// A broker that has just started answers with a cluster of no brokers: asked at that moment with
/// librdkafka's own request for this, the process ends by an assertion.
#[test]
fn real_questions_to_a_broker_that_restarts_end_nobody() {
    let Some(kafka) = Broker::private(1) else { return };
    let settings = Settings::admin(kafka.bootstrap());
    let id = Admin::connect(&settings, WAIT).unwrap().cluster_id().to_owned();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    match Admin::connect(&settings, Duration::from_millis(500)) {
                        Ok(admin) => assert_eq!(admin.cluster_id(), id),
                        Err(error) => assert!(error.retryable(), "{error}"),
                    }
                }
            });
        }
        kafka.kill(1);
        kafka.restart(1);
        kafka.restart(1);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(Admin::connect(&settings, WAIT).unwrap().cluster().brokers, 1);
}
