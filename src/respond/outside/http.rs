//! Owns the `http` command: a request whose parts are values, an answer whose size is bounded.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};
use serde_json::{Map, Value, json};

use super::config::{CredentialKind, Settings};
use super::guard::{Forbidden, Resolver, allowed};
use super::permit::Guarded;
use crate::expr::xsoar::value::text_of;
use crate::respond::command::Args;
use crate::respond::run::{Call, Failure, FailureKind, Output, Poll};

/// The longest pause that a server can ask for, in seconds.
const RETRY_AFTER_MAX: u32 = 3_600;
/// The pause where a busy server does not say how long, in seconds.
const BUSY_SECONDS: u32 = 15;
/// Seconds after which a server that stays busy is given up.
const BUSY_MAX_SECONDS: u32 = 3_600;
/// Headers of one request (count).
const HEADERS_MAX: usize = 64;
/// Bytes of a URL.
const URL_BYTES_MAX: usize = 16 << 10;
/// Bytes of what of an answer is shown to people.
const SHOWN_BYTES: usize = 2 << 10;

/// Sends requests.
pub struct Client {
    settings: Arc<Settings>,
    client: reqwest::Client,
}

impl Client {
    /// A client that reaches what may be reached.
    ///
    /// # Errors
    /// Certificates that cannot be read.
    pub fn new(settings: Arc<Settings>) -> Result<Client, String> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("catchment/", env!("CARGO_PKG_VERSION")))
            // Neither proxies of the environment nor redirects: both lead elsewhere than what was checked.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(u64::from(settings.http_timeout_s)))
            .dns_resolver(Arc::new(Resolver { allow: Arc::new(settings.allow.clone()) }));
        if let Some(path) = &settings.ca {
            let pem = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            for certificate in reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| format!("{} holds no certificates", path.display()))? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder.build().map_err(|_| "the HTTP client cannot be set up".to_owned())?;
        Ok(Client { settings, client })
    }

    /// Sends what a call asks for.
    pub async fn call(&self, call: &Call) -> Result<Output, Failure> {
        let args = Args::new(call.arguments.clone());
        let url = self.url(&args)?;
        let method = method_of(call, &args)?;
        let mut headers = headers(&args)?;
        let safe = is_safe(&method);
        if !safe && !headers.contains_key("idempotency-key") {
            headers.insert("idempotency-key", HeaderValue::from_str(&call.idempotency_key).map_err(|_| wrong("the key cannot be sent"))?);
        }
        let mut request = self.client.request(method.clone(), url.clone());
        if let Some(json) = args.value("json") {
            let text = match json {
                // A template has become text by now; it has to be JSON.
                Value::String(text) => serde_json::from_str::<Value>(text).map_err(|_| wrong("`json` is no JSON"))?.to_string(),
                other => other.to_string(),
            };
            headers.entry("content-type").or_insert(HeaderValue::from_static("application/json"));
            request = request.body(reqwest::Body::wrap(Guarded::new(text)));
        } else if let Some(body) = args.some("body") {
            request = request.body(reqwest::Body::wrap(Guarded::new(body)));
        }
        if let Some(name) = args.some("auth") {
            request = self.log_in(request, &url, &name)?;
        }
        let answer = request.headers(headers).send().await.map_err(|error| unreachable(&error))?;
        if let Some(poll) = busy(&answer) {
            let readable = format!("{method} {}: {}, again in {} s", shown_url(&url), answer.status(), poll.after_s);
            return Ok(Output { readable, poll: Some(poll), ..Output::default() });
        }
        self.read(answer, &method, &url, &args).await
    }

    fn url(&self, args: &Args) -> Result<Url, Failure> {
        let text = args.text("url");
        if text.len() > URL_BYTES_MAX {
            return Err(wrong("the URL is too long"));
        }
        let mut url = Url::parse(text.trim()).map_err(|_| wrong("`url` is no URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("only http and https are spoken"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("log in with `auth`, not in the URL"));
        }
        let address = match url.host() {
            Some(url::Host::Ipv4(v4)) => Some(std::net::IpAddr::V4(v4)),
            Some(url::Host::Ipv6(v6)) => Some(std::net::IpAddr::V6(v6)),
            // Names are looked at when they are resolved.
            Some(url::Host::Domain(_)) => None,
            None => return Err(wrong("`url` has no host")),
        };
        if address.is_some_and(|address| !allowed(address, &self.settings.allow)) {
            return Err(Failure::new(FailureKind::Refused, Forbidden.to_string()));
        }
        let query = object(args.value("query").or_else(|| args.value("params")), "`query`")?;
        if !query.is_empty() {
            let mut pairs = url.query_pairs_mut();
            for (name, value) in &query {
                for item in crate::expr::xsoar::value::into_list(value.clone()) {
                    pairs.append_pair(name, &text_of(&item));
                }
            }
        }
        Ok(url)
    }

    /// A credential goes to the hosts that it is for, and nowhere else.
    fn log_in(&self, request: reqwest::RequestBuilder, url: &Url, name: &str) -> Result<reqwest::RequestBuilder, Failure> {
        let found = self.settings.credentials.iter().find(|credential| credential.name == name);
        let credential = found.ok_or_else(|| wrong(format!("there is no credential `{name}`")))?;
        let host = url.host_str().unwrap_or_default().to_lowercase();
        let with_port = format!("{host}:{}", url.port_or_known_default().unwrap_or(0));
        if !credential.hosts.iter().any(|known| *known == host || *known == with_port) {
            return Err(Failure::new(FailureKind::Refused, format!("the credential `{name}` is not for that host")));
        }
        let unusable = || Failure::new(FailureKind::Refused, format!("the credential `{name}` cannot be sent"));
        Ok(match &credential.kind {
            CredentialKind::Bearer(token) => request.bearer_auth(token),
            CredentialKind::Basic { user, password } => request.basic_auth(user, Some(password)),
            CredentialKind::Header { name, value } => {
                let mut value = HeaderValue::from_str(value).map_err(|_| unusable())?;
                value.set_sensitive(true);
                request.header(HeaderName::from_bytes(name.as_bytes()).map_err(|_| unusable())?, value)
            }
        })
    }

    async fn read(&self, mut answer: Response, method: &Method, url: &Url, args: &Args) -> Result<Output, Failure> {
        let status = answer.status();
        let headers: Map<String, Value> = answer
            .headers()
            .iter()
            .take(HEADERS_MAX)
            .map(|(name, value)| (name.as_str().to_owned(), Value::from(String::from_utf8_lossy(value.as_bytes()))))
            .collect();
        let limit = usize::try_from(self.settings.response_bytes).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(&error))? {
            if bytes.len() + chunk.len() > limit {
                return Err(Failure::new(FailureKind::Bound, format!("the answer has more than {limit} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let parsed = serde_json::from_str::<Value>(&text).unwrap_or(Value::Null);
        if !status.is_success() && !args.texts("ok_status").contains(&status.as_str().to_owned()) {
            let message = format!("{method} {}: {status}: {}", shown_url(url), crate::respond::limits::cut(&text, 300));
            let passing = status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT;
            return Err(Failure { message, retry: passing, kind: FailureKind::Said });
        }
        let key = args.some("save_as").unwrap_or_else(|| "HttpRequest.Response".to_owned());
        let value =
            json!({ "StatusCode": status.as_u16(), "URL": shown_url(url), "Method": method.as_str(), "Headers": headers, "Body": text, "ParsedBody": parsed });
        let readable = format!("{method} {}: {status}\n{}", shown_url(url), crate::respond::limits::cut(&text, SHOWN_BYTES));
        let contents = if parsed.is_null() { Value::from(text) } else { parsed };
        // Without a key of one's own the newest answer counts, not all of them.
        Ok(Output { context: Map::from_iter([(format!("{key}(true)"), value)]), contents, readable, poll: None })
    }
}

/// Methods that change nothing.
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn method_of(call: &Call, args: &Args) -> Result<Method, Failure> {
    let word = args.some("method").unwrap_or_else(|| "GET".to_owned()).to_uppercase();
    let known = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
    if !known.contains(&word.as_str()) || (call.command.eq_ignore_ascii_case("http-get") && word != "GET") {
        return Err(wrong(format!("`method` is one of {}", known.join(", "))));
    }
    Method::from_bytes(word.as_bytes()).map_err(|_| wrong("`method` is none"))
}

/// An object, its JSON, or lines of `Name: value`.
fn object(value: Option<&Value>, what: &str) -> Result<Map<String, Value>, Failure> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(members)) => Ok(members.clone()),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(Map::new()),
        Some(Value::String(text)) => match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(members)) => Ok(members),
            _ => Err(wrong(format!("{what} is no JSON object"))),
        },
        Some(_) => Err(wrong(format!("{what} is no JSON object"))),
    }
}

/// Values with line ends are refused, not sent.
fn headers(args: &Args) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    let given = object(args.value("headers"), "`headers`")?;
    if given.len() > HEADERS_MAX {
        return Err(wrong(format!("more than {HEADERS_MAX} headers")));
    }
    for (name, value) in given {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("that is no name of a header"))?;
        if ["host", "content-length", "transfer-encoding", "connection", "authorization"].contains(&name.as_str()) {
            return Err(wrong(format!("the header `{name}` is not a task's to set; `auth` logs in")));
        }
        let value = HeaderValue::from_str(&text_of(&value)).map_err(|_| wrong(format!("the value of the header `{name}` cannot be sent")))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// A server that wants to be asked later.
fn busy(answer: &Response) -> Option<Poll> {
    if !matches!(answer.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let said = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::trim);
    // A busy server that names no time is asked again as well; one that is down says so.
    if said.is_none() && answer.status() == StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let seconds = said.and_then(|text| {
        let date = || chrono::DateTime::parse_from_rfc2822(text).ok().map(|date| (date.timestamp() - chrono::Utc::now().timestamp()).max(0));
        text.parse::<i64>().ok().or_else(date)
    });
    let after_s = seconds.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(BUSY_SECONDS).clamp(1, RETRY_AFTER_MAX);
    Some(Poll { after_s, arguments: Map::new(), timeout_s: BUSY_MAX_SECONDS })
}

/// A URL without its parameters: they may hold values that belong nowhere else.
fn shown_url(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

fn unreachable(error: &reqwest::Error) -> Failure {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if inner.is::<Forbidden>() {
            return Failure::new(FailureKind::Refused, Forbidden.to_string());
        }
        source = inner.source();
    }
    if error.is_timeout() {
        return Failure::passing(FailureKind::Timeout, "the server did not answer in time");
    }
    Failure::passing(FailureKind::Unreachable, if error.is_connect() { "the server cannot be reached" } else { "the connection broke off" })
}

fn wrong(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Argument, message)
}
