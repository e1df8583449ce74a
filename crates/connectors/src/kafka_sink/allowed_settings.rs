//! Which settings of librdkafka a task may give: those for TLS, the network and throughput that are
//! listed here. All others are refused: some of them load code, run a command, lead to other
//! brokers than the task says, or break what a sink guarantees. Never sets one.

use crate::invalid_option::InvalidOption;

/// Settings for every client of the brokers. A name that ends with a dot is a prefix.
const FOR_ALL: [&str; 11] = [
    "ssl.",
    "socket.",
    "broker.address.",
    "reconnect.backoff.",
    "retry.backoff.",
    "topic.metadata.",
    "metadata.max.age.ms",
    "connections.max.idle.ms",
    "client.id",
    "client.rack",
    "client.dns.lookup",
];

/// Settings for the producer alone.
const FOR_PRODUCER: [&str; 13] = [
    "compression.",
    "batch.",
    "queue.buffering.",
    "linger.ms",
    "message.max.bytes",
    "message.copy.max.bytes",
    "message.timeout.ms",
    "message.send.max.retries",
    "retries",
    "delivery.timeout.ms",
    "request.timeout.ms",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
];

/// Settings that name a library to load into this process.
const CODE: [&str; 4] = ["ssl.engine.", "ssl.providers", "plugin.", "interceptors"];

/// Whether a setting is for every client of the brokers.
pub(super) fn is_for_all(name: &str) -> bool {
    is_among(&FOR_ALL, name) && !is_among(&CODE, name)
}

/// Refuses a setting that a task may not give.
pub(super) fn check(name: &str) -> Result<(), InvalidOption> {
    if is_for_all(name) || is_among(&FOR_PRODUCER, name) {
        return Ok(());
    }
    Err(InvalidOption::new("producer", format!("{name} can't be given"), remedy(name)))
}

fn remedy(name: &str) -> &'static str {
    match name {
        "bootstrap.servers" | "metadata.broker.list" => "give the brokers in `address`",
        "security.protocol" => "give it as `sasl.security_protocol`",
        "sasl.username" => "give it as `sasl.username` beside `producer`",
        "sasl.password" => "give it as `sasl.password` beside `producer`",
        "sasl.mechanism" | "sasl.mechanisms" => "give it as `sasl.mechanisms` beside `producer`",
        "acks" | "request.required.acks" | "enable.idempotence" => {
            "leave it out: all replicas acknowledge, and nothing is repeated or reordered"
        }
        "transactional.id" | "transaction.timeout.ms" => {
            "leave it out, and give `delivery` for transactions"
        }
        "partitioner" => "leave it out: a key's rows stay in one partition",
        name if is_among(&CODE, name) => "leave it out: a task can't load code into the service",
        name if name.starts_with("sasl.") => {
            "log in with PLAIN or SCRAM, by the settings in `sasl` beside `producer`"
        }
        _ => "leave it out; docs/kafka-sink.md lists the settings that can be given",
    }
}

fn is_among(list: &[&str], name: &str) -> bool {
    list.iter().any(|listed| match listed.ends_with('.') {
        true => name.starts_with(listed),
        false => name == *listed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loads_code_or_leads_elsewhere_is_refused_with_what_replaces_it() {
        for (name, remedy) in [
            ("plugin.library.paths", "load code"),
            ("ssl.engine.location", "load code"),
            ("ssl.providers", "load code"),
            ("sasl.kerberos.kinit.cmd", "SCRAM"),
            ("sasl.username", "`sasl.username`"),
            ("sasl.password", "`sasl.password`"),
            ("bootstrap.servers", "`address`"),
            ("metadata.broker.list", "`address`"),
            ("security.protocol", "`sasl.security_protocol`"),
            ("partitioner", "one partition"),
            ("acks", "all replicas"),
            ("transactional.id", "`delivery`"),
            ("no.such.thing", "docs/kafka-sink.md"),
            ("client.identity", "docs/kafka-sink.md"),
        ] {
            let refused = check(name).unwrap_err();
            assert!(refused.problem.contains(name), "{refused}");
            assert!(refused.remedy.contains(remedy), "{refused}");
            assert!(!is_for_all(name), "{name}");
        }
    }

    #[test]
    fn tls_is_every_clients_and_speed_the_producers() {
        for name in ["ssl.ca.location", "ssl.key.password", "socket.timeout.ms", "client.id"] {
            assert!(check(name).is_ok() && is_for_all(name), "{name}");
        }
        for name in ["compression.type", "linger.ms", "batch.size", "delivery.timeout.ms"] {
            assert!(check(name).is_ok() && !is_for_all(name), "{name}");
        }
    }
}
