//! An HTTP server that does what a test tells it, lies included.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Path and query.
    pub(crate) path: String,
    headers: BTreeMap<String, String>,
}

impl Asked {
    /// A header; the name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// An answer, written to the line as it is.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    stalls: bool,
}

impl Answer {
    /// An answer without a body.
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            stalls: false,
        }
        .header("Content-Length", "0")
    }

    /// A whole file.
    pub(crate) fn file(body: &[u8]) -> Self {
        Self {
            body: body.to_vec(),
            ..Self::status(200)
        }
        .header("Content-Length", &body.len().to_string())
    }

    /// What a good server answers: a whole file, or the rest that was asked for if it is still the same file.
    pub(crate) fn good(asked: &Asked, body: &[u8], etag: &str) -> Self {
        let start = asked
            .header("range")
            .filter(|_| asked.header("if-range") == Some(etag))
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'))
            .map(|start| start.parse::<usize>().unwrap());
        match start {
            None => Self::file(body),
            Some(start) if start >= body.len() => Self::status(416),
            Some(start) => Self {
                status: 206,
                ..Self::file(&body[start..])
            }
            .header(
                "Content-Range",
                &format!("bytes {start}-{}/{}", body.len() - 1, body.len()),
            ),
        }
        .header("ETag", etag)
    }

    /// A redirect.
    pub(crate) fn redirect(to: &str) -> Self {
        Self::status(302).header("Location", to)
    }

    /// Sets a header in place of one of the same name.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes a header out.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// Sends only so many bytes of the body, whatever the headers say.
    pub(crate) fn cut(mut self, length: usize) -> Self {
        self.body.truncate(length);
        self
    }

    /// Keeps the line open after the body, and silent, until the server ends.
    pub(crate) fn stall(mut self) -> Self {
        self.stalls = true;
        self
    }

    fn write(&self, line: &mut TcpStream) -> std::io::Result<()> {
        let mut head = format!(
            "HTTP/1.1 {} Of A Test\r\nConnection: close\r\n",
            self.status
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        line.write_all(head.as_bytes())?;
        line.write_all(&self.body)?;
        line.flush()
    }
}

/// A server on a port of its own; it ends with its value.
pub(crate) struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Dropped, it lets go of the lines that stall.
    stalled: Option<Sender<()>>,
}

impl Server {
    /// Starts one. `answer` is asked for each request, with the number of requests before it.
    pub(crate) fn start(answer: impl FnMut(&Asked, usize) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let ends = Arc::new(AtomicBool::new(false));
        let (stalled, until) = channel();
        let thread = thread::spawn({
            let (asked, ends) = (Arc::clone(&asked), Arc::clone(&ends));
            move || serve(&listener, answer, &asked, &ends, &until)
        });
        Self {
            address,
            asked,
            ends,
            thread: Some(thread),
            stalled: Some(stalled),
        }
    }

    /// A URL of it.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every request that came.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        self.stalled.take();
        // The thread waits for a line.
        let _ = TcpStream::connect(&self.address);
        if let Some(thread) = self.thread.take() {
            let failed = thread.join().is_err();
            assert!(
                !failed || thread::panicking(),
                "the server of the test failed"
            );
        }
    }
}

/// Serves one line after the other: a client that asks before its last line is done is not served here.
fn serve(
    listener: &TcpListener,
    mut answer: impl FnMut(&Asked, usize) -> Answer,
    asked: &Mutex<Vec<Asked>>,
    ends: &AtomicBool,
    until: &Receiver<()>,
) {
    for line in listener.incoming() {
        if ends.load(Ordering::SeqCst) {
            return;
        }
        let mut line = line.unwrap();
        let Some(request) = read(&line) else {
            continue;
        };
        let before = {
            let mut asked = asked.lock().unwrap();
            asked.push(request.clone());
            asked.len() - 1
        };
        let answer = answer(&request, before);
        // The client may have hung up, which is its right.
        let _ = answer.write(&mut line);
        if answer.stalls {
            let _ = until.recv();
        }
    }
}

fn read(line: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(line).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    for header in lines {
        let header = header.ok()?;
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(Asked { path, headers })
}
