use std::io::{BufRead, Write};
fn main() {
    let profile =
        if std::env::args().any(|a| a == "reference") { judge::Profile::Reference } else { judge::Profile::Default };
    let mut s = None;
    let mut out = std::io::stdout().lock();
    for l in std::io::stdin().lock().lines() {
        let l = l.unwrap();
        let v: serde_json::Value = serde_json::from_str(&l).unwrap();
        if v["type"] == "start" {
            s = Some(judge::stream::Stream::new(&serde_json::from_value(v).unwrap(), profile).unwrap());
        } else {
            let r = s.as_mut().unwrap().tick(&serde_json::from_value(v).unwrap());
            writeln!(out, "{}", serde_json::to_string(&r).unwrap()).unwrap();
        }
    }
}
