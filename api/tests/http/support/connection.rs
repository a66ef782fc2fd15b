//! One connection to the server, kept alive over all that is asked on it.

use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::{Server, WITHIN};

pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub async fn open(server: &Server) -> Self {
        let stream = TcpStream::connect(server.addr).await.expect("it listens");
        Self { stream: BufReader::new(stream) }
    }

    /// Status and body of the reply; null where that is empty. Fails where the server closes instead.
    pub async fn ask(&mut self, token: &str, method: &Method, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: server\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.expect("the connection stands");
        tokio::time::timeout(WITHIN, self.reply()).await.expect("a reply in time")
    }

    async fn reply(&mut self) -> (u16, Value) {
        let first = self.line().await;
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).expect("a status line");
        let status = status.parse().expect("a status");
        let mut length = 0;
        loop {
            let line = self.line().await.to_ascii_lowercase();
            assert!(!line.starts_with("connection: close"), "the server ends the connection: {first}");
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.expect("the whole body");
        (status, if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") })
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).await.expect("the connection stands");
        line.strip_suffix("\r\n").expect("a whole line").to_owned()
    }
}
