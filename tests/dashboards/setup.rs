//! The files around the dashboards fit each other and the binary.

use gliaflow::internals::telemetry::MetricsAddress;

use super::panels::{list, string};
use super::{DASHBOARDS, text, yaml};

#[test]
fn prometheus_scrapes_where_a_run_listens() {
    let config = yaml::parse(&text("prometheus/prometheus.yml"));
    let job = &config["scrape_configs"][0];
    assert_eq!(job["job_name"], "gliaflow", "the alert on a target that is down names it");
    let targets = list(&job["static_configs"][0]["targets"]);
    assert_eq!(targets[0], MetricsAddress::default().to_string());
    assert_eq!(config["rule_files"][0], "alerts.yml");
}

#[test]
fn a_prometheus_of_announced_runs_differs_in_where_it_looks_for_them_alone() {
    let [fixed, announced] = ["prometheus.yml", "announced.yml"]
        .map(|name| yaml::parse(&text(&format!("prometheus/{name}"))));
    for field in ["global", "rule_files"] {
        assert_eq!(fixed[field], announced[field], "{field}");
    }
    let job = &announced["scrape_configs"][0];
    assert_eq!(job["job_name"], fixed["scrape_configs"][0]["job_name"]);
    assert_eq!(job["honor_labels"], true, "a step of a study renames its run");
    assert!(job["static_configs"].is_null(), "a run would be counted twice");
    let files = string_list(&job["file_sd_configs"][0]["files"]);
    assert_eq!(files, ["targets/*.json"], "an announcement's name ends so");
}

fn string_list(value: &serde_json::Value) -> Vec<&str> {
    list(value).iter().filter_map(|one| one.as_str()).collect()
}

#[test]
fn grafana_knows_how_often_prometheus_scrapes() {
    let config = yaml::parse(&text("prometheus/prometheus.yml"));
    let sources = yaml::parse(&text("grafana/provisioning/datasources/prometheus.yaml"));
    let source = &sources["datasources"][0];
    assert_eq!(source["jsonData"]["timeInterval"], config["global"]["scrape_interval"]);
    assert_eq!(source["type"], "prometheus");
}

#[test]
fn the_containers_are_pinned_and_find_the_files() {
    let compose = yaml::parse(&text("compose.yaml"));
    let services = compose["services"].as_object().unwrap();
    for (name, service) in services {
        let image = string(service, "image");
        let (_, version) = image.rsplit_once(':').unwrap_or_else(|| panic!("{name}: {image}"));
        let parts = version.trim_start_matches('v').split('.');
        let numbers = parts.filter(|part| part.parse::<u32>().is_ok()).count();
        assert_eq!(numbers, 3, "{name}: {version} may be another one tomorrow");
        // Otherwise neither reaches a run that listens on 127.0.0.1.
        assert_eq!(service["network_mode"], "host", "{name}");
    }
    let mounts = list(&services["grafana"]["volumes"]);
    let providers = yaml::parse(&text("grafana/provisioning/dashboards/gliaflow.yaml"));
    let folder = string(&providers["providers"][0]["options"], "path");
    assert!(mounts.iter().any(|mount| *mount == format!("./grafana:{folder}:ro")), "{mounts:?}");
    let home =
        string(&services["grafana"]["environment"], "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH");
    assert!(DASHBOARDS.iter().any(|name| home == format!("{folder}/{name}.json")), "{home}");
    let command = list(&services["prometheus"]["command"]);
    let prometheus = list(&services["prometheus"]["volumes"]);
    let mount = "./prometheus:/etc/gliaflow/prometheus:ro";
    assert!(prometheus.iter().any(|volume| volume == mount), "{prometheus:?}");
    let file = "--config.file=/etc/gliaflow/prometheus/prometheus.yml";
    assert!(command.iter().any(|argument| argument == file), "{command:?}");
    let sources = yaml::parse(&text("grafana/provisioning/datasources/prometheus.yaml"));
    let url = string(&sources["datasources"][0], "url");
    let address = url.trim_start_matches("http://");
    let listens = format!("--web.listen-address={address}");
    assert!(command.iter().any(|argument| *argument == listens), "{command:?}");
}
