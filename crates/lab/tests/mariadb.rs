//! The database of the lab: only who knows the password gets in, and what was committed survives a
//! crash. Asks with MariaDB's own client, so that no client of the product is judged here.

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
