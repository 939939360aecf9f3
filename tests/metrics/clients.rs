//! Clients that are many, slow, silent or from elsewhere: they get little, and the process keeps its
//! descriptors.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use gliaflow::internals::base::raise_open_file_limit;
use gliaflow::internals::telemetry::{Exporter, MAX_CONNECTIONS, Recorder, catalog};

use super::{ANY_PORT, Answer, DEADLINE, endpoint, get, get_fresh, series, value};

/// Opens a connection, or is told at once that it gets none.
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// True for a connection that the endpoint has not closed.
fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut byte = [0];
    // A connection that was turned away has the refusal in it, or is reset.
    matches!(stream.peek(&mut byte), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Answer to a request that names `host`.
fn ask_host(address: SocketAddr, path: &str, host: &str, accept: &str) -> Answer {
    let mut stream = connect(address);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

#[test]
fn crowds_of_silent_clients_get_no_more_than_their_places_and_lose_them_soon() {
    const CROWD: usize = 2 * MAX_CONNECTIONS + 100;
    raise_open_file_limit();
    let (_exporter, _recorder, address) = endpoint("crowded");
    let begun = Instant::now();
    let mut crowd = Vec::with_capacity(CROWD);
    for number in 0..CROWD {
        let mut stream = connect(address);
        match number % 3 {
            // Nothing, half a header, and a request whose answer nobody takes.
            0 => {}
            1 => drop(stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-")),
            _ => drop(stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")),
        }
        crowd.push(stream);
    }
    thread::sleep(Duration::from_millis(500));
    let is_silent = |(number, _): &(usize, &TcpStream)| number % 3 < 2;
    let silent: Vec<&TcpStream> =
        crowd.iter().enumerate().filter(is_silent).map(|(_, stream)| stream).collect();
    let open = silent.iter().filter(|stream| is_open(stream)).count();
    let held_up = begun.elapsed() > Duration::from_secs(4);
    assert!(open <= MAX_CONNECTIONS && (open > 0 || held_up), "{open} of {CROWD} are served");
    // Those that sent no whole request are gone after some seconds: others get their places.
    let end = begun + Duration::from_secs(20);
    while silent.iter().any(|stream| is_open(stream)) {
        assert!(Instant::now() < end, "silent clients keep their places");
        thread::sleep(Duration::from_millis(100));
    }
    let scrape = get(address, "/metrics").body;
    let refused = value(series(&scrape, "endpoint_refused_connections_total")[0]);
    assert!(refused >= (CROWD - 2 * MAX_CONNECTIONS) as f64, "{refused} were refused");
}

#[test]
fn however_many_ask_the_text_is_rendered_once_a_second() {
    let (_exporter, recorder, address) = endpoint("asked");
    let losses = recorder.within(|| catalog::TRAIN_LOSS.with_labels(["train", "total"]));
    let mut seen = Vec::new();
    let begun = Instant::now();
    for number in 0..300 {
        losses.set(f64::from(number));
        let scrape = get(address, "/metrics").body;
        seen.push(series(&scrape, "train_loss").first().map_or(-1.0, |line| value(line)));
    }
    let seconds = begun.elapsed().as_secs_f64();
    seen.dedup();
    assert!(seen.len() as f64 <= seconds + 1.0, "{} texts in {seconds} s", seen.len());
    let last = get_fresh(address).body;
    assert_eq!(value(series(&last, "train_loss")[0]), 299.0, "it is fresh after a second");
}

#[test]
fn on_loopback_only_the_names_of_this_machine_are_answered() {
    let named = ["host.docker.internal".to_owned()];
    let exporter = Exporter::serve(ANY_PORT, &named, Recorder::new("hosts"));
    let address = exporter.address().unwrap();
    for host in ["localhost", "127.0.0.1:9184", "[::1]", "host.docker.internal:9184"] {
        assert_eq!(ask_host(address, "/metrics", host, "*/*").status, 200, "{host}");
    }
    for path in ["/", "/metrics", "/healthz", "/topology", "/live.js", "/nowhere"] {
        let refused = ask_host(address, path, "evil.example:9184", "*/*");
        assert_eq!(refused.status, 403, "{path}");
        assert!(refused.body.contains("--metrics-host"), "{}", refused.body);
    }
    let everywhere = Exporter::serve("0.0.0.0:0".parse().unwrap(), &[], Recorder::new("open"));
    let port = everywhere.address().unwrap().port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    assert_eq!(ask_host(address, "/metrics", "node-7.cluster", "*/*").status, 200);
}

#[test]
fn the_page_loads_what_its_policy_allows_and_holds_no_script_of_its_own() {
    let (_exporter, _recorder, address) = endpoint("policy");
    let page = ask_host(address, "/", "localhost", "text/html");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    for (path, kind) in [("/live.js", "text/javascript"), ("/live.css", "text/css")] {
        assert!(page.body.contains(path), "{path}");
        let file = get(address, path);
        assert_eq!(file.status, 200);
        assert!(file.header("content-type").unwrap().starts_with(kind), "{path}");
    }
    // What the policy would stop without a word: scripts, styles and handlers in the page itself.
    for inline in ["<style", "style=", " onclick", " onload", "javascript:"] {
        assert!(!page.body.contains(inline), "{inline}");
    }
    assert!(page.body.matches("<script").count() == page.body.matches("<script src=").count());
}
