//! How a registry wants to be convinced: the challenge of a 401 answer, and tokens got by it.
//!
//! Source: distribution's "Token Authentication Specification" and "OAuth2 Token Authentication".

use serde::Deserialize;
use ureq::Agent;
use ureq::http::{Request, Response};
use ureq::{Body, SendBody};

use super::{Credentials, RegistryError};

/// Longest token answer that is read.
const LONGEST_ANSWER: u64 = 1 << 20;

/// What a 401 answer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// Reads `WWW-Authenticate` headers (RFC 9110, section 11.6.1); a bearer challenge counts first.
    pub(super) fn of(response: &Response<Body>) -> Option<Self> {
        let headers = response.headers().get_all("www-authenticate").into_iter();
        let challenges: Vec<_> = headers.filter_map(|value| Self::parse(value.to_str().ok()?)).collect();
        challenges.iter().find(|challenge| **challenge != Self::Basic).or(challenges.first()).cloned()
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        match &scheme.to_ascii_lowercase()[..] {
            "basic" => Some(Self::Basic),
            "bearer" => {
                let mut parameters = parameters(rest);
                let mut take = |name: &str| {
                    let at = parameters.iter().position(|(key, _)| key == name)?;
                    Some(parameters.swap_remove(at).1)
                };
                Some(Self::Bearer { realm: take("realm")?, service: take("service"), scope: take("scope") })
            }
            _ => None,
        }
    }
}

/// `key=value` or `key="value"` pairs, separated by commas that may also be inside quotes.
fn parameters(mut rest: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.trim_matches([' ', ',']).to_ascii_lowercase();
        let value = match after.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"').unwrap_or(quoted.len());
                rest = quoted.get(end + 1..).unwrap_or("");
                &quoted[..end]
            }
            None => {
                let end = after.find(',').unwrap_or(after.len());
                rest = &after[end..];
                after[..end].trim()
            }
        };
        found.push((key, value.to_owned()));
    }
    found
}

/// What a token is asked for.
pub(super) struct TokenRequest<'a> {
    pub(super) registry: &'a str,
    pub(super) secure: bool,
    pub(super) realm: &'a str,
    pub(super) service: Option<&'a str>,
    pub(super) scope: &'a str,
    pub(super) credentials: Option<&'a Credentials>,
}

/// Gets a token; its `Authorization` value.
pub(super) fn token(agent: &Agent, asked: &TokenRequest<'_>) -> Result<String, RegistryError> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        token: String,
        #[serde(default)]
        access_token: String,
    }
    if asked.secure && asked.credentials.is_some() && !asked.realm.starts_with("https://") {
        return Err(nonsense(asked, "it wants the credentials sent without encryption"));
    }
    let unreachable =
        |source| RegistryError::Unreachable { registry: asked.realm.to_owned(), source: Box::new(source) };
    let mut response = match asked.credentials {
        Some(Credentials::Identity(token)) => agent.run(identity_request(asked, token)?),
        _ => agent.run(password_request(asked)?),
    }
    .map_err(unreachable)?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(LONGEST_ANSWER).read_to_vec().map_err(unreachable)?;
    match status {
        200..=299 => {}
        401 | 403 => return Err(denied(asked, super::error::messages(&body))),
        _ => {
            let (registry, what) = (asked.registry.to_owned(), "a token".to_owned());
            return Err(RegistryError::Refused {
                registry,
                what,
                status,
                message: super::error::messages(&body),
            });
        }
    }
    let answer: Answer =
        serde_json::from_slice(&body).map_err(|_| nonsense(asked, "the token is not JSON"))?;
    match [answer.token, answer.access_token].into_iter().find(|token| !token.is_empty()) {
        Some(token) => Ok(format!("Bearer {token}")),
        None => Err(nonsense(asked, "there is no token in its answer")),
    }
}

fn denied(asked: &TokenRequest<'_>, message: String) -> RegistryError {
    let (registry, what) = (asked.registry.to_owned(), asked.scope.to_owned());
    match asked.credentials {
        Some(_) => RegistryError::Denied { registry, what, message },
        None => RegistryError::LoginNeeded { registry, what },
    }
}

fn nonsense(asked: &TokenRequest<'_>, what: &str) -> RegistryError {
    RegistryError::Nonsense { registry: asked.registry.to_owned(), what: what.to_owned() }
}

fn password_request(asked: &TokenRequest<'_>) -> Result<Request<SendBody<'static>>, RegistryError> {
    let mut query = Vec::new();
    query.extend(asked.service.map(|service| format!("service={}", percent(service))));
    query.extend(
        asked
            .scope
            .split(' ')
            .filter(|scope| !scope.is_empty())
            .map(|scope| format!("scope={}", percent(scope))),
    );
    let separator = if asked.realm.contains('?') { '&' } else { '?' };
    let mut request = Request::get(format!("{}{separator}{}", asked.realm, query.join("&")));
    if let Some(basic) = asked.credentials.and_then(Credentials::basic) {
        request = request.header("authorization", basic);
    }
    request.body(SendBody::none()).map_err(|_| nonsense(asked, "its realm is not an address"))
}

fn identity_request(
    asked: &TokenRequest<'_>,
    token: &str,
) -> Result<Request<SendBody<'static>>, RegistryError> {
    let form = format!(
        "grant_type=refresh_token&client_id=hoist&service={}&scope={}&refresh_token={}",
        percent(asked.service.unwrap_or_default()),
        percent(asked.scope),
        percent(token),
    );
    let request = Request::post(asked.realm)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("content-length", form.len());
    let body = SendBody::from_owned_reader(std::io::Cursor::new(form));
    request.body(body).map_err(|_| nonsense(asked, "its realm is not an address"))
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
pub(super) fn percent(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| Challenge::Bearer {
            realm: realm.into(),
            service: service.map(Into::into),
            scope: scope.map(Into::into),
        };
        let cases = [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:a/b:pull,push\"",
                Some(bearer("https://a/t", Some("s"), Some("repository:a/b:pull,push"))),
            ),
            ("bearer scope=x, realm=https://a/t", Some(bearer("https://a/t", None, Some("x")))),
            ("Bearer realm=\"unclosed", Some(bearer("unclosed", None, None))),
            ("Bearer service=\"s\"", None),
            ("Negotiate", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Challenge::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn queries_are_encoded() {
        assert_eq!(percent("repository:a/b:pull,push é"), "repository%3Aa%2Fb%3Apull%2Cpush%20%C3%A9");
    }
}
