//! Dashboards as plain structs, and their JSON: only what Grafana 11 and 12 document, no plugins.

use serde_json::{Value, json};

/// Which layout of the file this is: Grafana 11 and 12 read it as it is.
pub const SCHEMA: u32 = 39;
pub const COLUMNS: u32 = 24;
/// Half a minute: Proxmox VE refreshes its figures every ten seconds, and most people scrape more seldom than that.
const MIN_INTERVAL: &str = "30s";
/// The one accent; whatever has another colour is wrong.
const ACCENT: &str = "blue";
pub const WARNING: &str = "orange";
pub const CRITICAL: &str = "red";
pub const MUTED: &str = "text";
pub const FINE: &str = ACCENT;

/// One file.
pub struct Dashboard {
    /// Part of the address, and of the file's name: never changes.
    pub name: &'static str,
    pub title: &'static str,
    pub description: &'static str,
    pub variables: Vec<Variable>,
    /// Which alerts are marked in the graphs.
    pub marks: &'static str,
    /// The events of the sidecar that are marked, too: of these clusters and kinds. Empty: none, where they could not be
    /// told from those of others.
    pub events: &'static str,
    pub rows: Vec<Row>,
}

/// A heading, and the panels below it from left to right.
pub struct Row {
    pub title: &'static str,
    pub panels: Vec<Panel>,
}

pub enum Variable {
    /// The values of a label or the results of a query.
    Query { name: &'static str, label: &'static str, query: &'static str, many: bool, regex: &'static str },
    /// A regular expression that the reader types.
    Text { name: &'static str, label: &'static str, value: &'static str },
    /// One of a few numbers; the first is chosen.
    Choice { name: &'static str, label: &'static str, values: &'static [&'static str] },
}

#[derive(Clone)]
pub struct Query {
    expr: String,
    legend: String,
    /// Drawn below the zero line.
    below: bool,
    limit: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Stat,
    Series,
    Timeline,
    Table,
}

/// A value that has a name, and perhaps a colour.
pub type Names = &'static [(i32, &'static str, &'static str)];

#[derive(Clone)]
pub struct Panel {
    kind: Kind,
    title: &'static str,
    description: &'static str,
    unit: &'static str,
    size: (u32, u32),
    queries: Vec<Query>,
    steps: Vec<(f64, &'static str)>,
    names: Names,
    max: Option<f64>,
    stacked: bool,
    link: Option<(&'static str, &'static str)>,
    columns: Vec<Column>,
    sort: Option<(&'static str, bool)>,
}

/// A column of a table: a label, or the value of a query.
#[derive(Clone)]
pub struct Column {
    label: Option<&'static str>,
    expr: String,
    title: &'static str,
    unit: &'static str,
    bar: bool,
    steps: Vec<(f64, &'static str)>,
    names: Names,
    link: Option<(&'static str, &'static str)>,
    hidden: bool,
    width: Option<u32>,
}

/// A column with what a label says.
pub fn label(label: &'static str, title: &'static str) -> Column {
    let steps = Vec::new();
    let (expr, unit) = (String::new(), "string");
    let label = Some(label);
    Column { label, expr, title, unit, bar: false, steps, names: &[], link: None, hidden: false, width: None }
}

/// A label that links need, and nobody has to read.
pub fn hidden(name: &'static str) -> Column {
    Column { hidden: true, ..label(name, name) }
}

/// A column with the value of a query, whose labels say in which line it stands.
pub fn value(title: &'static str, unit: &'static str, expr: &str) -> Column {
    Column { label: None, expr: expr.to_owned(), unit, ..label("", title) }
}

/// A ratio from 0 to 1 as a bar in the cell.
pub fn bar(title: &'static str, expr: &str) -> Column {
    Column { bar: true, ..value(title, "percentunit", expr) }
}

/// A query that only gives its labels to the lines.
pub fn base(expr: &str) -> Column {
    Column { hidden: true, ..value("base", "none", expr) }
}

impl Column {
    pub fn steps(mut self, steps: &[(f64, &'static str)]) -> Self {
        self.steps = steps.to_vec();
        self
    }

    pub fn names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    pub fn link(mut self, title: &'static str, url: &'static str) -> Self {
        self.link = Some((title, url));
        self
    }

    pub fn width(mut self, width: u32) -> Self {
        self.width = Some(width);
        self
    }

    fn overrides(&self) -> Option<Value> {
        if self.hidden {
            // A label stays in the table's data, where links find it.
            let hide = json!([{"id": "custom.hidden", "value": true}]);
            return self.label.map(|label| json!({"matcher": {"id": "byName", "options": label}, "properties": hide}));
        }
        let mut properties = vec![json!({"id": "unit", "value": self.unit})];
        if self.bar {
            let look = json!({"type": "gauge", "mode": "basic", "valueDisplayMode": "text"});
            properties.push(json!({"id": "custom.cellOptions", "value": look}));
            properties.push(json!({"id": "min", "value": 0}));
            properties.push(json!({"id": "max", "value": 1}));
        } else if !self.steps.is_empty() || !self.names.is_empty() {
            properties.push(json!({"id": "custom.cellOptions", "value": {"type": "color-text"}}));
        }
        if self.bar || !self.steps.is_empty() {
            let steps = steps_json(if self.bar { FINE } else { MUTED }, &self.steps);
            properties.push(json!({"id": "thresholds", "value": {"mode": "absolute", "steps": steps}}));
        }
        if !self.names.is_empty() {
            properties.push(json!({"id": "mappings", "value": mappings(self.names)}));
        }
        if let Some((title, url)) = self.link {
            properties.push(json!({"id": "links", "value": [{"title": title, "url": url, "targetBlank": false}]}));
        }
        if let Some(width) = self.width {
            properties.push(json!({"id": "custom.width", "value": width}));
        }
        Some(json!({"matcher": {"id": "byName", "options": self.title}, "properties": properties}))
    }
}

/// One number, coloured only if something is wrong.
pub fn stat(title: &'static str, description: &'static str, unit: &'static str, expr: &str) -> Panel {
    Panel { size: (4, 4), ..panel(Kind::Stat, title, description, unit) }.query(expr, title)
}

/// Lines over time.
pub fn series(title: &'static str, description: &'static str, unit: &'static str) -> Panel {
    panel(Kind::Series, title, description, unit)
}

/// States over time, one line for each series.
pub fn timeline(title: &'static str, description: &'static str, names: Names) -> Panel {
    Panel { names, ..panel(Kind::Timeline, title, description, "none") }
}

/// Now, one line for each thing.
pub fn table(title: &'static str, description: &'static str, columns: Vec<Column>) -> Panel {
    Panel { columns, size: (24, 9), ..panel(Kind::Table, title, description, "none") }
}

fn panel(kind: Kind, title: &'static str, description: &'static str, unit: &'static str) -> Panel {
    let (queries, steps, columns) = (Vec::new(), Vec::new(), Vec::new());
    let (max, link, sort) = (None, None, None);
    let (size, names, stacked) = ((12, 8), [].as_slice(), false);
    Panel { kind, title, description, unit, size, queries, steps, names, max, stacked, link, columns, sort }
}

impl Panel {
    pub fn query(mut self, expr: &str, legend: &str) -> Self {
        let (expr, legend) = (expr.to_owned(), legend.to_owned());
        self.queries.push(Query { expr, legend, below: false, limit: false });
        self
    }

    /// A query that is drawn downwards: what is sent or written.
    pub fn below(mut self, expr: &str, legend: &str) -> Self {
        self = self.query(expr, legend);
        self.queries.last_mut().expect("a query").below = true;
        self
    }

    /// The alerts' own limit as a dashed line: as it is recorded, so that it follows a change of the rules.
    pub fn limit(mut self, threshold: &str) -> Self {
        self = self.query(&format!("max(pve:threshold{{threshold=\"{threshold}\"}})"), "limit of the alert");
        self.queries.last_mut().expect("a query").limit = true;
        self
    }

    /// What a stat shows in place of a number: labels of its series.
    pub fn legend(mut self, legend: &str) -> Self {
        self.queries.last_mut().expect("a query").legend = legend.to_owned();
        self
    }

    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.size = (width, height);
        self
    }

    /// From which value on it has which colour.
    pub fn steps(mut self, steps: &[(f64, &'static str)]) -> Self {
        self.steps = steps.to_vec();
        self
    }

    pub fn names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    /// A ratio: the axis ends at 1.
    pub fn ratio(mut self) -> Self {
        self.max = Some(1.0);
        self
    }

    pub fn stacked(mut self) -> Self {
        self.stacked = true;
        self
    }

    pub fn link(mut self, title: &'static str, url: &'static str) -> Self {
        self.link = Some((title, url));
        self
    }

    pub fn sort(mut self, column: &'static str, descending: bool) -> Self {
        self.sort = Some((column, descending));
        self
    }

    fn json(&self, id: u32, (x, y): (u32, u32)) -> Value {
        let (kind, options) = match self.kind {
            Kind::Stat => ("stat", self.stat_options()),
            Kind::Series => ("timeseries", self.series_options()),
            Kind::Timeline => ("state-timeline", timeline_options()),
            Kind::Table => ("table", self.table_options()),
        };
        let mut panel = json!({
            "id": id,
            "type": kind,
            "title": self.title,
            "description": self.description,
            "datasource": datasource(),
            "gridPos": {"x": x, "y": y, "w": self.size.0, "h": self.size.1},
            "interval": MIN_INTERVAL,
            "fieldConfig": {"defaults": self.defaults(), "overrides": self.overrides()},
            "options": options,
            "targets": self.targets(),
        });
        if self.kind == Kind::Table {
            panel["transformations"] = self.transformations();
        }
        panel
    }

    fn targets(&self) -> Vec<Value> {
        let target = |at: usize, expr: &str| json!({"refId": ref_id(at), "datasource": datasource(), "expr": expr});
        if self.kind == Kind::Table {
            let exprs = self.columns.iter().filter(|column| column.label.is_none()).map(|column| &column.expr);
            return exprs
                .enumerate()
                .map(|(at, expr)| {
                    let mut target = target(at, expr);
                    target["format"] = json!("table");
                    target["instant"] = json!(true);
                    target["range"] = json!(false);
                    target
                })
                .collect();
        }
        let now = self.kind == Kind::Stat;
        let queries = self.queries.iter().enumerate();
        queries
            .map(|(at, query)| {
                let mut target = target(at, &query.expr);
                target["legendFormat"] = json!(query.legend);
                target["instant"] = json!(now);
                target["range"] = json!(!now);
                target
            })
            .collect()
    }

    fn defaults(&self) -> Value {
        let mut defaults = json!({"unit": self.unit, "mappings": mappings(self.names)});
        let calm = if self.kind == Kind::Table { MUTED } else { FINE };
        defaults["thresholds"] = json!({"mode": "absolute", "steps": steps_json(calm, &self.steps)});
        defaults["color"] = json!({"mode": "thresholds"});
        match self.kind {
            Kind::Series => {
                defaults["color"] = json!({"mode": "shades", "fixedColor": ACCENT});
                defaults["custom"] = self.line();
                if self.queries.iter().all(|query| !query.below) {
                    defaults["min"] = json!(0);
                }
            }
            Kind::Timeline => {
                defaults["custom"] = json!({"fillOpacity": 70, "lineWidth": 0, "spanNulls": false});
            }
            Kind::Table => {
                defaults["custom"] = json!({"align": "auto", "cellOptions": {"type": "auto"}, "filterable": false});
            }
            Kind::Stat => {}
        }
        if let Some(max) = self.max {
            defaults["max"] = json!(max);
        }
        if let Some((title, url)) = self.link {
            defaults["links"] = json!([{"title": title, "url": url, "targetBlank": false}]);
        }
        defaults
    }

    fn line(&self) -> Value {
        json!({
            "drawStyle": "line",
            "lineInterpolation": "linear",
            "lineWidth": 1,
            "fillOpacity": if self.stacked { 30 } else { 5 },
            "gradientMode": "none",
            "showPoints": "never",
            "spanNulls": false,
            "stacking": {"mode": if self.stacked { "normal" } else { "none" }, "group": "A"},
            "thresholdsStyle": {"mode": "off"},
            "axisPlacement": "auto",
        })
    }

    fn overrides(&self) -> Vec<Value> {
        if self.kind == Kind::Table {
            return self.columns.iter().filter_map(Column::overrides).collect();
        }
        let mut overrides = Vec::new();
        for (at, query) in self.queries.iter().enumerate() {
            let mut properties = Vec::new();
            if query.below {
                properties.push(json!({"id": "custom.transform", "value": "negative-Y"}));
            }
            if query.limit {
                properties.push(json!({"id": "color", "value": {"mode": "fixed", "fixedColor": WARNING}}));
                properties.push(json!({"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 8]}}));
                properties.push(json!({"id": "custom.fillOpacity", "value": 0}));
                properties.push(json!({"id": "custom.stacking", "value": {"mode": "none", "group": "A"}}));
            }
            if !properties.is_empty() {
                let matcher = json!({"id": "byFrameRefID", "options": ref_id(at)});
                overrides.push(json!({"matcher": matcher, "properties": properties}));
            }
        }
        overrides
    }

    fn stat_options(&self) -> Value {
        json!({
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": if self.queries.iter().any(|query| query.legend.contains("{{")) { "name" } else { "value" },
            "wideLayout": true,
        })
    }

    fn series_options(&self) -> Value {
        json!({
            "legend": {"showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        })
    }

    fn table_options(&self) -> Value {
        let sort: Vec<Value> =
            self.sort.iter().map(|(column, desc)| json!({"displayName": column, "desc": desc})).collect();
        json!({"showHeader": true, "cellHeight": "sm", "sortBy": sort})
    }

    /// One line for all that has the same labels, the columns in their order and by their names.
    fn transformations(&self) -> Value {
        let (mut exclude, mut index, mut rename) = (json!({"Time": true}), json!({}), json!({}));
        let values = self.columns.iter().filter(|column| column.label.is_none()).count();
        let mut at = 0;
        for (place, column) in self.columns.iter().enumerate() {
            let name = match column.label {
                Some(label) => label.to_owned(),
                None => {
                    at += 1;
                    if values == 1 { "Value".to_owned() } else { format!("Value #{}", ref_id(at - 1)) }
                }
            };
            if !column.hidden {
                rename[&name] = json!(column.title);
            } else if column.label.is_none() {
                exclude[&name] = json!(true);
            }
            index[&name] = json!(place);
        }
        let organize = json!({"excludeByName": exclude, "indexByName": index, "renameByName": rename});
        json!([{"id": "merge", "options": {}}, {"id": "organize", "options": organize}])
    }
}

fn timeline_options() -> Value {
    json!({
        "showValue": "never",
        "rowHeight": 0.8,
        "mergeValues": true,
        "alignValue": "left",
        "legend": {"showLegend": true, "displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "single", "sort": "none"},
    })
}

fn steps_json(calm: &str, steps: &[(f64, &'static str)]) -> Vec<Value> {
    let first = json!({"color": calm, "value": null});
    std::iter::once(first).chain(steps.iter().map(|(from, colour)| json!({"color": colour, "value": from}))).collect()
}

fn mappings(names: Names) -> Vec<Value> {
    if names.is_empty() {
        return Vec::new();
    }
    let mut options = json!({});
    for (at, (value, text, colour)) in names.iter().enumerate() {
        options[value.to_string()] = json!({"text": text, "color": colour, "index": at});
    }
    vec![json!({"type": "value", "options": options})]
}

fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn ref_id(at: usize) -> String {
    char::from(b'A' + u8::try_from(at).expect("few queries")).to_string()
}

impl Variable {
    fn json(&self) -> Value {
        match self {
            Self::Query { name, label, query, many, regex } => {
                let mut variable = json!({
                    "type": "query", "name": name, "label": label, "datasource": datasource(),
                    "query": {"query": query, "refId": "variable"}, "definition": query, "regex": regex,
                    "refresh": 2, "sort": 1, "multi": many, "includeAll": many, "hide": 0, "options": [], "current": {},
                });
                if *many {
                    variable["allValue"] = json!(".+");
                    variable["current"] = json!({"selected": true, "text": ["All"], "value": ["$__all"]});
                }
                variable
            }
            Self::Text { name, label, value } => json!({
                "type": "textbox", "name": name, "label": label, "query": value, "hide": 0,
                "current": {"selected": true, "text": value, "value": value},
                "options": [{"selected": true, "text": value, "value": value}],
            }),
            Self::Choice { name, label, values } => {
                let option = |value: &&str| json!({"selected": *value == values[0], "text": value, "value": value});
                json!({
                    "type": "custom", "name": name, "label": label, "query": values.join(","), "hide": 0,
                    "multi": false, "includeAll": false, "options": values.iter().map(option).collect::<Vec<_>>(),
                    "current": {"selected": true, "text": values[0], "value": values[0]},
                })
            }
        }
    }
}

impl Dashboard {
    /// The file's text.
    pub fn text(&self) -> String {
        let source = json!({
            "type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "regex": "",
            "refresh": 1, "multi": false, "includeAll": false, "hide": 0, "options": [], "current": {},
        });
        let variables: Vec<Value> = std::iter::once(source).chain(self.variables.iter().map(Variable::json)).collect();
        let others = json!({
            "type": "dashboards", "tags": ["pve-sentinel"], "title": "Proxmox VE", "asDropdown": false, "icon": "external link",
            "includeVars": true, "keepTime": true, "targetBlank": false, "tooltip": "", "url": "",
        });
        let file = json!({
            "id": null,
            "uid": format!("pve-sentinel-{}", self.name),
            "title": self.title,
            "description": self.description,
            "tags": ["pve-sentinel", "proxmox"],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": false,
            "graphTooltip": 1,
            "refresh": "1m",
            "time": {"from": "now-6h", "to": "now"},
            "timepicker": {},
            "timezone": "browser",
            "weekStart": "",
            "fiscalYearStartMonth": 0,
            "liveNow": false,
            "links": [others],
            "annotations": {"list": self.annotations()},
            "templating": {"list": variables},
            "panels": self.panels(),
        });
        serde_json::to_string_pretty(&file).expect("JSON") + "\n"
    }

    fn annotations(&self) -> Vec<Value> {
        let alerts = json!({
            "name": "Alerts", "enable": true, "hide": false, "iconColor": WARNING, "datasource": datasource(),
            "expr": self.marks, "step": "60s", "titleFormat": "{{alertname}}", "textFormat": "{{cluster}} {{node}} {{name}} {{host}}",
            "tagKeys": "severity",
        });
        let found = format!("pve_sentinel_events_found_total{{{}}}", self.events);
        let events = json!({
            "name": "Events", "enable": true, "hide": false, "iconColor": ACCENT, "datasource": datasource(),
            "expr": format!("max by (cluster, kind) (increase({found}[1m])) > 0"), "step": "60s",
            "titleFormat": "{{kind}}", "textFormat": "{{cluster}}", "tagKeys": "kind",
        });
        if self.events.is_empty() { vec![alerts] } else { vec![alerts, events] }
    }

    fn panels(&self) -> Vec<Value> {
        let (mut panels, mut id, mut y) = (Vec::new(), 0, 0);
        for row in &self.rows {
            id += 1;
            let place = json!({"x": 0, "y": y, "w": COLUMNS, "h": 1});
            panels.push(json!({
                "id": id, "type": "row", "title": row.title, "collapsed": false, "gridPos": place, "panels": [],
            }));
            y += 1;
            let mut x = 0;
            for panel in &row.panels {
                id += 1;
                panels.push(panel.json(id, (x, y)));
                x += panel.size.0;
                if x >= COLUMNS {
                    x = 0;
                    y += panel.size.1;
                }
            }
        }
        panels
    }
}
