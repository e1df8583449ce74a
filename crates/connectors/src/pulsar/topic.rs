//! A topic at the broker that owns it: finds it, begins somewhere in it, and reads its entries and
//! its end. A subscription has no cursor at the broker and ends with the connection, so nothing
//! stays behind. Never creates a topic, and never acknowledges a message.

use super::connection::{Connection, Dialer, given_up};
use super::fault::{Fault, Spoken};
use super::message_place::MessagePlace;
use pulsar::message::Payload;
use pulsar::message::proto::base_command::Type;
use pulsar::message::proto::command_lookup_topic_response::LookupType;
use pulsar::message::proto::command_subscribe::{InitialPosition, SubType};
use pulsar::message::proto::{
    BaseCommand, CommandCloseConsumer, CommandFlow, CommandGetLastMessageId, CommandLookupTopic,
    CommandLookupTopicResponse, CommandSubscribe, MessageIdData,
};
use uuid::Uuid;

/// How many messages may be in flight. A row message of Milvus has about half a megabyte, so more
/// would only fill the network's buffers.
const UNDER_WAY_MAX: u32 = 64;

/// After this many redirects the brokers are considered to disagree.
const LOOKUPS_MAX: usize = 20;

/// A topic, and the connection to its broker.
pub(super) struct Topic {
    connection: Connection,
    name: String,
    consumer: u64,
    /// How many messages the broker may still send; a large batch makes it negative.
    permits: i64,
}

/// The end of a topic.
pub(super) struct End {
    /// The newest entry; `None` if the topic has none.
    pub(super) last: Option<MessagePlace>,
    /// The entry after which this subscription continues.
    pub(super) cursor: Option<MessagePlace>,
}

impl Topic {
    /// Finds the broker of a channel's topic.
    pub(super) async fn find(mut connection: Connection, channel: &str) -> Spoken<Self> {
        let name = connection.dialer().options.topic(channel);
        let mut authoritative = false;
        for _ in 0..LOOKUPS_MAX {
            let found = look_up(&mut connection, &name, authoritative).await?;
            let dialer = connection.dialer().clone();
            let owner = broker_of(&found, &dialer)?;
            let is_redirect = found.response == Some(LookupType::Redirect as i32);
            if found.proxy_through_service_url == Some(true) && !is_redirect {
                connection = dialer.connect(connection.broker(), Some(&owner)).await?;
            } else if owner != connection.broker() {
                connection = dialer.connect(&owner, None).await?;
            }
            if !is_redirect {
                return Ok(Self { connection, name, consumer: 0, permits: 0 });
            }
            authoritative = found.authoritative();
        }
        Err(Fault::Away(format!("the brokers do not agree on who serves {name}")))
    }

    /// Subscribes a little before `from`, see [`MessagePlace::to_begin`]; `None`: at the end. No
    /// message is sent before [`next`](Self::next) is called.
    pub(super) async fn begin(&mut self, from: Option<MessagePlace>) -> Spoken<()> {
        let request_id = self.connection.next_request();
        self.consumer = request_id;
        self.permits = 0;
        let initial = from.map_or(InitialPosition::Latest, |_| InitialPosition::Earliest);
        let question = Box::new(BaseCommand {
            r#type: Type::Subscribe as i32,
            subscribe: Some(CommandSubscribe {
                topic: self.name.clone(),
                subscription: format!("milvus-cdc-{}", Uuid::new_v4()),
                sub_type: SubType::Exclusive as i32,
                consumer_id: self.consumer,
                request_id,
                durable: Some(false),
                start_message_id: from.map(MessagePlace::to_begin),
                initial_position: Some(initial as i32),
                force_topic_creation: Some(false),
                ..CommandSubscribe::default()
            }),
            ..BaseCommand::default()
        });
        self.connection.ask(question, |answer| answer.success.map(drop)).await
    }

    /// Where the topic ends. May only be called before [`next`](Self::next).
    pub(super) async fn end(&mut self) -> Spoken<End> {
        let request_id = self.connection.next_request();
        let question = Box::new(BaseCommand {
            r#type: Type::GetLastMessageId as i32,
            get_last_message_id: Some(CommandGetLastMessageId {
                consumer_id: self.consumer,
                request_id,
            }),
            ..BaseCommand::default()
        });
        let told = self.connection.ask(question, |told| told.get_last_message_id_response).await?;
        let place = |id: &MessageIdData| MessagePlace::of_entry(id);
        Ok(End {
            last: Some(place(&told.last_message_id)).filter(|last| last.is_anchored()),
            cursor: told.consumer_mark_delete_position.as_ref().map(place),
        })
    }

    /// The next entry. Safe to cancel.
    pub(super) async fn next(&mut self) -> Spoken<(MessagePlace, Payload)> {
        loop {
            if self.permits < i64::from(UNDER_WAY_MAX / 2) {
                self.permit().await?;
            }
            let message = self.connection.receive().await?;
            let command = message.command;
            if command.close_consumer.is_some_and(|closed| closed.consumer_id == self.consumer) {
                return Err(given_up());
            }
            let Some(delivered) = command.message else { continue };
            let Some(payload) = message.payload else { continue };
            if delivered.consumer_id == self.consumer {
                self.permits -= i64::from(payload.metadata.num_messages_in_batch.unwrap_or(1));
                return Ok((MessagePlace::of_entry(&delivered.message_id), payload));
            }
        }
    }

    async fn permit(&mut self) -> Spoken<()> {
        let more = i64::from(UNDER_WAY_MAX) - self.permits;
        // Counted first: if sending fails, too many permits do no harm, but too few would stall the
        // broker.
        self.permits += more;
        let flow = CommandFlow {
            consumer_id: self.consumer,
            message_permits: u32::try_from(more).unwrap_or(UNDER_WAY_MAX),
        };
        let flow = Some(flow);
        let command = BaseCommand { r#type: Type::Flow as i32, flow, ..BaseCommand::default() };
        self.connection.send(Box::new(command)).await
    }

    /// Ends the subscription and returns the connection.
    pub(super) async fn close(mut self) -> Spoken<Connection> {
        self.end_subscription().await?;
        Ok(self.connection)
    }

    /// Ends the subscription, so that another one can begin.
    pub(super) async fn end_subscription(&mut self) -> Spoken<()> {
        let request_id = self.connection.next_request();
        let question = Box::new(BaseCommand {
            r#type: Type::CloseConsumer as i32,
            close_consumer: Some(CommandCloseConsumer { consumer_id: self.consumer, request_id }),
            ..BaseCommand::default()
        });
        self.connection.ask(question, |answer| answer.success.map(drop)).await
    }
}

async fn look_up(
    connection: &mut Connection,
    topic: &str,
    authoritative: bool,
) -> Spoken<CommandLookupTopicResponse> {
    let request_id = connection.next_request();
    let question = Box::new(BaseCommand {
        r#type: Type::Lookup as i32,
        lookup_topic: Some(CommandLookupTopic {
            topic: topic.to_owned(),
            request_id,
            authoritative: Some(authoritative),
            ..CommandLookupTopic::default()
        }),
        ..BaseCommand::default()
    });
    let found = connection.ask(question, |answer| answer.lookup_topic_response).await?;
    if let Some(error) = found.error {
        return Err(Fault::answered(error, found.message()));
    }
    Ok(found)
}

/// The `host:port` of the broker that was found.
fn broker_of(found: &CommandLookupTopicResponse, dialer: &Dialer) -> Spoken<String> {
    let (url, scheme) = match dialer.tls {
        Some(_) => (found.broker_service_url_tls(), "pulsar+ssl://"),
        None => (found.broker_service_url(), "pulsar://"),
    };
    let broker = url.strip_prefix(scheme).unwrap_or(url).trim_end_matches('/');
    if broker.is_empty() {
        let what = format!("the broker of the topic offers no {scheme} address");
        return Err(Fault::Refused(what));
    }
    Ok(broker.to_owned())
}
