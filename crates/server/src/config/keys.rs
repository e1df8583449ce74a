//! Every key that a configuration may contain, and whether it has an effect. A test checks the
//! documentation against this table; a key that is not in it is unknown. Never reads a value.

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text; numbers and booleans are read as they are written.
    Text,
    /// Text that is never shown.
    Secret,
    /// Several texts that are never shown.
    Secrets,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Flag,
    /// Several texts; one text is split at commas.
    List,
    /// A time with its unit: `500ms`, `30s`, `2m`.
    Time,
    /// Names and values for a client; the names are the client's.
    Map,
}

impl Form {
    /// Whether a value may be or contain a secret.
    pub fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::Secrets | Self::Map)
    }
}

/// The effect of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The key is used.
    Used,
    /// The key is used, but this other key should be written.
    Deprecated(&'static str),
    /// The key is accepted and has no effect, for this reason.
    Idle(&'static str),
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its path, segments separated by dots, spelled as documented.
    pub path: &'static str,
    /// The form of its value.
    pub form: Form,
    /// Its effect.
    pub effect: Effect,
}

const fn used(path: &'static str, form: Form) -> Key {
    Key { path, form, effect: Effect::Used }
}

const fn deprecated(path: &'static str, form: Form, instead: &'static str) -> Key {
    Key { path, form, effect: Effect::Deprecated(instead) }
}

const fn idle(path: &'static str, form: Form, why: &'static str) -> Key {
    Key { path, form, effect: Effect::Idle(why) }
}

const NO_PACKER: &str =
    "calls and positions follow the source's ticks, nothing is packed by time or count";
const NO_REVERSE: &str = "it never had an effect";
const NO_BARRIERS: &str =
    "only the Go tool's records of drops under way lie there, which are not needed";
const NO_ADMIN: &str = "nothing is asked of the admin API";

/// All of them, in the order of the documentation.
pub const KEYS: &[Key] = &[
    used("address", Form::Text),
    used("api.tlsCertPath", Form::Text),
    used("api.tlsKeyPath", Form::Text),
    used("api.tlsClientCAPath", Form::Text),
    used("api.readTokens", Form::Secrets),
    used("api.manageTokens", Form::Secrets),
    used("maxTaskNum", Form::Number),
    used("maxNameLength", Form::Number),
    used("logLevel", Form::Text),
    used("logFormat", Form::Text),
    used("metaStoreConfig.storeType", Form::Text),
    used("metaStoreConfig.sqlite.path", Form::Text),
    used("metaStoreConfig.rootPath", Form::Text),
    used("metaStoreConfig.stateFolder", Form::Text),
    used("metaStoreConfig.etcd.address", Form::List),
    used("metaStoreConfig.etcd.enableAuth", Form::Flag),
    used("metaStoreConfig.etcd.username", Form::Text),
    used("metaStoreConfig.etcd.password", Form::Secret),
    used("metaStoreConfig.etcd.enableTLS", Form::Flag),
    used("metaStoreConfig.etcd.tlsCertPath", Form::Text),
    used("metaStoreConfig.etcd.tlsKeyPath", Form::Text),
    used("metaStoreConfig.etcd.tlsCACertPath", Form::Text),
    used("metaStoreConfig.etcd.tlsMinVersion", Form::Text),
    idle("metaStoreConfig.etcd.rootPath", Form::Text, NO_BARRIERS),
    idle("metaStoreConfig.etcd.metaSubPath", Form::Text, NO_BARRIERS),
    deprecated("metaStoreConfig.etcdEndpoints", Form::List, "metaStoreConfig.etcd.address"),
    used("metaStoreConfig.mysqlSourceUrl", Form::Secret),
    used("metaStoreConfig.mysql.tlsCACertPath", Form::Text),
    used("metaStoreConfig.mysql.tlsCertPath", Form::Text),
    used("metaStoreConfig.mysql.tlsKeyPath", Form::Text),
    used("sourceConfig.etcd.address", Form::List),
    used("sourceConfig.etcd.rootPath", Form::Text),
    used("sourceConfig.etcd.metaSubPath", Form::Text),
    used("sourceConfig.etcd.enableAuth", Form::Flag),
    used("sourceConfig.etcd.username", Form::Text),
    used("sourceConfig.etcd.password", Form::Secret),
    used("sourceConfig.etcd.enableTLS", Form::Flag),
    used("sourceConfig.etcd.tlsCertPath", Form::Text),
    used("sourceConfig.etcd.tlsKeyPath", Form::Text),
    used("sourceConfig.etcd.tlsCACertPath", Form::Text),
    used("sourceConfig.etcd.tlsMinVersion", Form::Text),
    deprecated("sourceConfig.etcdAddress", Form::List, "sourceConfig.etcd.address"),
    deprecated("sourceConfig.etcdRootPath", Form::Text, "sourceConfig.etcd.rootPath"),
    deprecated("sourceConfig.etcdMetaSubPath", Form::Text, "sourceConfig.etcd.metaSubPath"),
    used("sourceConfig.kafka.address", Form::Text),
    used("sourceConfig.kafka.saslUsername", Form::Text),
    used("sourceConfig.kafka.saslPassword", Form::Secret),
    used("sourceConfig.kafka.saslMechanisms", Form::Text),
    used("sourceConfig.kafka.securityProtocol", Form::Text),
    used("sourceConfig.kafka.consumer", Form::Map),
    idle("sourceConfig.kafka.producer", Form::Map, "nothing is ever produced to the source"),
    used("sourceConfig.pulsar.address", Form::List),
    used("sourceConfig.pulsar.tenant", Form::Text),
    used("sourceConfig.pulsar.namespace", Form::Text),
    used("sourceConfig.pulsar.authPlugin", Form::Text),
    used("sourceConfig.pulsar.authParams", Form::Secret),
    used("sourceConfig.pulsar.tlsTrustCertsFilePath", Form::Text),
    idle("sourceConfig.pulsar.webAddress", Form::Text, NO_ADMIN),
    idle("sourceConfig.pulsar.webPort", Form::Text, NO_ADMIN),
    idle("sourceConfig.pulsar.maxMessageSize", Form::Text, "messages of every size are read"),
    used("sourceConfig.replicateChan", Form::Text),
    used("sourceConfig.timeTickInterval", Form::Number),
    used("sourceConfig.channelNum", Form::Number),
    idle(
        "sourceConfig.defaultPartitionName",
        Form::Text,
        "the partition that a collection begins with is known without its name",
    ),
    idle(
        "sourceConfig.readChanLen",
        Form::Number,
        "queues inside are bounded in bytes, see limits",
    ),
    used("retry.initBackOff", Form::Number),
    used("retry.maxBackOff", Form::Number),
    idle("retry.retryTimes", Form::Number, "a transient fault is tried again until it is over"),
    used("packer.memoryLimit", Form::Number),
    idle("packer.timerInterval", Form::Number, NO_PACKER),
    idle("packer.maxCount", Form::Number, NO_PACKER),
    idle("packer.maxMsgSize", Form::Number, NO_PACKER),
    used("target.settleTime", Form::Time),
    used("target.laneWaitMax", Form::Time),
    used("target.keepAlive", Form::Text),
    used("target.flushEvery", Form::Text),
    used("unsupportedRequests", Form::Text),
    used("lateMessages", Form::Text),
    used("limits.roundSize", Form::Number),
    used("limits.callSize", Form::Number),
    used("limits.finishMax", Form::Time),
    used("limits.requests", Form::Number),
    used("dryRun", Form::Flag),
    used("replicateID", Form::Text),
    idle("batchMode", Form::Flag, "a task that lags always reads in batches"),
    idle("detectDeadLock", Form::Flag, "there is nothing to detect"),
    idle("enableReverse", Form::Flag, NO_REVERSE),
    idle("reverseMilvus", Form::Map, NO_REVERSE),
    idle("currentMilvus", Form::Map, NO_REVERSE),
];

/// The key of a path, in any case.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.path.eq_ignore_ascii_case(path))
}

/// The map that contains a path, and the rest of the path.
pub fn enclosing_map(path: &str) -> Option<(&'static Key, &str)> {
    KEYS.iter().filter(|k| k.form == Form::Map).find_map(|k| {
        let (head, rest) = path.split_at_checked(k.path.len())?;
        let rest = rest.strip_prefix('.')?;
        head.eq_ignore_ascii_case(k.path).then_some((k, rest))
    })
}

/// Whether there are keys below a path.
pub fn is_section(path: &str) -> bool {
    KEYS.iter().any(|k| {
        k.path
            .split_at_checked(path.len())
            .is_some_and(|(head, rest)| head.eq_ignore_ascii_case(path) && rest.starts_with('.'))
    })
}

/// The known key that is most similar to an unknown one, if any is similar enough.
pub fn nearest(path: &str) -> Option<&'static str> {
    // Less similar keys have little more in common than their section.
    const ALIKE_MIN: f64 = 0.75;
    let path = path.to_ascii_lowercase();
    KEYS.iter()
        .map(|k| (strsim::jaro_winkler(&k.path.to_ascii_lowercase(), &path), k.path))
        .filter(|(alike, _)| *alike >= ALIKE_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_listed_twice_or_is_also_a_section() {
        for (i, key) in KEYS.iter().enumerate() {
            assert!(!KEYS[..i].iter().any(|k| k.path.eq_ignore_ascii_case(key.path)), "{key:?}");
            assert!(!is_section(key.path), "{key:?}");
        }
    }

    #[test]
    fn a_key_inside_a_map_finds_its_map() {
        let (key, rest) = enclosing_map("sourceconfig.kafka.CONSUMER.ssl.ca.location").unwrap();
        assert_eq!((key.path, rest), ("sourceConfig.kafka.consumer", "ssl.ca.location"));
        assert!(enclosing_map("sourceConfig.kafka.address").is_none());
    }
}
