//! Tests the broker's options for tests of security: a listener with passwords accepts the right
//! one. Uses Kafka's own tool, never a client of the product.

#![expect(clippy::unwrap_used, reason = "the helpers of a test are part of it")]

use lab::{Installed, Kafka, KafkaOptions, Listener, READY_WITHIN, Server};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

#[test]
fn a_listener_with_passwords_lets_in_only_who_knows_one() {
    let installed = lab::install_servers().unwrap();
    let run = tempfile::tempdir().unwrap();
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required";
    let property = |key: &str, value: String| (format!("listener.name.closed.{key}"), value);
    let options = KafkaOptions {
        listeners: vec![Listener::new("CLOSED", "SASL_PLAINTEXT")],
        properties: vec![
            property("sasl.enabled.mechanisms", "PLAIN".into()),
            property("plain.sasl.jaas.config", format!("{login} user_cdc=\"right\";")),
        ],
        ..KafkaOptions::default()
    };
    let mut kafka = Kafka::start(&installed, &run.path().join("kafka"), options).unwrap();
    kafka.wait_ready(READY_WITHIN).unwrap();
    let address = kafka.listener("CLOSED").unwrap();

    let ask_with = |password: &str| {
        let settings = run.path().join(password);
        let login = format!("{login} username=\"cdc\" password=\"{password}\";");
        let text = format!(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config={login}\n"
        );
        fs::write(&settings, text).unwrap();
        list_topics(&installed, &address, &settings)
    };
    let let_in = ask_with("right");
    assert!(let_in.status.success(), "{let_in:?}");
    let refused = ask_with("wrong");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stdout).contains("Invalid username or password"));
}

fn list_topics(installed: &Installed, address: &str, settings: &Path) -> Output {
    Command::new("java")
        .arg("-cp")
        .arg(installed.kafka.join("lib/*"))
        .args(["org.apache.kafka.tools.TopicCommand", "--list", "--bootstrap-server", address])
        .arg("--command-config")
        .arg(settings)
        .output()
        .unwrap()
}
