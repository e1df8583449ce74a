//! Connections that the other side closes while a replicate call is on its way: what is certain not
//! to have been looked at is sent again at once, and everything else is left open. Never decodes
//! more of HTTP/2 than the heads of its frames.

use crate::server::ScriptedTarget;
use connectors::milvus::{Milvus, MilvusOptions};
use milvus_wire::replicate::{ReplicateCall, tick};
use milvus_wire::timestamp::Timestamp;
use replication::error::Kind;
use replication::ports::{CallError, Target};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

const PREFACE_BYTES: usize = 24;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const REFUSED_STREAM: u32 = 7;

/// The first stream that a client opens.
const FIRST: u32 = 1;

/// What becomes of a connection once it carries a call.
#[derive(Clone, Copy)]
enum End {
    /// It is closed in good order; this is the last stream that was looked at.
    Away(u32),
    /// The stream is refused, and then the connection is closed in good order.
    Refused,
    /// It breaks off.
    Cut,
}

fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, 0];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn away(last: u32) -> Vec<u8> {
    frame(GOAWAY, 0, &[last.to_be_bytes(), [0; 4]].concat())
}

/// Takes a connection until a call arrives on it, and then ends it.
async fn end(mut connection: TcpStream, end: End) -> std::io::Result<()> {
    connection.read_exact(&mut [0; PREFACE_BYTES]).await?;
    connection.write_all(&frame(SETTINGS, 0, &[])).await?;
    loop {
        let mut head = [0; 9];
        connection.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        connection.read_exact(&mut vec![0; length as usize]).await?;
        if head[3] == HEADERS {
            break;
        }
    }
    let frames = match end {
        End::Away(last) => away(last),
        End::Refused => {
            let refused = frame(RST_STREAM, FIRST, &REFUSED_STREAM.to_be_bytes());
            [refused, away(FIRST)].concat()
        }
        End::Cut => vec![],
    };
    connection.write_all(&frames).await?;
    connection.shutdown().await?;
    // A close with something unread would be a reset, which may overtake the frames.
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), connection.read_to_end(&mut rest)).await;
    Ok(())
}

/// A target whose first connections end like this. Returns what a call becomes, and how many calls
/// the target has taken.
async fn call_through(ends: &[End]) -> (Result<(), CallError>, usize) {
    let target = ScriptedTarget::start(vec![]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (ends, behind) = (ends.to_vec(), target.address.clone());
    let door = tokio::spawn(async move {
        for how in ends {
            let (connection, _) = listener.accept().await.unwrap();
            tokio::spawn(end(connection, how));
        }
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut inside = TcpStream::connect(&behind).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut connection, &mut inside).await });
        }
    });
    let client = Milvus::new(&MilvusOptions::new(&address)).unwrap();
    let (pchannel, at) = ("dst-rootcoord-dml_0".to_owned(), Timestamp(2));
    let call = ReplicateCall { pchannel, begin: at, end: at, messages: vec![tick(at)] };
    let answer = tokio::time::timeout(Duration::from_secs(30), client.replicate(&call));
    let answer = answer.await.unwrap();
    door.abort();
    (answer, target.taken().len())
}

#[tokio::test]
async fn a_call_that_was_not_looked_at_is_sent_again_at_once() {
    for ends in [&[End::Away(0)][..], &[End::Refused], &[End::Away(0), End::Refused]] {
        let (answer, taken) = call_through(ends).await;
        answer.unwrap();
        assert_eq!(taken, 1);
    }
}

#[tokio::test]
async fn one_that_is_never_looked_at_is_refused() {
    let (answer, taken) = call_through(&[End::Away(0); 9]).await;
    match answer {
        Err(CallError::Refused(error)) => assert_eq!(error.kind, Kind::Transient, "{error:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(taken, 0);
}

#[tokio::test]
async fn one_that_may_have_been_looked_at_is_left_open() {
    for how in [End::Away(FIRST), End::Cut] {
        let (answer, taken) = call_through(&[how]).await;
        match answer {
            Err(CallError::Unanswered(error)) => {
                assert_eq!(error.kind, Kind::Transient, "{error:?}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(taken, 0, "it is not sent again");
    }
}
