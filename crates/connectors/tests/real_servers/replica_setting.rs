//! Tests the setting that makes a Milvus a replica, in an etcd with users. Never needs a Milvus:
//! the end-to-end test of a promotion has one.

use crate::support::own_etcd;
use connectors::Secret;
use connectors::etcd::{EtcdOptions, ReplicaSetting};
use milvus_wire::ids::CollectionId;
use replication::error::Kind;

#[tokio::test(flavor = "multi_thread")]
async fn the_setting_of_a_replica_is_written_by_whoever_may_and_by_nobody_else() {
    let (server, _run) = own_etcd(lab::EtcdOptions::default());
    let client = server.client();
    for key in ["by-dev/meta/session/proxy-7", "by-dev/meta/root-coord/fields/446/100"] {
        client.run(&["put", key, "{}"]).unwrap();
    }
    for command in [
        "role add reader",
        "role grant-permission reader --prefix=true read by-dev/",
        "user add reader:right",
        "user grant-role reader reader",
        "user add root:right",
        "user grant-role root root",
        "auth enable",
    ] {
        client.run(&command.split(' ').collect::<Vec<_>>()).unwrap();
    }
    let login = |username: &str, password: &str| {
        let endpoints = vec![server.endpoint()];
        let (username, password) = (username.to_owned(), Secret::new(password));
        ReplicaSetting::new(EtcdOptions { endpoints, username, password, ..Default::default() })
            .unwrap()
    };
    let nobody = login("reader", "wrong").proxies().await.unwrap_err();
    assert!(nobody.what.contains("refuses the login"), "{nobody}");

    let reader = login("reader", "right");
    assert_eq!(reader.proxies().await.unwrap(), [7].into());
    assert!(reader.has_collection(CollectionId(446)).await.unwrap());
    assert!(!reader.has_collection(CollectionId(44)).await.unwrap());
    for refused in [reader.check_writable().await, reader.put("true").await] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind, Kind::Permanent, "{refused}");
        assert!(refused.what.contains("by-dev/config/common/ttMsgEnabled"), "{refused}");
    }
    assert_eq!(reader.read().await.unwrap(), None);

    let root = login("root", "right");
    root.check_writable().await.unwrap();
    assert_eq!(reader.read().await.unwrap(), None, "that was no write");
    root.put("true").await.unwrap();
    assert_eq!(reader.read().await.unwrap().as_deref(), Some("true"));
    assert_eq!(reader.other_spellings().await.unwrap(), Vec::<String>::new());
    root.remove().await.unwrap();
    assert_eq!(reader.read().await.unwrap(), None);
}
