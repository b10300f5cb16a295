//! What serde_json and simd-json say of a message, and where they may differ from us.

use catchment::ingest::decode::Reject;

/// serde_json must accept what we accept, but for: numbers beyond f64 (we keep digits), lone surrogates (we read
/// U+FFFD), a byte order mark, its nesting limit of 127 and its own stop at the end of the first value of several.
pub fn agree_with_serde(text: &[u8], events: usize) {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut read = 0;
    for value in serde_json::Deserializer::from_slice(text).into_iter::<serde_json::Value>() {
        match value {
            Ok(_) => read += 1,
            Err(error) => {
                let message = error.to_string();
                let known = ["number out of range", "surrogate", "hex escape", "recursion limit"];
                assert!(known.iter().any(|known| message.contains(known)), "{message}");
                return;
            }
        }
    }
    assert_eq!(read, events);
}

/// simd-json must accept what we accept, but for: numbers beyond f64 and u64 in ways of its own, lone surrogates,
/// a byte order mark.
pub fn agree_with_simd_json(text: &[u8]) {
    let mut text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).to_vec();
    if let Err(error) = simd_json::to_tape(&mut text) {
        use simd_json::ErrorType::{InvalidEscape, InvalidNumber, InvalidUnicodeCodepoint, InvalidUnicodeEscape, Overflow};
        let known = matches!(error.error(), InvalidNumber | Overflow | InvalidUnicodeCodepoint | InvalidUnicodeEscape | InvalidEscape);
        assert!(known, "simd-json says {error} of {}", String::from_utf8_lossy(&text));
    }
}

/// serde_json must reject what we reject, but for: values that are no objects, and nesting of exactly its own depth.
pub fn reject_with_others(text: &[u8], reject: Reject) {
    use catchment::ingest::decode::RejectReason::{Depth, NotAnObject};
    let values: Result<Vec<serde_json::Value>, _> = serde_json::Deserializer::from_slice(text).into_iter().collect();
    let objects = values.is_ok_and(|values| !values.is_empty() && values.iter().all(serde_json::Value::is_object));
    assert!(!objects || matches!(reject.reason, Depth | NotAnObject), "serde_json accepts {}", String::from_utf8_lossy(text));
}
