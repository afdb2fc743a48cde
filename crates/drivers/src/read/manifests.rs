//! Kubernetes manifests: what differs between two sides.
//!
//! Objects are compared by kind, namespace and name. Keeps where they differ, images and numbers of replicas; no other value, and of a secret not even
//! the names of files that hold it. A file that can't be read refuses the whole: half a comparison would hide what the other half removes.

use std::collections::{BTreeMap, BTreeSet};

use change::Digest;
use change::document::Document;
use change::facts::material::{How, ImageChange, Listed, Manifests, Mark, ObjectChange, Origin, Replicas};
use serde_json::Value;

use super::unread::{Unread, text};

/// One side of a comparison: a file, or a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// How people call it.
    pub name: String,
    /// Its files, by path.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Files that can be manifests, by their ending.
pub fn is_manifest(path: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|ending| path.ends_with(ending))
}

/// Compares two sides.
///
/// # Errors
/// If a file is broken, or an object is there twice.
pub fn manifests(before: &Side, after: &Side) -> Result<Manifests, Unread> {
    let (old, new) = (objects(before)?, objects(after)?);
    let mut found = Manifests { before: Some(origin(before)), after: Some(origin(after)), ..Manifests::default() };
    let keys: BTreeSet<&Key> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for key in keys {
        if let Some(change) = compare(key, old.get(key), new.get(key)) {
            count(&change, &mut found);
            changes.push(change);
        }
    }
    changes.sort_by_key(|change| {
        (std::cmp::Reverse((change.how == How::Deleted, change.marks.len())), change.object.clone())
    });
    found.objects = Listed::of(changes);
    Ok(found)
}

fn origin(side: &Side) -> Origin {
    let digests: Vec<Digest> = side.files.values().map(|bytes| Digest::of_bytes(bytes)).collect();
    let digest = match digests.as_slice() {
        [only] => *only,
        several => Digest::of_value(&several),
    };
    Origin { tool: "kubernetes".into(), name: change::facts::material::shortened(&side.name), digest: Some(digest) }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    group: String,
    kind: String,
    namespace: String,
    name: String,
}

impl Key {
    fn words(&self) -> String {
        let namespace = if self.namespace.is_empty() { String::new() } else { format!("{}/", self.namespace) };
        format!("{} {namespace}{}", self.kind, self.name)
    }
}

fn objects(side: &Side) -> Result<BTreeMap<Key, Value>, Unread> {
    let mut found = BTreeMap::new();
    let mut places: BTreeMap<Key, &str> = BTreeMap::new();
    for (path, bytes) in &side.files {
        for value in documents(path, bytes)? {
            let Some(key) = key(&value) else { continue };
            if let Some(earlier) = places.insert(key.clone(), path) {
                let what = format!("`{}` is in `{earlier}` already", key.words());
                return Err(Unread::new(path, what).help("give each object once on each side"));
            }
            found.insert(key, value);
        }
    }
    Ok(found)
}

fn documents(path: &str, bytes: &[u8]) -> Result<Vec<Value>, Unread> {
    let documents = Document::all_from_yaml(text(path, bytes)?).map_err(|problems| {
        // The place only: a message may quote the value of a secret.
        let place = problems
            .first()
            .map(|p| format!(" (line {}, column {})", p.place.line, p.place.column))
            .unwrap_or_default();
        Unread::new(path, format!("it can't be read as YAML{place}"))
            .help("render templates first, such as with `helm template`")
    })?;
    let mut found = Vec::new();
    for document in documents {
        let value = document.value().clone();
        match value.get("items").and_then(Value::as_array).filter(|items| is_list(&value, items)) {
            Some(items) => found.extend(items.iter().cloned()),
            None => found.push(value),
        }
    }
    Ok(found)
}

/// Whether a document only holds others. A kind of somebody's own may be called `AllowList` and have items too.
fn is_list(value: &Value, items: &[Value]) -> bool {
    let string = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let holds_objects = !items.is_empty() && items.iter().all(|item| key(item).is_some());
    (string("apiVersion"), string("kind")) == ("v1", "List") || (string("kind").ends_with("List") && holds_objects)
}

/// What an object is known by; other YAML that lies beside manifests has no such thing.
fn key(value: &Value) -> Option<Key> {
    let string = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let group = string("/apiVersion")?.rsplit_once('/').map_or_else(String::new, |(group, _)| group.to_owned());
    let name =
        string("/metadata/name").or_else(|| string("/metadata/generateName")).unwrap_or_else(|| "(no name)".into());
    Some(Key { group, kind: string("/kind")?, namespace: string("/metadata/namespace").unwrap_or_default(), name })
}

fn compare(key: &Key, before: Option<&Value>, after: Option<&Value>) -> Option<ObjectChange> {
    if before == after {
        return None;
    }
    let how = match (before, after) {
        (None, _) => How::Added,
        (_, None) => How::Deleted,
        _ => How::Modified,
    };
    let mut paths = Vec::new();
    if let (Some(before), Some(after)) = (before, after) {
        differ(before, after, &mut String::new(), &mut paths);
    }
    if key.kind == "Secret" {
        paths = paths.iter().map(|path| path.split('.').next().unwrap_or_default().to_owned()).collect();
    }
    paths.sort();
    paths.dedup();
    let replicas = |side: Option<&Value>| side.and_then(|v| v.pointer("/spec/replicas")).and_then(Value::as_i64);
    let (old, new) = (replicas(before), replicas(after));
    Some(ObjectChange {
        object: key.words(),
        how,
        marks: marks(key, before, after),
        paths,
        images: images(before, after),
        replicas: (how == How::Modified && old != new).then_some(Replicas { before: old, after: new }),
    })
}

/// The most places at which two objects differ that are looked for.
const MOST_PATHS: usize = 200;

fn differ(before: &Value, after: &Value, at: &mut String, found: &mut Vec<String>) {
    if before == after || found.len() >= MOST_PATHS {
        return;
    }
    let length = at.len();
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for name in names {
                at.push_str(if length == 0 { "" } else { "." });
                at.push_str(name);
                differ(a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null), at, found);
                at.truncate(length);
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for i in 0..a.len().max(b.len()) {
                at.push_str(&format!("[{i}]"));
                differ(a.get(i).unwrap_or(&Value::Null), b.get(i).unwrap_or(&Value::Null), at, found);
                at.truncate(length);
            }
        }
        _ => found.push(at.clone()),
    }
}

fn marks(key: &Key, before: Option<&Value>, after: Option<&Value>) -> BTreeSet<Mark> {
    let mut marks = BTreeSet::new();
    match (key.group.as_str(), key.kind.as_str()) {
        ("rbac.authorization.k8s.io", _) | ("", "ServiceAccount") | ("certificates.k8s.io", _) => {
            marks.insert(Mark::Rbac)
        }
        ("networking.k8s.io" | "gateway.networking.k8s.io", _)
        | ("", "Service" | "Endpoints")
        | ("discovery.k8s.io", _) => marks.insert(Mark::Network),
        ("", "Secret") => marks.insert(Mark::Secret),
        ("apps", "StatefulSet")
        | ("", "PersistentVolumeClaim" | "PersistentVolume" | "Namespace")
        | ("storage.k8s.io", _) => marks.insert(Mark::Stateful),
        ("apiextensions.k8s.io" | "admissionregistration.k8s.io" | "apiregistration.k8s.io", _) => {
            marks.insert(Mark::Crd)
        }
        (
            "apps"
            | "batch"
            | "autoscaling"
            | "policy"
            | "scheduling.k8s.io"
            | "node.k8s.io"
            | "kustomize.config.k8s.io",
            _,
        )
        | ("", "ConfigMap" | "Pod" | "ReplicationController" | "LimitRange" | "ResourceQuota" | "PodTemplate") => false,
        _ => marks.insert(Mark::UnknownKind),
    };
    // Which account a pod acts as, and what it may do to its node, is access wherever it stands.
    if after.is_some_and(|after| gains_access(before.map(pod), pod(after))) {
        marks.insert(Mark::Rbac);
    }
    marks
}

/// What of a pod says as whom it acts and what it may do to its node.
const OF_PODS: [&str; 6] =
    ["serviceAccountName", "serviceAccount", "securityContext", "hostNetwork", "hostPID", "hostIPC"];

/// Whether a pod, or a container in it, has other access than before. Where there was something, each difference counts, for what is taken out may have
/// been what held it back; something new counts by what it is given.
fn gains_access(before: Option<&Value>, after: &Value) -> bool {
    let field = |value: &Value, name: &str| value.get(name).cloned().unwrap_or(Value::Null);
    let differs = |before: Option<&Value>, after: &Value, name: &str| match before {
        Some(before) => field(before, name) != field(after, name),
        None => gives(name, &field(after, name)),
    };
    let old = before.map(containers).unwrap_or_default();
    let of_containers = containers(after).into_iter().any(|(name, container)| {
        let old = old.get(&name).copied();
        differs(old, container, "securityContext") || opens(old, container)
    });
    let old_paths = before.map(host_paths).unwrap_or_default();
    OF_PODS.iter().any(|name| differs(before, after, name))
        || of_containers
        || host_paths(after).iter().any(|path| !old_paths.contains(path))
}

/// The containers of a pod, by their list and their name, or their place where they have none.
fn containers(pod: &Value) -> BTreeMap<(&'static str, String), &Value> {
    let of = |list: &'static str| {
        let items = pod.get(list).and_then(Value::as_array).into_iter().flatten().enumerate();
        items.map(move |(i, container)| {
            let name = container.get("name").and_then(Value::as_str).map_or_else(|| format!("[{i}]"), str::to_owned);
            ((list, name), container)
        })
    };
    CONTAINERS.into_iter().flat_map(of).collect()
}

/// Whether a container listens on a port of its node on which it did not.
fn opens(before: Option<&Value>, after: &Value) -> bool {
    let ports = |container: &Value| -> BTreeSet<String> {
        let ports = container.get("ports").and_then(Value::as_array).into_iter().flatten();
        let protocol = |port: &Value| port.get("protocol").map(ToString::to_string).unwrap_or_default();
        ports.filter_map(|port| Some(format!("{} {}", port.get("hostPort")?, protocol(port)))).collect()
    };
    let old = before.map(ports).unwrap_or_default();
    ports(after).iter().any(|port| !old.contains(port))
}

/// The folders of its node that a pod sees.
fn host_paths(pod: &Value) -> Vec<&Value> {
    let volumes = pod.get("volumes").and_then(Value::as_array).into_iter().flatten();
    volumes.filter_map(|volume| volume.get("hostPath")).collect()
}

/// Whether a setting of something new gives access, or only holds it back.
fn gives(name: &str, value: &Value) -> bool {
    let is_zero = || value.as_i64().is_none_or(|id| id == 0);
    match (name, value) {
        (_, Value::Null) => false,
        ("serviceAccountName" | "serviceAccount", account) => account != "default",
        ("securityContext", Value::Object(settings)) => settings.iter().any(|(name, value)| gives(name, value)),
        ("runAsNonRoot", value) => *value != Value::Bool(true),
        ("runAsUser" | "runAsGroup" | "fsGroup", _) => is_zero(),
        ("readOnlyRootFilesystem" | "fsGroupChangePolicy" | "supplementalGroupsPolicy", _) => false,
        ("capabilities", Value::Object(lists)) => lists.iter().any(|(list, _)| list != "drop"),
        ("seccompProfile" | "appArmorProfile", profile) => {
            profile.get("type").and_then(Value::as_str) != Some("RuntimeDefault")
        }
        (_, value) => *value != Value::Bool(false),
    }
}

const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

fn pod(value: &Value) -> &Value {
    let places = ["/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];
    places.iter().find_map(|at| value.pointer(at)).or_else(|| value.get("spec")).unwrap_or(&Value::Null)
}

fn images(before: Option<&Value>, after: Option<&Value>) -> Vec<ImageChange> {
    let named = |side: Option<&Value>| -> BTreeMap<String, String> {
        let spec = side.map(pod).unwrap_or(&Value::Null);
        let lists = CONTAINERS.map(|list| spec.get(list).and_then(Value::as_array));
        let string = |v: &Value, name: &str| v.get(name).and_then(Value::as_str).map(str::to_owned);
        lists.into_iter().flatten().flatten().filter_map(|c| Some((string(c, "name")?, string(c, "image")?))).collect()
    };
    let (old, new) = (named(before), named(after));
    let containers: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = containers.into_iter().filter(|name| old.get(*name) != new.get(*name));
    let change = |name: &String| {
        let after = new.get(name).cloned();
        let is_pinned = after.as_deref().is_some_and(|image| image.contains("@sha256:"));
        ImageChange { container: name.clone(), before: old.get(name).cloned(), after, is_pinned }
    };
    changed.map(change).collect()
}

fn count(change: &ObjectChange, found: &mut Manifests) {
    let counter = match change.how {
        How::Added => &mut found.created,
        How::Deleted => &mut found.removed,
        _ => &mut found.changed,
    };
    *counter += 1;
    for mark in &change.marks {
        *found.marks.entry(*mark).or_default() += 1;
    }
    let holds = [Mark::Stateful, Mark::Crd, Mark::UnknownKind].iter().any(|mark| change.marks.contains(mark));
    found.lost += u32::from(change.how == How::Deleted && holds);
    let new = || change.images.iter().filter(|image| image.after.is_some());
    found.images += u32::try_from(new().count()).unwrap_or(u32::MAX);
    found.unpinned_images += u32::try_from(new().filter(|image| !image.is_pinned).count()).unwrap_or(u32::MAX);
    found.replicas += u32::from(change.replicas.is_some());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(name: &str, text: &str) -> Side {
        Side { name: name.into(), files: [("all.yaml".to_owned(), text.as_bytes().to_vec())].into() }
    }

    fn diff(before: &str, after: &str) -> Result<Manifests, Unread> {
        manifests(&side("before", before), &side("after", after))
    }

    const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop, namespace: web}\n\
        spec: {replicas: 2, template: {spec: {containers: [{name: app, image: 'r/shop:1'}]}}}\n";

    // L4: what differs is known by its path; an image by tag can be moved.
    #[test]
    fn changed_objects_say_where_they_differ_and_which_images_are_pinned() {
        let after = DEPLOYMENT.replace("replicas: 2", "replicas: 5").replace("shop:1", "shop:2");
        let found = diff(DEPLOYMENT, &after).expect("manifests");
        let object = &found.objects.list[0];
        assert_eq!(object.object, "Deployment web/shop");
        assert_eq!(object.paths, ["spec.replicas", "spec.template.spec.containers[0].image"]);
        assert_eq!(object.replicas, Some(Replicas { before: Some(2), after: Some(5) }));
        assert_eq!((found.changed, found.images, found.unpinned_images, found.replicas), (1, 1, 1, 1));
        let pinned = DEPLOYMENT.replace("shop:1", &format!("shop@sha256:{}", "0".repeat(64)));
        assert_eq!(diff(DEPLOYMENT, &pinned).expect("manifests").unpinned_images, 0);
        assert_eq!(diff(DEPLOYMENT, DEPLOYMENT).expect("manifests").objects.total, 0);
    }

    #[test]
    fn objects_that_need_care_are_marked_and_their_loss_is_counted() {
        let object =
            |version: &str, kind: &str| format!("---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\n");
        let all = [
            object("rbac.authorization.k8s.io/v1", "ClusterRole"),
            object("networking.k8s.io/v1", "NetworkPolicy"),
            object("v1", "Secret"),
            object("v1", "PersistentVolumeClaim"),
            object("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
            object("acme.example/v1", "Widget"),
            object("v1", "ConfigMap"),
        ]
        .concat();
        let found = diff(&all, "").expect("manifests");
        assert_eq!((found.removed, found.lost, found.marks.len()), (7, 3, 6));
        assert!(found.marks.values().all(|n| *n == 1));
    }

    // F7: no value of a secret is kept, nor quoted by an error.
    #[test]
    fn no_value_of_a_secret_leaves_the_reader() {
        let secret = |value: &str| {
            format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{hunter2-key: {value}}}\n")
        };
        let found = diff(&secret("hunter2-old"), &secret("hunter2-new")).expect("manifests");
        assert_eq!(found.objects.list[0].paths, ["stringData"]);
        assert!(!format!("{found:?}").contains("hunter2"));
        let error = diff("", "a: {hunter2: [\n").expect_err("broken");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }

    #[test]
    fn an_account_that_a_pod_acts_as_is_access() {
        let with = DEPLOYMENT.replace("{containers", "{serviceAccountName: admin, containers");
        assert!(diff(DEPLOYMENT, &with).expect("manifests").marks.contains_key(&Mark::Rbac));
    }

    // LC1: what a pod may do to its node is access, in a new workload as in an old one, and in each of its containers.
    #[test]
    fn what_a_pod_may_do_to_its_node_is_access() {
        let with = |spec: &str| DEPLOYMENT.replace("{containers: [{", &format!("{{{spec}, containers: [{{"));
        let inside = |text: &str| DEPLOYMENT.replace("{name: app,", &format!("{{name: app, {text},"));
        let is_access =
            |before: &str, after: &str| diff(before, after).expect("manifests").marks.contains_key(&Mark::Rbac);
        for risky in [
            with("serviceAccountName: admin"),
            with("hostIPC: true"),
            with("hostPID: true"),
            with("hostNetwork: true"),
            with("securityContext: {runAsUser: 0}"),
            with("volumes: [{name: root, hostPath: {path: /}}]"),
            with("initContainers: [{name: i, image: x, securityContext: {privileged: true}}]"),
            with("ephemeralContainers: [{name: e, image: x, securityContext: {privileged: true}}]"),
            inside("securityContext: {privileged: true}"),
            inside("securityContext: {capabilities: {add: [SYS_ADMIN]}}"),
            inside("securityContext: {procMount: Unmasked}"),
            inside("ports: [{containerPort: 80, hostPort: 80}]"),
        ] {
            assert!(is_access("", &risky), "new: {risky}");
            assert!(is_access(DEPLOYMENT, &risky), "changed: {risky}");
            assert!(!is_access(&risky, ""), "removed: {risky}");
        }
        let held = inside(
            "ports: [{containerPort: 80}], securityContext: {runAsNonRoot: true, runAsUser: 1000, privileged: false, \
             capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}",
        );
        assert!(!is_access("", &held), "what holds a new workload back is no access");
        assert!(is_access(&held, DEPLOYMENT), "what held it back is gone");
        assert!(!is_access("", DEPLOYMENT));
    }

    #[test]
    fn a_kind_of_ones_own_that_ends_like_a_list_is_an_object() {
        let own = "apiVersion: acme.example/v1\nkind: AllowList\nmetadata: {name: a}\nitems: [{kind: ip, value: 10.0.0.0/8}]\n";
        let found = diff("", own).expect("manifests");
        assert_eq!(found.objects.list[0].object, "AllowList a");
        assert!(found.marks.contains_key(&Mark::UnknownKind));
        let typed =
            "apiVersion: v1\nkind: ConfigMapList\nitems: [{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}]\n";
        assert_eq!(diff("", typed).expect("manifests").objects.list[0].object, "ConfigMap a");
    }

    #[test]
    fn lists_are_unfolded_and_other_yaml_is_passed_over() {
        let list = "apiVersion: v1\nkind: List\nitems:\n  - {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n---\nreplicas: 3\n";
        assert_eq!(diff("", list).expect("manifests").created, 1);
    }

    #[test]
    fn duplicates_bombs_and_broken_files_are_refused() {
        let twice = format!("{DEPLOYMENT}---\n{DEPLOYMENT}");
        assert!(
            diff("", &twice).expect_err("twice").to_string().contains("`Deployment web/shop` is in `all.yaml` already")
        );
        for bad in [
            "a: &a [1]\nb: [*a, *a]\n",
            "{{ .Values.x }}: [",
            "a: b: c",
            &format!("{}1", "[".repeat(500)),
            &"x: 1\n".repeat(300_000),
        ] {
            assert!(diff("", bad).is_err(), "{bad:.20}");
        }
    }
}
