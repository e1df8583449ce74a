//! Tests a target with TLS that requires a certificate of its clients, whose files a task names.
//! Never without TLS: all other tests do that.

use lab::{MilvusTls, PairOptions};
use serde_json::json;
use tempfile::TempDir;
use testkit::milvus::Milvus;

use super::bench::Bench;
use super::load::Load;

#[tokio::test(flavor = "multi_thread")]
async fn a_target_behind_two_way_tls_is_replicated_to() {
    let files = TempDir::new().unwrap();
    lab::make_certificates(files.path()).unwrap();
    let target_tls = Some(MilvusTls::two_way(files.path()));
    let mut bench = Bench::of(PairOptions { target_tls, ..PairOptions::default() }).await;
    let address = bench.pair.target.address();
    bench.target = Milvus::over_tls(&address, files.path()).unwrap();
    let file = |name: &str| files.path().join(name).display().to_string();
    let request = json!({
        "milvus_connect_param": {
            "uri": format!("https://{address}"),
            "dial_config": {
                "ca_pem_path": file("ca.pem"),
                "client_pem_path": file("client.pem"),
                "client_key_path": file("client.key"),
            },
        },
        "db_collections": {"*": [{"name": "*"}]},
    });
    bench.task(request).await;
    let load = Load::on(&bench, "secured", 7).await;
    load.write(1000).await;
    // The files are read again by the next life.
    bench.service.kill().unwrap();
    load.write(1000).await;
    bench.service.restart().await.unwrap();
    load.write(1000).await;
    load.judge().await;
    bench.finish().await;
}
