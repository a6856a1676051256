//! Names without the C library: `/etc/hosts`, `localhost`, then the name servers of `/etc/resolv.conf`. Both files are read
//! at each lookup, as there is one only when a connection is made.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverConfig, ResolverOpts, ServerOrderingStrategy};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::parse_resolv_conf;

/// Where a system says how names are found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places<'a> {
    pub(super) hosts: &'a str,
    pub(super) resolv_conf: &'a str,
    /// One folder for each network interface, in which `ifindex` has its number.
    pub(super) interfaces: &'a str,
}

/// Those of Linux.
pub(super) const SYSTEM: Places<'_> =
    Places { hosts: "/etc/hosts", resolv_conf: "/etc/resolv.conf", interfaces: "/sys/class/net" };

/// The largest file that is read, in bytes: a lookup is waited for.
const LARGEST: u64 = 8 << 20;

/// What the C library asks where no name server is written down.
const HERE: &str = "nameserver 127.0.0.1\n";

/// The addresses of a name, or of an IPv6 address with a zone.
///
/// # Errors
/// As [`super::lookup`].
pub(super) async fn lookup(host: &str, port: u16, places: Places<'_>) -> io::Result<Vec<SocketAddr>> {
    if let Some((address, zone)) = host.split_once('%') {
        return zoned(address, zone, port, places.interfaces).map(|found| vec![found.into()]);
    }
    let mut found = in_hosts(&read(places.hosts)?, host);
    if found.is_empty() && is_this_machine(host) {
        found = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    if found.is_empty() {
        let (config, options) = settings(&read(places.resolv_conf)?)?;
        found = by_dns(host, config, options).await?;
    }
    Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect())
}

fn is_this_machine(host: &str) -> bool {
    host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case("localhost")
}

/// What is not there says nothing; nor does what is no regular file, or too long for one of its kind.
fn read(path: &str) -> io::Result<String> {
    match bounded(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(io::Error::new(error.kind(), format!("{path}: {error}"))),
    }
}

fn bounded(path: &str) -> io::Result<Vec<u8>> {
    // Looked at before it is opened: to open a pipe waits for somebody to write.
    if !std::fs::metadata(path)?.is_file() {
        return Err(ErrorKind::NotFound.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST { Err(ErrorKind::NotFound.into()) } else { Ok(bytes) }
}

/// An address of this machine's own network, such as `fe80::1%eth0`.
fn zoned(address: &str, zone: &str, port: u16, interfaces: &str) -> io::Result<SocketAddrV6> {
    let address = address.parse::<Ipv6Addr>().map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
    let named = || {
        let fits = !zone.contains('/') && !zone.starts_with('.');
        let file = Path::new(interfaces).join(zone).join("ifindex");
        fits.then(|| std::fs::read_to_string(file).ok()?.trim().parse().ok()).flatten()
    };
    let index = zone.parse().ok().or_else(named);
    let index =
        index.ok_or_else(|| io::Error::new(ErrorKind::NotFound, format!("no network interface {zone} here")))?;
    Ok(SocketAddrV6::new(address, port, 0, index))
}

/// The addresses that a text in the form of `/etc/hosts` gives a name.
fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let of_line = |line: &str| {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let address = words.next()?.parse::<IpAddr>().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
    };
    let mut found = Vec::new();
    for address in text.lines().filter_map(of_line) {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// What a text in the form of `/etc/resolv.conf` says, in the order in which it says it.
fn settings(text: &str) -> io::Result<(ResolverConfig, ResolverOpts)> {
    let has_server = text.lines().any(|line| line.split_whitespace().next() == Some("nameserver"));
    let text = format!("{text}\n{}", if has_server { "" } else { HERE });
    let (config, mut options) =
        parse_resolv_conf(text).map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string()))?;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    options.use_hosts_file = ResolveHosts::Never;
    Ok((config, options))
}

async fn by_dns(host: &str, config: ResolverConfig, options: ResolverOpts) -> io::Result<Vec<IpAddr>> {
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    let resolver = builder.build().map_err(|error| fault(&error))?;
    let found = resolver.lookup_ip(host).await.map_err(|error| fault(&error))?;
    Ok(found.into_iter().collect())
}

fn fault(error: &NetError) -> io::Error {
    if error.is_no_records_found() {
        let why = "the name is known neither to /etc/hosts nor to the name servers of /etc/resolv.conf";
        return io::Error::new(ErrorKind::NotFound, why);
    }
    io::Error::other(format!("no answer from the name servers of /etc/resolv.conf: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::config::{ConnectionConfig, NameServerConfig};
    use proptest::prelude::*;
    use tokio::net::UdpSocket;

    /// A folder with such files, and a network interface `eth0`.
    fn system(hosts: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("hosts"), hosts).unwrap();
        std::fs::create_dir_all(folder.path().join("net/eth0")).unwrap();
        std::fs::write(folder.path().join("net/eth0/ifindex"), "7\n").unwrap();
        folder
    }

    async fn ask(folder: &tempfile::TempDir, host: &str) -> io::Result<Vec<String>> {
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let (hosts, resolv_conf, interfaces) = (path("hosts"), path("resolv.conf"), path("net"));
        let places = Places { hosts: &hosts, resolv_conf: &resolv_conf, interfaces: &interfaces };
        let found = lookup(host, 80, places).await?;
        Ok(found.iter().map(ToString::to_string).collect())
    }

    #[tokio::test]
    async fn hosts_come_first() {
        let folder = system(
            "# 192.0.2.1 nas\n192.0.2.2\tother NAS nas.lan # nas2\n\nnonsense nas\n2001:db8::2 nas\n192.0.2.2 nas\n",
        );
        assert_eq!(ask(&folder, "nas").await.unwrap(), ["192.0.2.2:80", "[2001:db8::2]:80"]);
        assert_eq!(ask(&folder, "Nas.LAN.").await.unwrap(), ["192.0.2.2:80"]);
        let folder = system("127.0.0.9 localhost\n");
        assert_eq!(ask(&folder, "localhost").await.unwrap(), ["127.0.0.9:80"]);
    }

    #[tokio::test]
    async fn this_machine_needs_no_files() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ask(&folder, "localhost").await.unwrap(), ["127.0.0.1:80", "[::1]:80"]);
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the standard library makes no pipes with names")]
    async fn what_is_no_file_of_that_kind_is_taken_for_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        let hosts = path("hosts");
        assert!(std::process::Command::new("mkfifo").arg(&hosts).status().unwrap().success());
        assert_eq!(ask(&folder, "localhost").await.unwrap(), ["127.0.0.1:80", "[::1]:80"]);
        std::fs::remove_file(&hosts).unwrap();
        let line = "127.0.0.9 localhost\n";
        for (length, found) in [(LARGEST, "127.0.0.9:80"), (LARGEST + 1, "127.0.0.1:80")] {
            std::fs::write(&hosts, line).unwrap();
            File::options().write(true).open(&hosts).unwrap().set_len(length).unwrap();
            assert_eq!(ask(&folder, "localhost").await.unwrap()[0], found, "{length}");
        }
        std::fs::remove_file(&hosts).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &hosts).unwrap();
        assert_eq!(ask(&folder, "localhost").await.unwrap()[0], "127.0.0.1:80");
    }

    #[tokio::test]
    async fn a_zone_is_an_interface() {
        let folder = system("");
        assert_eq!(ask(&folder, "fe80::1%eth0").await.unwrap(), ["[fe80::1%7]:80"]);
        assert_eq!(ask(&folder, "fe80::1%3").await.unwrap(), ["[fe80::1%3]:80"]);
        for host in ["fe80::1%eth1", "fe80::1%../net/eth0", "fe80::1%/eth0", "nas%eth0"] {
            assert!(ask(&folder, host).await.is_err(), "{host}");
        }
    }

    #[test]
    fn resolv_conf_is_followed() {
        let (config, options) =
            settings("nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch lan\noptions ndots:2 timeout:1").unwrap();
        let servers: Vec<String> = config.name_servers().iter().map(|server| server.ip.to_string()).collect();
        assert_eq!(servers, ["192.0.2.53", "2001:db8::53"]);
        assert_eq!((config.search().len(), options.ndots, options.timeout.as_secs()), (1, 2, 1));
        let (config, _) = settings("# nothing\n").unwrap();
        assert_eq!(config.name_servers().iter().map(|server| server.ip).collect::<Vec<_>>(), [Ipv4Addr::LOCALHOST]);
    }

    /// Answers each question: `nas.lan` has an address, all else does not exist.
    async fn name_server(socket: UdpSocket) {
        let mut bytes = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
            let question_ends = 12 + bytes[12..length].iter().position(|byte| *byte == 0).unwrap() + 5;
            let is_it = bytes[12..].starts_with(b"\x03nas\x03lan\0\0\x01");
            let exists = bytes[12..].starts_with(b"\x03nas\x03lan\0");
            let flags = if exists { [0x81, 0x80] } else { [0x81, 0x83] };
            let mut answer = [&bytes[..2], &flags, &[0, 1, 0, u8::from(is_it), 0, 0, 0, 0]].concat();
            answer.extend_from_slice(&bytes[12..question_ends]);
            if is_it {
                answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 99]);
            }
            socket.send_to(&answer, from).await.unwrap();
        }
    }

    #[tokio::test]
    async fn name_servers_are_asked_for_the_rest() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut connection = ConnectionConfig::udp();
        connection.port = socket.local_addr().unwrap().port();
        let server = NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![connection]);
        tokio::spawn(name_server(socket));
        let ask = async |host: &str| {
            let (config, options) = settings("nameserver 127.0.0.1\nsearch lan").unwrap();
            let (domain, search, _) = config.into_parts();
            by_dns(host, ResolverConfig::from_parts(domain, search, vec![server.clone()]), options).await
        };
        let expected: IpAddr = [192, 0, 2, 99].into();
        assert_eq!(ask("nas.lan").await.unwrap(), [expected]);
        assert_eq!(ask("nas").await.unwrap(), [expected], "in the search domain");
        let error = ask("nobody.lan").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().starts_with("the name is known neither"), "{error}");
    }

    proptest! {
        #[test]
        fn no_file_of_the_system_panics(text in "[ -~\n\t#]{0,80}", host in ".{0,20}") {
            in_hosts(&text, &host);
            drop(settings(&text));
            drop(zoned(&text, &host, 1, "/nowhere"));
        }
    }
}
