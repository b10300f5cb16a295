//! Logins, encryption and permissions: all of it over SASL/SCRAM and TLS, a wrong password, and
//! permissions that are taken away and given back while events flow.

use std::time::Duration;

use super::Broker;
use super::exactly_once::{DRAIN, Scene};
use super::faults::under_load;
use super::process::Home;

/// A member's home whose clients come in over another listener.
fn home(scene: &Scene<'_>, address: &str, security: &str) -> Home {
    let home = scene.home("a");
    let (kafka, state) = (scene.kafka, "state");
    let text = format!(
        "brokers: [{}]\nstate_dir: {state}\ninstance: a\nlisten: {{ api: 127.0.0.1:0 }}\ntransaction: {{ linger: 20ms }}\nsecurity: {{ {security} }}\n",
        kafka.fact(address)
    );
    home.write("password", kafka.fact("password"));
    home.write("wrong", "not the password");
    home.write("catchment.yaml", &text);
    home
}

#[test]
fn real_fault_permissions_go_and_come_back() {
    if !super::faults::long() {
        println!("left out: CATCHMENT_LONG=1, or scripts/prove faults");
        return;
    }
    let Some(kafka) = Broker::secure() else { return };
    let scene = Scene::new(&kafka, "access");
    kafka.produce(&scene.source, (0..2_000).map(Scene::event));
    let scram =
        |file: &str| format!("protocol: sasl_ssl, mechanism: scram-sha-512, username: catchment, password: {{ file: {file} }}, ca: {}", kafka.fact("ca"));

    let wrong = home(&scene, "sasl_ssl", &scram("wrong"));
    let mut member = scene.start(&wrong, None);
    let status = member.wait(Duration::from_secs(60));
    assert_eq!(status.code(), Some(2), "{}", member.stderr());
    assert!(member.stderr().contains("username, password") && !member.stderr().contains("not the password"), "{}", member.stderr());

    // Certificates instead of a password.
    let certificate = format!("protocol: ssl, ca: {}, certificate: {}, key: {}", kafka.fact("ca"), kafka.fact("cert"), kafka.fact("key"));
    let tls = home(&scene, "ssl", &certificate);
    let mut member = scene.start(&tls, None);
    scene.drained();
    member.stop(DRAIN);

    let good = home(&scene, "sasl_ssl", &scram("password"));
    let mut member = scene.start(&good, None);
    member.until_ready(DRAIN);
    let deny = |action: &str, operation: &str, topic: &str| {
        let force: &[&str] = if action == "--remove" { &["--force"] } else { &[] };
        let args = ["AclCommand", action, "--deny-principal", "User:catchment", "--operation", operation, "--topic", topic];
        kafka.tool(&[&args, force].concat());
    };
    under_load(&scene, 2_000, 2_000, || {
        let incidents = scene.topic("incidents");
        deny("--add", "Write", &incidents);
        println!("without writing: {}", member.until_troubled("uthoriz", DRAIN));
        deny("--remove", "Write", &incidents);
        member.until_ready(DRAIN);
        // The index topic cannot be read: nothing is decided without it.
        let index = scene.topic("index");
        deny("--add", "All", &index);
        println!("without the index: {}", member.until_troubled("uthoriz", DRAIN));
        deny("--remove", "All", &index);
        member.until_ready(DRAIN);
        deny("--add", "Read", &scene.source);
        println!("without reading: {}", member.until_troubled("uthoriz", DRAIN));
        deny("--remove", "Read", &scene.source);
        member.until_ready(DRAIN);
    });
    scene.drained();
    member.stop(DRAIN);
    scene.check();
}
