use expect_test::expect;

use super::*;

#[test]
fn a_hosts_file_is_read_as_resolvers_read_it() {
    let parsed = ResolvConf::parse(
        "# made by hand\ndomain old.example\nsearch corp.example lan ; trailing\n\
         nameserver 192.0.2.1\nnameserver 2001:db8::1 \nnameserver fe80::1%lo\nnameserver 192.0.2.4\n\
         nameserver nonsense\noptions timeout:1 rotate\n",
    );
    let scope = interface_index("lo").unwrap();
    assert_eq!(
        parsed.servers,
        ["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap(), {
            SocketAddr::V6(SocketAddrV6::new("fe80::1".parse().unwrap(), 53, 0, scope))
        }]
    );
    assert_eq!(parsed.search, ["corp.example", "lan"]);
    assert_eq!(parsed.options, ["timeout:1", "rotate"]);
}

#[test]
fn a_file_without_servers_means_the_host_itself() {
    let servers = ResolvConf::parse("search lan\n").servers_or_local();
    assert_eq!(servers, ["127.0.0.1:53".parse().unwrap()]);
}

#[test]
fn an_instance_asks_the_gateway_and_tries_bare_names_first() {
    let gateways = ["10.1.0.1".parse().unwrap(), "fd00:1::1".parse().unwrap()];
    let written = ResolvConf::for_instance(&gateways, &["corp.example".to_owned()], &[]).to_string();
    expect![[r#"
        nameserver 10.1.0.1
        nameserver fd00:1::1
        search corp.example
        options ndots:0
    "#]]
    .assert_eq(&written);
    let chosen = ResolvConf::for_instance(&gateways, &[], &["ndots:2".to_owned()]);
    assert_eq!(chosen.options, ["ndots:2"]);
}
