//! The dashboard and the alerts in `deploy/` use names and labels that a scrape of the service has,
//! and the dashboard uses all of them. Whether the queries are well-formed is checked by promtool,
//! in `xtask`.

use crate::scripted::Act;
use crate::support::{Harness, eventually};
use milvus_wire::ids::CollectionId;
use milvus_wire::timestamp::Timestamp;
use replication::error::Error;
use replication::observer::{Event, Noted};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

const DASHBOARD: &str = include_str!("../../../../deploy/grafana/milvus-cdc.json");
const ALERTS: &str = include_str!("../../../../deploy/prometheus/alerts.yaml");
const OPERATIONS: &str = include_str!("../../../../docs/operations.md");

/// Labels that Prometheus or Kubernetes adds to a scrape.
const GIVEN: [&str; 4] = ["instance", "job", "namespace", "pod"];

/// Names of samples with their labels.
type Samples = BTreeMap<String, BTreeSet<String>>;

/// A query: the metrics it selects with the labels it selects them by, and what it groups by.
#[derive(Debug, Default, PartialEq)]
struct Query {
    selected: Vec<(String, Vec<String>)>,
    grouped: Vec<String>,
}

impl Query {
    fn parse(text: &str) -> Self {
        // The values of labels contain no quotes.
        let bare: String = text.split('"').step_by(2).collect();
        let mut query = Self::default();
        for (word, rest) in words(&bare) {
            let list = |open, close| {
                let (list, _) = rest.trim_start().strip_prefix(open)?.split_once(close)?;
                let names =
                    list.split(',').map(|part| part.trim().trim_end_matches(['=', '!', '~']));
                Some(names.map(str::to_owned).collect::<Vec<_>>())
            };
            let selector = list('{', '}');
            if selector.is_some() || ours(word) {
                query.selected.push((word.to_owned(), selector.unwrap_or_default()));
            } else if ["by", "on"].contains(&word) {
                query.grouped.extend(list('(', ')').unwrap());
            }
        }
        query
    }

    /// Panics if a scrape of the service does not have this.
    fn check(&self, samples: &Samples, text: &str) {
        let mut known: BTreeSet<&str> = GIVEN.into();
        for (metric, labels) in &self.selected {
            let has = match metric.as_str() {
                "up" => BTreeSet::new(),
                name => samples.get(name).unwrap_or_else(|| panic!("no {name}: {text}")).clone(),
            };
            for label in labels {
                let there = has.contains(label) || GIVEN.contains(&label.as_str());
                assert!(there, "{metric} has no {label}: {text}");
            }
            known.extend(samples.get(metric).into_iter().flatten().map(String::as_str));
        }
        for label in &self.grouped {
            assert!(known.contains(label.as_str()), "nothing has {label}: {text}");
        }
    }
}

fn ours(word: &str) -> bool {
    word.starts_with("milvus_cdc_") || word.starts_with("process_")
}

/// Each word with what follows it.
fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c| !in_word(c));
        let end = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        (!word.is_empty()).then_some((word, after))
    })
}

/// A service in which everything that has a metric has happened.
async fn eventful() -> Harness {
    let service = Harness::start().await;
    service.script.set_acts("a", [Act::Fail(Error::transient("for a start")), Act::Run]);
    service.create("a", "d.c").await;
    service.until("a", |task| task["status"]["stage"] == "running").await;
    service.queue.newest_ms.store(100_000, Ordering::SeqCst);
    let (tick, collection_id, collection) = (Timestamp::from_ms(90_000), CollectionId(7), "c");
    let (channel, kind, rows, bytes) = ("p_0", "insert", 3, 90);
    for event in [
        Event::Joined(channel),
        Event::Read { channel, tick, kind, bytes },
        Event::Written { channel, collection_id, collection, kind, rows, bytes },
        Event::Called("ReplicateMessage"),
        Event::Acknowledged { channel, tick },
        Event::Tick { pchannel: "t_0", tick },
        Event::Counted(Noted::Restamped, 2),
        Event::OutOfStep { collection_id, collection, why: Some((tick, "for a while")) },
    ] {
        service.script.event("a", event);
    }
    eventually(async || {
        let text = service.metrics().await;
        let wanted = ["milvus_cdc_lag_seconds{", "milvus_cdc_task_restarts_total{"];
        if wanted.iter().all(|line| text.contains(line)) { Ok(()) } else { Err(text) }
    })
    .await;
    service
}

async fn scrape(service: &Harness) -> Samples {
    let text = service.metrics().await + &service.get("/cdc/metrics_default").await.1;
    let mut samples = Samples::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let query = Query::parse(line.rsplit_once(' ').unwrap().0);
        for (name, labels) in query.selected {
            samples.entry(name).or_default().extend(labels);
        }
    }
    samples
}

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).unwrap()
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

#[tokio::test]
async fn the_dashboard_uses_all_metrics_and_no_others() {
    let samples = scrape(&eventful().await).await;
    let dashboard = dashboard();
    let mut shown = BTreeSet::new();
    for target in panels(&dashboard).iter().filter_map(|p| p["targets"].as_array()).flatten() {
        let (text, legend) =
            (target["expr"].as_str().unwrap(), target["legendFormat"].as_str().unwrap());
        let mut query = Query::parse(text);
        query
            .grouped
            .extend(legend.split("{{").skip(1).map(|l| l.split_once("}}").unwrap().0.into()));
        query.check(&samples, text);
        shown.extend(query.selected.into_iter().map(|(metric, _)| metric));
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        // `label_values(metric{…}, label)`
        let Some(text) = variable["definition"].as_str() else { continue };
        let mut query = Query::parse(text);
        query.grouped.push(text.trim_end_matches(')').rsplit_once(' ').unwrap().1.into());
        query.check(&samples, text);
    }
    let of_the_service = samples.keys().filter(|name| name.starts_with("milvus_cdc_"));
    let left_out: Vec<_> = of_the_service.filter(|name| !shown.contains(*name)).collect();
    assert!(left_out.is_empty(), "{left_out:?}");
}

#[tokio::test]
async fn the_alerts_use_existing_metrics_and_each_is_explained() {
    let samples = scrape(&eventful().await).await;
    let alerts: Value = serde_yaml_ng::from_str(ALERTS).unwrap();
    let rules = alerts["groups"][0]["rules"].as_array().unwrap();
    assert!(!rules.is_empty());
    for rule in rules {
        let text = rule["expr"].as_str().unwrap();
        let mut query = Query::parse(text);
        for annotation in rule["annotations"].as_object().unwrap().values() {
            let named = annotation.as_str().unwrap().split("$labels.").skip(1);
            query.grouped.extend(named.map(|rest| words(rest).next().unwrap().0.to_owned()));
        }
        query.check(&samples, text);
        let heading = format!("\n### {}\n", rule["alert"].as_str().unwrap());
        assert!(OPERATIONS.contains(&heading), "docs/operations.md has no {heading}");
    }
}

#[test]
fn no_panel_covers_another() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels(&dashboard) {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{}", panel["title"]);
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(x + w <= 24, "{} is wider than the page", panel["title"]);
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{} covers another panel", panel["title"]);
        }
    }
}

#[test]
fn the_check_finds_a_name_or_label_that_does_not_exist() {
    let text = r#"sum by (b) (rate(milvus_cdc_x{a=~"$v, {}", pod!="p"}[1m])) and on (b) up == 1"#;
    let query = Query::parse(text);
    let selected = vec![("milvus_cdc_x".into(), vec!["a".into(), "pod".into()])];
    assert_eq!(query, Query { selected, grouped: vec!["b".into(), "b".into()] });
    let refused = |samples: Value| {
        let samples: Samples = serde_json::from_value(samples).unwrap();
        std::panic::catch_unwind(|| query.check(&samples, text)).is_err()
    };
    assert!(!refused(json!({"milvus_cdc_x": ["a", "b"]})));
    assert!(refused(json!({"milvus_cdc_x": ["a"]})), "grouped by a label that nothing has");
    assert!(refused(json!({"milvus_cdc_x": ["b"]})), "selected by a label that it has not");
    assert!(refused(json!({"milvus_cdc_y": ["a", "b"]})), "a metric that is not there");
}
