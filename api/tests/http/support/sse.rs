//! A subscriber of the event stream.

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::{Method, Response};
use serde_json::Value;

use super::{Server, WITHIN};

/// One message: the type of an event and what it says, or a comment.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    Event(String, Value),
    Comment(String),
}

pub struct Subscriber {
    chunks: BoxStream<'static, Vec<u8>>,
    text: Vec<u8>,
}

impl Subscriber {
    /// The answer to a subscription, whatever it is.
    pub async fn try_open(server: &Server, token: &str, query: &str) -> Response {
        let request = server.request(Method::GET, &format!("/api/v1/events?{query}"));
        request.bearer_auth(token).send().await.expect("a reply")
    }

    /// A subscription that stands: its first message, a comment, is read.
    pub async fn open(server: &Server, token: &str, query: &str) -> Self {
        let reply = Self::try_open(server, token, query).await;
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.headers()["content-type"], "text/event-stream");
        let chunks = reply.bytes_stream().map_ok(|chunk| chunk.to_vec());
        // A server that closes its side is the end; what breaks otherwise, too.
        let chunks =
            chunks.take_while(|chunk| std::future::ready(chunk.is_ok())).map(Result::unwrap_or_default);
        let mut subscriber = Self { chunks: chunks.boxed(), text: Vec::new() };
        assert_eq!(subscriber.next().await, Some(Message::Comment("keep-alive".into())));
        subscriber
    }

    /// The next message; None at the end of the stream.
    pub async fn next(&mut self) -> Option<Message> {
        tokio::time::timeout(WITHIN, self.message()).await.expect("a message or the end in time")
    }

    /// The next event, comments passed over.
    pub async fn event(&mut self) -> (String, Value) {
        loop {
            match self.next().await.expect("the stream goes on") {
                Message::Event(kind, data) => return (kind, data),
                Message::Comment(_) => {}
            }
        }
    }

    /// Reads to the end of the stream.
    pub async fn assert_ends(&mut self) {
        let ended = async { while self.message().await.is_some() {} };
        tokio::time::timeout(WITHIN, ended).await.expect("the stream ends");
    }

    async fn message(&mut self) -> Option<Message> {
        loop {
            if let Some(end) = self.text.windows(2).position(|two| two == b"\n\n") {
                let message: Vec<u8> = self.text.drain(..end + 2).collect();
                return Some(parsed(&String::from_utf8(message).expect("text")));
            }
            let chunk = self.chunks.next().await?;
            self.text.extend(chunk);
        }
    }
}

fn parsed(message: &str) -> Message {
    if let Some(comment) = message.strip_prefix(": ") {
        return Message::Comment(comment.trim_end().to_owned());
    }
    let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name)).expect("the field");
    Message::Event(field("event: ").to_owned(), serde_json::from_str(field("data: ")).expect("JSON"))
}
