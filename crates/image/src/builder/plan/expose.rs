//! EXPOSE: ports, ranges and protocols.

/// The ports of one word, `8000-8010/udp`; also in the form `address:host:port`, of which only the port counts.
pub(super) fn ports(word: &str) -> Result<Vec<String>, String> {
    let (ports, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
    let ports = ports.rsplit(':').next().unwrap_or(ports);
    let protocol = protocol.to_ascii_lowercase();
    if !["tcp", "udp", "sctp"].contains(&&protocol[..]) {
        return Err(format!("{word}: the protocol is tcp, udp or sctp"));
    }
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let number =
        |text: &str| text.parse::<u16>().map_err(|_| format!("{word} is not a port: a number up to 65535"));
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(format!("{word} ends before it starts"));
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

#[cfg(test)]
mod tests {
    use super::ports;

    #[test]
    fn ports_ranges_protocols() {
        assert_eq!(ports("80").unwrap(), ["80/tcp"]);
        assert_eq!(ports("53/UDP").unwrap(), ["53/udp"]);
        assert_eq!(ports("8000-8002/tcp").unwrap(), ["8000/tcp", "8001/tcp", "8002/tcp"]);
        assert_eq!(ports("127.0.0.1:80:8080").unwrap(), ["8080/tcp"]);
        for word in ["", "x", "80/", "80/icmp", "9-8", "70000", "-1"] {
            assert!(ports(word).is_err(), "{word}");
        }
    }
}
