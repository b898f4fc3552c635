//! A redis-server of the test's own, on a socket in a temporary directory, and the little of its protocol
//! that the tests speak.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// An integer.
    Int(i64),
    /// A string; `None` is Redis's nil.
    Text(Option<String>),
    /// An array.
    Items(Vec<Reply>),
    /// An error's message.
    Error(String),
}

impl Reply {
    /// The integers of an array reply.
    pub(crate) fn numbers(&self) -> Vec<i64> {
        let Reply::Items(items) = self else {
            panic!("no array: {self:?}")
        };
        items
            .iter()
            .map(|item| {
                if let Reply::Int(n) = item {
                    *n
                } else {
                    panic!("no integer: {item:?}")
                }
            })
            .collect()
    }
}

/// A running server and one connection to it; both end with the value.
pub(crate) struct Server {
    process: Child,
    stream: BufReader<UnixStream>,
    _directory: tempfile::TempDir,
}

impl Server {
    /// Starts `redis-server`, which must be in PATH, and connects.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("redis.sock");
        let mut process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--dir"])
            .arg(directory.path())
            .arg("--unixsocket")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "this test needs redis-server in PATH (apt-get install redis-server): {error}"
                )
            });
        let deadline = Instant::now() + Duration::from_secs(20);
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break BufReader::new(stream),
                Err(_) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => {
                    process.kill().unwrap();
                    panic!("redis-server did not come up: {error}");
                }
            }
        };
        Self {
            process,
            stream,
            _directory: directory,
        }
    }

    /// Sends one command and waits for its answer.
    pub(crate) fn call<T: AsRef<[u8]>>(&mut self, parts: &[T]) -> Reply {
        let mut message = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts.iter().map(AsRef::as_ref) {
            message.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            message.extend_from_slice(part);
            message.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&message).unwrap();
        self.reply()
    }

    fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match kind {
            ":" => Reply::Int(rest.parse().unwrap()),
            "+" => Reply::Text(Some(rest.to_owned())),
            "-" => Reply::Error(rest.to_owned()),
            "$" if rest == "-1" => Reply::Text(None),
            "$" => {
                let mut text = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.stream.read_exact(&mut text).unwrap();
                text.truncate(text.len() - 2);
                Reply::Text(Some(String::from_utf8(text).unwrap()))
            }
            "*" => Reply::Items(
                (0..rest.parse::<usize>().unwrap())
                    .map(|_| self.reply())
                    .collect(),
            ),
            _ => panic!("unknown reply {line:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
