//! A minimal HTTP 1.0 client: a GET with a deadline. No library is needed, because an endpoint
//! responds in one piece and closes.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::telemetry::INSTANCE_HEADER;

/// Most bytes of a response: more than any endpoint sends.
const MOST: u64 = 16 << 20;

#[derive(Debug)]
pub(super) struct HttpResponse {
    pub(super) status: u16,
    /// Instance that responded, if it names itself.
    pub(super) instance: Option<String>,
    pub(super) body: String,
}

/// Requests a path of `host:port`; `patience` limits all of it but the look-up of the host's name.
pub(super) fn get(address: &str, path: &str, patience: Duration) -> io::Result<HttpResponse> {
    let deadline = Instant::now() + patience;
    let mut stream = connect(address, deadline)?;
    stream.set_write_timeout(Some(time_left(deadline)?))?;
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: text/plain, application/json\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    let mut part = [0; 1 << 14];
    loop {
        stream.set_read_timeout(Some(time_left(deadline)?))?;
        match stream.read(&mut part).map_err(normalize_timeout)? {
            0 => break,
            read => bytes.extend_from_slice(&part[..read]),
        }
        if bytes.len() as u64 > MOST {
            return Err(io::Error::other("the answer has no end"));
        }
    }
    parse_response(&String::from_utf8_lossy(&bytes))
        .ok_or_else(|| io::Error::other("this is not HTTP"))
}

/// The first of the host's addresses that takes the connection.
fn connect(address: &str, deadline: Instant) -> io::Result<TcpStream> {
    let mut failure = io::Error::other("the name has no address");
    for candidate in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&candidate, time_left(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = normalize_timeout(error),
        }
    }
    Err(failure)
}

/// Time until the deadline, or an error past it.
fn time_left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(timeout_error()) } else { Ok(left) }
}

fn timeout_error() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

/// Replaces a socket's timeout, which differs between systems, by one error.
fn normalize_timeout(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => timeout_error(),
        _ => error,
    }
}

fn parse_response(text: &str) -> Option<HttpResponse> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status_line = lines.next()?.strip_prefix("HTTP/1.")?;
    let status = status_line.split(' ').nth(1)?.parse().ok()?;
    let instance = lines.find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(INSTANCE_HEADER).then(|| value.trim().to_owned())
    });
    Some(HttpResponse { status, instance, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener};

    use super::*;
    use crate::telemetry::{Exporter, Recorder};

    const PATIENCE: Duration = Duration::from_secs(20);
    const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

    #[test]
    fn an_endpoint_answers_each_path_and_signs() {
        let exporter = Exporter::serve(SocketAddr::from(ANY_PORT), &[], Recorder::new("asked"));
        let address = exporter.address().unwrap().to_string();
        for (path, status, said) in [
            ("/metrics", 200, "# HELP loader_samples_total"),
            ("/topology", 200, "null"),
            ("/nowhere", 404, "nothing here"),
        ] {
            let answer = get(&address, path, PATIENCE).unwrap();
            assert_eq!(answer.status, status, "{path}");
            assert!(answer.body.starts_with(said), "{path}: {}", answer.body);
            assert_eq!(answer.instance.as_ref(), Some(&exporter.endpoint().instance));
        }
        exporter.health().report_problem("watchdog", "stuck");
        assert_eq!(get(&address, "/healthz", PATIENCE).unwrap().status, 503);
        drop(exporter);
        let refused = get(&address, "/healthz", PATIENCE).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn who_never_answers_is_given_up_and_who_answers_nonsense_is_told_apart() {
        let silent = TcpListener::bind(ANY_PORT).unwrap();
        let address = silent.local_addr().unwrap().to_string();
        let given_up = get(&address, "/", Duration::from_millis(50)).unwrap_err();
        assert_eq!(given_up.to_string(), "no answer in time");

        let other = TcpListener::bind(ANY_PORT).unwrap();
        let address = other.local_addr().unwrap().to_string();
        let talker = std::thread::spawn(move || {
            let (mut stream, _) = other.accept().unwrap();
            let mut request = [0; 16];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(b"220 ready\r\n\r\n").unwrap();
        });
        let odd = get(&address, "/", PATIENCE).unwrap_err().to_string();
        talker.join().unwrap();
        // The request is not read to its end, so the answer may be lost with the connection.
        assert!(odd.contains("not HTTP") || odd.contains("reset"), "{odd}");
        assert!(get("nothing there:1", "/", PATIENCE).is_err());
    }
}
