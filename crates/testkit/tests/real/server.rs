//! One Milvus for all tests of this program. It never outlives the process.

use std::sync::{Mutex, OnceLock, PoisonError};

use lab::{Etcd, EtcdOptions, MilvusOptions, Queue, READY_WITHIN, Server};
use tempfile::TempDir;
use testkit::milvus::Milvus;
use testkit::run_folder::run_folder;
use testkit::wait;

/// Uses this running Milvus instead of starting one.
const ADDRESS_VARIABLE: &str = "TESTKIT_MILVUS";

struct Running {
    _folder: TempDir,
    _etcd: Etcd,
    milvus: lab::Milvus,
}

/// A client of the Milvus.
pub(crate) async fn milvus() -> Milvus {
    let address = std::env::var(ADDRESS_VARIABLE).unwrap_or_else(|_| started());
    let milvus = Milvus::at(&address).unwrap();
    wait::until("the databases of Milvus", READY_WITHIN, || async {
        Ok(Some(milvus.databases().await?))
    })
    .await
    .unwrap();
    milvus
}

fn started() -> String {
    static RUNNING: OnceLock<Running> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::new(());
    let _alone = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    RUNNING.get_or_init(start).milvus.address()
}

fn start() -> Running {
    let installed = lab::install_servers().unwrap();
    let folder = run_folder().unwrap();
    let mut etcd = Etcd::start(&folder.path().join("etcd"), EtcdOptions::default()).unwrap();
    etcd.wait_ready(READY_WITHIN).unwrap();
    let options = MilvusOptions::new("testkit", etcd.client(), Queue::Rocksmq);
    let mut milvus =
        lab::Milvus::start(&installed, &folder.path().join("milvus"), options).unwrap();
    milvus.wait_ready(READY_WITHIN).unwrap();
    Running { _folder: folder, _etcd: etcd, milvus }
}
