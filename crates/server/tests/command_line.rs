//! The command line as a script uses it: exit codes, outputs, signals.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_milvus-cdc");

/// Neither etcd nor Kafka runs there: the service has to answer in any case.
const CONFIG: &str = "
metaStoreConfig: {sqlite: {path: STORE}}
sourceConfig:
  replicateChan: src-replicate-msg
  etcd: {address: '127.0.0.1:1'}
  kafka: {address: '127.0.0.1:1', saslUsername: u, saslPassword: hunter2}
limits: {finishMax: 1s}
";

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).env_remove("MILVUS_CDC_SERVER").output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A running `milvus-cdc serve`.
struct Service {
    child: Child,
    server: String,
    /// A thread reads it to its end; otherwise the service would stop at a full pipe.
    log: Option<JoinHandle<String>>,
}

impl Service {
    fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    /// Starts a service with these variables over its configuration.
    fn start_with(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let file = folder.join("cdc.yaml");
        let store = folder.join("cdc.db");
        std::fs::write(&file, CONFIG.replace("STORE", store.to_str().unwrap())).unwrap();
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--config", file.to_str().unwrap()])
            .env("MILVUS_CDC_ADDRESS", "127.0.0.1:0")
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut service = Self { child, server: String::new(), log: None };
        let mut said = String::new();
        loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "it ended: {said}");
            said.push_str(&line);
            if let Some((_, address)) = line.split_once("address=") {
                service.server = format!("http://{}", address.trim());
                let rest = std::thread::spawn(move || {
                    let mut rest = String::new();
                    log.read_to_string(&mut rest).unwrap();
                    rest
                });
                service.log = Some(rest);
                return service;
            }
        }
    }

    fn task(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["task", "--server", &self.server];
        all.extend(arguments);
        run(&all)
    }

    /// The exit code of a command that is interrupted once it has begun to print.
    fn interrupted(&self, arguments: &[&str]) -> i32 {
        let mut command = Command::new(PROGRAM);
        command.args(["task", "--server", &self.server]).args(arguments).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        signal(&child, "-INT");
        child.wait().unwrap().code().unwrap()
    }

    fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Its exit code and the rest of its log.
    fn wait(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        (status.code(), self.log.take().unwrap().join().unwrap())
    }
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_wrong_command_line_is_2() {
    for arguments in [
        &["nonsense"][..],
        &["task", "get"],
        &["task", "create"],
        &["task", "create", "--uri", "http://t"],
        &["task", "create", "--uri", "http://t", "--collection", "c", "--map", "x"],
        &["task", "create", "--file", "/no/such/file"],
        &["task", "--server", "not an address", "list"],
        &["task", "watch", "a", "--timeout", "soon"],
        &["serve", "--check-config", "--dump-config"],
    ] {
        let output = run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_3() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = run(&["task", "--server", &format!("http://{free}"), "list"]);
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("does not answer"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
}

#[test]
fn a_configuration_is_checked_and_dumped() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cdc.yaml");
    let name = file.to_str().unwrap();
    let missing = run(&["serve", "--config", name, "--check-config"]);
    assert_eq!(code(&missing), 1);
    assert!(stderr(&missing).contains("can't be read"), "{}", stderr(&missing));

    std::fs::write(&file, CONFIG).unwrap();
    assert_eq!(code(&run(&["serve", "--config", name, "--check-config"])), 0);
    let dump = run(&["serve", "--config", name, "--dump-config"]);
    assert_eq!(code(&dump), 0);
    assert!(stdout(&dump).contains("saslPassword: '***'"), "{}", stdout(&dump));
    assert!(!stdout(&dump).contains("hunter2"));

    std::fs::write(&file, "address: x\nmaxTaskNum: y\nnew: 1\n").unwrap();
    for flag in [&["--check-config"][..], &["--dump-config"], &[]] {
        let mut arguments = vec!["serve", "--config", name];
        arguments.extend(flag);
        let output = run(&arguments);
        assert_eq!((code(&output), stdout(&output).as_str()), (1, ""));
        let said = stderr(&output);
        for key in
            ["address", "maxTaskNum", "sourceConfig.replicateChan", "sourceConfig.kafka.address"]
        {
            assert!(said.contains(&format!("error: {key}: ")), "{key}: {said}");
        }
    }
    assert!(stderr(&run(&["serve", "--config", name, "--check-config"])).contains("warning: new"));
}

/// The health check of a container knows neither a token nor a certificate.
#[test]
fn a_health_check_needs_only_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let papers = rcgen::generate_simple_self_signed(["cdc.internal".to_owned()]).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (cert, key, config) = (path("cert.pem"), path("key.pem"), path("cdc.yaml"));
    std::fs::write(&cert, papers.cert.pem()).unwrap();
    std::fs::write(&key, papers.signing_key.serialize_pem()).unwrap();
    let tls = [("MILVUS_CDC_API__TLSCERTPATH", &*cert), ("MILVUS_CDC_API__TLSKEYPATH", &*key)];
    let tokens = [("MILVUS_CDC_API__MANAGETOKENS", "the-token-of-the-manager")];
    let client_ca = [("MILVUS_CDC_API__TLSCLIENTCAPATH", &*cert)];
    for variables in [vec![], [&tls[..], &tokens].concat(), [&tls[..], &client_ca].concat()] {
        let service = Service::start_with(folder.path(), &variables);
        let address = service.server.trim_start_matches("http://").to_owned();
        let health = |more: &[&str]| {
            let mut health = Command::new(PROGRAM);
            health.args(["health", "--config", &config]).args(more);
            let named = health.env("MILVUS_CDC_ADDRESS", &address);
            named.envs(variables.iter().copied()).output().unwrap()
        };
        for more in [&[][..], &["--ready"]] {
            let asked = health(more);
            assert_eq!(code(&asked), 0, "{variables:?} {more:?}: {}", stderr(&asked));
        }
        drop(service);
        let gone = health(&[]);
        assert_eq!(code(&gone), 3, "{}", stderr(&gone));
        assert!(stderr(&gone).contains(&address), "{}", stderr(&gone));
    }
    let unreadable = run(&["health", "--config", &path("missing.yaml")]);
    assert_eq!(code(&unreadable), 1, "{}", stderr(&unreadable));
}

#[test]
fn a_task_is_created_shown_paused_resumed_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let created = service.task(&[
        "create",
        "--uri",
        "http://127.0.0.1:1",
        "--token",
        "root:hunter3",
        "--task-id",
        "a",
        "--collection",
        "d.c",
        "--database",
        "e",
        "--map",
        "d.c=x.y",
    ]);
    assert_eq!((code(&created), stdout(&created).as_str()), (0, "a\n"), "{}", stderr(&created));
    let list = service.task(&["list"]);
    assert!(stdout(&list).contains("d.c,e.*"), "{}", stdout(&list));
    let json = service.task(&["get", "a", "--output", "json"]);
    let json: Value = serde_json::from_str(&stdout(&json)).unwrap();
    assert_eq!(json["task"]["state"], "Running");
    assert_eq!(json["task"]["name_mapping"][0]["collection_mapping"]["c"], "y");
    assert!(!json.to_string().contains("hunter3"));
    for arguments in [&["pause", "a"][..], &["resume", "a"], &["position", "a"], &["position"]] {
        let output = service.task(arguments);
        assert_eq!(code(&output), 0, "{arguments:?}: {}", stderr(&output));
    }
    let again = service.task(&["resume", "a"]);
    assert_eq!((code(&again), stdout(&again).as_str()), (1, ""));
    assert!(stderr(&again).contains("the task has running, task_id: a"), "{}", stderr(&again));
    let watched =
        service.task(&["watch", "a", "--until-caught-up", "--timeout", "1", "--interval", "0.2"]);
    // Without a source there is nothing to catch up with, but it is too soon to know that.
    assert_eq!(code(&watched), 4, "{}", stderr(&watched));
    assert!(stdout(&watched).lines().count() >= 3, "{}", stdout(&watched));
    assert_eq!(service.interrupted(&["watch", "a"]), 0);
    assert_eq!(service.interrupted(&["watch", "a", "--until-caught-up"]), 4, "it is not there");
    assert_eq!(code(&service.task(&["delete", "a"])), 0);
    assert_eq!(code(&service.task(&["delete", "a"])), 1);
    assert_eq!(code(&service.task(&["delete", "a", "--ignore-not-found"])), 0);
    assert_eq!(code(&service.task(&["watch", "a"])), 1);
}

#[test]
fn a_task_is_checked_before_it_is_created_and_asked_about_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let task = ["--uri", "http://127.0.0.1:1", "--task-id", "a", "--collection", "d.c"];
    let checked = service.task(&[&["check"][..], &task].concat());
    assert_eq!(code(&checked), 1, "the target is away: {}", stderr(&checked));
    assert!(
        stderr(&checked).contains("http://127.0.0.1:1 does not answer"),
        "{}",
        stderr(&checked)
    );
    assert!(stdout(&checked).starts_with("ID"), "{}", stdout(&checked));
    assert_eq!(code(&service.task(&["get", "a"])), 1, "it was only checked");

    assert_eq!(code(&service.task(&[&["create"][..], &task].concat())), 0);
    let again = service.task(&[&["check"][..], &task].concat());
    assert!(stderr(&again).contains("task_id: "), "{}", stderr(&again));
    for (verb, heading) in
        [("events", "AT_MS"), ("missed", "AT_MS"), ("collections", "ID"), ("lag", "CHANNEL")]
    {
        let shown = service.task(&[verb, "a"]);
        assert_eq!(code(&shown), 0, "{verb}: {}", stderr(&shown));
        assert!(stdout(&shown).starts_with(heading), "{verb}: {}", stdout(&shown));
        let json = service.task(&[verb, "a", "--output", "json"]);
        assert!(serde_json::from_str::<Value>(&stdout(&json)).unwrap().is_object(), "{verb}");
        assert_eq!(code(&service.task(&[verb, "unknown"])), 1, "{verb}");
    }
    let events = service.task(&["events", "a"]);
    assert!(stdout(&events).contains("started"), "{}", stdout(&events));
    assert_eq!(code(&service.task(&["get", "../x"])), 1);
}

#[test]
fn a_service_that_requires_a_token_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let token = "the-token-of-the-manager";
    let service = Service::start_with(folder.path(), &[("MILVUS_CDC_API__MANAGETOKENS", token)]);
    let refused = service.task(&["list"]);
    assert_eq!((code(&refused), stdout(&refused).as_str()), (1, ""));
    assert!(stderr(&refused).contains("Authorization: Bearer"), "{}", stderr(&refused));
    for arguments in [&["list"][..], &["position"]] {
        let shown = service.task(&[arguments, &["--api-token", token]].concat());
        assert_eq!(code(&shown), 0, "{}", stderr(&shown));
    }
    let from_environment = Command::new(PROGRAM)
        .args(["task", "--server", &service.server, "list"])
        .env("MILVUS_CDC_API_TOKEN", token)
        .output()
        .unwrap();
    assert_eq!(code(&from_environment), 0, "{}", stderr(&from_environment));
}

#[test]
fn a_service_that_speaks_tls_is_trusted_because_of_its_authority() {
    let folder = tempfile::tempdir().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cert = file("cert.pem", made.cert.pem());
    let key = file("key.pem", made.signing_key.serialize_pem());
    let variables =
        [("MILVUS_CDC_API__TLSCERTPATH", &*cert), ("MILVUS_CDC_API__TLSKEYPATH", &*key)];
    let mut service = Service::start_with(folder.path(), &variables);
    service.server = service.server.replace("http://", "https://");
    assert_eq!(code(&service.task(&["list"])), 3, "no authority is trusted");
    let trusted = service.task(&["list", "--api-ca", &cert]);
    assert_eq!(code(&trusted), 0, "{}", stderr(&trusted));
    let no_file = service.task(&["list", "--api-ca", "/no/such/file"]);
    assert_eq!(code(&no_file), 2, "{}", stderr(&no_file));
}

#[test]
fn a_file_contains_a_whole_request_or_only_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let file = folder.path().join("request.json");
    let name = file.to_str().unwrap();
    let data = r#"{
        "task_id": "ID",
        "milvus_connect_param": {"uri": "http://127.0.0.1:1"},
        "collection_infos": [{"name": "ID"}]
    }"#;
    std::fs::write(&file, data.replace("ID", "a")).unwrap();
    assert_eq!(stdout(&service.task(&["create", "--file", name])), "a\n");
    let whole =
        format!(r#"{{"request_type": "create", "request_data": {}}}"#, data.replace("ID", "b"));
    std::fs::write(&file, whole).unwrap();
    assert_eq!(stdout(&service.task(&["create", "--file", name])), "b\n");
    std::fs::write(&file, r#"{"request_type": "delete", "request_data": {}}"#).unwrap();
    assert_eq!(code(&service.task(&["create", "--file", name])), 2);
}

#[test]
fn tasks_survive_a_restart_and_the_service_ends_on_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    for id in ["a", "b"] {
        let output = service.task(&[
            "create",
            "--uri",
            "http://127.0.0.1:1",
            "--task-id",
            id,
            "--collection",
            id,
        ]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
    }
    assert_eq!(code(&service.task(&["pause", "a"])), 0);
    let begun = Instant::now();
    service.signal("-TERM");
    let (code, log) = service.wait();
    assert_eq!(code, Some(0), "{log}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());

    let service = Service::start(folder.path());
    let list = service.task(&["list", "--output", "json"]);
    let list: Value = serde_json::from_str(&stdout(&list)).unwrap();
    assert_eq!(list["tasks"][0]["state"], "Paused");
    assert_eq!(list["tasks"][1]["state"], "Running");
    service.signal("-INT");
    assert_eq!(service.wait().0, Some(0));
}

#[test]
fn an_address_in_use_is_reported() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cdc.yaml");
    let store = folder.path().join("cdc.db");
    std::fs::write(&file, CONFIG.replace("STORE", store.to_str().unwrap())).unwrap();
    let output = Command::new(PROGRAM)
        .args(["serve", "--config", file.to_str().unwrap()])
        .env("MILVUS_CDC_ADDRESS", taken.local_addr().unwrap().to_string())
        .output()
        .unwrap();
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("change `address`"), "{}", stderr(&output));
}
