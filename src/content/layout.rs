//! Owns layouts: which fields are shown where. Old ones (one view a file) are read into the
//! same model.

use crate::config::node::{Node, Value};
use crate::config::source_map::Spanned;

use super::read::{Keys, Reader};

/// A layout.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout {
    /// `incident`, `indicator`, `case`; of an old one nothing.
    pub group: String,
    /// The type of incidents that an old one is for.
    pub type_name: Option<Spanned<String>>,
    /// Its views.
    pub views: Vec<View>,
}

/// One view: `detailsV2`, `edit`, `close`, `quickView`, `mobile`, `indicatorsDetails`, …
#[derive(Debug, Clone, PartialEq, Default)]
pub struct View {
    /// Which.
    pub kind: String,
    /// Its tabs; a form is one tab without a name.
    pub tabs: Vec<Tab>,
}

/// A tab.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tab {
    /// Its name.
    pub name: String,
    /// `custom`, `summary`, `warRoom`, `workPlan`, …
    pub kind: String,
    /// Nobody sees it.
    pub hidden: bool,
    /// What it shows.
    pub sections: Vec<LayoutSection>,
}

/// A section of a tab or a form.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayoutSection {
    /// Its name.
    pub name: String,
    /// `default`, `dynamic`, `team`, `notes`, `linkedIncidents`, …
    pub kind: String,
    /// The script of a dynamic section.
    pub script: Option<Spanned<String>>,
    /// Column and row, width and height in cells.
    pub place: [i64; 4],
    /// Fields, by their bare names.
    pub fields: Vec<Spanned<String>>,
}

const VIEWS: [&str; 12] = [
    "detailsV2",
    "details",
    "edit",
    "close",
    "quickView",
    "mobile",
    "indicatorsDetails",
    "indicatorsQuickView",
    "evidence",
    "scheduled",
    "quickViewV2",
    "detailsV3",
];

/// True if a mapping has a view of a layout.
pub fn has_view(has: impl Fn(&str) -> bool) -> bool {
    VIEWS.iter().any(|view| has(view))
}

impl Layout {
    /// Reads a container.
    pub fn read(mut keys: Keys<'_>, reader: &mut Reader<'_>) -> Option<Layout> {
        let mut layout = Layout { group: keys.text("group", reader), ..Layout::default() };
        for kind in VIEWS {
            if let Some(node) = keys.get(kind) {
                layout.views.extend(view(kind, node, reader));
            }
        }
        keys.close(&["dynamicSections", "isSystem"], reader);
        Some(layout)
    }

    /// Reads an old one: `{typeId, kind, layout}`.
    pub fn read_old(mut keys: Keys<'_>, reader: &mut Reader<'_>) -> Option<Layout> {
        let type_name = keys.spanned("typeId", reader);
        let kind = keys.text("kind", reader);
        let views = keys.get("layout").and_then(|node| view(&kind, node, reader)).into_iter().collect();
        keys.close(&["TypeName"], reader);
        Some(Layout { group: String::new(), type_name, views })
    }
}

fn view(kind: &str, node: &Node, reader: &mut Reader<'_>) -> Option<View> {
    let mut keys = Keys::open(node, "a view", reader)?;
    let mut tabs: Vec<Tab> = keys.list("tabs", reader).iter().filter_map(|node| tab(node, reader)).collect();
    let sections: Vec<LayoutSection> = keys.list("sections", reader).iter().filter_map(|node| section(node, reader)).collect();
    if !sections.is_empty() {
        tabs.push(Tab { sections, ..Tab::default() });
    }
    keys.close(&["TypeName", "id", "kind", "name", "typeId", "system", "version"], reader);
    Some(View { kind: kind.to_owned(), tabs })
}

fn tab(node: &Node, reader: &mut Reader<'_>) -> Option<Tab> {
    let mut keys = Keys::open(node, "a tab", reader)?;
    let tab = Tab {
        name: keys.text("name", reader),
        kind: keys.text("type", reader),
        hidden: keys.truth("hidden", reader),
        sections: keys.list("sections", reader).iter().filter_map(|node| section(node, reader)).collect(),
    };
    keys.close(&["id", "showEmptyFields", "filters", "readOnly", "reportType", "canvas", "hiddenTabFilters", "locked", "isLoading"], reader);
    Some(tab)
}

fn section(node: &Node, reader: &mut Reader<'_>) -> Option<LayoutSection> {
    let mut keys = Keys::open(node, "a section of a layout", reader)?;
    let query_type = keys.text("queryType", reader);
    let query = keys.get("query").filter(|node| matches!(node.value, Value::Text { .. }));
    let script = query.filter(|_| query_type == "script").and_then(|node| Some(Spanned::new(reader.text(node, "`query`")?, node.span)));
    let place = ["x", "y", "w", "h"].map(|key| keys.whole(key, reader).unwrap_or(0));
    let mut fields = Vec::new();
    for key in ["items", "fields"] {
        for node in keys.list(key, reader) {
            let Some(mut item) = Keys::open(node, "a field of a layout", reader) else { continue };
            if let Some(field) = item.spanned("fieldId", reader) {
                fields.push(field.map(|id| bare(&id).to_owned()));
            }
        }
    }
    Some(LayoutSection {
        name: keys.text("name", reader),
        kind: keys.maybe_text("type", reader).unwrap_or_else(|| "default".to_owned()),
        script: script.filter(|script| !script.value.is_empty()),
        place,
        fields,
    })
}

/// `incident_filename` → `filename`.
fn bare(id: &str) -> &str {
    ["incident_", "indicator_", "evidence_"].iter().find_map(|prefix| id.strip_prefix(prefix)).unwrap_or(id)
}
