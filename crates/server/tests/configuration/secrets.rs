//! A configuration never shows its secrets, neither in its dump nor in its faults.

use crate::{MINIMAL, good, read};

#[test]
fn a_dump_can_be_read_again_and_shows_no_secret() {
    let text = "
logFormat: json
sourceConfig:
  replicateChan: r
  etcd: {enableAuth: true, username: u, password: hunter2}
  kafka:
    address: b:1
    saslUsername: k
    saslPassword: hunter3
    securityProtocol: sasl_ssl
    consumer: {ssl.key.password: hunter4, fetch.min.bytes: 7}
target: {keepAlive: 7s}
";
    let config = good(text, &[]);
    let dump = config.dump();
    assert!(!dump.contains("hunter"), "{dump}");
    assert_eq!(dump.matches("***").count(), 3, "{dump}");
    assert!(!format!("{config:?}").contains("hunter"));
    let (again, faults) = read(&dump, &[]);
    assert_eq!(faults.warnings, Vec::<String>::new());
    assert_eq!(again.unwrap().dump(), dump);
}

#[test]
fn tokens_and_certificates_secure_the_api_and_are_never_shown() {
    let token = "hunter2-hunter2-hunter2";
    let with = |api: &str| format!("api: {{{api}}}\n{MINIMAL}");
    let text = with(&format!("manageTokens: [{token}, other-{token}], readTokens: read-{token}"));
    let config = good(&text, &[]);
    assert_eq!((config.api.tokens.manage.len(), config.api.tokens.read.len()), (2, 1));
    assert!(config.api.tokens.are_required() && config.api.tls.is_none());
    assert!(!config.dump().contains("hunter2") && !format!("{config:?}").contains("hunter2"));
    assert_eq!(config.dump().matches("***").count(), 3);
    let (again, _) = read(&config.dump(), &[]);
    assert!(again.is_none(), "what stands for a token must not become one");
    let one = [("MILVUS_CDC_API__MANAGETOKENS", token), ("MILVUS_CDC_API_TOKEN", "the client's")];
    assert_eq!(good(MINIMAL, &one).api.tokens.manage.len(), 1);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hunter2.pem");
    std::fs::write(&file, "no certificate").unwrap();
    let file = file.to_str().unwrap();
    for (api, key) in [
        ("manageTokens: hunter2".to_owned(), "api.manageTokens"),
        ("manageTokens: hunter2 hunter2 hunter2".to_owned(), "api.manageTokens"),
        (format!("readTokens: {token}"), "api.manageTokens"),
        (format!("readTokens: {token}, manageTokens: {token}"), "api.readTokens"),
        ("tlsCertPath: /no/such, tlsKeyPath: /no/such".to_owned(), "api.tlsCertPath"),
        (format!("tlsCertPath: {file}"), "api.tlsCertPath"),
        (format!("tlsClientCAPath: {file}"), "api.tlsClientCAPath"),
        (format!("tlsCertPath: {file}, tlsKeyPath: {file}"), "api.tlsCertPath"),
    ] {
        let (config, faults) = read(&with(&api), &[]);
        assert!(config.is_none(), "{api}");
        assert!(faults.errors.iter().any(|e| e.key == key), "{api}: {:#?}", faults.errors);
        let tokens = faults.errors.iter().filter(|e| e.key.ends_with("Tokens"));
        tokens.for_each(|e| assert!(!e.to_string().contains("hunter2"), "{e}"));
    }
}

#[test]
fn an_error_about_a_secret_does_not_show_it() {
    let text = format!(
        "{MINIMAL}    saslPassword: x\n  \
         etcd: {{enableAuth: true, username: u, password: [hunter2]}}\n"
    );
    let text = text.replace(
        "{address: 'broker:9092'}\n    saslPassword: x",
        "{address: 'b:1', saslUsername: u, saslPassword: {hunter3: hunter3}}",
    );
    let (_, faults) = read(&text, &[]);
    assert_eq!(faults.errors.len(), 4, "{:#?}", faults.errors);
    let said =
        format!("{faults:?} {}", faults.errors.iter().map(ToString::to_string).collect::<String>());
    assert!(!said.contains("hunter"), "{said}");
}
