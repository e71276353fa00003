//! The short form of a port: `[[IP:]HOST[-RANGE]:]CONTAINER[-RANGE][/PROTOCOL]`. An IPv6 address needs no brackets.

use std::net::IpAddr;

/// One published or exposed port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Address to listen on; empty for all.
    pub host_ip: String,
    /// Host port or range; empty lets the system choose.
    pub published: String,
    /// Port in the container.
    pub target: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// Spells a short form out: one entry per container port, in the order of their text (as the reference).
///
/// # Errors
/// The text of the reason.
pub fn parse(text: &str) -> Result<Vec<Port>, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (address, host, container) = match parts.as_slice() {
        [container] => (String::new(), "", *container),
        [host, container] => (String::new(), *host, *container),
        [address @ .., host, container] => (address.join(":"), *host, *container),
        [] => (String::new(), "", ""),
    };
    let (container, protocol) = split_protocol(container);
    let host_ip = parse_address(&address)?;
    if container.is_empty() {
        return Err(format!("`{text}` names no container port"));
    }
    let target = parse_range(container).ok_or_else(|| format!("invalid container port `{container}`"))?;
    let published = match host {
        "" => None,
        _ => Some(parse_range(host).ok_or_else(|| format!("invalid host port `{host}`"))?),
    };
    let length = |(first, last): (u16, u16)| last - first;
    if let Some(published) = published
        && length(published) != length(target)
        && length(target) != 0
    {
        return Err(format!("`{container}` and `{host}` are ranges of different length"));
    }
    let protocol = protocol.to_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("unknown protocol `{protocol}`: expected tcp, udp or sctp"));
    }
    let mut ports: Vec<Port> = (target.0..=target.1)
        .map(|port| Port {
            host_ip: host_ip.clone(),
            published: published.map_or_else(String::new, |range| spread(range, target, port)),
            target: port,
            protocol: protocol.clone(),
        })
        .collect();
    ports.sort_by_cached_key(|port| port.target.to_string());
    Ok(ports)
}

/// The host port that belongs to one container port. A single container port keeps a whole host range.
fn spread(published: (u16, u16), target: (u16, u16), port: u16) -> String {
    if target.0 == target.1 && published.0 != published.1 {
        return format!("{}-{}", published.0, published.1);
    }
    (u32::from(published.0) + u32::from(port - target.0)).to_string()
}

fn split_protocol(container: &str) -> (&str, &str) {
    let mut parts = container.split('/');
    let port = parts.next().unwrap_or_default();
    match parts.next() {
        _ if port.is_empty() => ("", ""),
        None | Some("") => (port, "tcp"),
        Some(protocol) => (port, protocol),
    }
}

fn parse_address(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let invalid = || format!("`{text}` is not an IP address");
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(invalid)?,
        None => text,
    };
    if bare.is_empty() {
        return Ok(String::new());
    }
    bare.parse::<IpAddr>().map_err(|_| invalid())?;
    Ok(bare.to_owned())
}

/// `80` or `8000-8010`.
fn parse_range(text: &str) -> Option<(u16, u16)> {
    let mut parts = text.split('-');
    let first = parse_number(parts.next()?)?;
    let last = match parts.next() {
        Some(last) => parse_number(last)?,
        None => first,
    };
    (first <= last).then_some((first, last))
}

fn parse_number(text: &str) -> Option<u16> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn ports() {
        let spelled = |text: &str| -> Vec<String> {
            let ports = parse(text).unwrap();
            ports
                .iter()
                .map(|p| format!("{}|{}|{}/{}", p.host_ip, p.published, p.target, p.protocol))
                .collect()
        };
        assert_eq!(spelled("80"), ["||80/tcp"]);
        assert_eq!(spelled("127.0.0.1:8080:80/UDP"), ["127.0.0.1|8080|80/udp"]);
        assert_eq!(spelled("[::1]:8080:80"), ["::1|8080|80/tcp"]);
        assert_eq!(spelled("::1:8080:80"), ["::1|8080|80/tcp"]);
        assert_eq!(spelled("127.0.0.1::80"), ["127.0.0.1||80/tcp"]);
        assert_eq!(spelled("8000-8010:80"), ["|8000-8010|80/tcp"]);
        // In the order of their text, as elsewhere.
        assert_eq!(spelled("98-100:98-100"), ["|100|100/tcp", "|98|98/tcp", "|99|99/tcp"]);
        for text in ["", "x", "80:", "1-2:3-5", "99999:80", "::1:80:80:x", "80/icmp", "1.2.3:80:80", "9-8:80"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
