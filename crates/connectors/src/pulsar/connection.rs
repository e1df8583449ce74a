//! One connection to a broker, or to a proxy in front of it: the handshake, requests and their
//! answers, and pings. Never reconnects: its owner makes a new one.

use super::fault::{Fault, Spoken};
use super::options::{PulsarOptions, proof};
use futures::future::poll_fn;
use futures::{SinkExt, StreamExt};
use pulsar::message::proto::base_command::Type;
use pulsar::message::proto::{
    AuthData, BaseCommand, CommandAuthResponse, CommandConnect, CommandPing, CommandPong,
};
use pulsar::message::{Codec, Message};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::codec::Framed;

/// How long an answer may take; a healthy broker needs milliseconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// After this time without a message the broker is pinged.
const QUIET_MAX: Duration = Duration::from_secs(10);

/// The first version in which a broker answers with the last message of a topic.
const PROTOCOL_VERSION: i32 = 12;

/// Makes the connections of a source.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) options: PulsarOptions,
    pub(super) tls: Option<TlsConnector>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for T {}

/// An open connection.
pub(super) struct Connection {
    frames: Framed<Box<dyn Stream>, Codec>,
    dialer: Dialer,
    broker: String,
    requests: u64,
}

impl Dialer {
    /// Connects to the first of the configured brokers that answers.
    pub(super) async fn any(&self) -> Spoken<Connection> {
        let mut fault = Fault::Away("no broker is named".into());
        for broker in &self.options.brokers {
            match self.connect(broker, None).await {
                Ok(connection) => return Ok(connection),
                Err(failed) => fault = failed,
            }
        }
        Err(fault)
    }

    /// Connects to `broker`; if that is a proxy, it is asked to connect to the broker `behind` it.
    pub(super) async fn connect(&self, broker: &str, behind: Option<&str>) -> Spoken<Connection> {
        let made = timeout(ANSWER_WITHIN, async {
            let frames = Framed::new(self.stream(broker).await?, Codec);
            let (dialer, broker) = (self.clone(), broker.to_owned());
            let mut connection = Connection { frames, dialer, broker, requests: 0 };
            connection.shake_hands(behind).await?;
            Ok(connection)
        });
        made.await.unwrap_or_else(|_| Err(Fault::Away(format!("{broker} does not answer"))))
    }

    async fn stream(&self, broker: &str) -> Spoken<Box<dyn Stream>> {
        let stream = TcpStream::connect(broker).await?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Fault::Refused(format!("{host} can't be the name in a certificate")))?;
        Ok(Box::new(tls.connect(name, stream).await?))
    }
}

impl Connection {
    async fn shake_hands(&mut self, behind: Option<&str>) -> Spoken<()> {
        let (method, data) = proof(&self.dialer.options.login).unzip();
        self.send(Box::new(BaseCommand {
            r#type: Type::Connect as i32,
            connect: Some(CommandConnect {
                client_version: concat!("milvus-cdc ", env!("CARGO_PKG_VERSION")).into(),
                auth_method_name: method.map(Into::into),
                auth_data: data,
                protocol_version: Some(PROTOCOL_VERSION),
                proxy_to_broker_url: behind.map(Into::into),
                ..CommandConnect::default()
            }),
            ..BaseCommand::default()
        }))
        .await?;
        loop {
            let answer = self.receive_any().await?.command;
            if let Some(error) = answer.error {
                // Before it accepts us, a broker has no other permanent reason.
                return Err(match Fault::answered(error.error, &error.message) {
                    Fault::Missing => Fault::Refused(error.message),
                    fault => fault,
                });
            }
            if answer.connected.is_some() {
                return Ok(());
            }
        }
    }

    /// The broker that it is connected to.
    pub(super) fn broker(&self) -> &str {
        &self.broker
    }

    /// The dialer, to make another connection with the same options.
    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// The number of the next request.
    pub(super) fn next_request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    /// Sends a request and waits for its answer; other messages are discarded meanwhile. Fails if
    /// the broker gives up the topic: it says that once, and sends nothing of the topic any more.
    pub(super) async fn ask<T>(
        &mut self,
        question: Box<BaseCommand>,
        answer: impl Fn(BaseCommand) -> Option<T>,
    ) -> Spoken<T> {
        self.send(question).await?;
        let answered = timeout(ANSWER_WITHIN, async {
            loop {
                let command = self.receive_any().await?.command;
                if let Some(error) = command.error {
                    return Err(Fault::answered(error.error, &error.message));
                }
                if command.close_consumer.is_some() {
                    return Err(given_up());
                }
                if let Some(answer) = answer(command) {
                    return Ok(answer);
                }
            }
        });
        answered.await.unwrap_or_else(|_| Err(self.silent()))
    }

    /// Sends a command that has no answer.
    pub(super) async fn send(&mut self, command: Box<BaseCommand>) -> Spoken<()> {
        poll_fn(|cx| self.frames.poll_ready_unpin(cx)).await?;
        self.frames.start_send_unpin(Message { command: *command, payload: None })?;
        Ok(self.frames.flush().await?)
    }

    /// The next message that is not about the connection itself. Safe to cancel; but each call
    /// restarts the time until a ping.
    pub(super) async fn receive(&mut self) -> Spoken<Box<Message>> {
        if let Ok(message) = timeout(QUIET_MAX, self.receive_any()).await {
            return message;
        }
        self.send(ping()).await?;
        timeout(ANSWER_WITHIN, self.receive_any()).await.unwrap_or_else(|_| Err(self.silent()))
    }

    /// The next message, including the answer to a ping.
    async fn receive_any(&mut self) -> Spoken<Box<Message>> {
        loop {
            let Some(message) = self.frames.next().await else {
                return Err(Fault::Away("the broker has closed the connection".into()));
            };
            // Boxed, since a command has room for every kind: kilobytes in each future that
            // contains it.
            let message = Box::new(message?);
            if message.command.ping.is_some() {
                self.send(pong()).await?;
            } else if message.command.auth_challenge.is_some() {
                let answer = self.proof_again();
                self.send(answer).await?;
            } else {
                return Ok(message);
            }
        }
    }

    fn proof_again(&self) -> Box<BaseCommand> {
        let (method, data) = proof(&self.dialer.options.login).unzip();
        let response = AuthData { auth_method_name: method.map(Into::into), auth_data: data };
        Box::new(BaseCommand {
            r#type: Type::AuthResponse as i32,
            auth_response: Some(CommandAuthResponse {
                response: Some(response),
                protocol_version: Some(PROTOCOL_VERSION),
                ..CommandAuthResponse::default()
            }),
            ..BaseCommand::default()
        })
    }

    fn silent(&self) -> Fault {
        Fault::Away(format!("{} does not answer", self.broker))
    }
}

/// The broker no longer serves a topic on this connection.
pub(super) fn given_up() -> Fault {
    Fault::Away("the broker has given the topic up".into())
}

fn ping() -> Box<BaseCommand> {
    let ping = Some(CommandPing {});
    Box::new(BaseCommand { r#type: Type::Ping as i32, ping, ..BaseCommand::default() })
}

fn pong() -> Box<BaseCommand> {
    let pong = Some(CommandPong {});
    Box::new(BaseCommand { r#type: Type::Pong as i32, pong, ..BaseCommand::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulsar::message::proto::{CommandCloseConsumer, CommandGetLastMessageId, CommandSuccess};

    /// A broker that starts may unload a topic just after it was subscribed to.
    #[tokio::test]
    async fn a_topic_that_is_given_up_before_an_answer_is_not_waited_for() {
        let (here, there) = tokio::io::duplex(1 << 16);
        let frames = Framed::new(Box::new(here) as Box<dyn Stream>, Codec);
        let dialer = Dialer { options: PulsarOptions::new("broker:6650"), tls: None };
        let mut connection =
            Connection { frames, dialer, broker: "broker:6650".to_owned(), requests: 0 };
        let mut broker = Framed::new(there, Codec);
        let answers = async {
            broker.next().await.unwrap().unwrap();
            let close_consumer = Some(CommandCloseConsumer { consumer_id: 1, request_id: 0 });
            let closed = BaseCommand {
                r#type: Type::CloseConsumer as i32,
                close_consumer,
                ..BaseCommand::default()
            };
            broker.send(Message { command: closed, payload: None }).await.unwrap();
            let success = Some(CommandSuccess { request_id: 7, schema: None });
            let answered =
                BaseCommand { r#type: Type::Success as i32, success, ..BaseCommand::default() };
            broker.send(Message { command: answered, payload: None }).await.unwrap();
        };
        let get_last_message_id = Some(CommandGetLastMessageId { consumer_id: 1, request_id: 7 });
        let question = Box::new(BaseCommand {
            r#type: Type::GetLastMessageId as i32,
            get_last_message_id,
            ..BaseCommand::default()
        });
        let asked = connection.ask(question, |answer| answer.success.map(drop));
        let (asked, ()) = tokio::join!(asked, answers);
        assert!(matches!(asked, Err(Fault::Away(_))));
    }
}
