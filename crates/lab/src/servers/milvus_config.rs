//! Makes `milvus.yaml` from the template that comes with Milvus. Knows how settings are written,
//! never which ones the lab wants.

use crate::error::{Error, Result, While};
use serde_yaml_ng::{Mapping, Value};

/// Fills the template's placeholders (`{{ name(type): default }}`) with their defaults, then sets
/// each `dotted.path`, adding what the template does not have.
pub(crate) fn render(template: &str, settings: &[(String, Value)]) -> Result<String> {
    let filled = fill_defaults(template)?;
    let mut config: Value =
        serde_yaml_ng::from_str(&filled).while_doing(|| "read the template".into())?;
    for (path, value) in settings {
        set(&mut config, path, value.clone())?;
    }
    serde_yaml_ng::to_string(&config).while_doing(|| "write milvus.yaml".into())
}

/// A placeholder without a default becomes nothing, which YAML reads as null.
fn fill_defaults(template: &str) -> Result<String> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (placeholder, after) = after
            .split_once("}}")
            .ok_or_else(|| Error::new("the template has an open placeholder"))?;
        filled.push_str(before);
        filled.push_str(placeholder.split_once(':').map_or("", |(_, default)| default.trim()));
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn set(config: &mut Value, path: &str, value: Value) -> Result<()> {
    let mut at = config;
    for key in path.split('.') {
        if at.is_null() {
            *at = Value::Mapping(Mapping::new());
        }
        let map = at
            .as_mapping_mut()
            .ok_or_else(|| Error::new(format!("{path}: the template has no section there")))?;
        at = map.entry(key.into()).or_insert(Value::Null);
    }
    *at = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "
# a comment with 1.0, 1.1\u{3002}
etcd:
  endpoints: localhost:{{ etcd_port(int): 2379 }}
  data:
    dir: {{ etcd_data_dir }}
log:
  level: info # {{ not_a_setting }}
proxy:
  ip: # none
  port: {{ proxy_port(int): 19530 }}
compressionTypes: [0, 7]
";

    fn render_value(settings: &[(&str, Value)]) -> Value {
        let settings: Vec<_> = settings.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        serde_yaml_ng::from_str(&render(TEMPLATE, &settings).unwrap()).unwrap()
    }

    #[test]
    fn placeholders_become_their_defaults() {
        let config = render_value(&[]);
        assert_eq!(config["etcd"]["endpoints"], "localhost:2379");
        assert_eq!(config["etcd"]["data"]["dir"], Value::Null);
        assert_eq!(config["proxy"]["port"], 19530);
        assert_eq!(config["compressionTypes"][1], 7);
    }

    #[test]
    fn settings_replace_and_add() {
        let config = render_value(&[
            ("proxy.port", 7.into()),
            ("proxy.ip", "127.0.0.1".into()),
            ("kafka.brokerList", "127.0.0.1:9".into()),
            ("log.file.rootPath", "".into()),
        ]);
        assert_eq!(config["proxy"]["port"], 7);
        assert_eq!(config["proxy"]["ip"], "127.0.0.1");
        assert_eq!(config["kafka"]["brokerList"], "127.0.0.1:9");
        assert_eq!(config["log"]["file"]["rootPath"], "");
        assert_eq!(config["log"]["level"], "info");
    }

    #[test]
    fn a_setting_below_a_plain_value_is_refused() {
        let settings = [("log.level.deeper".to_owned(), Value::Null)];
        assert!(render(TEMPLATE, &settings).is_err());
    }
}
