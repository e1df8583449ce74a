//! The etcd of a target: how the command line names it, and what shows that it is the one of this
//! target. Never shows the password, and never writes anything but the setting.

use super::super::failure::Failure;
use super::super::outcome::Outcome;
use super::super::output;
use clap::Args;
use connectors::etcd::{EtcdOptions, ReplicaSetting};
use connectors::{Secret, TlsFiles};
use milvus_wire::ids::CollectionId;
use replication::error::{Error, Kind};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The options that an error of etcd may come from.
const OPTIONS: &str = "check --etcd, --etcd-username and --etcd-password-file, --etcd-ca, \
                       --etcd-cert and --etcd-key";

/// The etcd of the target.
#[derive(Args, Debug)]
pub(super) struct EtcdArgs {
    /// The etcd of the target, as its `etcd.endpoints`.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',', required = true)]
    etcd: Vec<String>,
    /// The target's `etcd.rootPath`.
    #[arg(long, value_name = "PATH")]
    root_path: String,
    /// The target's `etcd.metaSubPath`.
    #[arg(long, value_name = "PATH", default_value = "meta")]
    meta_sub_path: String,
    /// A user of that etcd, if it requires a login.
    #[arg(long, value_name = "USER", requires = "etcd_password_file")]
    etcd_username: Option<String>,
    /// A file with the password of that user; a line end behind it is left out.
    #[arg(long, value_name = "FILE", requires = "etcd_username")]
    etcd_password_file: Option<PathBuf>,
    /// A PEM file with the authorities that may sign the certificate of that etcd.
    #[arg(long, value_name = "FILE")]
    etcd_ca: Option<PathBuf>,
    /// A PEM file with the client's certificate, if that etcd requires one.
    #[arg(long, value_name = "FILE", requires = "etcd_key")]
    etcd_cert: Option<PathBuf>,
    /// A PEM file with the key of that certificate.
    #[arg(long, value_name = "FILE", requires = "etcd_cert")]
    etcd_key: Option<PathBuf>,
}

impl EtcdArgs {
    fn options(&self) -> Result<EtcdOptions, Failure> {
        if self.etcd.iter().any(|endpoint| endpoint.contains('@')) {
            let what = "--etcd has a login in an endpoint, which would be shown; give \
                        --etcd-username and --etcd-password-file";
            return Err(Failure::new(Outcome::Usage, what));
        }
        let file = |path: &Option<PathBuf>| path.clone().unwrap_or_default();
        let files = TlsFiles {
            server_name: String::new(),
            ca: file(&self.etcd_ca),
            cert: file(&self.etcd_cert),
            key: file(&self.etcd_key),
        };
        Ok(EtcdOptions {
            endpoints: self.etcd.iter().map(|it| it.trim().to_owned()).collect(),
            root_path: self.root_path.clone(),
            meta_sub_path: self.meta_sub_path.clone(),
            username: self.etcd_username.clone().unwrap_or_default(),
            password: self.password()?,
            tls: (files != TlsFiles::default()).then_some(files),
            ..EtcdOptions::default()
        })
    }

    fn password(&self) -> Result<Secret, Failure> {
        let Some(file) = &self.etcd_password_file else { return Ok(Secret::default()) };
        let read = std::fs::read_to_string(file).map_err(|e| {
            let what = format!("--etcd-password-file: {} can't be read: {e}", file.display());
            Failure::new(Outcome::Usage, what)
        });
        Ok(Secret::new(read?.trim_end_matches(['\r', '\n'])))
    }
}

/// The etcd of the target.
pub(super) struct TargetEtcd {
    /// As it was named.
    endpoints: String,
    root_path: String,
    setting: ReplicaSetting,
}

impl TargetEtcd {
    /// Connects when it is first needed.
    pub(super) fn new(args: &EtcdArgs) -> Result<Self, Failure> {
        let setting = ReplicaSetting::new(args.options()?);
        let setting = setting.map_err(|e| {
            Failure::new(Outcome::Usage, format!("{}; {OPTIONS}", output::with_causes(&e)))
        })?;
        let (endpoints, root_path) = (args.etcd.join(","), args.root_path.clone());
        Ok(Self { endpoints, root_path, setting })
    }

    /// Where the setting is, for people.
    pub(super) fn place(&self) -> String {
        format!("{} in etcd {}", self.setting.key(), self.endpoints)
    }

    /// Refuses an etcd and a root path that are not those of the target, and a setting that can't
    /// be written. `target`: the service's answer about it.
    pub(super) async fn prove(&self, target: &Value) -> Result<(), Failure> {
        let there = self.setting.proxies().await.map_err(|e| self.failed(&e))?;
        let proxies = output::items(&target["proxies"]).iter().filter_map(Value::as_i64);
        let collection = target["collection_id"].as_i64().map(CollectionId);
        let has_collection = match collection {
            Some(id) => self.setting.has_collection(id).await.map_err(|e| self.failed(&e))?,
            None => false,
        };
        if let Some(wrong) = objection(&proxies.collect(), &there, collection, has_collection) {
            let uri = output::text(&target["uri"]);
            let what = format!(
                "--etcd {} and --root-path {} are not shown to be those of the target {uri}, and \
                 nothing was changed: {wrong} (looked for below {}); give the etcd.endpoints, \
                 etcd.rootPath and, if it is not `meta`, etcd.metaSubPath of its milvus.yaml",
                self.endpoints,
                self.root_path,
                self.setting.sessions(),
            );
            return Err(Failure::new(Outcome::Refused, what));
        }
        let others = self.setting.other_spellings().await.map_err(|e| self.failed(&e))?;
        if !others.is_empty() {
            let what = format!(
                "etcd {} has the same setting as {}, and Milvus may take either, so nothing was \
                 changed; remove that key",
                self.endpoints,
                others.join(" and ")
            );
            return Err(Failure::new(Outcome::Refused, what));
        }
        self.setting.check_writable().await.map_err(|e| self.failed(&e))
    }

    /// What the setting is; `None`: not set there.
    pub(super) async fn read(&self) -> Result<Option<String>, Failure> {
        self.setting.read().await.map_err(|e| self.failed(&e))
    }

    /// Sets it.
    pub(super) async fn put(&self, value: &str) -> Result<(), Failure> {
        self.setting.put(value).await.map_err(|e| self.failed(&e))
    }

    /// Removes it.
    pub(super) async fn remove(&self) -> Result<(), Failure> {
        self.setting.remove().await.map_err(|e| self.failed(&e))
    }

    fn failed(&self, error: &Error) -> Failure {
        let outcome = match error.kind {
            Kind::Transient => Outcome::Unreachable,
            _ => Outcome::Refused,
        };
        let what = format!(
            "{}; {OPTIONS}; the user needs to read what is below {} and to write {}",
            output::with_causes(error),
            self.root_path,
            self.setting.key()
        );
        Failure::new(outcome, what)
    }
}

/// Why an etcd is not the one of a target.
fn objection(
    proxies: &BTreeSet<i64>,
    there: &BTreeSet<i64>,
    collection: Option<CollectionId>,
    has_collection: bool,
) -> Option<String> {
    let list = |ids: &BTreeSet<i64>| {
        let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
        ids.join(", ")
    };
    if proxies.is_empty() {
        return Some(
            "the target does not tell the ids of its proxies, perhaps because the user of its \
             tasks may not ask for them"
                .to_owned(),
        );
    }
    if proxies.is_disjoint(there) {
        let found = match there.is_empty() {
            true => "none is registered there".to_owned(),
            false => format!("the proxies {} are registered there", list(there)),
        };
        return Some(format!("the target's proxy is {}, and {found}", list(proxies)));
    }
    // Proxies are numbered from one on in every etcd, so that another one may have the same. The
    // id of a collection is made of the time.
    match collection {
        None => Some(
            "the target has no collection, or does not tell it, and nothing else shows which etcd \
             is its own; promote it by a restart, as docs/promote.md says"
                .to_owned(),
        ),
        Some(id) if !has_collection => {
            Some(format!("the target has a collection {id}, which is not there"))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_in_an_endpoint_is_refused_and_not_shown() {
        let args = EtcdArgs {
            etcd: vec!["https://u:hunter2@etcd:2379".to_owned()],
            root_path: "by-dev".to_owned(),
            meta_sub_path: "meta".to_owned(),
            etcd_username: None,
            etcd_password_file: None,
            etcd_ca: None,
            etcd_cert: None,
            etcd_key: None,
        };
        let refused = TargetEtcd::new(&args).err().unwrap();
        assert!(refused.what.contains("--etcd-username"), "{}", refused.what);
        assert!(!refused.what.contains("hunter2"), "{}", refused.what);
    }

    #[test]
    fn an_etcd_is_the_targets_if_it_has_a_proxy_and_a_collection_of_it() {
        let ids = |ids: &[i64]| ids.iter().copied().collect::<BTreeSet<_>>();
        let collection = Some(CollectionId(446));
        assert_eq!(objection(&ids(&[7]), &ids(&[6, 7]), collection, true), None);
        let unknown = objection(&ids(&[7]), &ids(&[7]), None, false).unwrap();
        assert!(unknown.contains("has no collection"), "{unknown}");
        let told = |proxies: &[i64], there: &[i64], has: bool| {
            objection(&ids(proxies), &ids(there), collection, has).unwrap()
        };
        assert!(told(&[], &[7], true).contains("does not tell"));
        assert!(told(&[7], &[], true).contains("none is registered there"));
        assert!(told(&[7, 8], &[9], true).contains("is 7, 8, and the proxies 9 are"));
        assert!(told(&[7], &[7], false).contains("collection 446, which is not there"));
    }
}
