//! Every metric of the service: names, labels, and the only place where they are registered.
//! Names and labels of the first group are those of the Go tool, so that its dashboard works.
//! Never has a label value that a client made up: each is a constant, or belongs to a stored task
//! or to the configuration.

use crate::tasks::State;
use connectors::etcd::EtcdMembers;
use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use std::collections::HashMap;

/// The prefix of every name.
const NAMESPACE: &str = "milvus_cdc";

/// The Go tool's buckets, in milliseconds.
const LATENCY_BUCKETS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// The metrics.
pub(crate) struct Metrics {
    registry: Registry,
    process: Registry,
    /// Tasks by `task_state`.
    pub task_num: IntGaugeVec,
    /// 0, 1 or 2 by `task_id`.
    pub task_state: IntGaugeVec,
    /// Requests by `request_type` and `request_status`.
    pub request_total: IntCounterVec,
    /// Requests of every kind by `method`, `path`, `code`.
    pub http_requests_total: IntCounterVec,
    /// Milliseconds of successful requests by `request_type`.
    pub request_latency: HistogramVec,
    /// Unix milliseconds of the last tick by `task_id`, `vchannel_name`, `op_type`.
    pub replicate_tt: IntGaugeVec,
    /// Bytes by `task_id`, `vchannel_name`, `op_type`, `msg_type`.
    pub replicate_data_size: IntCounterVec,
    /// Rows by `task_id`, `collection_id`, `collection_name`, `op_type`, `api_type`.
    pub replicate_data_cnt: IntCounterVec,
    /// Calls to the target by `task_id`, `api_type`.
    pub api_execute_total: IntCounterVec,
    /// Unix milliseconds of the last tick sent by target `channel_name`.
    pub center_tt: IntGaugeVec,
    /// Seconds behind the source by `task_id`, `channel_name`.
    pub lag_seconds: GaugeVec,
    /// Noteworthy occurrences by `task_id`, `event`.
    pub replicate_events_total: IntCounterVec,
    /// Restarts after a fault by `task_id`.
    pub task_restarts_total: IntCounterVec,
    /// 1 while a task waits for something that should recover, by `task_id`.
    pub task_waiting: IntGaugeVec,
    /// Collections that are out of step with their task, by `task_id`.
    pub collections_out_of_step: IntGaugeVec,
    /// 1 if the newest entries of a source channel could be read, by `channel_name`.
    pub source_readable: IntGaugeVec,
    /// Records in the store that can't be read.
    pub broken_records: IntGauge,
    /// Addresses that lead to a target which is known by another one.
    pub joined_addresses: IntGauge,
    members: EtcdMembers,
    /// 1 if a member of etcd answered when it was asked last, by `endpoint`.
    etcd_member_answers: IntGaugeVec,
    /// Requests that a member of etcd did not answer, by `endpoint`.
    etcd_unanswered_total: IntCounterVec,
}

/// A metric's name, help and labels.
type Spec = (&'static str, &'static str, &'static [&'static str]);

// The Go tool's.
const TASK_NUM: Spec = ("task_num", "tasks", &["task_state"]);
const TASK_STATE: Spec = ("task_state", "0 initial, 1 running, 2 paused", &["task_id"]);
const REQUEST_TOTAL: Spec = ("request_total", "requests", &["request_type", "request_status"]);
const REQUEST_LATENCY: Spec =
    ("request_latency", "milliseconds of successful requests", &["request_type"]);
const REPLICATE_TT: Spec = (
    "replicate_tt",
    "unix milliseconds of the last tick",
    &["task_id", "vchannel_name", "op_type"],
);
const REPLICATE_DATA_SIZE: Spec = (
    "replicate_data_size",
    "bytes of messages",
    &["task_id", "vchannel_name", "op_type", "msg_type"],
);
const REPLICATE_DATA_CNT: Spec = (
    "replicate_data_cnt",
    "rows",
    &["task_id", "collection_id", "collection_name", "op_type", "api_type"],
);
const API_EXECUTE_TOTAL: Spec =
    ("api_execute_total", "successful calls to the target", &["task_id", "api_type"]);
const CENTER_TT: Spec = ("center_tt", "unix milliseconds of the last tick sent", &["channel_name"]);

// Our own.
const HTTP_REQUESTS_TOTAL: Spec =
    ("http_requests_total", "HTTP requests of every kind", &["method", "path", "code"]);
const LAG_SECONDS: Spec = (
    "lag_seconds",
    "newest tick at the end of the source's queue minus last tick acknowledged by the target",
    &["task_id", "channel_name"],
);
const REPLICATE_EVENTS_TOTAL: Spec =
    ("replicate_events_total", "noteworthy occurrences", &["task_id", "event"]);
const TASK_RESTARTS_TOTAL: Spec = ("task_restarts_total", "restarts after a fault", &["task_id"]);
const TASK_WAITING: Spec =
    ("task_waiting", "1 while a task waits for something that should recover", &["task_id"]);
const COLLECTIONS_OUT_OF_STEP: Spec = (
    "collections_out_of_step",
    "collections that can't be replicated while their task goes on",
    &["task_id"],
);
const SOURCE_READABLE: Spec =
    ("source_readable", "1 if the end of a source channel could be read", &["channel_name"]);
const BROKEN_RECORDS: Spec =
    ("broken_records", "task records in the store that can't be read", &[]);
const JOINED_ADDRESSES: Spec =
    ("joined_addresses", "addresses that lead to a target which is known by another one", &[]);
const ETCD_MEMBER_ANSWERS: Spec =
    ("etcd_member_answers", "1 if a member of etcd answered when it was asked last", &["endpoint"]);
const ETCD_UNANSWERED_TOTAL: Spec = (
    "etcd_unanswered_total",
    "requests that a member of etcd did not answer, so that another one was asked",
    &["endpoint"],
);

impl Default for Metrics {
    fn default() -> Self {
        Self::of(EtcdMembers::default())
    }
}

impl Metrics {
    /// The metrics of a service that asks these members of etcd.
    pub(crate) fn of(members: EtcdMembers) -> Self {
        let registry = Registry::new();
        let process = Registry::new();
        register(&process, ProcessCollector::for_self());
        let counter = |spec: Spec| built(&registry, IntCounterVec::new(opts(spec), spec.2));
        let gauge = |spec: Spec| built(&registry, IntGaugeVec::new(opts(spec), spec.2));
        let latency = HistogramOpts::from(opts(REQUEST_LATENCY)).buckets(LATENCY_BUCKETS.to_vec());
        Self {
            task_num: gauge(TASK_NUM),
            task_state: gauge(TASK_STATE),
            request_total: counter(REQUEST_TOTAL),
            request_latency: built(&registry, HistogramVec::new(latency, REQUEST_LATENCY.2)),
            replicate_tt: gauge(REPLICATE_TT),
            replicate_data_size: counter(REPLICATE_DATA_SIZE),
            replicate_data_cnt: counter(REPLICATE_DATA_CNT),
            api_execute_total: counter(API_EXECUTE_TOTAL),
            center_tt: gauge(CENTER_TT),
            http_requests_total: counter(HTTP_REQUESTS_TOTAL),
            lag_seconds: built(&registry, GaugeVec::new(opts(LAG_SECONDS), LAG_SECONDS.2)),
            replicate_events_total: counter(REPLICATE_EVENTS_TOTAL),
            task_restarts_total: counter(TASK_RESTARTS_TOTAL),
            task_waiting: gauge(TASK_WAITING),
            collections_out_of_step: gauge(COLLECTIONS_OUT_OF_STEP),
            source_readable: gauge(SOURCE_READABLE),
            broken_records: built(&registry, IntGauge::with_opts(opts(BROKEN_RECORDS))),
            joined_addresses: built(&registry, IntGauge::with_opts(opts(JOINED_ADDRESSES))),
            members,
            etcd_member_answers: gauge(ETCD_MEMBER_ANSWERS),
            etcd_unanswered_total: counter(ETCD_UNANSWERED_TOTAL),
            registry,
            process,
        }
    }
}

fn opts((name, help, _): Spec) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}

impl Metrics {
    /// The service's metrics in the text format.
    pub(crate) fn text(&self) -> String {
        for (endpoint, member) in self.members.all() {
            let answers = i64::from(member.answers);
            self.etcd_member_answers.with_label_values(&[&endpoint]).set(answers);
            let unanswered = self.etcd_unanswered_total.with_label_values(&[&endpoint]);
            unanswered.inc_by(member.unanswered.saturating_sub(unanswered.get()));
        }
        encode(&self.registry)
    }

    /// The metrics of the process: memory, processor, files.
    pub(crate) fn process_text(&self) -> String {
        encode(&self.process)
    }

    /// Sets the number of tasks per state, zeros included.
    pub(crate) fn set_task_states(&self, tasks: &HashMap<String, State>) {
        for state in [State::Initial, State::Running, State::Paused] {
            let number = tasks.values().filter(|s| **s == state).count();
            self.task_num.with_label_values(&[&state.to_string()]).set(number as i64);
        }
        for (id, state) in tasks {
            self.task_state.with_label_values(&[id]).set(i64::from(state.number()));
        }
    }

    /// Removes every series of a task that was deleted.
    pub(crate) fn forget_task(&self, id: &str) {
        let by_task: [&dyn Forget; 10] = [
            &self.task_state,
            &self.replicate_tt,
            &self.replicate_data_size,
            &self.replicate_data_cnt,
            &self.api_execute_total,
            &self.lag_seconds,
            &self.replicate_events_total,
            &self.task_restarts_total,
            &self.task_waiting,
            &self.collections_out_of_step,
        ];
        for metric in by_task {
            metric.forget("task_id", id);
        }
    }
}

/// Removes the series that carry a label value.
pub(crate) trait Forget {
    /// Removes all series of the metric whose `label` has this value.
    fn forget(&self, label: &str, value: &str);
}

impl<T: prometheus::core::MetricVecBuilder> Forget for prometheus::core::MetricVec<T>
where
    prometheus::core::MetricVec<T>: Collector,
{
    fn forget(&self, label: &str, value: &str) {
        for family in self.collect() {
            for metric in family.get_metric() {
                let pairs = metric.get_label();
                if pairs.iter().any(|p| p.name() == label && p.value() == value) {
                    let labels: HashMap<&str, &str> =
                        pairs.iter().map(|p| (p.name(), p.value())).collect();
                    // Another thread may have removed it meanwhile.
                    let _ = self.remove(&labels);
                }
            }
        }
    }
}

fn built<C: Collector + Clone + 'static>(registry: &Registry, metric: prometheus::Result<C>) -> C {
    let metric = metric.expect("names and labels are constants of this file");
    register(registry, metric.clone());
    metric
}

fn register(registry: &Registry, metric: impl Collector + 'static) {
    registry.register(Box::new(metric)).expect("each name in this file is used once");
}

fn encode(registry: &Registry) -> String {
    let mut text = Vec::new();
    // This fails only if the writer does, and writing into a vector does not fail.
    let _ = TextEncoder::new().encode(&registry.gather(), &mut text);
    String::from_utf8_lossy(&text).into_owned()
}
