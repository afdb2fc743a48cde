//! What is drawn of a catalog, and that it can be read by the programs that read such files.

use change::catalog::Service;

use super::*;

fn service(name: &str, depends_on: &[&str]) -> Service {
    Service { depends_on: depends_on.iter().map(|d| (*d).to_owned()).collect(), ..Service::named(name, "team") }
}

fn shop() -> Catalog {
    Catalog::new(vec![
        service("web", &["cart"]),
        service("cart", &["stock", "pay"]),
        service("stock", &["cart"]),
        service("pay", &["bank"]),
        service("bank", &[]),
        service("mail", &[]),
    ])
}

#[test]
fn the_neighbourhood_of_a_service_has_both_sides_and_an_end() {
    let near = Part::around(&shop(), "pay", 1, MOST_DRAWN);
    assert_eq!((near.names.as_slice(), near.left_out), (&["bank".into(), "cart".into(), "pay".into()][..], 0));
    assert_eq!(near.calls, BTreeSet::from([(1, 2), (2, 0)]));
    let cut = Part::around(&shop(), "pay", 9, 3);
    assert_eq!((cut.names.len(), cut.left_out), (3, 2));
    assert_eq!(cut.left_out().as_deref(), Some("2 services are left out: those farther away"));
}

#[test]
fn callers_stand_before_what_they_call_and_a_circle_is_broken_once() {
    let part = Part::all(&shop(), MOST_DRAWN);
    let laid = layers::layers(part.names.len(), &part.calls);
    assert_eq!(laid.backward.len(), 1);
    let column = |at: usize| laid.layers.iter().position(|layer| layer.contains(&at)).expect("it is drawn");
    for (from, to) in part.calls.difference(&laid.backward) {
        assert!(column(*from) < column(*to), "{} -> {}", part.names[*from], part.names[*to]);
    }
    assert_eq!(laid.layers.iter().map(Vec::len).sum::<usize>(), part.names.len());
}

#[test]
fn a_catalog_of_ten_thousand_services_makes_a_picture_that_says_what_it_leaves_out() {
    let services = (0..10_000).map(|i| service(&format!("s{i}"), &[&format!("s{}", (i + 1) % 10_000), "s7"]));
    let catalog = Catalog::new(services.collect());
    let part = Part::all(&catalog, MOST_DRAWN);
    assert_eq!((part.names.len(), part.left_out), (MOST_DRAWN, 9_880));
    let picture = svg::draw(&catalog, &part);
    assert!(picture.contains("9880 services are left out: those called by fewer others"));
    assert!(picture.len() < 200_000, "{}", picture.len());
    assert!(dot::draw(&catalog, &Part::all(&catalog, usize::MAX)).lines().count() > 20_000);
}

#[test]
fn markup_and_control_characters_in_names_are_text_in_every_drawing() {
    let hostile = "\"]; x\\ <script>alert(1)</script>\u{1b}\n&";
    let mut catalog = vec![service("web", &[hostile])];
    catalog[0].owner = hostile.to_owned();
    let catalog = Catalog::new(catalog);
    let part = Part::around(&catalog, "web", 3, MOST_DRAWN);
    let (picture, dot) = (svg::draw(&catalog, &part), dot::draw(&catalog, &part));
    assert!(!picture.contains("<script") && picture.contains("&lt;script&gt;"), "{picture}");
    assert!(!picture.chars().chain(dot.chars()).any(|c| c.is_control() && c != '\n'));
    assert!(dot.contains("\"\\\"]; x\\\\ <script>alert(1)</script>  &\""), "{dot}");
    assert_eq!(dot.lines().count(), 7, "{dot}");
}

#[test]
fn an_empty_catalog_is_an_empty_picture() {
    let catalog = Catalog::default();
    let part = Part::all(&catalog, MOST_DRAWN);
    assert!(svg::draw(&catalog, &part).contains("0 services."));
    assert!(dot::draw(&catalog, &part).ends_with("}\n"));
}
