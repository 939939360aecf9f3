//! `config show --all`: every setting of the schema, set or not.

use std::collections::BTreeMap;

use gliaflow::internals::run::config::{load, run_schema};

use super::leaves;
use super::list::list_settings;

#[test]
fn config_show_all_lists_every_setting_of_the_schema_set_or_not() {
    let text = load(None, &[]).unwrap().to_complete_toml().unwrap();
    let (set, unset) = text.split_once("# Not set:").unwrap();
    let mut shown = BTreeMap::new();
    leaves(&toml::from_str(set).unwrap(), "", &mut shown);
    let mut absent = 0;
    for setting in list_settings(&run_schema()).iter().filter(|setting| !setting.is_tag) {
        let named = |line: &&str| {
            let rest = line.strip_prefix("# ").and_then(|line| line.strip_prefix(&setting.path));
            rest.is_some_and(|rest| rest.starts_with([':', ' ']))
        };
        let lines: Vec<&str> = unset.lines().filter(named).collect();
        // An empty table is set, and has no leaf.
        let is_table = set.contains(&format!("[{}]", setting.path));
        assert!(
            shown.contains_key(&setting.path) || is_table || !lines.is_empty(),
            "{} is not listed",
            setting.path
        );
        if !lines.is_empty() {
            absent += 1;
            let description = setting.schema["description"].as_str().unwrap().replace('\n', " ");
            // Choices of a section have settings of one name, each on its own line.
            assert!(lines.iter().any(|line| line.contains(&description)), "{lines:?}");
        }
    }
    assert!(absent > 5, "{absent} unset");
}
