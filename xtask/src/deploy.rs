//! What `./x check` says about `deploy/`: each file is judged by its own tool, and each
//! configuration in there by the service. Never needs Docker or a cluster, and so never starts what
//! it checks. That dashboard and alerts ask only for what there is, is a test of the server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lab::DeployTools;
use serde_json::Value;

use crate::command::{self, Result};
use crate::steps::Steps;

const CHART: &str = "deploy/helm/milvus-cdc";
const DASHBOARD: &str = "deploy/grafana/milvus-cdc.json";
const UNIT: &str = "deploy/systemd/milvus-cdc.service";

/// The program of the unit, on a machine where it is installed.
const INSTALLED: &str = "/usr/local/bin/milvus-cdc";

/// Out of 100, as systemd counts what a service could do to its machine; without any precaution 96.
const EXPOSURE_MAX: &str = "20";

/// What the chart is rendered with: the defaults, everything switched the other way, and clients
/// that show certificates.
const VALUES: [Option<&str>; 3] = [
    None,
    Some("deploy/helm/milvus-cdc/ci/all-values.yaml"),
    Some("deploy/helm/milvus-cdc/ci/client-certificates-values.yaml"),
];

/// Where these have certificates.
const CERTIFICATES: &str = "/certificates";

const KUBERNETES: &str = "1.31";

/// The command: the check alone.
pub(crate) fn run() -> Result<()> {
    Steps::all(|steps| {
        steps.step("build packages", || Ok(lab::install_build_packages()?))?;
        steps.cargo("build", &["build", "--workspace", "--bins"])?;
        run_steps(steps)
    })
}

/// The check, once the service is built.
pub(crate) fn run_steps(steps: &mut Steps) -> Result<()> {
    steps.step("deploy/", || {
        let scratch = tempfile::tempdir()?;
        let check = Check { tools: lab::install_deploy_tools()?, scratch: scratch.path().into() };
        check.image()?;
        check.unit()?;
        check.chart()?;
        check.alerts()?;
        check.dashboard()
    })
}

struct Check {
    tools: DeployTools,
    scratch: PathBuf,
}

impl Check {
    /// The Dockerfile, and the compose file that builds it.
    fn image(&self) -> Result<()> {
        command::run(Command::new(&self.tools.hadolint).arg("deploy/docker/Dockerfile"))?;
        let mut compose = Command::new(&self.tools.docker_compose);
        compose.args(["--file", "deploy/compose/compose.yaml", "--profile", "monitoring"]);
        command::run(compose.args(["config", "--quiet"]))?;
        accept(Path::new("deploy/compose/cdc.yaml"))
    }

    /// The unit, with the program as it was just built.
    fn unit(&self) -> Result<()> {
        let text = fs::read_to_string(UNIT)?;
        let starts = format!("ExecStart={INSTALLED} ");
        if !text.contains(&starts) {
            return Err(format!("{UNIT}: {starts:?} is not in there").into());
        }
        let built = format!("ExecStart={} ", service()?.display());
        let unit = self.write("milvus-cdc.service", &text.replace(&starts, &built))?;
        println!("$ systemd-analyze verify {UNIT}");
        let verified = Command::new("systemd-analyze").arg("verify").arg(&unit).output()?;
        let said = String::from_utf8_lossy(&verified.stderr);
        // About a key or a value that it does not know it only warns.
        if !verified.status.success() || said.contains("milvus-cdc.service") {
            return Err(format!("{UNIT}: {said}").into());
        }
        let threshold = format!("--threshold={EXPOSURE_MAX}");
        let mut security = Command::new("systemd-analyze");
        security.args(["security", "--offline=yes", "--no-pager", &threshold]).arg(&unit);
        command::output(&mut security)?;
        accept(Path::new("deploy/systemd/cdc.yaml"))
    }

    fn chart(&self) -> Result<()> {
        self.certificates()?;
        for values in VALUES {
            let with_values = |command: &str| {
                let mut helm = Command::new(&self.tools.helm);
                helm.arg(command);
                if let Some(values) = values {
                    helm.args(["--values", values]);
                }
                helm
            };
            command::run(with_values("lint").args(["--strict", "--quiet", CHART]))?;
            let rendered = command::output(with_values("template").args(["release", CHART]))?;
            self.rendered(&rendered)?;
        }
        Ok(())
    }

    /// For configurations that name some: one that has signed itself.
    fn certificates(&self) -> Result<()> {
        let mut make = Command::new("openssl");
        make.current_dir(&self.scratch).args(["req", "-x509", "-newkey", "rsa:2048", "-nodes"]);
        make.args(["-subj", "/CN=milvus-cdc", "-keyout", "tls.key", "-out", "tls.crt"]);
        command::output(&mut make)?;
        fs::copy(self.scratch.join("tls.crt"), self.scratch.join("ca.crt"))?;
        Ok(())
    }

    /// What a cluster would be given.
    fn rendered(&self, text: &str) -> Result<()> {
        let file = self.write("rendered.yaml", text)?;
        let mut validate = Command::new("python3");
        validate
            .env("PYTHONPATH", &self.tools.kubernetes_validate)
            .args(["-m", "kubernetes_validate", "--kubernetes-version", KUBERNETES])
            // The kinds of the Prometheus operator are nobody's but its own.
            .args(["--strict", "--quiet", "--no-warn"]);
        command::run(validate.arg(&file))?;
        let mut configurations = Vec::new();
        let mut set = Value::Null;
        for document in serde_yaml_ng::Deserializer::from_str(text) {
            let object: Value = serde::Deserialize::deserialize(document)?;
            if let Some(configuration) = object["data"]["cdc.yaml"].as_str() {
                let here = configuration.replace(CERTIFICATES, &self.scratch.to_string_lossy());
                accept(&self.write("cdc.yaml", &here)?)?;
                configurations.push(serde_yaml_ng::from_str::<Value>(configuration)?);
            }
            if object["kind"] == "StatefulSet" {
                set = object.clone();
            }
            if object["kind"] == "PrometheusRule" {
                self.rules(&serde_json::to_string(&object["spec"])?)?;
            }
        }
        match configurations.as_slice() {
            [configuration] => probes(&set, configuration),
            _ => Err(format!("the chart has {} configurations", configurations.len()).into()),
        }
    }

    /// The alerts, when they fire and when not, and the Prometheus that reads them.
    fn alerts(&self) -> Result<()> {
        self.rules(&fs::read_to_string("deploy/prometheus/alerts.yaml")?)?;
        let mut test = Command::new(&self.tools.promtool);
        command::run(test.args(["test", "rules", "deploy/prometheus/alerts_test.yaml"]))?;
        let mut configuration = Command::new(&self.tools.promtool);
        command::run(configuration.args(["check", "config", "deploy/prometheus/prometheus.yml"]))
    }

    /// The dashboard's queries, as rules: there they can be checked without a Grafana.
    fn dashboard(&self) -> Result<()> {
        let dashboard: Value = serde_json::from_str(&fs::read_to_string(DASHBOARD)?)?;
        let panels = dashboard["panels"].as_array().ok_or("the dashboard has no panels")?;
        let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
        let queries = targets.map(|target| target["expr"].as_str().unwrap_or_default());
        let rules: Vec<Value> = queries
            .enumerate()
            .map(|(number, query)| {
                let query = query.replace("$__rate_interval", "1m").replace("$__range", "1h");
                serde_json::json!({"record": format!("query_{number}"), "expr": query})
            })
            .collect();
        if rules.is_empty() {
            return Err("the dashboard asks for nothing".into());
        }
        let groups = serde_json::json!({"groups": [{"name": "dashboard", "rules": rules}]});
        self.rules(&groups.to_string())
    }

    fn rules(&self, rules: &str) -> Result<()> {
        let file = self.write("rules.yaml", rules)?;
        let mut check = Command::new(&self.tools.promtool);
        check.args(["check", "rules", "--lint=all", "--lint-fatal"]).arg(file);
        command::run(&mut check)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.scratch.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }
}

/// A probe speaks as the service listens.
fn probes(set: &Value, configuration: &Value) -> Result<()> {
    let api = &configuration["api"];
    let (tls, client_ca) = (api["tlsCertPath"].is_string(), api["tlsClientCAPath"].is_string());
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    for name in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let probe = &container[name];
        let fits = match probe["httpGet"].as_object() {
            Some(get) => !client_ca && tls == (get.get("scheme") == Some(&"HTTPS".into())),
            None => client_ca && probe["tcpSocket"].is_object(),
        };
        if !fits {
            return Err(format!("{CHART}: the {name} can't reach a service with {api}").into());
        }
    }
    Ok(())
}

/// The service accepts this configuration, with nothing from the environment.
fn accept(configuration: &Path) -> Result<()> {
    let mut serve = Command::new(service()?);
    serve.env_clear().args(["serve", "--check-config", "--config"]).arg(configuration);
    command::run(&mut serve)
}

/// Cargo has built it beside us.
fn service() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("milvus-cdc"))
}
