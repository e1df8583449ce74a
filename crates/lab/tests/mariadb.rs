//! Tests the lab's database: it requires the password, and committed rows survive a crash. Uses
//! MariaDB's own client, never one of the product.

use lab::{Mariadb, MariadbOptions, READY_WITHIN, Server};

#[test]
fn a_database_asks_for_a_password_and_survives_a_crash() {
    lab::install_servers().unwrap();
    let run = tempfile::tempdir().unwrap();
    let mut server =
        Mariadb::start(&run.path().join("mariadb"), MariadbOptions::default()).unwrap();
    server.wait_ready(READY_WITHIN).unwrap();
    server.run(&[], "CREATE TABLE t (n INT); INSERT INTO t VALUES (7)").unwrap();
    let refused = server.run(&["--password=wrong"], "SELECT 1").unwrap_err();
    assert!(lab::with_causes(&refused).contains("Access denied"), "{refused:?}");
    server.kill().unwrap();
    assert!(!server.is_ready());
    server.bring_back().unwrap();
    assert_eq!(server.run(&[], "SELECT n FROM t").unwrap(), "7\n");
}
