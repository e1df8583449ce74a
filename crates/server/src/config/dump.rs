//! The effective configuration as YAML that can be read again. Never shows a secret.

use super::resolved::{
    ApiConfig, Config, EtcdConfig, KafkaConfig, PulsarConfig, QueueConfig, SharedStores,
    SourceConfig, StoreConfig,
};
use super::time;
use crate::secret::{MASK, masked};
use connectors::TlsFiles;
use connectors::pulsar::PulsarLogin;
use replication::task::{LateMessages, Unsupported};
use serde_yaml_ng::{Mapping, Value};
use std::time::Duration;

impl Config {
    /// The effective configuration as YAML that can be read again, secrets masked.
    pub fn dump(&self) -> String {
        let mut tree = Mapping::new();
        let mut put = |path: &str, value: Value| place(&mut tree, path, value);
        put("address", text(&self.address));
        self.api.dump(&mut put);
        put("maxTaskNum", number(self.max_task_num));
        put("maxNameLength", number(self.max_name_length));
        put("logLevel", text(&self.log.level));
        put("logFormat", text(if self.log.json { "json" } else { "text" }));
        match &self.store {
            StoreConfig::Sqlite(path) => {
                put("metaStoreConfig.storeType", text("sqlite"));
                put("metaStoreConfig.sqlite.path", text(&path.to_string_lossy()));
            }
            StoreConfig::Memory => put("metaStoreConfig.storeType", text("memory")),
            StoreConfig::Etcd(_) => put("metaStoreConfig.storeType", text("etcd")),
            StoreConfig::Mysql(_) => put("metaStoreConfig.storeType", text("mysql")),
        }
        put("metaStoreConfig.stateFolder", text(&self.state_folder.to_string_lossy()));
        self.shared.dump(&mut put);
        self.source.dump(&mut put);
        put("retry.initBackOff", number(secs(self.backoff_first)));
        put("retry.maxBackOff", number(secs(self.limits.backoff_max)));
        put("packer.memoryLimit", number(self.limits.held_bytes_max >> 10));
        put("target.settleTime", text(&time::write(self.limits.settle)));
        put("target.laneWaitMax", text(&time::write(self.limits.lane_wait_max)));
        let or_off = |time: Option<_>| text(&time.map_or("off".into(), time::write));
        put("target.keepAlive", or_off(self.limits.keep_alive_after));
        put("target.flushEvery", or_off(self.limits.flush_every));
        put("dryRun", Value::Bool(self.dry_run));
        let goes_on = self.policies.unsupported == Unsupported::Continue;
        put("unsupportedRequests", text(if goes_on { "continue" } else { "stop" }));
        let goes_on = self.policies.late == LateMessages::Continue;
        put("lateMessages", text(if goes_on { "continue" } else { "stop" }));
        put("limits.roundSize", number(self.limits.round_bytes >> 10));
        put("limits.callSize", number(self.limits.call_bytes >> 10));
        put("limits.finishMax", text(&time::write(self.limits.finish_max)));
        put("limits.requests", number(self.requests_max));
        put("sourceConfig.timeTickInterval", number(millis(self.limits.idle_tick)));
        serde_yaml_ng::to_string(&Value::Mapping(tree)).unwrap_or_else(|e| format!("# {e}\n"))
    }
}

impl ApiConfig {
    fn dump(&self, put: &mut impl FnMut(&str, Value)) {
        if let Some(tls) = &self.tls {
            put("api.tlsCertPath", text(&tls.cert.to_string_lossy()));
            put("api.tlsKeyPath", text(&tls.key.to_string_lossy()));
            if let Some(ca) = &tls.client_ca {
                put("api.tlsClientCAPath", text(&ca.to_string_lossy()));
            }
        }
        for (path, tokens) in
            [("api.readTokens", &self.tokens.read), ("api.manageTokens", &self.tokens.manage)]
        {
            if !tokens.is_empty() {
                put(path, list(&vec![MASK.to_owned(); tokens.len()]));
            }
        }
    }
}

impl SharedStores {
    fn dump(&self, put: &mut impl FnMut(&str, Value)) {
        if let Some(etcd) = &self.etcd {
            put("metaStoreConfig.rootPath", text(&etcd.root_path));
            etcd.dump("metaStoreConfig.etcd", put);
        }
        if let Some(mysql) = &self.mysql {
            put("metaStoreConfig.rootPath", text(&mysql.root_path));
            put("metaStoreConfig.mysqlSourceUrl", text(&mysql.dsn.masked(MASK)));
            dump_tls("metaStoreConfig.mysql", &mysql.tls, put);
        }
    }
}

impl EtcdConfig {
    fn dump(&self, section: &str, put: &mut impl FnMut(&str, Value)) {
        let mut put = |name: &str, value| put(&format!("{section}.{name}"), value);
        put("address", list(&self.endpoints));
        put("enableAuth", Value::Bool(self.login.is_some()));
        if let Some((user, _)) = &self.login {
            put("username", text(user));
            put("password", text(MASK));
        }
        put("enableTLS", Value::Bool(self.tls.is_some()));
        if let Some(tls) = &self.tls {
            dump_tls("", tls, &mut |name: &str, value| put(name.trim_start_matches('.'), value));
        }
    }
}

fn dump_tls(section: &str, tls: &TlsFiles, put: &mut impl FnMut(&str, Value)) {
    for (name, file) in
        [("tlsCertPath", &tls.cert), ("tlsKeyPath", &tls.key), ("tlsCACertPath", &tls.ca)]
    {
        if !file.as_os_str().is_empty() {
            put(&format!("{section}.{name}"), text(&file.to_string_lossy()));
        }
    }
}

impl SourceConfig {
    fn dump(&self, put: &mut impl FnMut(&str, Value)) {
        let etcd = &self.catalog;
        put("sourceConfig.etcd.rootPath", text(&etcd.root_path));
        put("sourceConfig.etcd.metaSubPath", text(&etcd.meta_sub_path));
        etcd.dump("sourceConfig.etcd", put);
        match &self.queue {
            QueueConfig::Kafka(kafka) => kafka.dump(put),
            QueueConfig::Pulsar(pulsar) => pulsar.dump(put),
        }
        put("sourceConfig.replicateChan", text(&self.op_channel));
        put("sourceConfig.channelNum", number(self.channels));
    }
}

impl KafkaConfig {
    fn dump(&self, put: &mut impl FnMut(&str, Value)) {
        put("sourceConfig.kafka.address", text(&self.brokers));
        if !self.login.username.is_empty() {
            put("sourceConfig.kafka.saslUsername", text(&self.login.username));
            put("sourceConfig.kafka.saslPassword", text(MASK));
        }
        for (name, value) in
            [("saslMechanisms", &self.login.mechanisms), ("securityProtocol", &self.login.protocol)]
        {
            if !value.is_empty() {
                put(&format!("sourceConfig.kafka.{name}"), text(value));
            }
        }
        let shown = masked(self.consumer.clone()).into_iter();
        let shown: Mapping = shown.map(|(name, value)| (text(&name), text(&value))).collect();
        if !shown.is_empty() {
            put("sourceConfig.kafka.consumer", Value::Mapping(shown));
        }
    }
}

impl PulsarConfig {
    fn dump(&self, put: &mut impl FnMut(&str, Value)) {
        let scheme = if self.tls.is_some() { "pulsar+ssl" } else { "pulsar" };
        let brokers: Vec<_> = self.brokers.iter().map(|b| format!("{scheme}://{b}")).collect();
        put("sourceConfig.pulsar.address", list(&brokers));
        put("sourceConfig.pulsar.tenant", text(&self.tenant));
        put("sourceConfig.pulsar.namespace", text(&self.namespace));
        let tls = self.tls.clone().unwrap_or_default();
        if !tls.ca.as_os_str().is_empty() {
            put("sourceConfig.pulsar.tlsTrustCertsFilePath", text(&tls.ca.to_string_lossy()));
        }
        let (cert, key) = (tls.cert.to_string_lossy(), tls.key.to_string_lossy());
        let login = match &self.login {
            PulsarLogin::Token(_) => Some(("token", format!("token:{MASK}"))),
            PulsarLogin::Basic(user, _) => {
                Some(("basic", format!("username:{user},password:{MASK}")))
            }
            PulsarLogin::None if !cert.is_empty() => {
                Some(("tls", format!("tlsCertFile:{cert},tlsKeyFile:{key}")))
            }
            PulsarLogin::None => None,
        };
        if let Some((plugin, params)) = login {
            put("sourceConfig.pulsar.authPlugin", text(plugin));
            put("sourceConfig.pulsar.authParams", text(&params));
        }
    }
}

fn place(tree: &mut Mapping, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            tree.insert(text(path), value);
        }
        Some((head, rest)) => {
            let below = tree.entry(text(head)).or_insert_with(|| Value::Mapping(Mapping::new()));
            if let Value::Mapping(below) = below {
                place(below, rest, value);
            }
        }
    }
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

fn list(items: &[String]) -> Value {
    Value::Sequence(items.iter().map(|i| text(i)).collect())
}

fn number(n: usize) -> Value {
    Value::Number(n.into())
}

fn secs(time: Duration) -> usize {
    usize::try_from(time.as_secs()).unwrap_or(usize::MAX)
}

fn millis(time: Duration) -> usize {
    usize::try_from(time.as_millis()).unwrap_or(usize::MAX)
}
