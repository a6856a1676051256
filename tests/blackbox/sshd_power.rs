//! Hosts switched before OpenSSH's own sshd: what acts has a key of its own, and what reads never acts.

use std::fs;

use pve_sentinel::ids::TokenHash;
use serde_json::json;

use crate::control::{json, post};
use crate::sshd::{Sshd, fingerprint, keygen, user, wait_for};
use crate::support::Exporter;

const TOKEN: &str = "pvs_machinesmachinesmachinesmachinesmachines123";

#[test]
fn who_acts_has_a_key_of_its_own_in_the_log_of_sshd() {
    let mut sshd = Sshd::start("ed25519", "256");
    keygen(&sshd.path("power"), "ed25519", "256", "");
    let (marker, reader) = (sshd.path("marker"), fs::read_to_string(sshd.path("id.pub")).unwrap());
    let actor = fs::read_to_string(sshd.path("power.pub")).unwrap();
    // The key that reads can do nothing else, the key that acts no more than this.
    let forced = format!("command=\"echo $SSH_ORIGINAL_COMMAND >>{}\",restrict {actor}", marker.display());
    fs::write(sshd.path("authorized"), format!("command=\"true\",restrict {reader}{forced}")).unwrap();
    let state = sshd.path("state");
    let control = format!(
        "control = {{ ssh_user = \"{}\", ssh_key_path = {:?}, shutdown = \"poweroff\", reboot = \"exit 3\" }}\n",
        user(),
        sshd.path("power")
    );
    let config = format!(
        "state_dir = {state:?}\n[scrape]\nmax_age = \"0s\"\n[control]\ntokens = [{{ name = \"ops\", sha256 = \"{}\", scopes = [\"host-power\"] }}]\n{}{control}",
        TokenHash::of(TOKEN).hex(),
        sshd.host(&sshd.line())
    );
    let exporter = Exporter::serve(&config);
    exporter.page("/metrics?collect[]=host");
    let [reads, acts] = ["id.pub", "power.pub"].map(|name| fingerprint(&sshd.path(name)));
    wait_for("nobody reads", || sshd.count(&reads) > 0);
    assert_eq!(sshd.count(&acts), 0, "{}", sshd.log());
    let logins = |sshd: &Sshd, key: &str| {
        sshd.log().lines().filter(|line| line.contains("Accepted publickey") && line.contains(key)).count()
    };
    let read_before = logins(&sshd, &reads);
    let reply = std::thread::scope(|scope| {
        let asked = scope.spawn(|| post(&exporter, TOKEN, "/api/v1/hosts/nas/shutdown?wait=1m", &[], ""));
        wait_for("nothing was asked", || marker.exists());
        sshd.stop();
        asked.join().unwrap()
    });
    assert_eq!((reply.status, &json(&reply)["changed"]), (200, &json!(true)), "{reply:?}");
    assert_eq!(fs::read_to_string(&marker).unwrap(), "poweroff\n");
    assert_eq!((logins(&sshd, &acts), logins(&sshd, &reads)), (1, read_before), "{}", sshd.log());
}
