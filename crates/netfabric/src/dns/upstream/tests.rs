use super::*;

fn server(text: &str) -> SocketAddr {
    format!("{text}:53").parse().unwrap()
}

#[test]
fn a_server_that_let_us_wait_is_asked_last_for_a_while() {
    let (first, second) = (server("192.0.2.1"), server("192.0.2.2"));
    let mut servers = Servers::new(Resolvers::List(vec![first, second]));
    let start = Instant::now();
    servers.timed_out(first, start);
    assert_eq!(servers.choose(&Upstream::Host, &[], start), [second, first]);
    assert_eq!(servers.choose(&Upstream::Host, &[], start + DEMOTED_FOR), [first, second]);
    servers.timed_out(first, start);
    servers.answered(first);
    assert_eq!(servers.choose(&Upstream::Host, &[], start), [first, second]);
}

#[test]
fn we_are_never_our_own_upstream() {
    let ours: IpAddr = "10.1.0.1".parse().unwrap();
    let mut servers = Servers::new(Resolvers::List(vec![server("10.1.0.1")]));
    assert!(servers.choose(&Upstream::Host, &[ours], Instant::now()).is_empty());
    let listed = Upstream::Servers(vec![ours, "192.0.2.9".parse().unwrap()]);
    assert_eq!(servers.choose(&listed, &[ours], Instant::now()), [server("192.0.2.9")]);
    assert!(servers.choose(&Upstream::Nobody, &[], Instant::now()).is_empty());
}

#[test]
fn the_hosts_file_is_followed_through_links() {
    let directory = tempfile::tempdir().unwrap();
    let (real, link) = (directory.path().join("stub"), directory.path().join("resolv.conf"));
    std::fs::write(&real, "nameserver 192.0.2.1\n").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let mut servers = Servers::new(Resolvers::File(link));
    let start = Instant::now();
    assert_eq!(servers.choose(&Upstream::Host, &[], start), [server("192.0.2.1")]);
    std::fs::write(&real, "nameserver 192.0.2.22\n").unwrap();
    assert_eq!(servers.choose(&Upstream::Host, &[], start), [server("192.0.2.1")], "looked at a moment ago");
    assert_eq!(servers.choose(&Upstream::Host, &[], start + LOOK_EVERY), [server("192.0.2.22")]);
    std::fs::remove_file(&real).unwrap();
    assert_eq!(servers.choose(&Upstream::Host, &[], start + 2 * LOOK_EVERY), [server("192.0.2.22")]);
}
