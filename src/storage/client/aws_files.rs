//! Credentials, region and endpoint of `~/.aws/credentials` and `~/.aws/config`, which the client itself does
//! not read: what the environment does not say is taken from the profile there.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey as Key};

use crate::base::{CaseError, fs};

/// Fields of a profile, and the settings that they are.
const FIELDS: [(&str, Key); 5] = [
    ("aws_access_key_id", Key::AccessKeyId),
    ("aws_secret_access_key", Key::SecretAccessKey),
    ("aws_session_token", Key::Token),
    ("region", Key::Region),
    ("endpoint_url", Key::Endpoint),
];

/// Fields that belong together: a key of one place and the secret of another are no credentials.
const CREDENTIALS: [Key; 3] = [Key::AccessKeyId, Key::SecretAccessKey, Key::Token];

/// Fills in what the environment left open.
///
/// # Errors
/// If a file is there and cannot be read.
pub(super) fn complete_from_files(builder: AmazonS3Builder) -> Result<AmazonS3Builder, CaseError> {
    let profile = env::var("AWS_PROFILE").unwrap_or_else(|_| "default".to_owned());
    let mut fields = BTreeMap::new();
    for (variable, name, prefix) in [
        ("AWS_CONFIG_FILE", "config", "profile "),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", ""),
    ] {
        let Some(path) = settings_file(variable, name) else { continue };
        let Some(text) = fs::if_present(fs::read_to_string(&path))? else { continue };
        let section = match profile.as_str() {
            "default" => profile.clone(),
            named => format!("{prefix}{named}"),
        };
        fields.extend(read_section(&text, &section));
    }
    Ok(complete_from_fields(builder, &fields))
}

fn settings_file(variable: &str, name: &str) -> Option<PathBuf> {
    let named = env::var_os(variable).map(PathBuf::from);
    named.or_else(|| Some(env::home_dir()?.join(".aws").join(name)))
}

fn complete_from_fields(
    mut builder: AmazonS3Builder,
    fields: &BTreeMap<String, String>,
) -> AmazonS3Builder {
    let has_own = [Key::AccessKeyId, Key::WebIdentityTokenFile, Key::SkipSignature]
        .iter()
        .any(|key| builder.get_config_value(key).is_some_and(|value| value != "false"));
    for (name, key) in FIELDS {
        let is_credential = CREDENTIALS.contains(&key);
        let is_set = if is_credential { has_own } else { builder.get_config_value(&key).is_some() };
        if let (false, Some(value)) = (is_set, fields.get(name)) {
            builder = builder.with_config(key, value);
        }
    }
    builder
}

/// Reads the fields of one section of a file in the form of `~/.aws/config`. Fields of a field, which are
/// indented, are passed over.
fn read_section(text: &str, section: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut is_within = false;
    for line in text.lines() {
        let is_indented = line.starts_with([' ', '\t']);
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_within = name.trim() == section;
            continue;
        }
        let is_comment = line.starts_with(['#', ';']);
        if let (true, false, false, Some((name, value))) =
            (is_within, is_indented, is_comment, line.split_once('='))
        {
            fields.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS_FILE: &str = "\
# a comment = of no field
[default]
aws_access_key_id = AKIA1
aws_secret_access_key=s3cr3t/=
[lab]
aws_access_key_id = AKIA2
";

    #[test]
    fn a_profile_is_its_own_section_and_keeps_the_signs_of_a_secret() {
        let default = read_section(CREDENTIALS_FILE, "default");
        assert_eq!(default["aws_secret_access_key"], "s3cr3t/=");
        assert_eq!(default.len(), 2);
        let lab = read_section(CREDENTIALS_FILE, "lab");
        assert_eq!(lab["aws_access_key_id"], "AKIA2");
        let nested = "[profile lab]\ns3 =\n  endpoint_url = http://nested\nregion = eu-north-1\n";
        let config = read_section(nested, "profile lab");
        assert_eq!((config.get("endpoint_url"), &*config["region"]), (None, "eu-north-1"));
        assert!(read_section(CREDENTIALS_FILE, "none").is_empty());
    }

    #[test]
    fn credentials_come_from_one_place_and_the_environment_is_asked_first() {
        let fields = read_section(CREDENTIALS_FILE, "default");
        let region = BTreeMap::from([("region".to_owned(), "eu-north-1".to_owned())]);
        let fields: BTreeMap<String, String> = fields.into_iter().chain(region).collect();
        let value = |builder: &AmazonS3Builder, key: Key| builder.get_config_value(&key);
        let open = complete_from_fields(AmazonS3Builder::new(), &fields);
        assert_eq!(value(&open, Key::AccessKeyId).as_deref(), Some("AKIA1"));
        assert_eq!(value(&open, Key::Region).as_deref(), Some("eu-north-1"));
        let own = AmazonS3Builder::new().with_access_key_id("MINE").with_region("us-west-2");
        let own = complete_from_fields(own, &fields);
        assert_eq!(value(&own, Key::AccessKeyId).as_deref(), Some("MINE"));
        assert_eq!(value(&own, Key::SecretAccessKey), None);
        assert_eq!(value(&own, Key::Region).as_deref(), Some("us-west-2"));
    }
}
