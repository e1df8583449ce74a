//! Where the data come from, where they go, and the version of this service. Never shows a login,
//! and never changes a target.

use crate::http::health;
use crate::http::problem::Problem;
use crate::http::state::ApiState;
use crate::http::target_version;
use crate::tasks::TaskRecord;
use crate::world::TargetClient;
use axum::Json;
use axum::extract::State;
use replication::error::Result;
use replication::ports::Target;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// How long a target may take to answer. The connect timeout of its task may be longer.
const TARGET_WITHIN: Duration = Duration::from_secs(5);

/// The source Milvus.
#[derive(Serialize, ToSchema)]
pub(super) struct SourceInfo {
    /// The kind of its queue.
    #[schema(example = "kafka")]
    queue: &'static str,
    /// The address of its queue.
    #[schema(example = "127.0.0.1:9092")]
    queue_address: String,
    /// `ok`, or why the queue can't be read.
    #[schema(example = "ok")]
    queue_state: String,
    /// The addresses of its etcd.
    catalog_addresses: Vec<String>,
    /// Milvus's `etcd.rootPath`.
    #[schema(example = "by-dev")]
    catalog_root_path: String,
    /// `ok`, or why etcd can't be read.
    #[schema(example = "ok")]
    catalog_state: String,
    /// Its op channel.
    #[schema(example = "by-dev-replicate-msg")]
    op_channel: String,
}

/// The target of a task.
#[derive(Serialize, ToSchema)]
pub(super) struct TargetInfo {
    /// The address of a Milvus, or the brokers of a Kafka.
    #[schema(example = "http://target:19530")]
    uri: String,
    /// Whether it answers.
    reachable: bool,
    /// Why it does not answer.
    reason: Option<String>,
    /// The clock of a Milvus, unix milliseconds.
    #[schema(example = 1_700_000_000_000_u64)]
    clock_ms: Option<u64>,
    /// The databases of a Milvus.
    databases: Vec<String>,
    /// Whether a Milvus takes replicate messages now: true of a standby, false of an ordinary
    /// Milvus, null if it can't be told.
    replica: Option<bool>,
    /// The ids of the proxies of a Milvus that the service reaches; none if they can't be told.
    proxies: Vec<i64>,
    /// The id of one of the collections of a Milvus; null if there is none. With `proxies` it
    /// tells the etcd of this Milvus from that of another one.
    #[schema(example = 446_000_000_000_000_001_i64)]
    collection_id: Option<i64>,
    /// The version of a Milvus, as it names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "v2.3.5")]
    version: Option<String>,
    /// What is to be known of that version.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
}

/// What a target has answered.
#[derive(Default)]
struct Answered {
    databases: Vec<String>,
    clock_ms: Option<u64>,
    replica: Option<bool>,
    proxies: Vec<i64>,
    collection_id: Option<i64>,
    version: Option<String>,
}

/// This service.
#[derive(Serialize, ToSchema)]
pub(super) struct Version {
    /// The version of the program.
    #[schema(example = "0.1.0")]
    version: &'static str,
}

/// The source
///
/// Asks its queue and its etcd whether they answer.
#[utoipa::path(get, path = "/api/v1/source", tag = "places",
    responses((status = 200, description = "The source.", body = SourceInfo)))]
pub(super) async fn get_source(
    State(api): State<Arc<ApiState>>,
) -> std::result::Result<Json<SourceInfo>, Problem> {
    let (queue_state, catalog_state) = health::source(&api).await;
    let source = api.source_address.clone();
    Ok(Json(SourceInfo {
        queue: source.queue,
        queue_address: source.queue_address,
        queue_state,
        catalog_addresses: source.catalog_addresses,
        catalog_root_path: source.catalog_root_path,
        catalog_state,
        op_channel: api.op_channel.clone(),
    }))
}

/// The version of the service
#[utoipa::path(get, path = "/api/v1/version", tag = "places",
    responses((status = 200, description = "The version.", body = Version)))]
pub(super) async fn get_version() -> Json<Version> {
    std::future::ready(Json(Version { version: env!("CARGO_PKG_VERSION") })).await
}

/// Asks the target of a task whether it answers.
pub(super) async fn target(api: &ApiState, record: &TaskRecord) -> TargetInfo {
    let asked = async {
        match api.targets.open(record)? {
            TargetClient::Milvus(target) => ask(target.as_ref()).await,
            TargetClient::Log(sink) => sink.ping().await.map(|()| Answered::default()),
        }
    };
    let answered = match tokio::time::timeout(TARGET_WITHIN, asked).await {
        Ok(Ok(answered)) => Ok(answered),
        Ok(Err(error)) => Err(error.what),
        Err(_) => Err(format!("no answer within {TARGET_WITHIN:?}")),
    };
    let kafka = &record.kafka_connect_param.address;
    let uri = if kafka.is_empty() { record.milvus_connect_param.uri() } else { kafka.clone() };
    let reason = answered.as_ref().err().cloned();
    let reachable = reason.is_none();
    let Answered { databases, clock_ms, replica, proxies, collection_id, version } =
        answered.unwrap_or_default();
    let warning = version.as_deref().and_then(target_version::about);
    TargetInfo {
        uri,
        reachable,
        reason,
        clock_ms,
        databases,
        replica,
        proxies,
        collection_id,
        version,
        warning,
    }
}

async fn ask(target: &dyn Target) -> Result<Answered> {
    let databases = target.databases().await?;
    let clock_ms = Some(target.clock().await?.ms());
    // A target answers even if its user may not ask for one of these.
    let (replica, proxies, collection_id, version) = tokio::join!(
        target.is_replica(),
        target.proxies(),
        any_collection(target, &databases),
        target.version(),
    );
    Ok(Answered {
        clock_ms,
        replica: replica.ok(),
        proxies: proxies.unwrap_or_default().into_iter().collect(),
        collection_id: collection_id.ok().flatten(),
        version: version.ok().filter(|version| !version.is_empty()),
        databases,
    })
}

/// The id of the first collection that is found.
async fn any_collection(target: &dyn Target, databases: &[String]) -> Result<Option<i64>> {
    for database in databases {
        for name in target.collections(database).await? {
            // It may have been dropped in between.
            if let Some(described) = target.describe(&name).await? {
                return Ok(Some(described.id.0));
            }
        }
    }
    Ok(None)
}
