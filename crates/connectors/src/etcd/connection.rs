//! The connections to the members of an etcd, each made when first needed, and made anew when it is
//! no longer accepted. A member that does not answer is passed over, and the one that answered last
//! is remembered. Never shows the values that are read, and never repeats by itself what may have
//! had an effect.

use super::fault::{Cause, Silence, is_login_lost, judge, told};
use super::members::Order;
use super::options::EtcdOptions;
use etcd_client::{Client, ConnectOptions};
use replication::error::{Error, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

/// A healthy etcd answers in milliseconds, one that elects a leader in seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// After this time the next member is asked. An election takes one or two seconds, and the lease on
/// a target needs a sign of life every few seconds.
const MEMBER_WITHIN: Duration = Duration::from_secs(3);

/// Between two rounds over all members, while they elect a leader.
const PAUSE: Duration = Duration::from_millis(200);

/// The connections of one catalog or store.
pub(crate) struct Connection {
    options: ConnectOptions,
    order: Arc<Order>,
    /// One for each member.
    clients: Vec<Mutex<Option<Client>>>,
}

/// When a request goes to the next member, because one has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Whatever became of it: it may be carried out twice.
    Always,
    /// Only if it certainly was not carried out.
    IfUnsent,
}

/// What a member answered.
pub(crate) struct Answered<T> {
    pub(crate) answer: T,
    /// Which member.
    pub(super) member: usize,
    /// Whether another member may have carried out, or may still carry out, the same request.
    pub(crate) is_doubtful: bool,
}

/// Why a member gave no answer to use.
enum Failed {
    /// It refused.
    Refused(etcd_client::Error),
    /// It did not answer; `None`: in time.
    Silent(Silence, Option<etcd_client::Error>),
}

impl Connection {
    pub(crate) fn new(options: EtcdOptions) -> Result<Self> {
        if options.endpoints.is_empty() {
            return Err(Error::permanent("no address of an etcd is given"));
        }
        Ok(Self {
            options: options.connect_options()?,
            clients: options.endpoints.iter().map(|_| Mutex::default()).collect(),
            order: Arc::new(Order::new(options.endpoints, options.members)),
        })
    }

    /// Sends a request that only reads.
    pub(crate) async fn ask<T, F>(&self, tried: &str, ask: impl Fn(Client) -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, etcd_client::Error>>,
    {
        Ok(self.ask_members(tried, Repeat::Always, ask).await?.answer)
    }

    /// Sends a request to one member after the other, until one answers.
    pub(crate) async fn ask_members<T, F>(
        &self,
        tried: &str,
        repeat: Repeat,
        ask: impl Fn(Client) -> F,
    ) -> Result<Answered<T>>
    where
        F: Future<Output = std::result::Result<T, etcd_client::Error>>,
    {
        let until = Instant::now() + ANSWER_WITHIN;
        let mut member = self.order.first();
        let mut is_doubtful = false;
        loop {
            let mut is_any_there = false;
            for left in (0..self.clients.len()).rev() {
                let rest = until.saturating_duration_since(Instant::now());
                let within = if left == 0 { rest } else { rest.min(MEMBER_WITHIN) };
                let (silence, error) = match self.ask_member(member, within, &ask).await {
                    Ok(answer) => {
                        self.order.answered(member);
                        self.look_at_a_silent_one();
                        return Ok(Answered { answer, member, is_doubtful });
                    }
                    Err(Failed::Refused(error)) => return Err(self.error(tried, error)),
                    Err(Failed::Silent(silence, error)) => (silence, error),
                };
                let why = error.as_ref().map_or("no answer in time".to_owned(), told);
                self.order.silent(member, &why);
                is_doubtful |= !silence.is_unsent();
                is_any_there |= silence != Silence::Away;
                member = self.order.next(member);
                let is_out_of_time = Instant::now() >= until;
                let may_repeat = silence.is_unsent() || repeat == Repeat::Always;
                if !may_repeat || is_out_of_time || (left == 0 && !is_any_there) {
                    return Err(match error {
                        Some(error) => self.error(tried, error),
                        None => self.too_late(tried),
                    });
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Looks beside the work whether a silent member answers again. A refusal is an answer too.
    fn look_at_a_silent_one(&self) {
        let Some(member) = self.order.to_look_at() else { return };
        let (order, options) = (self.order.clone(), self.options.clone());
        tokio::spawn(async move {
            let endpoint = &order.endpoints()[member..=member];
            let look = async {
                let client = Client::connect(endpoint, Some(options)).await?;
                client.kv_client().get("milvus-cdc", None).await
            };
            let looked = timeout(ANSWER_WITHIN, look).await;
            let answers = looked.is_ok_and(|got| !got.is_err_and(|e| Silence::of(&e).is_some()));
            order.seen(member, answers);
        });
    }

    /// Asks one member, with a new login if the old one is no longer accepted: it ends with the
    /// process that gave it.
    async fn ask_member<T, F>(
        &self,
        member: usize,
        within: Duration,
        ask: &impl Fn(Client) -> F,
    ) -> std::result::Result<T, Failed>
    where
        F: Future<Output = std::result::Result<T, etcd_client::Error>>,
    {
        let asked = async {
            match ask(self.client(member).await?).await {
                Err(error) if is_login_lost(&error) => {
                    debug!(error = told(&error), "logging in to etcd again");
                    self.discard(member).await;
                    ask(self.client(member).await?).await
                }
                asked => asked,
            }
        };
        match timeout(within, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(match Silence::of(&error) {
                Some(silence) => Failed::Silent(silence, Some(error)),
                None => Failed::Refused(error),
            }),
            Err(_) => Err(Failed::Silent(Silence::Lost, None)),
        }
    }

    /// The client of a member, connected if there is none yet.
    async fn client(&self, member: usize) -> std::result::Result<Client, etcd_client::Error> {
        let mut client = self.clients[member].lock().await;
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        let endpoint = &self.order.endpoints()[member..=member];
        let connected = Client::connect(endpoint, Some(self.options.clone())).await?;
        Ok(client.insert(connected).clone())
    }

    /// Discards the connection to a member; the next request makes a new one.
    pub(super) async fn discard(&self, member: usize) {
        *self.clients[member].lock().await = None;
    }

    /// Resolves when another member than this one is asked first.
    pub(super) async fn moved_from(&self, member: usize) {
        self.order.moved_from(member).await;
    }

    pub(super) fn place(&self) -> String {
        format!("etcd {}", self.order.endpoints().join(","))
    }

    fn too_late(&self, tried: &str) -> Error {
        Error::transient(format!("can't {tried}: {} did not answer in time", self.place()))
    }

    fn error(&self, tried: &str, error: etcd_client::Error) -> Error {
        let (kind, why) = judge(&error);
        let what = format!("can't {tried}: {} {why}", self.place());
        Error { kind, what, source: None }.because(Cause(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use replication::error::Kind;
    use tonic::Code;

    #[test]
    fn a_cause_is_shown_without_the_headers_of_the_answer() {
        let mut status = tonic::Status::new(Code::Unavailable, "etcdserver: no leader");
        status.metadata_mut().insert("content-type", "application/grpc".parse().unwrap());
        let connection = Connection::new(EtcdOptions::default()).unwrap();
        let error = connection.error("read", etcd_client::Error::GRpcStatus(status));
        let told = format!("{error:?}");
        assert!(told.ends_with("can't be reached: Unavailable: etcdserver: no leader"), "{told}");
    }

    #[tokio::test]
    async fn unreachable_is_transient_and_names_the_address() {
        let options =
            EtcdOptions { endpoints: vec!["127.0.0.1:1".into()], ..EtcdOptions::default() };
        let connection = Connection::new(options).unwrap();
        let asked = connection
            .ask("read", |client| async move { client.kv_client().get("k", None).await })
            .await;
        let error = asked.unwrap_err();
        assert_eq!(error.kind, Kind::Transient, "{error:?}");
        assert!(error.what.contains("127.0.0.1:1"), "{error}");
        let told = format!("{error:?}");
        assert!(told.contains("refused") && !told.contains("metadata"), "{told}");
    }
}
