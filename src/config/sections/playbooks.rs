//! Owns `playbooks:`: which type of incident starts which playbook.

use std::path::{Path, PathBuf};

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::limits::TYPES_MAX;
use crate::config::model::{PlaybookMode, PlaybookRef};
use crate::config::node::{Node, Value};
use crate::config::read::{self, Fields};
use crate::config::source_map::Spanned;

use super::usable_type;

const MODES: [(&str, PlaybookMode); 3] = [("ask", PlaybookMode::Ask), ("run", PlaybookMode::Run), ("simulate", PlaybookMode::Simulate)];

/// Type → playbook; `dir` is where relative paths start.
pub fn read_playbooks(node: &Node, dir: &Path, out: &mut Diagnostics) -> Vec<PlaybookRef> {
    let mut playbooks = Vec::new();
    for (type_name, node) in read::entries(node, "`playbooks`", TYPES_MAX, out) {
        if usable_type(type_name, out)
            && let Some((file, mode)) = read_playbook(node, dir, out)
        {
            playbooks.push(PlaybookRef { type_name: type_name.clone(), file, mode });
        }
    }
    playbooks
}

fn read_playbook(node: &Node, dir: &Path, out: &mut Diagnostics) -> Option<(Spanned<PathBuf>, PlaybookMode)> {
    let (file, mode) = match &node.value {
        Value::Mapping(_) => {
            let mut fields = Fields::open(node, "a playbook", out)?;
            let file = fields.need("file", "playbooks/triage.yml", out).and_then(|node| read::text(node, "`file`", out));
            let mode = fields.get("mode", out).and_then(|node| read::choice(node, "`mode`", &MODES, out));
            fields.close(&[], out);
            (file?, mode.unwrap_or(PlaybookMode::Ask))
        }
        _ => (read::text(node, "a playbook", out)?, PlaybookMode::Ask),
    };
    let path = dir.join(&file.value);
    if !path.is_file() {
        out.push(
            Diagnostic::warning("missing-file", format!("the playbook {} does not exist yet", file.value))
                .at(file.span)
                .hint("`catchment run` refuses the role `respond` without it"),
        );
    }
    Some((Spanned::new(path, file.span), mode))
}
