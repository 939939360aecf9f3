//! A real Prometheus on loopback, with the configuration of `dashboards/`, and its HTTP interface.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::text;

const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

/// What the shipped configuration scrapes. The third is for a third run; here it would be a port
/// that anything may listen on.
const SHIPPED: [&str; 3] = ["127.0.0.1:9184", "127.0.0.1:9185", "127.0.0.1:9186"];

/// A process that does not outlive the test.
pub(crate) struct Mortal(pub(crate) Child);

impl Drop for Mortal {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that scrapes two endpoints.
pub(crate) struct Prometheus {
    address: SocketAddr,
    _server: Mortal,
}

impl Prometheus {
    /// Starts one in `folder`, with the shipped files but for the addresses to scrape.
    pub(crate) fn start(folder: &Path, scraped: [SocketAddr; 2]) -> Self {
        let mut config = text("prometheus/prometheus.yml");
        for (shipped, address) in SHIPPED.iter().zip(scraped) {
            assert!(config.contains(shipped), "{shipped} is not in prometheus.yml");
            config = config.replace(shipped, &address.to_string());
        }
        config = config.replace(&format!("          - {}\n", SHIPPED[2]), "");
        assert!(!config.contains(SHIPPED[2]), "{config}");
        std::fs::write(folder.join("alerts.yml"), text("prometheus/alerts.yml")).unwrap();
        Self::serve(folder, &config, "data")
    }

    /// Starts one that scrapes what is announced in `folder`/targets, with the shipped files.
    pub(crate) fn of_announced(folder: &Path) -> Self {
        std::fs::write(folder.join("alerts.yml"), text("prometheus/alerts.yml")).unwrap();
        Self::serve(folder, &text("prometheus/announced.yml"), "data")
    }

    /// One that scrapes nothing and answers from the blocks in a folder of `folder`.
    pub(crate) fn of_blocks(folder: &Path, blocks: &str) -> Self {
        Self::serve(folder, "global: {}\n", blocks)
    }

    fn serve(folder: &Path, config: &str, data: &str) -> Self {
        std::fs::write(folder.join("prometheus.yml"), config).unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let log = std::fs::File::create(folder.join("prometheus.log")).unwrap();
        let server = Command::new("prometheus")
            .arg("--config.file=prometheus.yml")
            .arg(format!("--storage.tsdb.path={data}"))
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus is on the PATH (apt-get install prometheus)");
        let server = Self { address, _server: Mortal(server) };
        let started = Instant::now();
        while !matches!(ask(address, "/-/ready"), Ok((200, _))) {
            let log = std::fs::read_to_string(folder.join("prometheus.log")).unwrap_or_default();
            assert!(started.elapsed() < PATIENCE, "prometheus is not ready: {log}");
            std::thread::sleep(LOOK);
        }
        server
    }

    /// The answer's `data`, or what went wrong.
    fn data(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let query: Vec<String> = parameters
            .iter()
            .map(|(key, value)| format!("{}={}", escape(key), escape(value)))
            .collect();
        let (_status, body) = ask(self.address, &format!("{path}?{}", query.join("&")))?;
        let answer: Value =
            serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"))?;
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        Ok(answer["data"].clone())
    }

    /// How many series an expression has now with a value that is a number.
    pub(crate) fn instant(&self, expression: &str) -> Result<usize, String> {
        let data = self.data("/api/v1/query", &[("query", expression)])?;
        Ok(series(&data, |one| is_number(&one["value"][1])))
    }

    /// The value of the one series that an expression has now; `None` if it has none.
    pub(crate) fn value(&self, expression: &str) -> Option<f64> {
        let data = self.data("/api/v1/query", &[("query", expression)]).ok()?;
        data["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// The values of a label of the series that an expression has now, sorted.
    pub(crate) fn values_of(&self, label: &str, expression: &str) -> Result<Vec<String>, String> {
        let data = self.data("/api/v1/query", &[("query", expression)])?;
        let series = data["result"].as_array().map_or(&[][..], Vec::as_slice);
        let value = |one: &Value| one["metric"][label].as_str().unwrap_or_default().to_owned();
        let mut values: Vec<String> = series.iter().map(value).collect();
        values.sort();
        Ok(values)
    }

    /// As [`Self::instant`], over the `seconds` until now, at `step`.
    pub(crate) fn range(&self, expression: &str, seconds: u64, step: u64) -> Result<usize, String> {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
        let (start, end) = ((now - seconds).to_string(), now.to_string());
        let step = step.to_string();
        let parameters = [("query", expression), ("start", &start), ("end", &end), ("step", &step)];
        let data = self.data("/api/v1/query_range", &parameters)?;
        Ok(series(&data, |one| {
            let values = one["values"].as_array().map_or(&[][..], Vec::as_slice);
            values.iter().any(|value| is_number(&value[1]))
        }))
    }

    /// The values of a label, as a variable of a dashboard asks for them.
    pub(crate) fn label_values(&self, selector: &str, label: &str) -> Result<Vec<String>, String> {
        let path = format!("/api/v1/label/{label}/values");
        let data = self.data(&path, &[("match[]", selector)])?;
        serde_json::from_value(data).map_err(|error| error.to_string())
    }

    /// Rules that were evaluated, and those that could not be, with the reason.
    pub(crate) fn rules(&self) -> Result<(usize, Vec<String>), String> {
        let data = self.data("/api/v1/rules", &[])?;
        let groups = data["groups"].as_array().cloned().unwrap_or_default();
        let rules: Vec<&Value> =
            groups.iter().filter_map(|group| group["rules"].as_array()).flatten().collect();
        let sick = rules.iter().filter(|rule| rule["health"] != "ok");
        let reasons = sick.map(|rule| format!("{}: {}", rule["name"], rule["lastError"]));
        Ok((rules.len(), reasons.collect()))
    }
}

fn series(data: &Value, has_number: impl Fn(&Value) -> bool) -> usize {
    let all = data["result"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter(|one| has_number(one)).count()
}

/// `NaN` is how Prometheus spells that there was nothing to divide by.
fn is_number(value: &Value) -> bool {
    let number = value.as_str().and_then(|text| text.parse::<f64>().ok());
    number.is_some_and(f64::is_finite)
}

/// Status and body of a request, in HTTP/1.0, so that the answer comes in one piece.
pub(crate) fn ask(address: SocketAddr, path: &str) -> Result<(u16, String), String> {
    let wrong = |error: std::io::Error| format!("http://{address}{path}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(wrong)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(wrong)?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(wrong)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(wrong)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(|| head.to_owned())?, body.to_owned()))
}

/// For a query string.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(2 * text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    escaped
}

/// Serves a text as an endpoint that was recorded would, for as long as the test lives.
pub(crate) fn serve(text: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let length = text.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: \
                 {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(format!("{head}{text}").as_bytes());
        }
    });
    address
}

#[test]
fn a_query_is_escaped_whole() {
    assert_eq!(escape("a{b=\"c d\"}[5m]+1"), "a%7Bb%3D%22c%20d%22%7D%5B5m%5D%2B1");
}

#[test]
fn what_is_not_a_number_is_no_answer() {
    let data = |text: &str| serde_json::json!({"result": [{"value": [1, text]}]});
    let numbers = |text: &str| series(&data(text), |one| is_number(&one["value"][1]));
    assert_eq!((numbers("0"), numbers("NaN"), numbers("+Inf")), (1, 0, 0));
    assert_eq!(series(&serde_json::json!({"result": []}), |_| true), 0);
}
