//! Server of the S3 protocol on loopback, as much of it as ingest and caches use, which fails as it is told to.
//!
//! Held against another implementation of the protocol, which checks signatures, by `just object-storage`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use gliaflow::internals::base::Fingerprint;

use crate::cli::object_storage::http::{Request, error_text, read_request, send, send_head};

/// Access key that is let in.
const KEY: &str = "AKIAGLIAFLOW";

/// Objects in one page of a listing: several pages even for a few cases.
const PAGE: usize = 4;

/// Fault that one request meets.
#[derive(Clone)]
pub(super) enum Fault {
    /// 503, as a busy server answers.
    Busy,
    /// The body breaks off after so many bytes of those that were announced.
    CutAfter(usize),
    /// As `CutAfter`, and the object holds these bytes from then on.
    ChangeAfter(usize, Vec<u8>),
    /// The body comes in small pieces with pauses between them.
    Slow,
    /// The body stops after so many bytes, and the connection stays.
    Stall(usize),
    /// 403 for this request alone.
    Refused,
}

/// Choice of a request's fault: by method (`LIST` for a page of a listing), key, and how often this was asked
/// for before.
type ChooseFault = Box<dyn FnMut(&str, &str, usize) -> Option<Fault> + Send>;

#[derive(Default)]
struct State {
    /// Objects by bucket and key.
    objects: BTreeMap<String, Vec<u8>>,
    asked: BTreeMap<(String, String), usize>,
    choose_fault: Option<ChooseFault>,
}

/// The server; its threads end with the process of the tests.
#[derive(Clone)]
pub(super) struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = serving.clone();
                // A client that goes away in the midst is what some tests are about.
                thread::spawn(move || drop(server.answer(stream)));
            }
        });
        server
    }

    /// Variables by which a process finds the server and is let in.
    pub(super) fn variables(&self, key: &str) -> Vec<(String, String)> {
        let pairs = [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_ACCESS_KEY_ID", key.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).into()
    }

    pub(super) fn good_variables(&self) -> Vec<(String, String)> {
        self.variables(KEY)
    }

    /// Chooses the faults of the requests to come, which are counted anew.
    pub(super) fn fail(
        &self,
        choose: impl FnMut(&str, &str, usize) -> Option<Fault> + Send + 'static,
    ) {
        let mut state = self.state.lock().unwrap();
        state.asked.clear();
        state.choose_fault = Some(Box::new(choose));
    }

    /// Fails no more, and counts requests anew.
    pub(super) fn recover(&self) {
        self.fail(|_, _, _| None);
    }

    /// Number of requests of this method for keys that contain `part`.
    pub(super) fn requests(&self, method: &str, part: &str) -> usize {
        let state = self.state.lock().unwrap();
        let asked = state.asked.iter();
        asked.filter(|((own, key), _)| own == method && key.contains(part)).map(|(_, n)| n).sum()
    }

    /// Puts the files of a folder under a prefix.
    pub(super) fn put_folder(&self, folder: &Path, prefix: &str) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}/{}", path.file_name().unwrap().to_str().unwrap());
            match path.is_dir() {
                true => self.put_folder(&path, &name),
                false => self.put(&name, std::fs::read(&path).unwrap()),
            }
        }
    }

    pub(super) fn put(&self, name: &str, bytes: Vec<u8>) {
        self.state.lock().unwrap().objects.insert(name.to_owned(), bytes);
    }

    pub(super) fn object(&self, name: &str) -> Vec<u8> {
        self.state.lock().unwrap().objects[name].clone()
    }

    pub(super) fn names(&self, prefix: &str) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let request = read_request(&mut stream)?;
        let name = request.path.trim_matches('/').to_owned();
        let is_listing = request.query.contains_key("list-type");
        let method = if is_listing { "LIST".to_owned() } else { request.method.clone() };
        let fault = {
            let mut state = self.state.lock().unwrap();
            let asked = state.asked.entry((method.clone(), name.clone())).or_default();
            let before = *asked;
            *asked += 1;
            state.choose_fault.as_mut().and_then(|choose| choose(&method, &name, before))
        };
        let authorization = request.headers.get("authorization").cloned().unwrap_or_default();
        if !authorization.contains(&format!("Credential={KEY}/")) {
            let error = error_text("InvalidAccessKeyId", "The key does not exist in our records.");
            return send(&mut stream, "403 Forbidden", &[], error.as_bytes());
        }
        match fault {
            Some(Fault::Busy) => {
                let error = error_text("SlowDown", "Please reduce your request rate.");
                return send(&mut stream, "503 Service Unavailable", &[], error.as_bytes());
            }
            Some(Fault::Refused) => {
                let error = error_text("AccessDenied", "Access Denied");
                return send(&mut stream, "403 Forbidden", &[], error.as_bytes());
            }
            _ => {}
        }
        match method.as_str() {
            "LIST" => self.list(&mut stream, &name, &request, fault),
            "GET" | "HEAD" => self.get(&mut stream, &name, &request, fault),
            "PUT" => {
                // One that is cut off is as if it had never been.
                if let Some(Fault::CutAfter(_)) = fault {
                    return Ok(());
                }
                let tag = tag_of(&request.body);
                self.put(&name, request.body);
                send(&mut stream, "200 OK", &[("ETag", &tag)], &[])
            }
            _ => send(&mut stream, "405 Method Not Allowed", &[], &[]),
        }
    }

    fn list(
        &self,
        stream: &mut TcpStream,
        bucket: &str,
        request: &Request,
        fault: Option<Fault>,
    ) -> std::io::Result<()> {
        let parameter = |name: &str| request.query.get(name).cloned().unwrap_or_default();
        let (prefix, after) = (parameter("prefix"), parameter("continuation-token"));
        let state = self.state.lock().unwrap();
        let keys = state.objects.iter().filter_map(|(name, bytes)| {
            let key = name.strip_prefix(bucket)?.strip_prefix('/')?;
            (key.starts_with(&prefix) && key > after.as_str()).then_some((key, bytes))
        });
        let mut keys: Vec<_> = keys.take(PAGE + 1).collect();
        let is_truncated = keys.len() > PAGE;
        keys.truncate(PAGE);
        let prefix = escape(&prefix);
        let mut text = format!(
            "<?xml version=\"1.0\"?><ListBucketResult><Name>{bucket}</Name><Prefix>{prefix}</Prefix>\
             <KeyCount>{}</KeyCount><MaxKeys>{PAGE}</MaxKeys><IsTruncated>{is_truncated}</IsTruncated>",
            keys.len()
        );
        for (key, bytes) in &keys {
            let key = escape(key);
            write!(
                text,
                "<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>\
                 <ETag>{}</ETag><Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>",
                tag_of(bytes).replace('"', "&quot;"),
                bytes.len()
            )
            .unwrap();
        }
        if let (true, Some((last, _))) = (is_truncated, keys.last()) {
            let last = escape(last);
            write!(text, "<NextContinuationToken>{last}</NextContinuationToken>").unwrap();
        }
        text += "</ListBucketResult>";
        let headers =
            [("Content-Type", "application/xml"), ("Content-Length", &*text.len().to_string())];
        send_head(stream, "200 OK", &headers)?;
        send_body(stream, text.as_bytes(), fault.as_ref())
    }

    fn get(
        &self,
        stream: &mut TcpStream,
        name: &str,
        request: &Request,
        fault: Option<Fault>,
    ) -> std::io::Result<()> {
        let Some(bytes) = self.state.lock().unwrap().objects.get(name).cloned() else {
            let error = error_text("NoSuchKey", "The specified key does not exist.");
            return send(stream, "404 Not Found", &[], error.as_bytes());
        };
        let tag = tag_of(&bytes);
        if request.headers.get("if-match").is_some_and(|wanted| *wanted != tag) {
            let error = error_text("PreconditionFailed", "A precondition did not hold.");
            return send(stream, "412 Precondition Failed", &[], error.as_bytes());
        }
        let (status, part, range) = match request.headers.get("range") {
            None => ("200 OK", &bytes[..], None),
            Some(range) => {
                let (first, last) = range.trim_start_matches("bytes=").split_once('-').unwrap();
                let first: usize = first.parse().unwrap();
                let last = last.parse().unwrap_or(bytes.len() - 1).min(bytes.len() - 1);
                let range = format!("bytes {first}-{last}/{}", bytes.len());
                ("206 Partial Content", &bytes[first..=last], Some(range))
            }
        };
        let length = part.len().to_string();
        let mut headers = vec![
            ("ETag", tag.as_str()),
            ("Last-Modified", "Fri, 02 Jan 2026 03:04:05 GMT"),
            ("Content-Length", &length),
        ];
        headers.extend(range.as_deref().map(|range| ("Content-Range", range)));
        send_head(stream, status, &headers)?;
        if request.method == "HEAD" {
            return Ok(());
        }
        if let Some(Fault::ChangeAfter(_, other)) = &fault {
            self.put(name, other.clone());
        }
        send_body(stream, part, fault.as_ref())
    }
}

/// Sends what a fault lets through of an answer's body.
fn send_body(stream: &mut TcpStream, body: &[u8], fault: Option<&Fault>) -> std::io::Result<()> {
    match fault {
        Some(Fault::CutAfter(count) | Fault::ChangeAfter(count, _)) => {
            stream.write_all(&body[..*count.min(&(body.len() - 1))])
        }
        Some(Fault::Stall(count)) => {
            stream.write_all(&body[..*count])?;
            // Until the other side goes away.
            stream.read(&mut [0]).map(drop)
        }
        Some(Fault::Slow) => body.chunks(body.len().div_ceil(5)).try_for_each(|piece| {
            stream.write_all(piece)?;
            stream.flush()?;
            thread::sleep(Duration::from_millis(20));
            Ok(())
        }),
        _ => stream.write_all(body),
    }
}

/// Text as XML has it.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn tag_of(bytes: &[u8]) -> String {
    format!("\"{}\"", Fingerprint::of_bytes(bytes))
}
