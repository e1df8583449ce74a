//! TLS of the HTTP API, with and without certificates of clients.

use crate::support::Harness;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::{Certificate, Identity};
use std::path::{Path, PathBuf};

/// An authority and what it has signed, as PEM files.
struct Papers {
    folder: tempfile::TempDir,
}

impl Papers {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca = authority.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        let issuer = Issuer::new(authority, key);
        for name in ["server", "client"] {
            let key = KeyPair::generate().unwrap();
            let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            let signed = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
            std::fs::write(folder.path().join(format!("{name}.pem")), signed.pem()).unwrap();
            let file = folder.path().join(format!("{name}.key"));
            std::fs::write(file, key.serialize_pem()).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn service(&self, client_ca: bool) -> Harness {
        let file = |name: &str| self.path(name).to_str().unwrap().to_owned();
        let (cert, key, ca) = (file("server.pem"), file("server.key"), file("ca.pem"));
        let mut variables = vec![
            ("MILVUS_CDC_API__TLSCERTPATH", cert.as_str()),
            ("MILVUS_CDC_API__TLSKEYPATH", key.as_str()),
        ];
        if client_ca {
            variables.push(("MILVUS_CDC_API__TLSCLIENTCAPATH", ca.as_str()));
        }
        Harness::start_with(&variables).await
    }
}

fn client(ca: Option<&Path>, identity: Option<(&Path, &Path)>) -> reqwest::Client {
    let mut client = reqwest::Client::builder().no_proxy();
    if let Some(ca) = ca {
        let ca = Certificate::from_pem(&std::fs::read(ca).unwrap()).unwrap();
        client = client.add_root_certificate(ca);
    }
    if let Some((cert, key)) = identity {
        let both = [std::fs::read(cert).unwrap(), std::fs::read(key).unwrap()].concat();
        client = client.identity(Identity::from_pem(&both).unwrap());
    }
    client.build().unwrap()
}

async fn works(client: &reqwest::Client, base: &str) -> bool {
    match client.get(format!("{base}/api/v1/version")).send().await {
        Ok(answer) => answer.status() == 200,
        Err(_) => false,
    }
}

#[tokio::test]
async fn with_a_certificate_the_service_speaks_only_tls() {
    let papers = Papers::new();
    let service = papers.service(false).await;
    assert!(service.base().starts_with("https://"));
    let ca = papers.path("ca.pem");
    assert!(works(&client(Some(&ca), None), service.base()).await);
    assert!(!works(&client(None, None), service.base()).await, "nobody vouches for it");
    let plain = service.base().replace("https://", "http://");
    assert!(!works(&client(None, None), &plain).await, "plain text is not answered");
}

#[tokio::test]
async fn with_a_client_authority_a_client_needs_a_certificate() {
    let papers = Papers::new();
    let service = papers.service(true).await;
    let ca = papers.path("ca.pem");
    assert!(!works(&client(Some(&ca), None), service.base()).await, "it showed none");
    let (cert, key) = (papers.path("client.pem"), papers.path("client.key"));
    assert!(works(&client(Some(&ca), Some((&cert, &key))), service.base()).await);
    let strangers = Papers::new();
    let (cert, key) = (strangers.path("client.pem"), strangers.path("client.key"));
    assert!(!works(&client(Some(&ca), Some((&cert, &key))), service.base()).await, "a stranger's");
}
