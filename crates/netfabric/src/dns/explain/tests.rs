use expect_test::expect;

use super::*;

#[test]
fn the_words_say_the_answer_and_the_reason() {
    let table = Table::parse(
        br#"{
          "format": 1, "generation": 12,
          "networks": {
            "front": {
              "subnets": ["10.1.0.0/24"],
              "names": {"web": {"addresses": ["10.1.0.2", "10.1.0.3"], "rotate": true}},
              "reverse": {"10.1.0.2": "web-1.front"}
            },
            "back": {"names": {"web": {"addresses": ["10.9.0.1"]}}}
          },
          "instances": [
            {"addresses": ["10.1.0.2"], "networks": ["front", "back"], "own": {"self": ["10.1.0.2"]},
             "domains": ["shop.internal"], "upstream": {"servers": ["192.0.2.53"]}},
            {"addresses": ["10.1.0.3"], "networks": ["front"], "upstream": "nobody"}
          ]
        }"#,
    )
    .unwrap();
    let say = |source: &str, name| explain(&table, source.parse().unwrap(), name);
    let said = [
        say("10.1.0.2", "Web"),
        say("10.1.0.2", "self"),
        say("10.1.0.2", "db"),
        say("10.1.0.2", "db.shop.internal"),
        say("10.1.0.2", "example.com"),
        say("10.1.0.2", "2.0.1.10.in-addr.arpa"),
        say("10.1.0.2", "9.0.1.10.in-addr.arpa"),
        say("10.1.0.3", "example.com"),
        say("192.0.2.1", "web"),
    ];
    expect![[r#"
        web for 10.1.0.2: 10.1.0.2, 10.1.0.3, 10.9.0.1, starting with another one each time, from network front, then back (zone generation 12)
        self for 10.1.0.2: 10.1.0.2, its own name (zone generation 12)
        db for 10.1.0.2: no such name, because none of its networks has it, and names without a dot are not asked outside (zone generation 12)
        db.shop.internal for 10.1.0.2: no such name, because none of its networks has it, and shop.internal is the fabric's (zone generation 12)
        example.com for 10.1.0.2: not a name of its networks, asked of 192.0.2.53 (zone generation 12)
        2.0.1.10.in-addr.arpa for 10.1.0.2: is the address of web-1.front (zone generation 12)
        9.0.1.10.in-addr.arpa for 10.1.0.2: no such name, because the address belongs to network front and has no name its asker sees (zone generation 12)
        example.com for 10.1.0.3: refused, because it is attached to internal networks only (zone generation 12)
        web for 192.0.2.1: refused, because no instance has this source address (zone generation 12)
    "#]].assert_eq(&(said.join("\n") + "\n"));
}
