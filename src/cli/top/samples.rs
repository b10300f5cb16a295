//! Metrics in Prometheus form, read back.

use std::collections::BTreeMap;

/// The values of one look, by name and by the value of their first label (empty without).
#[derive(Debug, Default)]
pub struct Samples {
    values: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Samples {
    /// Reads the text; lines that are no samples are left out.
    pub fn read(text: &str) -> Samples {
        let mut samples = Samples::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let (name, label) = match name.split_once('{') {
                Some((name, labels)) => (name, first_label(labels)),
                None => (name, String::new()),
            };
            *samples.values.entry(name.to_owned()).or_default().entry(label).or_default() += value;
        }
        samples
    }

    /// The values of a name, by label.
    pub fn labelled(&self, name: &str) -> BTreeMap<String, f64> {
        self.values.get(name).cloned().unwrap_or_default()
    }

    /// The value of a name and a label; 0 if it is not there.
    pub fn one(&self, name: &str, label: &str) -> f64 {
        self.values.get(name).and_then(|values| values.get(label)).copied().unwrap_or(0.0)
    }

    /// All values of a name together.
    pub fn sum(&self, name: &str) -> f64 {
        self.values.get(name).map_or(0.0, |values| values.values().sum())
    }
}

/// The value of the first label, without its quotes and escapes.
fn first_label(labels: &str) -> String {
    let mut value = String::new();
    let mut chars = labels.split_once('"').map_or("", |(_, rest)| rest).chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some(escaped) => value.push(escaped),
                None => {}
            },
            c => value.push(c),
        }
    }
    value
}
