//! What is taken from files as Backstage's users write them, and what is said about it.

use change::catalog::{Catalog, Severity};
use expect_test::expect_file;
use proptest::prelude::*;

use super::*;

fn documents(text: &str) -> Vec<Document> {
    Document::all_from_yaml(text).unwrap_or_else(|problems| panic!("is YAML: {problems:#?}"))
}

fn read(files: &[(&str, &str)]) -> Catalog {
    let files = files.iter().map(|(path, text)| ((*path).to_owned(), documents(text))).collect();
    Catalog::assemble(vec![], entries(&files))
}

fn said(catalog: &Catalog) -> String {
    let findings = catalog.findings_without_people(&[]);
    findings.iter().map(|f| format!("{f}\n")).collect()
}

fn component(name: &str, more: &str) -> String {
    format!(
        "---\napiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\nspec: {{owner: team-a{more}}}\n"
    )
}

fn calls(catalog: &Catalog, name: &str) -> Vec<String> {
    catalog.service(name).map(|s| s.depends_on.clone()).unwrap_or_default()
}

#[test]
fn a_catalog_of_backstage_is_read_as_it_is() {
    let catalog = read(&[
        ("services/shop/catalog-info.yaml", include_str!("../samples/backstage-shop.yaml")),
        ("services/org.yaml", include_str!("../samples/backstage-org.yaml")),
    ]);
    let services = serde_json::to_value(catalog.services()).expect("JSON");
    let shown = format!(
        "{}\n--- notes\n{}",
        super::super::yaml::write(&serde_json::json!({"services": services})),
        said(&catalog)
    );
    expect_file!["../samples/backstage-shop.snap"].assert_eq(&shown);
}

#[test]
fn relations_of_all_kinds_become_dependencies() {
    let text = [
        component("web", ", consumesApis: [cart-api], dependsOn: ['Component:default/Mail', 'system:store']"),
        component("cart", ", providesApis: ['api:default/cart-api'], system: store"),
        component("cart-jobs", ", subcomponentOf: cart, system: store"),
        component("mail", ", dependencyOf: ['component:cart'], partOf: store"),
    ]
    .concat();
    let catalog = read(&[("services/a.yaml", &text)]);
    assert_eq!(calls(&catalog, "web"), ["mail", "cart", "cart-jobs"]);
    assert_eq!(calls(&catalog, "cart"), ["cart-jobs", "mail"]);
    assert_eq!((calls(&catalog, "mail").len(), calls(&catalog, "cart-jobs").len()), (0, 0));
}

#[test]
fn what_is_wrong_is_said_with_its_file_and_line() {
    let catalog = read(&[(
        "services/a.yaml",
        "apiVersion: backstage.io/v2
kind: Component
metadata: {name: a}
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: b
  annotations:
    clearway.dev/tier: '5'
    clearway.dev/gate: observe
    clearway.dev/review-by: soon
spec:
  owner: 'a:b:c'
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: c
  annotations: {clearway.dev/tier: '7', clearway.dev/gate: observe}
spec:
  owner: team-a
  dependsOn: [ghost, '///']
  consumesApis: [nothing]
  dependencyOf: [nobody]
---
apiVersion: backstage.io/v1alpha1
kind: Component
metadata: {name: '!!'}
---
apiVersion: backstage.io/v1alpha1
kind: User
metadata: {}
---
name: d
",
    )]);
    expect_test::expect![[r#"
        services/a.yaml:1:1: error: `apiVersion`: `apiVersion` is `backstage.io/v2`, which is not read
          help: write it as `backstage.io/v1alpha1`
        services/a.yaml:10:5: error: `metadata.annotations.clearway.dev/tier`: `5` does not fit `clearway.dev/tier`
          help: write a number from 1, which matters most, to 4, in quotes
        services/a.yaml:11:5: error: `metadata.annotations.clearway.dev/gate`: there is no annotation `clearway.dev/gate`
          help: did you mean `clearway.dev/gates`?
        services/a.yaml:12:5: error: `metadata.annotations.clearway.dev/review-by`: `soon` does not fit `clearway.dev/review-by`
          help: write a day, such as `2027-01-31`
        services/a.yaml:14:3: error: `spec.owner`: `a:b:c` is no reference: it is written `[kind:][namespace/]name`
        services/a.yaml:20:17: error: `metadata.annotations.clearway.dev/tier`: `7` does not fit `clearway.dev/tier`
          help: write a number from 1, which matters most, to 4, in quotes
        services/a.yaml:20:41: error: `metadata.annotations.clearway.dev/gate`: there is no annotation `clearway.dev/gate`
          help: did you mean `clearway.dev/gates`?
        services/a.yaml:23:15: error: `spec.dependsOn[0]`: there is no service `ghost`
        services/a.yaml:23:22: error: `spec.dependsOn[1]`: `///` is no reference: it is written `[kind:][namespace/]name`
        services/a.yaml:25:18: error: `spec.dependencyOf[0]`: there is no service `nobody`
          help: it would depend on `c`; remove the reference, or add the service
        services/a.yaml:29:12: error: `metadata.name`: `!!` can't be a name here
          help: a name has letters, digits, `-`, `_` and `.`, and with its namespace at most 64 of them
        services/a.yaml:33:1: error: `metadata`: `metadata.name` is missing
        services/a.yaml:35:1: error: this is no entity of Backstage: `kind` is missing
          help: an entity has `apiVersion: backstage.io/v1alpha1`, `kind`, `metadata` and `spec`
        services/a.yaml:24:18: warning: `spec.consumesApis[0]`: no component provides the API `nothing`, so nothing follows from depending on it
    "#]].assert_eq(&said(&catalog));
}

#[test]
fn two_entities_of_one_name_are_refused_whatever_their_case() {
    let text = [component("cart", ""), component("Cart", "")].concat();
    let catalog = read(&[("services/a.yaml", &text)]);
    assert_eq!(catalog.services().len(), 1);
    assert!(
        said(&catalog).contains("error: `metadata.name`: there is a service `cart` in services/a.yaml:4:12 already"),
        "{}",
        said(&catalog)
    );
}

#[test]
fn ten_thousand_documents_in_one_file_end_with_a_bounded_answer() {
    let names = "a: 1\n---\n".repeat(10_000);
    let many = read(&[("services/a.yaml", &names)]);
    let found = many.findings_without_people(&[]);
    assert_eq!((found.len(), found[0].severity), (MOST_OF_A_FILE, Severity::Error));
    assert!(found.iter().any(|f| f.message.contains("left out")));
    let whole: String = (0..10_000).map(|i| component(&format!("s{i}"), "")).collect();
    let refused = Document::all_from_yaml(&whole).expect_err("it is too much");
    assert!(refused[0].message.contains("more than 50000 values"), "{refused:?}");
}

#[test]
fn names_with_markup_are_cleaned_and_that_is_said() {
    let catalog = read(&[("services/a.yaml", &component("\"<script>Alert\\e(1)\"", ""))]);
    assert_eq!(catalog.services()[0].name, "script-alert-1");
    assert!(said(&catalog).contains("is called `script-alert-1` here"), "{}", said(&catalog));
    assert!(!said(&catalog).contains('\u{1b}'));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever stands where a name or a reference is expected, the reader ends, and what it takes can be a service.
    #[test]
    fn anything_in_the_place_of_a_name_is_taken_cleanly_or_refused(name in ".{0,80}", owner in "[a-z:/ .]{0,12}", other in "[a-zA-Z:/-]{0,12}") {
        let entity = serde_json::json!({"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": {"name": name}, "spec": {"owner": owner, "dependsOn": [other]}});
        let files = BTreeMap::from([("services/a.yaml".to_owned(), documents(&entity.to_string()))]);
        let catalog = Catalog::assemble(vec![], entries(&files));
        for service in catalog.services() {
            let text = serde_json::to_string(service).expect("JSON");
            let again = Document::from_yaml(&text).and_then(|d| d.read::<Service>());
            prop_assert_eq!(again.as_ref(), Ok(service));
        }
        prop_assert!(!catalog.services().is_empty() || catalog.findings_without_people(&[]).iter().any(|f| f.severity == Severity::Error));
    }
}
