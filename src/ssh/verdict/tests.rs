use std::path::PathBuf;

use proptest::prelude::*;
use russh::keys::key::safe_rng;
use russh::keys::ssh_key::certificate::Builder;
use russh::keys::{PrivateKey, PublicKey};

use super::super::known_hosts::{KnownHosts, Unread, line};
use super::*;

const NOW: u64 = 1_800_000_000;

fn private(algorithm: Algorithm) -> PrivateKey {
    PrivateKey::random(&mut safe_rng(), algorithm).unwrap()
}

fn ed25519() -> PrivateKey {
    private(Algorithm::Ed25519)
}

fn bytes(key: &PrivateKey) -> Vec<u8> {
    key.public_key().to_bytes().unwrap()
}

fn shown(key: &PrivateKey) -> Shown {
    Shown::new(&key.public_key().clone().into()).unwrap()
}

fn file(path: &str, text: &str) -> Arc<File> {
    Arc::new(File { path: PathBuf::from(path), content: Ok(KnownHosts::parse(text.as_bytes())), exists: true })
}

fn address(text: &str) -> SshAddress {
    SshAddress::parse(text, 22).unwrap()
}

fn judge_text(text: &str, at: &str, shown: &Shown) -> Result<Verdict, HostKey> {
    Known::Files(vec![file("/etc/kh", text)]).judge(&address(at), shown, NOW)
}

/// In one word.
fn outcome(text: &str, at: &str, shown: &Shown) -> &'static str {
    match judge_text(text, at, shown) {
        Ok(Verdict::Right) => "right",
        Ok(Verdict::New(_)) => "new",
        Err(refused) => match refused.kind {
            HostKeyKind::Changed => "changed",
            HostKeyKind::Revoked => "revoked",
            HostKeyKind::Certificate => "certificate",
            HostKeyKind::Unknown | HostKeyKind::Unreadable => "other",
        },
    }
}

#[test]
fn a_key_is_judged_by_all_lines_about_its_host() {
    let (mine, other, ecdsa) = (ed25519(), ed25519(), private(Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }));
    let (good, bad, of_other_type) = (line("", &bytes(&mine)), line("", &bytes(&other)), line("", &bytes(&ecdsa)));
    for (text, at, want) in [
        (format!("pve1{good}"), "pve1", "right"),
        (format!("pve1{good}"), "PVE1", "right"),
        (format!("pve2{good}"), "pve1", "new"),
        (format!("pve1{bad}"), "pve1", "changed"),
        // One that differs does not matter beside one that is the same, in either order.
        (format!("pve1{bad}\npve1{good}"), "pve1", "right"),
        (format!("pve1{good}\npve1{bad}"), "pve1", "right"),
        // A host of which another type is known is not a new one: whoever is in its place chooses what to show.
        (format!("pve1{of_other_type}"), "pve1", "changed"),
        (format!("*,!pve1{bad}"), "pve1", "new"),
        (format!("pve*{bad}"), "pve1", "changed"),
        (format!("pve1{good}\n@revoked *{good}"), "pve1", "revoked"),
        (format!("@revoked pve2{good}\npve1{good}"), "pve1", "right"),
        (format!("@revoked pve1{bad}\npve1{good}"), "pve1", "right"),
        (format!("@revoked *{good}"), "pve1", "revoked"),
        // The host without the port will do where nothing is known with it, and contradicts nothing.
        (format!("pve1{good}"), "pve1:2222", "right"),
        (format!("[pve1]:2222{good}"), "pve1:2222", "right"),
        (format!("[pve1]:2222{good}"), "pve1", "new"),
        (format!("pve1{bad}"), "pve1:2222", "new"),
        (format!("pve1{good}\n[pve1]:2222{bad}"), "pve1:2222", "changed"),
        (format!("@revoked pve1{good}"), "pve1:2222", "revoked"),
        // A host that is to show a certificate has to.
        (format!("@cert-authority pve1{bad}"), "pve1", "changed"),
        (format!("@cert-authority pve1{bad}\npve1{good}"), "pve1", "right"),
        (format!("@cert-authority pve1{good}"), "pve1", "changed"),
        (String::new(), "pve1", "new"),
    ] {
        assert_eq!(outcome(&text, at, &shown(&mine)), want, "{at}:\n{text}");
    }
}

fn certificate(host: &PrivateKey, authority: &PrivateKey, change: impl Fn(&mut Builder)) -> Shown {
    certificate_for(CertType::Host, host, authority, change)
}

fn certificate_for(kind: CertType, host: &PrivateKey, authority: &PrivateKey, change: impl Fn(&mut Builder)) -> Shown {
    let mut builder = Builder::new(vec![7; 16], host.public_key().clone(), NOW - 100, NOW + 100).unwrap();
    builder.cert_type(kind).unwrap();
    change(&mut builder);
    Shown::new(&PublicKeyOrCertificate::Certificate(builder.sign(authority).unwrap())).unwrap()
}

#[test]
fn a_certificate_of_a_known_authority_is_as_good_as_its_words() {
    let (host, authority) = (ed25519(), ed25519());
    let known = format!("@cert-authority *{}", line("", &bytes(&authority)));
    let named = |name: &'static str| {
        certificate(&host, &authority, move |builder| {
            builder.valid_principal(name).unwrap();
        })
    };
    let good = named("pve1");
    assert_eq!(outcome(&known, "pve1", &good), "right");
    assert_eq!(outcome(&known, "pve1:2222", &good), "right");
    assert_eq!(outcome(&known, "pve1", &named("*.lab")), "certificate");
    assert_eq!(outcome(&known, "pve1", &named("pve?")), "right");
    assert_eq!(outcome(&known, "pve2", &good), "certificate");
    assert_eq!(outcome("", "pve1", &good), "new");
    assert_eq!(outcome(&known, "pve1", &shown(&host)), "changed");
    // An authority that nobody knows makes a certificate a mere key.
    let foreign = format!("@cert-authority *{}", line("", &bytes(&ed25519())));
    assert_eq!(outcome(&foreign, "pve1", &good), "changed");
    assert_eq!(outcome(&format!("pve1{}", line("", &bytes(&host))), "pve1", &good), "right");
    // Neither the key in it nor the authority may be revoked.
    for revoked in [&host, &authority] {
        let text = format!("{known}\n@revoked pve1{}", line("", &bytes(revoked)));
        assert_eq!(outcome(&text, "pve1", &good), "revoked");
    }
    let all = certificate(&host, &authority, |builder| {
        builder.all_principals_valid().unwrap();
    });
    let user = certificate_for(CertType::User, &host, &authority, |builder| {
        builder.valid_principal("pve1").unwrap();
    });
    let critical = certificate(&host, &authority, |builder| {
        builder.valid_principal("pve1").unwrap().critical_option("x", "y").unwrap();
    });
    for (shown, wrong) in [(all, "names no host"), (user, "for users"), (critical, "critical options")] {
        let refused = judge_text(&known, "pve1", &shown).unwrap_err();
        assert!(refused.kind == HostKeyKind::Certificate && refused.message.contains(wrong), "{}", refused.message);
    }
}

#[test]
fn a_certificate_has_its_time_and_its_signature() {
    let (host, authority) = (ed25519(), ed25519());
    let files = vec![file("/etc/kh", &format!("@cert-authority *{}", line("", &bytes(&authority))))];
    let good = certificate(&host, &authority, |builder| {
        builder.valid_principal("pve1").unwrap();
    });
    let known = Known::Files(files);
    let at = |now: u64| known.judge(&address("pve1"), &good, now);
    assert_eq!((at(NOW - 100), at(NOW + 99)), (Ok(Verdict::Right), Ok(Verdict::Right)));
    assert!(at(NOW - 101).unwrap_err().message.contains("not valid yet"));
    assert!(at(NOW + 100).unwrap_err().message.contains("has run out"));

    // The authority's name on somebody else's signature.
    let mut forged = good.certificate.as_ref().unwrap().to_bytes().unwrap();
    let last = forged.last_mut().unwrap();
    *last ^= 1;
    let certificate = Certificate::from_bytes(&forged).unwrap();
    let forged = Shown::new(&PublicKeyOrCertificate::Certificate(certificate)).unwrap();
    assert!(known.judge(&address("pve1"), &forged, NOW).unwrap_err().message.contains("signature is wrong"));
}

#[test]
fn messages_say_where_and_what_to_do() {
    let (mine, other) = (ed25519(), ed25519());
    let print = |key: &PrivateKey| key.public_key().fingerprint(HashAlg::Sha256).to_string();
    let at = "192.0.2.11:2222";
    let add = line("[192.0.2.11]:2222", &bytes(&mine));

    let Ok(Verdict::New(unknown)) = judge_text("# nothing", at, &shown(&mine)) else { panic!("not new") };
    assert_eq!(unknown.kind, HostKeyKind::Unknown);
    assert!(unknown.message.ends_with(&format!("add this line: {add}")), "{}", unknown.message);
    assert_eq!(unknown.fingerprint.to_string(), print(&mine));
    assert_eq!(KnownHosts::parse(add.as_bytes()).about("[192.0.2.11]:2222").count(), 1);

    let changed = judge_text(&format!("\n\n{}", line("[192.0.2.11]:2222", &bytes(&other))), at, &shown(&mine));
    let changed = changed.unwrap_err().message;
    for words in ["/etc/kh:3", &print(&other), &format!("replace line 3 of /etc/kh with: {add}")] {
        assert!(changed.contains(words), "{words}: {changed}");
    }
    let revoked = judge_text(&format!("@revoked *{}", line("", &bytes(&mine))), at, &shown(&mine)).unwrap_err().message;
    assert!(revoked.contains("/etc/kh:1"), "{revoked}");

    let unread = Unread { reason: "permission denied".to_owned(), advice: "let us read it" };
    let unreadable = File { path: "/etc/kh".into(), content: Err(unread), exists: true };
    let good = file("/etc/kh2", &line("pve1", &bytes(&mine)));
    let unreadable = Known::Files(vec![good, Arc::new(unreadable)]).judge(&address("pve1"), &shown(&mine), NOW);
    let unreadable = unreadable.unwrap_err();
    assert!(unreadable.kind == HostKeyKind::Unreadable && unreadable.message.contains("/etc/kh"));
    assert!(unreadable.message.contains("permission denied; let us read it"), "{}", unreadable.message);

    let pin = Known::Pinned(SshFingerprint::parse(&print(&other)).unwrap());
    assert_eq!(pin.judge(&address("pve1"), &shown(&other), NOW), Ok(Verdict::Right));
    let pinned = pin.judge(&address("pve1"), &shown(&mine), NOW).unwrap_err().message;
    assert!(pinned.contains(&print(&other)), "{pinned}");

    for message in [&unknown.message, &changed, &revoked, &unreadable.message, &pinned] {
        assert!(message.contains("host key") && message.contains(&print(&mine)), "{message}");
        assert!(message.contains("nothing was sent") && !message.contains('\n'), "{message}");
    }
}

#[test]
fn hosts_are_asked_for_the_keys_that_are_known_of_them() {
    let ecdsa = line("", &bytes(&private(Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 })));
    let ed = line("", &bytes(&ed25519()));
    let types = |text: &str, at: &str| Known::Files(vec![file("x", text)]).types(&address(at));
    let first = |text: &str, at: &str| types(text, at).0[0].clone();
    let p384 = Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 };
    assert_eq!(first("", "pve1"), Algorithm::Ed25519);
    assert_eq!(first(&format!("pve1{ecdsa}"), "pve1"), p384);
    assert_eq!(first(&format!("pve2{ecdsa}"), "pve1"), Algorithm::Ed25519);
    assert_eq!(first(&format!("pve1{ecdsa}"), "pve1:2222"), p384);
    assert_eq!(first(&format!("pve1{ed}\n[pve1]:2222{ecdsa}"), "pve1:2222"), p384);
    assert_eq!(first(&format!("@revoked *{ecdsa}"), "pve1"), Algorithm::Ed25519);
    let rsa = "pve1 ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQ==";
    assert_eq!(first(rsa, "pve1"), Algorithm::Rsa { hash: Some(HashAlg::Sha512) });

    for text in [String::new(), format!("pve1{ed}"), format!("@cert-authority *{ed}")] {
        let (keys, certificates) = types(&text, "pve1");
        assert_eq!(keys.len(), TYPES.len(), "a host that lost its key is still heard");
        assert_eq!(certificates.is_empty(), !text.starts_with("@cert-authority"));
        assert!(!keys.contains(&Algorithm::Rsa { hash: None }));
    }
}

proptest! {
    #[test]
    fn no_text_panics_and_only_the_known_key_is_right(text in any::<String>(), bytes: Vec<u8>) {
        let key = PublicKey::from_openssh(
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILKXmHmYk8kGN3KkF0qidUfRudy9VJlK+5ROATnNP5X+"
        ).unwrap();
        let shown = Shown::new(&key.into()).unwrap();
        for content in [text.as_bytes(), bytes.as_slice()] {
            let file = File { path: "x".into(), content: Ok(KnownHosts::parse(content)), exists: true };
            let known = Known::Files(vec![Arc::new(file)]);
            prop_assert_ne!(known.judge(&address("pve1"), &shown, NOW), Ok(Verdict::Right));
            let _ = known.types(&address("pve1"));
        }
    }
}

#[test]
fn lines_that_are_none_are_told_where_they_may_be_the_reason() {
    let mine = shown(&ed25519());
    for (text, remark) in
        [("", "in /etc/kh,"), ("p v e 1\n# comment\nx y\n", "in /etc/kh (of which 2 lines are no entries),")]
    {
        let Ok(Verdict::New(unknown)) = judge_text(text, "pve1", &mine) else { panic!("{text}") };
        assert!(unknown.message.contains(remark), "{}", unknown.message);
    }
}
