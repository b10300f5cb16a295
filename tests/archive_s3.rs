//! An archive in a bucket: a small store that speaks S3 in this process (put only if it is not there, ranges,
//! lists, deletes), and on it commits, rivals, compaction, removal and queries.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use catchment::archive::Location;
use catchment::archive::compact::{Compactor, Ran};
use catchment::archive::ring::Topic;
use catchment::archive::table::{Committed, Table};

use super::archive_lake::{Lake, Version, csv, schema};
use catchment::config::schema::FieldKind;

/// Keys of an answer to a list: few, so that lists go on.
const PAGE: usize = 3;

#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, Bytes>>,
    asked: Mutex<BTreeMap<String, u64>>,
}

fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        let code = (*first == b'%').then(|| u8::from_str_radix(std::str::from_utf8(behind.get(..2)?).ok()?, 16).ok()).flatten();
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8(bytes).unwrap()
}

fn said(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    Response::builder().status(status).header(header::CONTENT_TYPE, "application/xml").body(body.into()).unwrap()
}

fn etag(bytes: &Bytes) -> String {
    format!("\"{:x}-{}\"", bytes.iter().fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte))), bytes.len())
}

async fn answer(State(bucket): State<Arc<Bucket>>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let query: BTreeMap<String, String> = uri
        .query()
        .unwrap_or("")
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decoded(key), decoded(value)))
        .collect();
    let path = decoded(uri.path());
    let key = path.trim_start_matches('/').strip_prefix("soc").unwrap_or("").trim_start_matches('/').to_owned();
    *bucket.asked.lock().unwrap().entry(method.to_string()).or_default() += 1;
    let mut objects = bucket.objects.lock().unwrap();
    match method {
        Method::PUT => {
            if headers.get(header::IF_NONE_MATCH).is_some_and(|value| value == "*") && objects.contains_key(&key) {
                return said(StatusCode::PRECONDITION_FAILED, "<Error><Code>PreconditionFailed</Code></Error>");
            }
            let tag = etag(&body);
            objects.insert(key, body);
            Response::builder().header(header::ETAG, tag).body(Body::empty()).unwrap()
        }
        Method::GET if key.is_empty() => said(StatusCode::OK, list(&objects, &query)),
        Method::GET | Method::HEAD => {
            let Some(bytes) = objects.get(&key) else { return said(StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>") };
            let whole = bytes.len();
            let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
            let range = range.map(|(from, to)| match (from.parse::<usize>(), to.parse::<usize>()) {
                (Ok(from), Ok(to)) => from..(to + 1).min(whole),
                (Ok(from), Err(_)) => from..whole,
                (Err(_), Ok(last)) => whole.saturating_sub(last)..whole,
                _ => 0..whole,
            });
            let answer = Response::builder().header(header::ETAG, etag(bytes)).header(header::LAST_MODIFIED, "Sun, 01 Mar 2026 00:00:00 GMT");
            let answer = match &range {
                Some(range) => {
                    answer.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, format!("bytes {}-{}/{whole}", range.start, range.end - 1))
                }
                None => answer,
            };
            let part = bytes.slice(range.unwrap_or(0..whole));
            let answer = answer.header(header::CONTENT_LENGTH, part.len());
            answer.body(if method == Method::HEAD { Body::empty() } else { Body::from(part) }).unwrap()
        }
        Method::DELETE => {
            objects.remove(&key);
            said(StatusCode::NO_CONTENT, Body::empty())
        }
        Method::POST if query.contains_key("delete") => {
            let text = String::from_utf8(body.to_vec()).unwrap();
            let mut gone = String::from("<DeleteResult>");
            for part in text.split("<Key>").skip(1) {
                let key = part.split("</Key>").next().unwrap();
                objects.remove(key);
                gone.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
            }
            said(StatusCode::OK, gone + "</DeleteResult>")
        }
        _ => said(StatusCode::NOT_IMPLEMENTED, "<Error><Code>NotImplemented</Code></Error>"),
    }
}

fn list(objects: &BTreeMap<String, Bytes>, query: &BTreeMap<String, String>) -> String {
    let get = |name: &str| query.get(name).map_or("", String::as_str);
    let (prefix, delimiter) = (get("prefix"), get("delimiter"));
    let after = get("start-after").max(get("continuation-token"));
    let (mut entries, mut last, mut more) = (BTreeMap::new(), String::new(), false);
    for (key, bytes) in objects.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after) {
        let folder = (!delimiter.is_empty()).then(|| key[prefix.len()..].find(delimiter).map(|at| key[..prefix.len() + at + 1].to_owned())).flatten();
        let entry = match folder {
            Some(folder) => (folder.clone(), format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>")),
            None => (
                key.clone(),
                format!(
                    "<Contents><Key>{key}</Key><LastModified>2026-03-01T00:00:00.000Z</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
                    etag(bytes),
                    bytes.len()
                ),
            ),
        };
        if entries.len() == PAGE && !entries.contains_key(&entry.0) {
            more = true;
            break;
        }
        entries.insert(entry.0, entry.1);
        last = key.clone();
    }
    let entries: String = entries.into_values().collect();
    let next = if more { format!("<NextContinuationToken>{last}</NextContinuationToken>") } else { String::new() };
    format!("<ListBucketResult><Name>soc</Name><Prefix>{prefix}</Prefix><IsTruncated>{more}</IsTruncated>{next}{entries}</ListBucketResult>")
}

fn version(id: u128, version: u64) -> Version {
    Version { id: id.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835), version, host: format!("h{}", id % 7), severity: 2, created: 5 }
}

#[test]
fn archive_in_a_bucket() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let bucket = Arc::new(Bucket::default());
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback(answer).with_state(bucket.clone()).layer(axum::extract::DefaultBodyLimit::disable());
    runtime.spawn(async move { axum::serve(listener, app).await });
    let options = [
        ("endpoint", format!("http://{address}")),
        ("allow_http", "true".to_owned()),
        ("region", "eu-central-1".to_owned()),
        ("access_key_id", "key".to_owned()),
        ("secret_access_key", "secret".to_owned()),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let location = Location::parse("s3://soc/archive/one", std::path::Path::new("/"), options).unwrap();
    let fields = schema(&[("host", FieldKind::Text)]);
    let mut lake = Lake::at(location.clone(), fields.clone()).unwrap();
    let mut rival = Lake::at(location, fields).unwrap();
    for step in 0..6u128 {
        (0..50).for_each(|number| lake.read(Topic::Facts, &version(step * 50 + number + 1, 1)));
        (0..10).for_each(|number| lake.read(Topic::States, &version(step * 50 + number + 1, 2)));
        assert!(matches!(lake.commit(), Committed::Yes));
    }
    rival.read(Topic::Facts, &version(1, 1));
    assert!(matches!(rival.commit(), Committed::Foreign(_)), "positions are looked at");
    let check = |lake: &Lake, what: &str| {
        for live in [true, false] {
            let found = csv(&mut lake.client(live), "SELECT count(*), count(DISTINCT id), sum(version) FROM incidents");
            assert_eq!(found, ["300,300,360"], "{what}");
            assert_eq!(csv(&mut lake.client(live), "SELECT count(*) FROM incident_versions"), ["360"], "{what}");
        }
    };
    check(&lake, "committed");
    let table = lake.runtime.block_on(Table::open(&lake.location, "incident_versions", None)).unwrap();
    let mut compactor = Compactor::new(table).unwrap();
    assert!(matches!(lake.runtime.block_on(compactor.tail(true)).unwrap(), Ran::Replaced { .. }));
    lake.refresh();
    check(&lake, "compacted");
    lake.runtime.block_on(compactor.table().vacuum()).unwrap();
    check(&lake, "cleaned");
    let objects = bucket.objects.lock().unwrap();
    assert!(objects.keys().all(|key| key.starts_with("archive/one/incident_versions/")), "{:?}", objects.keys().take(3).collect::<Vec<_>>());
    assert!(objects.keys().any(|key| key.contains("layer=base")));
    let asked = bucket.asked.lock().unwrap();
    assert!(asked["PUT"] > 6 && asked["GET"] > 10, "{asked:?}");
}
