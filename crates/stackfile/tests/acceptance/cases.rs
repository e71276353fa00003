//! Small cases: one function each.

use super::case::{Case, Verdict};
use super::decided::meets;
use super::tree::{json, tree};
use hoist_stackfile::canonical::{Dialect, render};
use hoist_stackfile::diagnostic::Report;
use hoist_stackfile::node::{Node, Value as NodeValue};
use hoist_stackfile::place::Path;
use hoist_stackfile::schema::Site;
use hoist_stackfile::stages::interpolate::Interpolation;
use hoist_stackfile::stages::{check, decode, defaults, expand, merge, normalize, unique};
use hoist_stackfile::syntax::dotenv::{self, Variables};
use hoist_stackfile::syntax::{bytes, duration, template, volume};
use serde_json::{Value, json};

pub(crate) fn run(case: &Case) -> Verdict {
    let got = match case.kind.as_str() {
        "interpolate_string" => interpolate_string(case),
        "interpolate_tree" => interpolate_tree(case),
        "dotenv" => dotenv(case),
        "volume_short" => volume::parse(case.input.as_str().unwrap()).map(|v| volume_json(&v)),
        "port_short" => expanded("ports", vec![tree(&case.input)]),
        "duration" => duration::parse(case.input.as_str().unwrap())
            .map(|d| json!({"nanoseconds": d, "canonical": duration::format(d)})),
        "bytes" => bytes::parse(case.input.as_str().unwrap()).map(|b| json!(b)),
        "merge" => merged(case),
        "unicity" => {
            let mut node = tree(&case.input);
            report(|r| unique::enforce(&mut node, Site::TOP, &Path::TOP, r)).map(|()| json(&node))
        }
        "merge_no_unicity" => merge_only(case).map(|node| json(&node)),
        "normalize" => {
            let mut node = tree(&case.input);
            normalize::normalize(&mut node, case.input["name"].as_str().unwrap_or_default(), &case.env);
            Ok(json(&node))
        }
        "set_defaults" => {
            let mut node = tree(&case.input);
            defaults::set_defaults(&mut node);
            Ok(json(&node))
        }
        "schema_validate" => {
            let node = tree(&case.input);
            report(|r| check::check(&node, r)).map(|()| json!("valid"))
        }
        "load" => return super::load::run(case),
        "ports" => short_list(case),
        other => return Err(format!("unknown kind {other}")),
    };
    let wrap = |value: &Value| json!({"v": value});
    meets(case, case.expected.as_ref().map(wrap).as_ref(), got.map(|got| wrap(&got)))
}

fn report(act: impl FnOnce(&mut Report)) -> Result<(), String> {
    let mut report = Report::default();
    act(&mut report);
    if report.errors() == 0 { Ok(()) } else { Err(report.into_findings()[0].message.clone()) }
}

fn interpolate_string(case: &Case) -> Result<Value, String> {
    let lookup = |name: &str| case.env.get(name).cloned();
    let template = case.input["template"].as_str().unwrap();
    template::substitute(template, &lookup).map(|out| json!(out.text)).map_err(|error| format!("{error:?}"))
}

fn interpolate_tree(case: &Case) -> Result<Value, String> {
    let mut node = tree(&case.input["tree"]);
    let mut warned = std::collections::HashSet::new();
    report(|report| {
        let mut interpolation = Interpolation { environment: &case.env, warned: &mut warned, report };
        interpolation.run(&mut node, Site::UNKNOWN, &Path::TOP);
    })?;
    Ok(json(&node))
}

fn dotenv(case: &Case) -> Result<Value, String> {
    let before = case.input["vars_before"].as_object().cloned().unwrap_or_default();
    let mut variables: Variables =
        before.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
    let lookup = |name: &str| case.env.get(name).cloned();
    dotenv::parse(case.input["src"].as_str().unwrap(), &mut variables, &lookup)
        .map_err(|error| format!("line {}: {}", error.line, error.reason))?;
    Ok(json!(variables))
}

/// What the short form alone says: no default has been added and no path cleaned.
fn volume_json(volume: &volume::Volume) -> Value {
    let is_bind = volume.is_bind();
    let mut bind = json!({"selinux": volume.selinux, "propagation": volume.propagation});
    if !is_bind && (volume.selinux.is_some() || volume.propagation.is_some()) {
        bind["create_host_path"] = json!(false);
    }
    json!({
        "type": if is_bind { "bind" } else { "volume" },
        "source": volume.source,
        "target": volume.target,
        "read_only": volume.read_only.then_some(true),
        "bind": bind,
        "volume": {"nocopy": volume.no_copy.then_some(true)},
    })
}

fn short_list(case: &Case) -> Result<Value, String> {
    expanded("ports", case.input.as_array().unwrap().iter().map(tree).collect())
}

/// Items of a service's list in their canonical form.
fn expanded(key: &str, items: Vec<Node>) -> Result<Value, String> {
    let map =
        |key: &str, node: Node| Node::new(NodeValue::Map([(key.to_owned(), node)].into_iter().collect()));
    let list = Node::new(NodeValue::List(items));
    let mut top = map("services", map("s", map(key, list)));
    let mut got = Value::Null;
    report(|report| {
        expand::expand(&mut top, expand::Mode::Strict, report);
        let decoded = decode::decode(top, report);
        got = json(&render(&decoded, Dialect::Json))["services"]["s"][key].clone();
    })?;
    Ok(got)
}

fn merge_only(case: &Case) -> Result<Node, String> {
    let (base, over) = (tree(&case.input["base"]), tree(&case.input["override"]));
    let mut merged = None;
    report(|report| merged = Some(merge::merge(base, over, Site::TOP, &Path::TOP, report)))?;
    Ok(merged.unwrap())
}

fn merged(case: &Case) -> Result<Value, String> {
    let mut node = merge_only(case)?;
    report(|report| unique::enforce(&mut node, Site::TOP, &Path::TOP, report))?;
    Ok(json(&node))
}
